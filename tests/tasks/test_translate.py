"""Translating: learnt on small pairs, in any order and company, saved and read; what is wrong is said."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from latchwork.errors import ConfigError, DataError, ModelFileError
from latchwork.layers import Network
from latchwork.modalities import END, SourceOptions, Vocabulary, read_records
from latchwork.sequences import Labelled
from latchwork.tasks import (
    Beam,
    Hypothesis,
    Translate,
    TranslateSetup,
    load_translator,
    save_translator,
    task_from,
    translate_job,
)
from latchwork.tasks.saved import plain
from latchwork.tasks.translate_job import Pair, batched, nats_of
from latchwork.tasks.translate_source import Known, SourceText
from latchwork.training import Callback, Training, fit_setup

sys.path.insert(0, str(Path(__file__).parents[1]))
import toys


class Crash(Callback):
    def step(self, record: Any) -> None:
        if record["step"] == 5:
            raise RuntimeError("crash")


def said(setup: TranslateSetup, rows: Any, options: Beam | None = None) -> list[str]:
    return [several[0].text for several in setup.pipeline.translate(setup.labelled.select(rows), options)]


def given(*texts: str) -> Labelled:
    places = tuple(f"text {number}" for number in range(len(texts)))
    return Labelled(texts, (None,) * len(texts), places, places)


def test_words_are_turned_round() -> None:
    setup = toys.turner()
    rows = setup.split.test
    right = [text == setup.labelled.labels[row] for text, row in zip(said(setup, rows), rows, strict=True)]
    assert np.mean(right) > 0.8
    assert setup.pipeline.task.max_length == 14


def test_a_word_never_seen_is_copied() -> None:
    pipeline = toys.copier().pipeline
    ((best,),) = pipeline.translate(given("my name is qwertz and i live in österby"))
    assert best.text == "qwertz lives in österby"
    assert best.words == ("qwertz", "lives", "in", "österby")
    assert best.source is not None
    assert [best.source[step] for step in best.attention.argmax(1)[[0, 3]]] == ["qwertz", "österby"]


@pytest.mark.parametrize("made", [toys.turner, toys.copier], ids=["turner", "copier"])
def test_company_and_order_change_nothing(made: Any) -> None:
    setup = made()
    rows = np.concatenate([setup.split.test, setup.split.train[:20]])
    together = setup.pipeline.translate(setup.labelled.select(rows), Beam(beam=3, n_best=2, max_length=12))
    few = setup.pipeline.translate(setup.labelled.select(rows), Beam(beam=3, n_best=2, max_length=12), at_once=1)
    for one, alone in zip(together, few, strict=True):
        assert [each.text for each in one] == [each.text for each in alone]
        assert [each.log_p for each in one] == pytest.approx([each.log_p for each in alone], abs=1e-4)
    turned = said(setup, rows[::-1], Beam(beam=3, n_best=2, max_length=12))
    assert turned[::-1] == [several[0].text for several in together]


def test_a_wider_beam_finds_no_less_probable_text() -> None:
    setup = toys.learnt(toys.backwards(), replace(toys.QUICK, steps=30))
    test = setup.labelled.select(setup.split.test)
    sums = [
        sum(several[0].log_p for several in setup.pipeline.translate(test, Beam(beam=beam, length_penalty=0.0)))
        for beam in (1, 5)
    ]
    assert sums[1] > sums[0]
    three = setup.pipeline.translate(test, Beam(beam=5, n_best=3))
    for several in three:
        assert len({one.text for one in several}) == 3
        assert [one.score for one in several] == sorted((one.score for one in several), reverse=True)


def test_no_text_is_answered_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline = toys.turner().pipeline
    a, b = (pipeline.target.encode(text) for text in ("AB", "CD"))
    asked = []

    def search(_: Any, pairs: Any, options: Beam, **__: Any) -> list[list[Hypothesis]]:
        asked.append(options.n_best)
        ranked = [
            Hypothesis(np.array(one), score, score) for one, score in ((a, -1.0), (a, -1.5), (b, -2.0), (a, -3.0))
        ]
        return [ranked for _ in pairs]

    monkeypatch.setattr("latchwork.tasks.translate_pipeline.search", search)
    (three,) = pipeline.translate(given("ab"), Beam(beam=4, n_best=3))
    assert [(one.text, one.score) for one in three] == [("AB", -1.0), ("CD", -2.0)]
    (one,) = pipeline.translate(given("ab"), Beam(beam=4, n_best=1))
    assert [best.text for best in one] == ["AB"]
    assert asked == [4, 1]


def test_nats_are_those_of_the_search() -> None:
    for made in (toys.turner, toys.copier):
        setup = made()
        pipeline, test = setup.pipeline, setup.labelled.select(setup.split.test)
        answers = [several[0] for several in pipeline.translate(test)]
        same = replace(test, labels=tuple(one.text for one in answers))
        nats = nats_of(pipeline.module, pipeline.encode(same, targets=True))
        assert [-one.log_p for one in answers] == pytest.approx([own.sum() for own in nats], abs=1e-3)


def test_a_text_without_a_word_is_answered_with_nothing() -> None:
    found = toys.turner().pipeline.translate(given("", "  ", "ab cd"), Beam(beam=2, n_best=2))
    assert [len(several) for several in found] == [1, 1, 2]
    assert [several[0].text for several in found] == ["", "", "CD AB"]


def test_the_unknown_is_replaced_by_what_was_looked_at() -> None:
    setup = toys.copier()
    pipeline = replace(setup.pipeline, task=replace(setup.task, copy=False))
    assert pipeline.replaces
    # As if the network had said <unk> where it copies.
    pair = Pair(pipeline.source.encode(given("is qwertz in"))[0])
    words = pipeline._words("is qwertz in", pair.source)
    attention = np.array([[0.1, 0.7, 0.1, 0.1], [0.0, 0.1, 0.3, 0.6]], np.float32)
    answer = pipeline._answer(Hypothesis(np.array([1, 1]), 0.0, 0.0, attention), pair, words)
    assert answer.text == "qwertz in"
    pipeline.task = replace(pipeline.task, replace_unknown=False)
    assert pipeline._answer(Hypothesis(np.array([1]), 0.0, 0.0, attention), pair, words).text == "<unk>"


def test_what_is_copied() -> None:
    texts = ["the cat sat", "the dog sat, too"]
    target = Vocabulary.fit(texts, "word", 100)
    source = SourceText(target)
    (encoded,) = source.encode(given("the bird, the bird sat"))
    assert encoded.tokens is not None
    words = source.words("the bird, the bird sat", encoded.tokens)
    assert words == ["the", "bird", "￭,", "the", "bird", "sat", ""]
    known = Known(target)
    copied, extra = known.copied(words)
    assert extra == ("bird",)
    assert copied.tolist() == [*(target.tokens.index(one) if one != "bird" else len(target) for one in words[:-1]), END]
    tokens = target.encode("bird sat fish")
    assert known.target("bird sat fish", tokens, extra).tolist() == [len(target), tokens[1], 1]
    lesson = batched([Pair(encoded, tokens, copied, extra), Pair(source.encode(given("cat"))[0], tokens[:1])])
    assert lesson.copied is None
    assert lesson.targets.tolist()[1] == [1, END, 0, 0]
    assert lesson.history.tolist()[1] == [END, 1, 0, 0]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"attention": "luong", "input_feeding": False, "scheduled_sampling": 0.5},
        {"attention": "dot", "tied": False},
        {"shared_vocabulary": True, "tokenizer": "bpe", "vocabulary_size": 300},
        {"copy": True, "coverage": 1.0, "tokenizer": "word", "source_length": 4, "choose": "metric"},
        {"tokenizer": "char", "target_tokenizer": "word", "scheduled_sampling": 0.2, "refit": True},
    ],
    ids=lambda options: ",".join(options) or "plain",
)
def test_every_option_trains_is_saved_and_read(options: dict[str, Any], tmp_path: Path) -> None:
    quick = Training(steps=4, batch_size=8, evaluate_every=2, device="cpu")
    setup = toys.learnt(toys.names(60), quick, Network(hidden_size=8, layers=2, dropout=0.1), **options)
    save_translator(setup.pipeline, tmp_path, "0.0")
    read = load_translator(tmp_path)
    assert read.task == setup.task
    assert read.ratio == setup.pipeline.ratio
    test = setup.labelled.select(setup.split.test)
    for ours, theirs in zip(setup.pipeline.translate(test), read.translate(test), strict=True):
        assert ours[0]._replace(attention=0) == theirs[0]._replace(attention=0)
        assert (ours[0].attention == theirs[0].attention).all()
    assert task_from({"name": "translate", **plain(setup.task)}) == setup.task


def test_a_damaged_folder_is_refused(tmp_path: Path) -> None:
    save_translator(toys.prepared(toys.backwards(40)).pipeline, tmp_path, "0.0")
    for name in ("config.json", "source.json", "target.json", "model.safetensors"):
        whole = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(whole[: len(whole) // 2])
        with pytest.raises(ModelFileError):
            load_translator(tmp_path)
        (tmp_path / name).write_bytes(whole)
    load_translator(tmp_path)


def test_interrupted_and_resumed_is_as_never_interrupted(tmp_path: Path) -> None:
    options = {"scheduled_sampling": 0.5, "copy": True, "input_feeding": True}
    quick = Training(steps=6, batch_size=8, evaluate_every=2, checkpoint_every=2, device="cpu")
    network = Network(hidden_size=8, dropout=0.3, recurrent_dropout=0.1)
    whole = toys.learnt(toys.names(40), quick, network, **options)
    setup = toys.prepared(toys.names(40), network, **options)
    training = quick.resolved(**setup.defaults()).completed()
    with pytest.raises(RuntimeError, match="crash"):
        fit_setup(setup, training, folder=tmp_path, callbacks=[Crash()])
    again = toys.prepared(toys.names(40), network, **options)
    fit_setup(again, training, folder=tmp_path, resume=True)
    for name, value in whole.pipeline.module.state_dict().items():
        assert torch.equal(value, again.pipeline.module.state_dict()[name]), name


def test_series_can_be_the_source(tmp_path: Path) -> None:
    rows = ["id,x,label"]
    for row in range(60):
        label, values = ("up and up", range(4)) if row % 2 else ("down it goes", range(4, 0, -1))
        rows += [f"{row},{value},{label}" for value in values]
    (tmp_path / "a.csv").write_text("\n".join(rows))
    labelled = read_records(tmp_path / "a.csv", SourceOptions(id="id"), "classify")
    task = Translate(target_tokenizer="word", metric="rouge_l")
    setup = TranslateSetup.of(task, labelled, toys.SMALL, seed=0)
    training = replace(toys.QUICK, steps=60).resolved(**setup.defaults()).completed()
    fitted = fit_setup(setup, training).setup
    assert said(fitted, fitted.split.test) == [labelled.labels[row] for row in fitted.split.test]
    save_translator(fitted.pipeline, tmp_path / "model", "0.0")
    read = load_translator(tmp_path / "model").translate(labelled)
    assert read[0][0].text == "down it goes"
    assert read[0][0].source is None
    with pytest.raises(ConfigError, match="copy is for sources that are texts, and these are records"):
        TranslateSetup.of(Translate(copy=True), labelled, toys.SMALL, seed=0)


def test_images_can_be_the_source() -> None:
    random = np.random.default_rng(0)
    images = tuple(random.integers(0, 60, (12, 10)).astype(np.uint8) + 150 * (row % 2) for row in range(24))
    places = tuple(f"image {row}" for row in range(24))
    labelled = Labelled(images, tuple("dark" if row % 2 == 0 else "a light one" for row in range(24)), places, places)
    quick = replace(toys.QUICK, steps=40)
    setup = TranslateSetup.of(Translate(target_tokenizer="word", metric="rouge_l"), labelled, toys.SMALL, seed=0)
    fitted = fit_setup(setup, quick.resolved(**setup.defaults()).completed()).setup
    assert said(fitted, [0, 1]) == ["dark", "a light one"]


def test_the_same_source_is_in_one_part() -> None:
    pairs = [(f"source {row // 2}", f"target {row}") for row in range(60)]
    setup = toys.prepared(pairs)
    parts = [
        {setup.labelled.content[row] for row in setup.split.part(part)} for part in ("train", "validation", "test")
    ]
    assert not parts[0] & parts[1] | parts[0] & parts[2] | parts[1] & parts[2]
    assert all(parts)


def test_own_files_are_the_parts(tmp_path: Path) -> None:
    for name, count, seed in (("train", 30, 0), ("val", 5, 1), ("test", 6, 2)):
        pairs = toys.backwards(count, seed)
        (tmp_path / f"{name}.src").write_text("\n".join(one for one, _ in pairs))
        (tmp_path / f"{name}.tgt").write_text("\n".join(one for _, one in pairs))
    setup = toys.prepared(tmp_path, source="src", target="tgt")
    assert [len(setup.split.part(part)) for part in ("train", "validation", "test")] == [30, 5, 6]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"attention": "luongg"}, 'did you mean "luong"'),
        ({"label_smoothing": 1.0}, "label_smoothing is 1.0, expected a part from 0 to below 1"),
        ({"scheduled_sampling": 1.5}, "scheduled_sampling is 1.5"),
        ({"coverage": -1.0}, "coverage is -1.0, expected a weight from 0"),
        ({"beam": 0}, "beam is 0"),
        ({"length_penalty": float("nan")}, "length_penalty is nan"),
        ({"max_length": 0}, "max_length is 0"),
        ({"metric": "blue"}, 'metric is "blue".*did you mean "bleu"'),
        ({"bleu_tokenizer": "13"}, 'bleu_tokenizer is "13".*did you mean "13a"'),
        ({"choose": "bleu"}, 'choose is "bleu", expected loss or metric'),
        ({"target_tokenizer": "words"}, 'target_tokenizer is "words".*did you mean "word"'),
        (
            {"shared_vocabulary": True, "lowercase": True},
            "lowercase is for one side alone, and the vocabulary is shared",
        ),
        ({"copy": True, "tokenizer": "word", "target_tokenizer": "bpe"}, "cut alike on both sides"),
        ({"test_size": -1}, "test_size is -1"),
        ({"embedding": 0}, "embedding is 0, expected at least 1"),
        ({"source": "de"}, "name both, or neither"),
    ],
)
def test_options_that_can_not_be_are_refused(options: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        Translate(**options)


def test_what_is_wrong_is_said() -> None:
    with pytest.raises(ConfigError, match="the beam is 12, wider than the vocabulary, which has 11 tokens"):
        toys.turner().pipeline.translate(given("ab"), Beam(beam=12))
    with pytest.raises(DataError, match="there is no pair"):
        toys.prepared([("a", "")])
    with pytest.raises(ConfigError, match="truncate is 5, and whole sequences are read here"):
        toys.turner().job(batch_size=4, seed=0, truncate=5)
    with pytest.raises(DataError, match="text 0: a int, expected a text as in training"):
        toys.turner().pipeline.translate(given(5))  # type: ignore[arg-type]
    setup = toys.prepared(toys.backwards(40))
    with torch.no_grad():
        setup.pipeline.module.decoder.output.bias.fill_(torch.nan)
    with pytest.raises(DataError, match="not numbers"):
        setup.pipeline.translate(given("ab cd"))


def test_what_is_far_too_long_is_cut_and_told_of() -> None:
    long = " ".join(toys.WORDS * 200)
    pairs = [*toys.backwards(200), ("ab", long), (long, "cd")]
    setup = toys.prepared(pairs, test_size=0, validation_size=0)
    assert any("1 training targets of more than 500 tokens are not learned from" in note for note in setup.notes)
    assert any("1 training sources of 500 tokens or more end there" in note for note in setup.notes)
    assert len(setup.split.train) == 201
    assert max(len(one.source) for one in setup.encoded if one is not None) == 501
    assert setup.task.max_length == 14
    assert setup.task.source_length == 500
    assert [len(several[0].words) <= 14 for several in setup.pipeline.translate(given(long, "ab"))] == [True, True]
    whole = toys.prepared(pairs, test_size=0, validation_size=0, source_length=2000, target_length=2000)
    assert max(len(one.source) for one in whole.encoded if one is not None) == 1601
    assert len(whole.split.train) == 202


def test_batches_of_long_sources_are_small(monkeypatch: pytest.MonkeyPatch) -> None:
    setup = toys.turner()
    pairs = [one for one in setup.encoded if one is not None][:50]
    whole = nats_of(setup.pipeline.module, pairs)
    monkeypatch.setattr(translate_job, "STEPS_AT_ONCE", 40)
    sizes = [len(rows) for rows, _ in translate_job.in_batches(setup.pipeline.module, pairs)]
    assert sum(sizes) == 50
    assert max(sizes) <= 10
    for one, other in zip(nats_of(setup.pipeline.module, pairs), whole, strict=True):
        assert one == pytest.approx(other, abs=1e-5)


def test_a_beam_fits_the_vocabulary_before_training() -> None:
    few = [(f"a{chr(97 + number)}", "yes") for number in range(20)]
    setup = toys.prepared(few)
    assert setup.task.beam == len(setup.pipeline.target) == 4
    assert "beam: 4, as many as the target has tokens" in setup.notes
    assert setup.pipeline.translate(setup.labelled.select([0]))[0]
    with pytest.raises(ConfigError, match="the beam is 6, wider than the vocabulary, which has 4 tokens"):
        toys.prepared(few, beam=6)


def test_answers_that_copy_do_not_run_in_circles() -> None:
    assert Translate(copy=True).search.no_repeat_ngram_size == 3
    assert Translate(copy=True, no_repeat_ngram_size=0).search.no_repeat_ngram_size == 0
    assert Translate().search.no_repeat_ngram_size == 0
    # Three characters, or a name of three pieces, may well stand twice.
    assert Translate(copy=True, tokenizer="char").search.no_repeat_ngram_size == 0
    assert Translate(copy=True, tokenizer="bpe").search.no_repeat_ngram_size == 0
