"""What is taken over is the model's, in every bit; what learns, how fast and from when is as stated."""

import io
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from rich.console import Console
from torch import nn

from latchwork.errors import ConfigError, LatchworkError
from latchwork.layers import Network
from latchwork.tasks import Classify, Label, SequencePipeline, read_examples
from latchwork.training import (
    Callback,
    Training,
    Transfer,
    Tuned,
    finetune_sequences,
    fit_sequences,
    inherited,
    read_weights,
)
from latchwork.training.takeover import frozen, parts_of

QUICK = Training(steps=12, batch_size=8, evaluate_every=6, device="cpu", average=0.0)
STILL = replace(QUICK, steps=1, learning_rate=1e-30, weight_decay=0.0)
"""A step that moves nothing."""
WORDS = {"good": ("fine", "great", "nice"), "bad": ("poor", "awful", "dull")}


def texts(
    labels: dict[str, tuple[str, ...]], rows: int = 48, seed: int = 0, extra: tuple[str, ...] = ()
) -> pl.DataFrame:
    """A word of the label among others."""
    random = np.random.default_rng(seed)
    names = [list(labels)[row % len(labels)] for row in range(rows)]
    made = []
    for name in names:
        words = [*random.choice(["the", "a", "film", "plot", *extra], 4), str(random.choice(labels[name]))]
        made.append(" ".join(random.permutation(words)))
    return pl.DataFrame({"text": made, "label": names})


def trained(frame: pl.DataFrame, task: Classify | Label, network: Network) -> SequencePipeline:
    kind, labelled = read_examples(task, frame)
    return fit_sequences(task, kind, labelled, network, QUICK).setup.pipeline


@pytest.fixture(scope="module")
def base() -> SequencePipeline:
    """A classifier of good and bad, two layers of 6 units."""
    return trained(texts(WORDS), Classify(embedding=10, refit=False), Network(hidden_size=6, layers=2, norm="batch"))


def tune(
    start: Any, frame: pl.DataFrame, *, task: Any = None, training: Training = QUICK, network: Any = None,
    transfer: Transfer | None = None, **shared: Any,
) -> Tuned:  # fmt: skip
    task = inherited(start.task) if task is None else task
    kind, labelled = read_examples(task, frame)
    return finetune_sequences(start, task, kind, labelled, network, training, transfer, **shared)


def state(pipeline: SequencePipeline) -> dict[str, torch.Tensor]:
    return {name: one.detach().clone() for name, one in pipeline.module.state_dict().items()}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor], beginning: str = "") -> bool:
    names = [name for name in one if name.startswith(beginning)]
    return all(torch.equal(one[name], other[name]) for name in names)


def test_the_same_labels_go_on_with_every_weight(base: SequencePipeline) -> None:
    before = state(base)
    tuned = tune(base, texts(WORDS, seed=1), training=STILL)
    after = state(tuned.fitted.setup.pipeline)
    moving = {name for name in before if "running" in name or "num_batches" in name}
    assert same({name: one for name, one in before.items() if name not in moving}, after)
    assert tuned.before is base
    assert sum(row.new + row.left_out for row in tuned.takeover.rows) == 0
    assert same(state(base), before)
    assert tuned.fitted.setup.pipeline.modality is base.modality


def test_a_second_training_starts_from_the_model_too(base: SequencePipeline) -> None:
    task = replace(inherited(base.task), refit=True)
    tuned = tune(base, texts(WORDS, seed=1), task=task, training=STILL, transfer=Transfer(freeze=("body",)))
    assert "trained once more" in tuned.fitted.setup.notes[-1]
    after = state(tuned.fitted.setup.pipeline)
    assert same(state(base), after)


def test_new_labels_get_a_new_head(base: SequencePipeline) -> None:
    labels = {"long": ("endless", "slow"), "short": ("brief", "quick"), "odd": ("strange",)}
    tuned = tune(base, texts(labels, seed=1), training=STILL)
    head, *rest = tuned.takeover.rows
    assert (head.part, head.taken, head.new, head.left_out) == ("head", 0, 12 * 3 + 3, 12 * 2 + 2)
    assert all(row.new == row.left_out == 0 for row in rest)
    after = tuned.fitted.setup.pipeline
    assert same(state(base), state(after), "encoder.")
    assert after.targets.classes == ("long", "odd", "short")
    assert tuned.before is None
    assert (
        "the head is new: asked for is long, odd, short (class), and the model knows bad, good (class)"
        in tuned.takeover.notes
    )


def test_labels_that_are_some_of_the_model_s_keep_the_head() -> None:
    three = {**WORDS, "odd": ("strange",)}
    base = trained(texts(three), Classify(embedding=6, refit=False), Network(hidden_size=4))
    tuned = tune(base, texts(WORDS, seed=1))
    targets = tuned.fitted.setup.pipeline.targets
    assert targets.classes == ("bad", "good", "odd")
    assert targets.counts[2] == 0 < targets.counts[0]
    assert tuned.takeover.groups["head"].new == 0
    assert "labels it knows and nobody has here: odd" in tuned.takeover.notes[-1]


def test_the_vocabulary_is_kept_or_extended(base: SequencePipeline) -> None:
    frame = texts(WORDS, seed=1, extra=("actor", "scene"))
    kept = tune(base, frame)
    assert "the vocabulary is kept" in kept.takeover.notes[0]
    assert "vocabulary=extend" in kept.takeover.notes[0]
    tuned = tune(base, frame, transfer=Transfer(vocabulary="extend"), training=STILL)
    pipeline = tuned.fitted.setup.pipeline
    assert "2 new words" in tuned.takeover.notes[0]
    old: Any = base.modality
    new: Any = pipeline.modality
    assert new.words == (*old.words, *sorted(new.words[-2:], key=new.words.index))
    assert set(new.words[-2:]) == {"actor", "scene"}
    before, after = state(base), state(pipeline)
    vectors = after["encoder.embedding.weight"]
    assert torch.equal(vectors[: len(old.words)], before["encoder.embedding.weight"])
    assert vectors[-2:].abs().sum() > 0
    encoder = tuned.takeover.groups["encoder"]
    assert (encoder.taken, encoder.new) == (len(old.words) * 10, 20)
    # What was known is read as before; a text of known words gets the same scores.
    known = read_examples(pipeline.task, texts(WORDS, rows=4, seed=3))[1]
    for one, other in zip(base.modality.encode(known), pipeline.modality.encode(known), strict=True):
        assert np.array_equal(one.tokens, other.tokens)  # type: ignore[arg-type]


def test_frozen_parts_do_not_move(base: SequencePipeline) -> None:
    transfer = Transfer(freeze="encoder,body.layers.0", layer_decay=1.0)  # type: ignore[arg-type]
    assert transfer.freeze == ("encoder", "body.layers.0")
    tuned = tune(base, texts(WORDS, seed=1), transfer=transfer, training=replace(QUICK, weight_decay=0.5))
    before, after = state(base), state(tuned.fitted.setup.pipeline)
    for name in ("encoder.", "body.layers.0."):
        assert same(before, after, name)
    assert not same(before, after, "body.layers.1.")
    assert not same(before, after, "body.norms.0.running_mean")  # it belongs to the layer above it
    assert all(one.requires_grad for one in tuned.fitted.setup.pipeline.module.parameters())
    groups = tuned.takeover.groups
    assert groups["encoder"].learns == groups["body.layers.0"].learns == "frozen"
    assert groups["body.layers.1"].learns == groups["head"].learns == "full rate"


def test_a_frozen_batch_norm_keeps_its_figures(base: SequencePipeline) -> None:
    tuned = tune(base, texts(WORDS, seed=1), transfer=Transfer(freeze=("body",)))
    assert same(state(base), state(tuned.fitted.setup.pipeline), "body.")


def test_layers_learn_at_a_share_of_the_rate_above(base: SequencePipeline) -> None:
    assert {row.rate for row in tune(base, texts(WORDS), training=STILL).takeover.rows} == {1.0}
    decayed = tune(base, texts(WORDS), transfer=Transfer(layer_decay=1 / 2.6), training=STILL)
    rates = [row.rate for row in decayed.takeover.rows]
    assert rates == pytest.approx([1, 1 / 2.6, 1 / 2.6**2, 1 / 2.6**3])
    # Adam's first step is the rate itself.
    training = replace(QUICK, steps=1, learning_rate=0.01, weight_decay=0.0, warmup=0, schedule="constant")
    tuned = tune(base, texts(WORDS), transfer=Transfer(layer_decay=0.5), training=training,
                 network=replace(base.network, dropout=0.0))  # fmt: skip
    before, after = state(base), state(tuned.fitted.setup.pipeline)
    for name, rate in (
        ("head.weight", 0.01),
        ("body.layers.1.onward.cell.input.weight", 0.005),
        ("body.layers.0.onward.cell.input.weight", 0.0025),
        ("encoder.embedding.weight", 0.00125),
    ):
        assert float((after[name] - before[name]).abs().max()) == pytest.approx(rate, rel=0.02), name


class Moves(Callback):
    """The first step at which each tensor moved."""

    def __init__(self) -> None:
        self.first: dict[str, int] = {}
        self.before: dict[str, torch.Tensor] = {}
        self.module: nn.Module | None = None

    def step(self, record: Any) -> None:
        assert self.module is not None
        now = {name: one.detach().clone() for name, one in self.module.named_parameters()}
        for name, one in now.items():
            if name in self.before and not torch.equal(one, self.before[name]):
                self.first.setdefault(name, record["step"])
        self.before = now


def test_gradual_unfreezing_goes_down_a_layer_each_epoch(
    base: SequencePipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    moves = Moves()
    transfer = Transfer(unfreeze="gradual", freeze=("body.layers.1",))

    def watched(module: nn.Module, names: Any) -> Any:
        moves.module = module
        return frozen(module, names)

    monkeypatch.setattr("latchwork.training.transfer.frozen", watched)
    tuned = tune(base, texts(WORDS), transfer=transfer, callbacks=[moves])
    epoch = math.ceil(len(tuned.fitted.setup.split.train) / 8)
    assert [row.start for row in tuned.takeover.rows] == [0, 0, epoch, 2 * epoch]
    assert moves.first["head.weight"] == 2  # seen from the second step on
    assert moves.first["body.layers.0.backward.cell.recurrent.weight"] == epoch + 1
    assert moves.first["encoder.embedding.weight"] == 2 * epoch + 1
    assert not any(name.startswith("body.layers.1") for name in moves.first)
    assert f"from step {epoch + 1}" in tuned.takeover.groups["body.layers.0"].learns
    short = tune(base, texts(WORDS), transfer=transfer, training=replace(QUICK, steps=epoch + 1))
    assert "before encoder learns: give more steps" in short.takeover.notes[-1]


class Crash(Callback):
    def step(self, record: Any) -> None:
        if record["step"] == 8:
            raise RuntimeError("crash")


def test_a_crashed_fine_tuning_resumes_exactly(base: SequencePipeline, tmp_path: Path) -> None:
    frame = texts({**WORDS, "odd": ("strange",)}, seed=1)
    how: dict[str, Any] = {"transfer": Transfer(unfreeze="gradual", vocabulary="extend", freeze=("body.norms",)),
                           "training": replace(QUICK, checkpoint_every=5, average=0.9, steps=20)}  # fmt: skip
    whole = tune(base, frame, **how)
    with pytest.raises(RuntimeError, match="crash"):
        tune(base, frame, folder=tmp_path, callbacks=[Crash()], **how)
    again = tune(base, frame, folder=tmp_path, resume=True, **how)
    assert again.fitted.outcome.steps == 20
    assert same(state(whole.fitted.setup.pipeline), state(again.fitted.setup.pipeline))
    with pytest.raises(ConfigError, match=r"layer_decay is 0\.5, but the run"):
        tune(base, frame, folder=tmp_path, resume=True, training=how["training"],
             transfer=replace(how["transfer"], layer_decay=0.5))  # fmt: skip


def test_a_classifier_s_layers_go_on_as_a_labeller_s(base: SequencePipeline, tmp_path: Path) -> None:
    path = tmp_path / "a.conll"
    path.write_text("".join(f"the\tD\n{word}\tN\nfilm\tN\n\n" for word in ("fine", "poor", "dull") for _ in range(8)))
    task = Label(embedding=10)
    kind, labelled = read_examples(task, path)
    # Words are given there: the vocabulary of texts does not read them.
    with pytest.raises(LatchworkError, match="expected a text as in training"):
        finetune_sequences(base, task, kind, labelled, None, QUICK)


def test_only_the_recurrent_layers_of_another_library() -> None:
    torch.manual_seed(0)
    there = nn.LSTM(7, 5, 2, bidirectional=True)
    model = nn.ModuleDict({"rnn": there, "out": nn.Linear(10, 3)})
    transfer = Transfer(layer_decay=1 / 2.6)
    task = Classify(embedding=7, refit=False)
    tuned = tune(read_weights(model), texts(WORDS), task=task, transfer=transfer, training=STILL)
    after = state(tuned.fitted.setup.pipeline)
    for index, end in ((0, ""), (1, "")):
        own = after[f"body.layers.{index}.onward.cell.recurrent.weight"]
        assert torch.equal(own, there.state_dict()[f"weight_hh_l{index}{end}"])
    groups = tuned.takeover.groups
    assert (groups["encoder"].taken, groups["encoder"].rate) == (0, 1.0)
    assert groups["body.layers.0"].rate == pytest.approx(1 / 2.6**2)
    assert groups["(else in the file)"].left_out == 33
    assert tuned.fitted.setup.pipeline.network.cell == "lstm"
    with pytest.raises(ConfigError, match="read 7 numbers a step, and there are 9: give embedding=7"):
        tune(read_weights(model), texts(WORDS), task=Classify(embedding=9))


def test_numbers_keep_their_units(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    rows = [
        {"id": f"s{n}", "x": x, "label": round(float(n % 7) + 0.25, 2)}
        for n in range(40)
        for x in random.normal(size=4)
    ]
    task = Classify(id="id", target="number", refit=False)
    base = trained(pl.DataFrame(rows), task, Network(hidden_size=4))
    other = pl.DataFrame(rows).with_columns(pl.col("label") * 2 + 1)
    tuned = tune(base, other)
    assert tuned.fitted.setup.pipeline.targets.center == base.targets.center
    assert tuned.before is base
    assert "numbers count from" in tuned.takeover.notes[-1]
    assert tuned.takeover.notes[0] == "scales and categories of columns are kept as the model had them"


def test_the_table_says_what_was_taken(base: SequencePipeline) -> None:
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(tune(base, texts(WORDS), transfer=Transfer(freeze=("encoder",), layer_decay=1 / 2.6)).takeover)
    shown = console.export_text()
    assert "left out" in shown
    assert "frozen" in shown
    assert "0.385 of the rate" in shown


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "a part that is not there": (
        {"transfer": Transfer(freeze=("encodr",))},
        'no part of the network; did you mean "enc',
    ),
    "all of it": ({"transfer": Transfer(freeze=("encoder", "body", "head"))}, "no parameter that can be trained"),
    "another embedding": ({"task": Classify(embedding=12)}, "embedding is 12, and the model was trained with 10"),
    "another tokenizer": ({"task": Classify(embedding=10, tokenizer="char")}, "tokenizer is 'char'"),
    "another network": (
        {"network": Network(hidden_size=9)},
        "layers of the network is 1, and the model has 2|hidden_size",
    ),
}


@pytest.mark.parametrize("case", list(BAD))
def test_what_does_not_fit_is_refused_in_one_line(case: str, base: SequencePipeline) -> None:
    how, said = BAD[case]
    with pytest.raises(ConfigError, match=said) as caught:
        tune(base, texts(WORDS), **how)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"layer_decay": 0.0}, "above 0 and at most 1"),
        ({"layer_decay": 2.0}, "above 0 and at most 1"),
        ({"unfreeze": "slowly"}, "expected all or gradual"),
        ({"vocabulary": "grow"}, "expected keep or extend"),
    ],
)
def test_options_that_can_not_be_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Transfer(**options)


def test_a_vocabulary_of_pieces_is_not_extended() -> None:
    base = trained(
        texts(WORDS), Classify(embedding=4, tokenizer="bpe", vocabulary_size=60, refit=False), Network(hidden_size=3)
    )
    with pytest.raises(ConfigError, match="reads any text and is not extended"):
        tune(base, texts(WORDS), transfer=Transfer(vocabulary="extend"))
    with pytest.raises(ConfigError, match="a weights file has no vocabulary"):
        tune(read_weights(nn.GRU(4, 3)), texts(WORDS), task=Classify(embedding=4),
             transfer=Transfer(vocabulary="extend"))  # fmt: skip


def test_parts_cover_every_parameter_once(base: SequencePipeline) -> None:
    found = [
        id(one)
        for part in parts_of(base.module)
        for name in part.modules
        for one in base.module.get_submodule(name).parameters()
    ]
    assert sorted(found) == sorted(id(one) for one in base.module.parameters())


def test_the_model_s_aim_is_left_where_there_are_not_two_classes() -> None:
    task = Classify(embedding=6, refit=False, aim="recall>=0.5", positive="good")
    base = trained(texts(WORDS), task, Network(hidden_size=4))
    three = {**WORDS, "odd": ("strange",)}
    tuned = tune(base, texts(three, seed=1))
    assert "the model's aim, recall>=0.5, is left out: it is for two classes, and these are 3" in tuned.takeover.notes
    assert tuned.fitted.setup.pipeline.threshold is None
    other = {"long": ("endless", "slow"), "short": ("brief", "quick")}
    tuned = tune(base, texts(other, seed=1))
    assert 'the model\'s positive class, "good", is not among these labels and is left out' in tuned.takeover.notes
    assert tuned.fitted.setup.pipeline.threshold is not None
    tuned = tune(base, texts(WORDS, seed=1), task=replace(inherited(task), aim=None))
    assert "the model's aim, recall>=0.5, is left out" in tuned.takeover.notes
    with pytest.raises(ConfigError, match="two classes, and there are 3"):
        tune(base, texts(three, seed=1), task=replace(inherited(task), aim="recall>=0.6", positive=None))


def test_new_words_are_never_left_at_random_unsaid(base: SequencePipeline) -> None:
    for part in ("encoder", "encoder.embedding"):
        with pytest.raises(ConfigError, match=f"freeze names {part}, and with vocabulary=extend"):
            Transfer(freeze=(part, "head"), vocabulary="extend")
    frame = texts(WORDS, seed=1, extra=("actor", "scene"))
    said = "the vectors of new words learn as those of the known ones do: 0.0569 of the rate"
    for transfer, told in (
        (Transfer(vocabulary="extend", layer_decay=1 / 2.6), True),
        (Transfer(vocabulary="extend"), False),
        (Transfer(layer_decay=0.5), False),
    ):
        notes = tune(base, frame, transfer=transfer, training=STILL).takeover.notes
        assert any(note.startswith(said) for note in notes) == told
