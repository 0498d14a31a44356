"""IMDB: 25,000 reviews to learn from, 25,000 to score on, accuracy. At most 400 words of a review, from both ends."""

from common import data, labelled, run

import latchwork as lw


def measure(seed: int) -> dict[str, object]:
    task = lw.Classify(
        text="text", label="label", ignore=("rating",), max_length=400, keep="both", test=data("imdb", "test.jsonl.xz")
    )
    return labelled(task, data("imdb", "train.jsonl.xz"), seed)


if __name__ == "__main__":
    run("imdb", measure)
