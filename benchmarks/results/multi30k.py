"""Multi30k, German to English, test2016: BLEU (sacrebleu, 13a, cased), beam 5."""

from typing import Any

from common import data, run, written

import latchwork as lw


def measure(seed: int) -> dict[str, object]:
    def exposure(model: Any) -> Any:
        found = model.evaluation.exposure
        return {"right": found.right, found.metric: found.score, "words": found.words}

    return written(lw.Translate(source="de", target="en"), data("multi30k"), seed, {"exposure": exposure})


if __name__ == "__main__":
    run("multi30k", measure)
