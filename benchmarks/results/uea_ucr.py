"""JapaneseVowels and ItalyPowerDemand: the archive's training and test parts, accuracy."""

from common import data, labelled, run

import latchwork as lw


def measure(seed: int) -> dict[str, object]:
    found = {}
    for name in ("JapaneseVowels", "ItalyPowerDemand"):
        train, test = (data("uea_ucr_small", f"{name}_{part}.ts.gz") for part in ("TRAIN", "TEST"))
        found[name] = labelled(lw.Classify(test=test), train, seed)
    return found


if __name__ == "__main__":
    run("uea_ucr", measure)
