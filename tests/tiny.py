"""Labelled sequences that a test can write in a moment: texts, words, records, images."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

GOOD = ("fine", "great", "lovely", "warm", "bright")
BAD = ("poor", "awful", "cold", "dull", "broken")
PLACES = ("Paris", "Rome", "Oslo", "Lima")
NAMES = ("Ann", "Bob", "Eve", "Max")
COMMON = ("the", "a", "film", "was", "and", "very", "it", "in", "with")


def texts(count: int = 40, classes: int = 2, seed: int = 0) -> list[tuple[str, str]]:
    """(text, label) pairs; the words give the label away."""
    random = np.random.default_rng([seed, classes])
    made = []
    for row in range(count):
        label = row % classes
        pool = GOOD if label == 0 else BAD if label == 1 else PLACES
        words = [*random.choice(COMMON, int(random.integers(2, 7))), *random.choice(pool, 2), f"w{row}"]
        made.append((" ".join(random.permutation(words)), ("good", "bad", "place")[label]))
    return made


def table(path: Path, rows: list[dict[str, Any]]) -> Path:
    """As csv or json lines."""
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return path
    names = list(rows[0])
    lines = [",".join(names), *(",".join(str(row[name]) for name in names) for row in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def write_texts(path: Path, count: int = 40, classes: int = 2, seed: int = 0) -> Path:
    """text, label."""
    return table(path, [{"text": text, "label": label} for text, label in texts(count, classes, seed)])


def write_several(path: Path, count: int = 40) -> Path:
    """Texts with any number of labels, at least one."""
    random = np.random.default_rng(1)
    rows = []
    for row in range(count):
        labels = [name for name in ("warm", "cold", "new") if random.random() < 0.5] or ["new"]
        rows.append({"text": f"w{row} {' '.join(labels)} film", "label": "|".join(labels)})
    return table(path, rows)


def write_words(path: Path, count: int = 30, spans: bool = True, seed: int = 0) -> Path:
    """A word a line with its tag: names and places, as spans or by the part of speech."""
    random = np.random.default_rng([seed, 7])
    lines: list[str] = []
    for _ in range(count):
        for _ in range(int(random.integers(2, 6))):
            which = int(random.integers(3))
            if which == 0:
                lines.append(f"{random.choice(COMMON)} {'O' if spans else 'WORD'}")
            elif which == 1:
                lines += [f"{random.choice(NAMES)} {'B-PER' if spans else 'NAME'}"]
                lines += [f"Smith {'I-PER' if spans else 'NAME'}"] * int(random.integers(2))
            else:
                lines.append(f"{random.choice(PLACES)} {'B-LOC' if spans else 'PLACE'}")
        lines.append("")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def write_records(
    path: Path, count: int = 24, missing: float = 0.1, classes: tuple[str, ...] = ("low", "high"), seed: int = 0
) -> Path:
    """Rows of one id are its steps: id, time, pulse, mood, age (static), label."""
    random = np.random.default_rng([seed, 9])
    rows = []
    for one in range(count):
        label = classes[one % len(classes)]
        time = 0.0
        for _ in range(int(random.integers(3, 8))):
            time += float(random.choice([1.0, 1.0, 2.0]))
            pulse: Any = round(60 + 20 * (one % len(classes)) + 5 * random.normal(), 2)
            pulse = "" if random.random() < missing else pulse
            mood = random.choice(["calm", "wild"])
            rows.append({"id": f"p{one}", "time": time, "pulse": pulse, "mood": mood, "age": 20 + one, "label": label})
    return table(path, rows)


def write_states(path: Path, count: int = 12, seed: int = 0) -> Path:
    """Rows of one id are its steps, each with a label of its own: id, level, slope, label."""
    random = np.random.default_rng([seed, 11])
    rows = []
    for one in range(count):
        state = 0
        for _ in range(int(random.integers(4, 9))):
            state = 1 - state if random.random() < 0.3 else state
            level = round(3 * state + random.normal(), 3)
            rows.append({"id": f"s{one}", "level": level, "slope": round(random.normal(), 3), "label": f"state{state}"})
    return table(path, rows)


def write_images(folder: Path, count: int = 16, size: tuple[int, int] = (8, 10), seed: int = 0) -> Path:
    """Folders of images: bright ones and dark ones."""
    random = np.random.default_rng([seed, 13])
    for row in range(count):
        label = ("bright", "dark")[row % 2]
        place = folder / label
        place.mkdir(parents=True, exist_ok=True)
        pixels = random.integers(0, 100, size) + (150 if label == "bright" else 0)
        Image.fromarray(pixels.astype(np.uint8)).save(place / f"{row}.png")
    return folder
