"""SNIPS: intents (accuracy) and slots (F1 of spans). The 700 validation queries are the test part."""

import gzip
import json
import re
import tempfile
from pathlib import Path

from common import data, labelled, run

import latchwork as lw


def read(path: Path) -> list[dict[str, object]]:
    """The queries of a file: text, intent, words, and a tag for each."""
    raw = gzip.decompress(path.read_bytes())
    try:
        tree = json.loads(raw.decode("utf-8"))
    except UnicodeDecodeError:  # some of the files are Latin-1
        tree = json.loads(raw.decode("latin-1"))
    (intent, queries), *_ = tree.items()
    made = []
    for query in queries:
        words: list[str] = []
        tags: list[str] = []
        for piece in query["data"]:
            own = re.findall(r"\w+|[^\w\s]", piece["text"])
            slot = piece.get("entity")
            words += own
            tags += [f"{'I' if index else 'B'}-{slot}" if slot else "O" for index in range(len(own))]
        if words:
            made.append({"text": " ".join(words), "intent": intent, "tokens": words, "tags": tags})
    return made


def measure(seed: int) -> dict[str, object]:
    with tempfile.TemporaryDirectory() as folder:
        for part in ("train", "validate"):
            queries = [query for path in sorted(data("snips").glob(f"{part}_*.json.gz")) for query in read(path)]
            text = "".join(json.dumps(query) + "\n" for query in queries)
            (Path(folder) / f"{part}.jsonl").write_text(text, encoding="utf-8")
        train, test = (Path(folder) / f"{part}.jsonl" for part in ("train", "validate"))
        intents = labelled(lw.Classify(text="text", label="intent", ignore=("tokens", "tags"), test=test), train, seed)
        slots = labelled(lw.Label(text="tokens", label="tags", ignore=("text", "intent"), test=test), train, seed)
    return {"intent": intents, "slots": slots}


if __name__ == "__main__":
    run("snips", measure)
