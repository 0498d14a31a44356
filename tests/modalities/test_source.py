"""Options that a kind of file has no use for are refused, not passed over: a group that does nothing is a leak."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from latchwork.errors import ConfigError
from latchwork.modalities import read_images, read_records
from latchwork.modalities.source import SourceOptions, only

TS = "@problemName X\n@classLabel true a b\n@data\n1,2:a\n3,4:b\n"
ARFF = "@relation M\n@attribute s relational\n@attribute t numeric\n@end s\n@attribute who {a,b}\n@data\n'1,2',a\n"
NAMES: dict[str, Any] = {
    "label": "l", "labels": Path("l.csv"), "text": "t", "id": "i", "group": "g", "time": "t", "split": "s",
    "columns": ("c",), "static": ("s",), "ignore": ("i",), "missing": -1.0, "period": 2.0,
}  # fmt: skip


def picture(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.arange(24, dtype=np.uint8).reshape(4, 6)).save(path)
    return path


def sources(folder: Path) -> dict[str, tuple[Any, Path, set[str]]]:
    """Of each kind of file: its reader, the file, and the options that it has a use for."""
    picture(folder / "images" / "a" / "x.png")
    picture(folder / "x.png")
    arrays = io.BytesIO()
    np.savez(arrays, images=np.zeros((2, 4, 4), np.uint8), labels=np.array([0, 1]))
    (folder / "x.npz").write_bytes(arrays.getvalue())
    (folder / "x.ts").write_text(TS)
    (folder / "x.arff").write_text(ARFF)
    return {
        "a folder of images": (read_images, folder / "images", set()),
        "one image": (read_images, folder / "x.png", set()),
        "an .npz file": (read_images, folder / "x.npz", set()),
        "a .ts file": (read_records, folder / "x.ts", {"missing"}),
        "an .arff file of sequences": (read_records, folder / "x.arff", {"missing", "label"}),
    }


@pytest.mark.parametrize("kind", ["a folder of images", "one image", "an .npz file", "a .ts file",
                                  "an .arff file of sequences"])  # fmt: skip
def test_options_without_a_use_are_refused(tmp_path: Path, kind: str) -> None:
    read, path, used = sources(tmp_path)[kind]
    read(path, SourceOptions(tokenizer="char", max_length=3))  # those are for what is fitted, and are looked at there
    for name, value in NAMES.items():
        if name in used:
            continue
        with pytest.raises(ConfigError, match=f"{name} has no meaning for {kind}; leave it out"):
            read(path, SourceOptions(**{name: value}))
        read(path, SourceOptions(**{name: value}), labelled=False)  # asked about: a table was learnt from
    with pytest.raises(ConfigError, match="variable has no meaning"):
        read(path, SourceOptions(variable="v", value="w"))


def test_what_stands_instead() -> None:
    with pytest.raises(ConfigError, match=r"group has no meaning for a folder; leave it out, or give a table$"):
        only(SourceOptions(group="g"), (), "a folder", "give a table")
    only(SourceOptions(group="g", vocabulary_size=7), ("group",), "a folder")


def test_a_table_of_paths_has_groups_and_an_order(tmp_path: Path) -> None:
    for name in "ab":
        picture(tmp_path / f"{name}.png")
    path = tmp_path / "x.csv"
    path.write_text("path,who,day,label\na.png,p,2024-01-02,1\nb.png,q,2024-01-01,0\n")
    got = read_images(path, SourceOptions(group="who", time="day"))
    assert got.groups == ("p", "q")
    assert got.order is not None
    assert got.order[0] > got.order[1]
    numbers = tmp_path / "y.csv"
    numbers.write_text("path,day\na.png,3\nb.png,1.5\n")
    order = read_images(numbers, SourceOptions(time="day")).order
    assert order is not None
    assert order[0] > order[1]
    assert read_images(numbers, SourceOptions(time="when"), labelled=False).order is None
    for name in ("columns", "static", "ignore", "labels", "period", "missing", "text"):
        with pytest.raises(ConfigError, match=f"{name} has no meaning for a table of images"):
            read_images(path, SourceOptions(**{name: NAMES[name]}))


def test_a_side_that_no_memory_holds_is_refused_before_anything_is_read() -> None:
    with pytest.raises(ConfigError, match="image_size is 100000, expected at most 4096"):
        SourceOptions(image_size=100000)
