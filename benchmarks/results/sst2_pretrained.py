"""SST-2 by a network that first learnt to say what comes next: in its own training sentences and in IMDB's reviews."""

import json
import lzma

from common import data, run, told

import latchwork as lw
from latchwork.training import Progress


def measure(seed: int) -> dict[str, object]:
    lines = data("sst", "sst2.train.tsv").read_text(encoding="utf-8").splitlines()
    sentences = [line.split("\t")[0] for line in lines]
    with lzma.open(data("imdb", "train.jsonl.xz"), "rt", encoding="utf-8") as file:
        reviews = [json.loads(line)["text"].replace("<br />", "\n") for line in file]
    language = lw.fit(
        lw.Generate(
            tokenizer="word",
            lowercase=True,
            vocabulary_size=20_000,
            adaptive_softmax=(2000, 8000),
            validation_size=0.02,
            test_size=0.02,
        ),
        [*sentences, *reviews],
        training=lw.Training(seed=seed, steps=24_000, precision="bfloat16"),
        callbacks=[Progress()],
    )
    task = lw.Classify(text="1", label="2", validation=data("sst", "sst2.dev.tsv"), test=data("sst", "sst2.test.tsv"))
    model = lw.finetune(
        language,
        data("sst", "sst2.train.tsv"),
        task=task,
        training=lw.Training(seed=seed, learning_rate=3e-3),
        callbacks=[Progress()],
    )
    return {"language": told(language), **told(model)}


if __name__ == "__main__":
    run("sst2_pretrained", measure)
