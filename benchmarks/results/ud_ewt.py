"""Universal Dependencies, English Web Treebank: part of speech, the official parts, accuracy of words."""

from common import data, labelled, run

import latchwork as lw


def measure(seed: int) -> dict[str, object]:
    parts = {name: data("ud_english_ewt", f"en_ewt-ud-{name}.conllu.gz") for name in ("train", "dev", "test")}
    return labelled(lw.Label(label="upos", validation=parts["dev"], test=parts["test"]), parts["train"], seed)


if __name__ == "__main__":
    run("ud_ewt", measure)
