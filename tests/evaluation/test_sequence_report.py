"""The page of a classifier or labeller: well formed, harmless, loads nothing, and its numbers are the answers'."""

import base64
import re
import struct
import sys
import zlib
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latchwork import sequence_model
from latchwork.errors import ConfigError
from latchwork.evaluation import (
    Finding,
    Method,
    audit,
    score_sequences,
    sequence_card,
    write_sequence_report,
)
from latchwork.evaluation import sequence_report_examples as examples
from latchwork.evaluation import sequence_report_figures as draw
from latchwork.evaluation import sequence_report_sections as sections
from latchwork.evaluation.card_parts import verdict_of
from latchwork.evaluation.sequence_report import SequenceReport, render_sequences
from latchwork.evaluation.sequence_report_small import png, sparks, thumbnail
from latchwork.evaluation.sequence_report_view import SequenceView
from latchwork.evaluation.svg import NAMESPACE, write
from latchwork.layers import Augment, Network
from latchwork.metrics import Interval, proportion
from latchwork.modalities.records import Columns, Record
from latchwork.sequence_model import SequenceModel, fit_labelled
from latchwork.sequences import Labelled
from latchwork.tasks import Classify, Label
from latchwork.training import Training, fit_sequences

sys.path.insert(0, str(Path(__file__).parents[1]))
from pages import Reader

SCRIPT = '<script>alert("1")</script>'
WORDS = ("sun", "rain", "wind", "snow", "fog", "hail", "storm", "calm")
SIZE = 60


def texts(names: tuple[str, ...], labels: Any) -> Labelled:
    random = np.random.default_rng(5)
    content = tuple(" ".join(random.choice(WORDS, size=random.integers(3, 9))) for _ in range(SIZE))
    return Labelled(
        content,
        tuple(labels(one, random) for one in content),
        tuple(f"{names[0]} {row}" for row in range(SIZE)),
        tuple(f"weather.csv: row {row} {names[0]}" for row in range(SIZE)),
        sha256="ab" * 32,
    )


def tagged(spans: bool) -> Labelled:
    random = np.random.default_rng(6)
    content = tuple(tuple(random.choice(WORDS, size=random.integers(3, 60)).tolist()) for _ in range(SIZE))
    mark = ("B-W", "O") if spans else ("W", "other")
    labels = tuple(tuple(mark[word in ("fog", "calm")] for word in words) for words in content)
    ids = tuple(map(str, range(SIZE)))
    return Labelled(content, labels, ids, tuple(f"x.conll: line {row}" for row in ids), sha256="cd" * 32)


def series(labels: Any, steps: int = 12) -> Labelled:
    random = np.random.default_rng(7)
    content, said = [], []
    for row in range(SIZE):
        values = random.normal(size=(steps, 8)) + row % 3
        values[random.random(values.shape) < 0.1] = np.nan
        columns = Columns(tuple(f"c{at}" for at in range(8)))
        content.append(Record(columns, None, values, np.zeros((steps, 0), str), np.zeros(0)))
        said.append(labels(row, values))
    ids = tuple(map(str, range(SIZE)))
    return Labelled(
        tuple(content), tuple(said), ids, ids, groups=tuple(str(row // 2) for row in range(SIZE)), sha256="ef"
    )


def images() -> Labelled:
    random = np.random.default_rng(8)
    content = tuple(random.integers(0, 99 + 50 * (row % 2), (8, 8), dtype=np.uint8) for row in range(SIZE))
    ids = tuple(map(str, range(SIZE)))
    return Labelled(content, tuple("ab"[row % 2] for row in range(SIZE)), ids, ids, sha256="01")


def data(kind: str, names: tuple[str, ...]) -> tuple[Any, str, Labelled]:
    """(task, modality, sequences) of each kind of question."""
    match kind:
        case "class":
            task = Classify(aim="precision>=0.8", positive=names[0])
            return task, "text", texts(names, lambda one, r: names[int(("fog" in one) ^ (r.random() < 0.1))])
        case "several":
            return Classify(), "text", texts(names, lambda one, _: names[len(one) % len(names)])
        case "labels":
            return (
                Classify(target="labels"),
                "text",
                texts(names, lambda one, _: tuple(n for n in names if n[0] in one)),
            )
        case "spans" | "steps":
            return Label(crf=False), "text", tagged(kind == "spans")
        case "series":
            return Classify(augment=Augment(jitter=0.1)), "records", series(lambda row, _: names[row % 3])
        case "strips":
            found = series(lambda row, v: tuple("hi" if x > 1 else "lo" for x in np.nan_to_num(v[:, 0])), steps=30)
            return Label(), "records", found
        case "number":
            return Classify(target="number"), "records", series(lambda row, v: float(row % 3) + 0.5 * float(row % 7))
        case "ordinal":
            return Classify(target="ordinal"), "records", series(lambda row, _: row % 3)
    return Classify(), "image", images()


KINDS = ("class", "several", "labels", "spans", "steps", "series", "strips", "number", "ordinal", "image")


@cache
def made(kind: str, names: tuple[str, ...] = ("fog", "sun", "storm"), **options: Any) -> SequenceReport:
    task, modality, labelled = data(kind, names)
    task = replace(task, **options)
    training = Training(steps=6, evaluate_every=2, batch_size=8, seed=3)
    fitted = fit_sequences(task, modality, labelled, Network(hidden_size=4, layers=1), training)
    setup = fitted.setup
    evaluation = None
    if len(setup.split.test):
        alone = score_sequences(setup, baselines=False)
        sure = alone.methods[0].sure
        assert sure is not None
        even = np.full_like(sure, sure.mean() if kind == "number" else 1 / max(1, sure.shape[-1]))
        rivals = [Method("even", even), Method(f"none {names[0]}", None, None, "not run here")]
        evaluation = score_sequences(setup, baselines=False, rivals=rivals)
    config = f'[classify]\nlabel = "{names[0]}"\n'
    findings = (Finding("leak", "duplicate", f"3 of 9 {names[0]}", "Leave them out", (f"{names[0]} 1",), 0.3),)
    return SequenceReport(setup, fitted.training, fitted.outcome, evaluation, findings, config, "latchwork predict x y")


def checked(report: SequenceReport) -> Reader:
    """A page that is well formed, loads nothing, runs nothing, and says what every picture shows."""
    text = render_sequences(report)
    reader = Reader(text)
    for drawing in re.findall(r"<svg.*?</svg>", text, re.DOTALL):
        assert ElementTree.fromstring(drawing).get("role") == "img"
        assert not re.search(r'"[^"]*\bnan\b[^"]*"', re.sub(r"<title>.*?</title>", "", drawing)), drawing[:300]
    assert all(drawing["aria-label"] for drawing in reader.all("svg"))
    assert all(header["scope"] in ("row", "col") for header in reader.all("th"))
    assert not {"script", "link", "img", "iframe", "object", "embed", "base", "form"} & {tag for tag, _ in reader.tags}
    assert set(re.findall(r"https?://[^\s\"'<]+", text)) <= {NAMESPACE}
    assert not re.search(r"url\(|@import", text)
    names = {name for _, attributes in reader.tags for name in attributes}
    assert not {name for name in names if name.startswith("on") or name in ("src", "srcset", "style", "xlink:href")}
    for tag, attributes in reader.tags:
        if "href" in attributes:
            start = "data:image/png;base64," if tag == "image" else "#"
            assert (attributes["href"] or "").startswith(start)
    anchors = [attributes["id"] for _, attributes in reader.tags if "id" in attributes]
    assert [(link["href"] or "").removeprefix("#") for link in reader.all("a")] == anchors
    return reader


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_question_has_a_page_and_a_card(kind: str) -> None:
    report = made(kind)
    reader = checked(report)
    assert report.evaluation is not None
    board = report.evaluation.scoreboard
    headline, reserve = verdict_of(SequenceView(report).board)
    assert headline[1:].rstrip(".") in reader.text
    assert headline.rstrip(".").lower() in board.verdict().lower()
    assert reserve in reader.text
    for said in (
        board.titles[board.main],
        "not run here",
        report.setup.labelled.sha256,
        "seed 3",
        "latchwork predict x y",
    ):
        assert said in reader.text, said
    headings = ["Score", "Leak audit", "Data", "Training", "How it was made, and what is next"]
    assert [heading for heading in headings if heading in reader.text] == headings
    card = sequence_card(report)
    assert card.startswith("# ")
    assert report.setup.labelled.sha256 in card
    assert "leak: 3 of 9 fog" in card


def test_each_kind_shows_what_belongs_to_it() -> None:
    found = {kind: checked(made(kind)).text for kind in KINDS}
    assert "Confusion" in found["class"]
    assert "ROC curve" in found["class"]
    assert "precision>=0.8" in found["class"]
    assert "each of 3 classes against the rest" in found["several"]
    assert "Threshold" not in found["several"]
    assert "Kinds of spans" in found["spans"]
    assert "A dashed frame" in found["spans"]
    assert "8 columns" in found["series"]
    assert "noise of deviation 0.1" in found["series"]
    assert "Said and true" in found["number"]
    assert "8 x 8 pixels, grey" in found["image"]
    assert "vocabulary" in found["class"]


def test_the_same_report_gives_the_same_bytes(tmp_path: Path) -> None:
    path = tmp_path / "run" / "report.html"
    write_sequence_report(path, made("class"))
    assert path.read_text() == render_sequences(made("class"))
    assert [file.name for file in path.parent.iterdir()] == ["report.html"]


def test_a_leak_is_said_before_the_score() -> None:
    report = made("class")
    text = checked(report).text
    assert text.index("1 leak was found: until mended, don't believe the score") < text.index("Judged by")
    note = replace(report.findings[0], severity="note")
    assert "don't believe" not in checked(replace(report, findings=(note,))).text
    assert "Nothing was found on both sides" in checked(replace(report, findings=())).text


def test_without_a_test_part_the_page_says_that_nothing_was_scored() -> None:
    report = made("several", test_size=0)
    assert report.evaluation is None
    text = checked(report).text
    assert "Trained, and not yet scored" in text
    assert "Not scored" in sequence_card(report)


def test_odd_histories_are_drawn() -> None:
    report = made("several")
    outcome = replace(report.outcome, history=[], best_step=0, best={})
    assert "No step was logged" in checked(replace(report, outcome=outcome)).text
    history = [{"step": 1, "loss": None, "gradient_norm": None, "learning_rate": 0.1}]
    history += [
        {"step": at, "loss": 1.0, "validation": {"choice": None, "accuracy": None, "loss": None}} for at in (2, 3)
    ]
    checked(replace(report, outcome=replace(outcome, history=history)))


def test_a_second_training_is_told() -> None:
    assert "trained anew on training and validation" in checked(made("several", refit=True)).text
    assert "trained anew" not in checked(made("several", refit=False)).text


def test_a_method_far_from_the_others_does_not_squeeze_them() -> None:
    report = made("several")
    assert report.evaluation is not None
    board = report.evaluation.scoreboard
    rows = tuple(
        replace(board.model, name=name, model=name == "latchwork", values={"accuracy": value}, lower=value, upper=value)
        for name, value in (("latchwork", 0.95), ("close", 0.94), ("also", 0.93), ("far", 0.1))
    )
    text = write(draw.scores(replace(board, rows=rows), 960))
    assert text.count('class="point"') == 3
    assert "far: 0.100 [0.100, 0.100]" in text
    assert ">0.1<" not in text


# Names from the data


def test_names_from_the_data_can_do_no_harm() -> None:
    nasty = (SCRIPT, "' onload='x", "]]><b>")
    for kind in ("class", "several", "series"):
        report = made(kind, nasty)
        reader = checked(report)
        assert SCRIPT in reader.text
        card = sequence_card(report)
        assert "<script" not in card
        assert "](" not in card.replace("\\]", "")


@given(st.lists(st.text(min_size=1, max_size=30), min_size=2, max_size=14, unique=True), st.integers(0, 10**6))
@settings(max_examples=25)
def test_any_name_of_a_class_is_drawn_and_stays_text(names: list[str], seed: int) -> None:
    counts = np.random.default_rng(seed).integers(0, 9, (len(names), len(names)))
    table = [{"class": name, "recall": 0.5, "precision": float("nan"), "support": 3.0} for name in names]
    for drawing in (draw.confusion(counts, names, 440), draw.confusion(counts, names, 960), draw.by_class(table, 440)):
        text = write(drawing)
        root = ElementTree.fromstring(text)
        assert {one.tag for one in root.iter()} <= {"svg", "g", "rect", "text", "title", "path", "circle"}
        assert not any(name.startswith("on") for one in root.iter() for name in one.attrib)
        assert "nan" not in re.sub(r">[^<]*<", "><", text)


@given(st.text(max_size=60))
@settings(max_examples=50)
def test_any_text_of_a_sequence_stays_text(text: str) -> None:
    report = made("class")
    labelled = replace(report.setup.labelled, content=(text,) * SIZE, ids=(text,) * SIZE, places=(text,) * SIZE)
    view = SequenceView(replace(report, setup=replace(report.setup, labelled=labelled)))
    section = examples.mistakes(view)
    assert section is not None
    root = ElementTree.fromstring(write(section))
    assert {one.tag for one in root.iter()} <= {"section", "h2", "p", "ol", "li", "strong", "blockquote"}


# The numbers


def test_confusion_mistakes_and_table_are_those_of_the_answers() -> None:
    for kind in ("class", "several", "series", "ordinal"):
        view = SequenceView(made(kind))
        rows = view.evaluation.rows
        said = view.model.said if view.model.said is not None else view.model.sure.argmax(1)  # type: ignore[union-attr]
        assert view.confusion is not None
        assert view.confusion.sum() == len(rows)
        for true in range(len(view.classes)):
            for other in range(len(view.classes)):
                assert view.confusion[true, other] == np.sum((view.truth.values == true) & (said == other))
        found, count = view.mistakes()
        assert count == np.sum(said != view.truth.values)
        assert len(found) == min(12, count)
        assert all(one.true != one.said for one in found)
        assert [one.sure for one in found] == sorted((one.sure for one in found), reverse=True)
        for one in found:
            at = int(np.flatnonzero(rows == one.row)[0])
            assert view.classes[view.truth.values[at]] == one.true
            assert str(view.labelled.labels[one.row]) == one.true


def test_spans_of_each_kind_are_counted() -> None:
    view = SequenceView(made("spans"))
    kind = next(one for one in view.kinds if one.name == "W")
    assert kind.true == sum(one.count("B-W") for one in view.truth.names)
    row = next(row for row in view.board.table if row["class"] == "W")
    assert row["recall"] == pytest.approx(kind.right / kind.true)


def test_examples_run_from_the_worst_on() -> None:
    view = SequenceView(made("steps"))
    found = view.examples()
    shares = [sum(a != b for a, b in zip(one.true, one.said, strict=True)) / len(one.true) for one in found]
    assert shares[0] >= max(shares[:-1]) - 0.35
    assert all(len(one.true) <= 40 for one in found)
    for one in found:
        labels = view.labelled.labels[one.row]
        assert one.true == labels[one.start : one.start + len(one.true)]


def test_the_temperature_is_taken_back() -> None:
    report = made("several")
    pipeline = report.setup.pipeline
    view = SequenceView(replace(report, setup=replace(report.setup, pipeline=replace(pipeline, temperature=2.5))))
    sure = view.model.sure
    assert sure is not None
    names = [name for name, _ in view.reliability]
    assert names == ["before", "after"]
    logits = np.random.default_rng(0).normal(size=sure.shape) * 3
    soft = np.exp(logits / 2.5) / np.exp(logits / 2.5).sum(1, keepdims=True)
    evaluation = replace(view.evaluation, methods=(replace(view.model, sure=soft),))
    again = SequenceView(replace(view.report, evaluation=evaluation)).reliability[0][1]
    plain = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    direct = SequenceView(replace(view.report, evaluation=evaluation))._reliability(plain)
    np.testing.assert_allclose(again.confidence, direct.confidence)
    np.testing.assert_allclose(again.share, direct.share)


def test_the_threshold_is_told_as_it_holds() -> None:
    report = made("class")
    view = SequenceView(report)
    chosen = view.pipeline.chosen
    assert chosen is not None
    true = view.truth.values == view.truth.classes.index("fog")
    assert view.model.sure is not None
    said = view.model.sure[:, view.truth.classes.index("fog")] >= chosen.value
    assert view.reached["recall"] == proportion(int((said & true).sum()), int(true.sum()))
    cases = {
        (0.99, 0.95, 1.0): "the aim holds there, the interval included",
        (0.85, 0.7, 0.95): "the interval reaches below it",
        (0.7, 0.5, 0.9): "by no more than chance allows",
        (0.4, 0.3, 0.5): "the aim does not hold there",
        (float("nan"),) * 3: "nothing to divide by",
    }
    for found, told in cases.items():
        view.reached["precision"] = Interval(*found)
        assert told in sections.threshold_verdict(view)


def test_entities_widen_the_interval_of_a_share() -> None:
    from latchwork.metrics import share

    right = np.repeat([True, False, True, True], 10)
    of = np.ones(40, bool)
    alone = share(right, of, np.arange(40))
    together = share(right, of, np.repeat(np.arange(4), 10))
    assert alone == proportion(30, 40)
    assert together.value == 0.75
    assert together.upper - together.lower > alone.upper - alone.lower


# Small pictures


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 3), (5, 7, 1)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_an_image_is_written_as_it_is(shape: tuple[int, ...], dtype: type) -> None:
    pixels = np.random.default_rng(1).integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)
    data = png(pixels)
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", data[16:24]) == (7, 5)
    channels = 3 if shape[2:] == (3,) else 1
    start = data.index(b"IDAT") + 4
    size = struct.unpack(">I", data[start - 8 : start - 4])[0]
    rows = np.frombuffer(zlib.decompress(data[start : start + size]), np.uint8).reshape(5, -1)
    expected = pixels if dtype is np.uint8 else pixels // 257
    np.testing.assert_array_equal(rows[:, 1:], expected.reshape(5, 7 * channels))


def test_a_large_image_is_made_small() -> None:
    drawn = thumbnail(np.zeros((900, 400, 3), np.uint8), SCRIPT)
    link = drawn[0].get("href")
    assert link is not None
    assert len(base64.b64decode(link.partition(",")[2])) < 2000
    assert "<script" not in write(drawn)


def test_series_with_gaps_and_without_columns_are_drawn() -> None:
    gone = Record(Columns(("a", "b")), np.arange(4.0), np.full((4, 2), np.nan), np.zeros((4, 0), str), np.zeros(0))
    assert "nan" not in write(sparks(gone, marks=[("true", [0, 0, 1, 1]), ("said", [0, 1, 1, 1])]))
    none = Record(Columns(), None, np.zeros((3, 0)), np.zeros((3, 0), str), np.zeros(0))
    ElementTree.fromstring(write(sparks(none)))


# A run


def test_a_run_holds_the_page_and_the_card(tmp_path: Path) -> None:
    _, _, labelled = data("class", ("fog", "sun", "storm"))
    lines = ["text,label", *(f"{text},{label}" for text, label in zip(labelled.content, labelled.labels, strict=True))]
    path = tmp_path / "weather.csv"
    path.write_text("\n".join(lines))
    run = tmp_path / "a run"
    training = Training(steps=6, evaluate_every=3, batch_size=8)
    model = fit_labelled(Classify(), path, network=Network(hidden_size=4), training=training, run=run)
    assert isinstance(model, SequenceModel)
    text = (run / "report.html").read_text()
    assert "weather.csv" in text
    assert f"latchwork predict '{run}' new-data" in text.replace("&#x27;", "'")
    assert "weather.csv" in (run / "card.md").read_text()
    loaded = SequenceModel(model.pipeline)
    with pytest.raises(ConfigError, match="no training to report on"):
        loaded.report(tmp_path / "report.html")


def test_a_failing_audit_does_not_cost_the_model(tmp_path: Path, monkeypatch: Any) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("the audit stumbles")

    monkeypatch.setattr(sequence_model, "audit", broken)
    path, labelled = tmp_path / "words.conll", tagged(False)
    pairs = zip(labelled.content, labelled.labels, strict=True)
    path.write_text("\n\n".join("\n".join(map(" ".join, zip(*one, strict=True))) for one in pairs) + "\n")
    training = Training(steps=4, batch_size=8)
    with pytest.raises(RuntimeError, match="stumbles"):
        fit_labelled(Label(crf=False), path, network=Network(hidden_size=4), training=training, run=tmp_path / "run")
    loaded = sequence_model.load_labelled(tmp_path / "run")
    assert len(loaded.predict(path)) == sum(map(len, labelled.content))


@pytest.mark.parametrize("kind", ["several", "series"])
def test_a_first_sequence_without_a_label_is_no_stumbling_block(kind: str) -> None:
    task, modality, labelled = data(kind, ("fog", "sun", "storm"))
    labelled = replace(labelled, labels=(None, *labelled.labels[1:]))
    fitted = fit_sequences(task, modality, labelled, Network(hidden_size=4), Training(steps=2, batch_size=8))
    assert fitted.setup.encoded[0] is None
    assert isinstance(audit(labelled, fitted.setup.split, fitted.setup.encoded), list)
