"""A file that is asked about, or scored on, is read as the training file was."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image

import latchwork as lw
from latchwork.errors import ConfigError, DataError
from latchwork.layers import Network
from latchwork.sequences import split_examples
from latchwork.tasks import Classify, Label, read_examples
from latchwork.tasks.sequence_pipeline import kind_of_source
from latchwork.training import Training

SMALL = Network(hidden_size=4)
QUICK = Training(steps=2, batch_size=8, evaluate_every=2, device="cpu")


def fit(task: Classify, source: Any) -> Any:
    return lw.fit(task, source, network=SMALL, training=QUICK)


def measured(path: Path, start: int = 0, **columns: Callable[[int], Any]) -> Path:
    """40 sequences of 3 steps; more columns as functions of the sequence's number."""
    rows = [{"id": f"s{one}", "x": float(one % 7 + step), **{name: of(one) for name, of in columns.items()}}
            for one in range(start, start + 40) for step in range(3)]  # fmt: skip
    pl.DataFrame(rows).write_csv(path)
    return path


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    path = tmp_path / "labels.csv"
    pl.DataFrame({"id": [f"s{one}" for one in range(40)], "death": [one % 2 for one in range(40)]}).write_csv(path)
    return path


@pytest.mark.parametrize(("column", "label"), [("label", None), ("label", "death"), ("death", "death")])
def test_a_column_like_the_label_in_another_file(
    tmp_path: Path, elsewhere: Path, column: str, label: str | None
) -> None:
    path = measured(tmp_path / "x.csv", **{column: lambda one: one % 5})  # pyright: ignore[reportArgumentType]
    model = fit(Classify(id="id", labels=elsewhere, label=label), path)
    assert column in model.pipeline.modality.names
    first = model.predict(path)
    assert len(first) == 40
    assert model.evaluate(path).scoreboard is not None
    elsewhere.unlink()
    assert model.predict(path).equals(first)
    with pytest.raises(DataError, match="no such file"):
        model.evaluate(path)  # the column is a number of a step there


def test_other_files_have_their_labels_themselves(tmp_path: Path, elsewhere: Path) -> None:
    model = fit(Classify(id="id", labels=elsewhere, label="death"), measured(tmp_path / "x.csv"))
    new = measured(tmp_path / "y.csv", 40, death=lambda one: one % 2)
    assert model.pipeline.read(new, labelled=True).labels[:2] == ("0", "1")
    assert model.evaluate(new).scoreboard is not None
    assert len(model.predict(new)) == 40
    assert model.pipeline.read(new).labels == (None,) * 40
    with pytest.raises(DataError, match=r"none of its ids"):
        model.evaluate(measured(tmp_path / "z.csv", 80))


def test_texts_with_their_labels_elsewhere(tmp_path: Path, elsewhere: Path) -> None:
    def write(name: str, start: int = 0) -> Path:
        ids = [f"s{one}" for one in range(start, start + 40)]
        table = {"id": ids, "text": [f"word {one}" for one in ids], "label": [one % 2 for one in range(40)]}
        pl.DataFrame(table).write_csv(tmp_path / name)
        return tmp_path / name

    path = write("x.csv")
    task = Classify(id="id", labels=elsewhere, label="death", text="text")
    model = fit(task, path)
    assert model.pipeline.read(path).labels == (None,) * 40
    new = write("y.csv", 40)
    with pytest.raises(DataError, match="none of its ids"):
        model.evaluate(new)  # its column is called label, and death was asked for
    pl.read_csv(new).rename({"label": "death"}).write_csv(new)
    assert model.evaluate(new).scoreboard is not None


def test_images_of_a_table_and_a_folder(tmp_path: Path) -> None:
    rows = []
    for at in range(40):
        path = tmp_path / "images" / "ab"[at % 2] / f"{at}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((4, 4), at, np.uint8)).save(path)
        rows.append({"path": str(path), "what": "ab"[at % 2], "who": f"p{at // 2}"})
    pl.DataFrame(rows).write_csv(tmp_path / "x.csv")
    task = Classify(label="what", group="who", id="path")
    assert kind_of_source(tmp_path / "x.csv", task) == "image"
    assert kind_of_source(tmp_path / "x.csv", Classify(variable="a", value="b")) == "records"
    model = fit(task, tmp_path / "x.csv")
    assert model.setup.labelled.groups is not None
    assert len(model.predict(tmp_path / "images")) == 40
    assert model.evaluate(tmp_path / "images").scoreboard is not None
    with pytest.raises(ConfigError, match="group has no meaning for a folder of images"):
        read_examples(Classify(group="who"), tmp_path / "images")


@pytest.mark.parametrize(
    ("options", "kind"),
    [({}, "text"), ({"static": ("ward",)}, "records"), ({"id": "ward"}, "records"),
     ({"ignore": ("ward",)}, "records"), ({"label": "ward"}, "records"), ({"text": "ward"}, "text")],
)  # fmt: skip
def test_what_the_options_say_of_a_file(tmp_path: Path, options: dict[str, Any], kind: str) -> None:
    (tmp_path / "x.csv").write_text("age,ward,y\n1,Saint Mary,0\n")
    assert kind_of_source(tmp_path / "x.csv", Classify(**options)) == kind


def test_a_width_beside_vectors(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    words = ["good", "fine", "bad", "dull"]
    table = {"text": [f"{words[at % 4]} {chr(97 + at)}" for at in range(26)], "label": [at % 2 for at in range(26)]}
    pl.DataFrame(table).write_csv(path)
    (tmp_path / "v.txt").write_text("".join(f"{word} 0.5 0.5\n" for word in words))
    with pytest.raises(ConfigError, match="embedding is 50, and vectors= says how many numbers a word has"):
        fit(Classify(vectors=tmp_path / "v.txt", embedding=50), path)


def test_lines_of_numbers_without_their_label(tmp_path: Path) -> None:
    lines = [[at % 2, *(float(at % 7 + step) for step in range(4))] for at in range(40)]
    for name, begin in (("x.txt", 0), ("y.txt", 1)):
        (tmp_path / name).write_text("".join(" ".join(map(str, line[begin:])) + "\n" for line in lines))
    model = fit(Classify(), tmp_path / "x.txt")
    assert model.pipeline.modality.kind == "records"
    assert model.predict(tmp_path / "x.txt").equals(model.predict(tmp_path / "y.txt"))


def test_pieces_of_a_few_long_sequences_are_split_by_time(tmp_path: Path) -> None:
    rows = [{"id": one, "t": at, "x": float(at % 7 + one), "label": "ab"[at % 2]} for one in (1, 2) for at in range(60)]
    pl.DataFrame(rows).write_csv(tmp_path / "x.csv")
    task = Label(id="id", time="t", max_length=6, by_time=True)
    _, labelled = read_examples(task, tmp_path / "x.csv")
    assert labelled.groups is None
    split = split_examples(labelled, by_time=True)[0]
    order = labelled.order
    assert order is not None
    assert order[split.train].max() <= order[split.validation].min() <= order[split.test].min()


@pytest.mark.parametrize("cell", ["[]", "x|y"])
def test_several_labels_and_none_of_them(tmp_path: Path, cell: str) -> None:
    rows = [{"text": f"word {chr(97 + at)}", "label": ("[]", cell, "x")[at % 3]} for at in range(26)]
    pl.DataFrame(rows).write_csv(tmp_path / "x.csv")
    _, labelled = read_examples(Classify(), tmp_path / "x.csv")
    assert set(labelled.labels) == {(), ("x",), *((("x", "y"),) if cell == "x|y" else ())}
