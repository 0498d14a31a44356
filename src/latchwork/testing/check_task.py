"""The contract of a task over whole sequences. One that passes can be batched, saved, resumed and believed."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from latchwork.evaluation import score_sequences
from latchwork.layers import Network
from latchwork.sequences import Encoded, Inputs, Labelled, Split, collate
from latchwork.tasks import (
    Classify,
    SequencePipeline,
    SequenceSetup,
    SequenceTask,
    load_sequences,
    save_sequences,
)
from latchwork.tasks.sequence_job import stacked
from latchwork.tasks.sequence_setup import split_of
from latchwork.tasks.targets import name_of
from latchwork.training import Callback, Training, fit_sequences

RUBBISH = 3
"""Steps of padding beyond the longest sequence of a batch."""


def check_task(
    task: SequenceTask,
    kind: str,
    labelled: Labelled,
    *,
    network: Network | None = None,
    steps: int = 4,
    seed: int = 0,
    tolerance: float = 1e-5,
) -> None:
    """Raise AssertionError, naming the task and the invariant, where a task breaks the contract.

    labelled: some tens of sequences of different lengths, at least two of each class. kind: text, records or image.
    network: small. tolerance: relative to the largest number compared; what the design calls exact is compared bit for
    bit. Torch's generator is left as it was.
    """
    network = network or Network(hidden_size=6)
    training = Training(steps=steps, evaluate_every=max(1, steps // 2), batch_size=8, learning_rate=0.01, device="cpu")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        split = split_of(task, labelled, seed=seed)
        subject = _Subject(task, kind, labelled, split, network, replace(training, seed=seed), tolerance)
        for invariant, check in CHECKS.items():
            try:
                check(subject)
            except (RuntimeError, TypeError, ValueError, AttributeError, IndexError, KeyError) as error:
                raise AssertionError(
                    f"{subject.setup.pipeline.name}: {invariant}: {type(error).__name__}: {error}"
                ) from error


@dataclass
class _Subject:
    """The task under test, and one training of it."""

    task: SequenceTask
    kind: str
    labelled: Labelled
    split: Split
    network: Network
    training: Training
    tolerance: float

    def __post_init__(self) -> None:
        self.setup = self.fit()

    def fit(self, labelled: Labelled | None = None, *, seed: int | None = None, **options: Any) -> SequenceSetup:
        """Trained and calibrated, on the same split."""
        training = self.training if seed is None else replace(self.training, seed=seed)
        given = self.labelled if labelled is None else labelled
        return fit_sequences(
            self.task, self.kind, given, self.network, training, split=self.split, **options
        ).setup  # fmt: skip

    @property
    def pipeline(self) -> SequencePipeline:
        return self.setup.pipeline

    @property
    def trained_twice(self) -> bool:
        """Whether the network was trained once more, on the validation sequences too."""
        return self.setup.refits

    def test(self) -> tuple[list[Encoded], list[Any]]:
        """The test sequences that have a label."""
        return self.setup.part(self.split.test)

    def require(self, holds: bool, what: str) -> None:
        if not holds:
            raise AssertionError(f"{self.pipeline.name}: {what}")

    def same(self, got: Any, expected: Any, what: str, *, exact: bool = False) -> None:
        """Sequences of arrays, or arrays."""
        pairs = list(zip(got, expected, strict=True)) if isinstance(got, (list, tuple)) else [(got, expected)]
        for row, (one, other) in enumerate(pairs):
            one, other = np.asarray(one, np.float64), np.asarray(other, np.float64)
            self.require(one.shape == other.shape, f"{what} (row {row}): shape {one.shape}, expected {other.shape}")
            far = float(np.abs(one - other).max()) if one.size else 0.0
            limit = 0.0 if exact else self.tolerance * max(1.0, float(np.abs(other).max()) if other.size else 1.0)
            self.require(far <= limit, f"{what} (row {row}): differs by {far:.3g}")


def _alone_padded(s: _Subject) -> None:
    what = "padded = in any batch = alone"
    encoded, truth = s.test()
    whole = s.pipeline.scores(encoded)
    s.same([s.pipeline.scores([one])[0] for one in encoded], whole, what)
    s.same(s.pipeline.scores(encoded[::-1])[::-1], whole, f"{what}, in any order")
    module = s.pipeline.module
    with torch.no_grad():
        scores, lengths = module(_spoiled(collate(encoded), RUBBISH))
    cut = [one[:n] if one.dim() == 2 else one for one, n in zip(scores, lengths.tolist(), strict=True)]
    s.same([one.numpy() for one in cut], whole, f"{what}: rubbish past the end is never read")
    loss = s.setup.job(batch_size=8, seed=0).loss_of
    gradients: list[Mapping[str, Tensor]] = []
    trained = {name: value.clone() for name, value in module.state_dict().items()}
    for inputs in (collate(encoded), _spoiled(collate(encoded), 0)):
        module.train()
        module.zero_grad()
        torch.manual_seed(0)
        scores, lengths = module(inputs)
        loss(module, scores, lengths, stacked(truth)).backward()
        gradients.append({name: one.grad.clone() for name, one in module.named_parameters() if one.grad is not None})
    module.load_state_dict(trained)  # the running figures of norms have moved
    module.zero_grad()
    module.eval()
    for name, gradient in gradients[0].items():
        s.same(gradients[1][name].numpy(), gradient.numpy(), f"{what}: rubbish past the end in the gradient of {name}")


def _spoiled(inputs: Inputs, further: int) -> Inputs:
    """NaN, and tokens that there are none of, past every sequence's end and in ``further`` steps."""
    made = {}
    for name, value in inputs._asdict().items():
        if value is None or name in ("lengths", "static"):
            made[name] = value
            continue
        axis = 3 if name == "image" else 1
        shape = list(value.shape)
        shape[axis] = further
        rubbish: Any = 10**6 if value.dtype == torch.int64 else torch.nan
        grown = torch.cat((value, torch.zeros(shape, dtype=value.dtype)), axis)
        past = torch.arange(grown.shape[axis]) >= inputs.lengths.unsqueeze(1)
        view = [len(past), *([1] * (value.dim() - 1))]
        view[axis] = past.shape[1]
        made[name] = grown.masked_fill(past.view(view), rubbish)
    return Inputs(**made)


def _saved(s: _Subject) -> None:
    what = "saved = loaded"
    encoded, _ = s.test()
    with tempfile.TemporaryDirectory() as name:
        save_sequences(s.pipeline, Path(name), "test")
        loaded = load_sequences(Path(name))
    chosen = s.labelled.select(s.split.test)
    s.same(loaded.scores(encoded), s.pipeline.scores(encoded), what, exact=True)
    one, other = loaded.predict(chosen), s.pipeline.predict(chosen)
    s.require(one.labels == other.labels, f"{what}: other answers")
    if other.probabilities is not None:
        s.same(list(one.probabilities), list(other.probabilities), f"{what}: probabilities", exact=True)
    s.require(loaded.fingerprint() == s.pipeline.fingerprint(), f"{what}: other weights")
    s.require(loaded.targets == s.pipeline.targets, f"{what}: other labels")
    s.require(loaded.task == s.pipeline.task, f"{what}: other options")


class _Killed(Exception):
    pass


class _KillAfter(Callback):
    """Ends training as a signal would that leaves no time, when a step is made the first or the second time."""

    def __init__(self, at: int, times: int) -> None:
        self.at, self.times = at, times

    def step(self, record: Mapping[str, Any]) -> None:
        self.times -= record["step"] == self.at
        if not self.times:
            raise _Killed


def _resumed(s: _Subject) -> None:
    what = "resumed training = uninterrupted"
    half = (s.training.steps or 2) // 2 + 1
    for at, times in ((half, 1), (2, 2)) if s.trained_twice else ((half, 1),):
        with tempfile.TemporaryDirectory() as name:
            run = Path(name) / "run"
            try:
                s.fit(folder=run, callbacks=[_KillAfter(at, times)])
            except _Killed:
                pass
            else:
                s.require(False, f"{what}: training made no step {at}")
            again = s.fit(folder=run, resume=True)
        s.require(again.pipeline.fingerprint() == s.pipeline.fingerprint(), f"{what}: other weights")
        s.require(_calibrated(again) == _calibrated(s.setup), f"{what}: other temperature or threshold")


def _calibrated(setup: SequenceSetup) -> tuple[float, float | None]:
    return setup.pipeline.temperature, setup.pipeline.threshold


def _seeds(s: _Subject) -> None:
    setups = [SequenceSetup.of(s.task, s.kind, s.labelled, s.network, seed=s.training.seed) for _ in range(2)]
    one, same = (setup.pipeline.fingerprint() for setup in setups)
    s.require(one == same, "one seed gives one start (and one model, as training that is resumed shows)")
    other = s.fit(seed=s.training.seed + 1)
    s.require(other.pipeline.fingerprint() != s.pipeline.fingerprint(), "two seeds give two models")


def _every_parameter(s: _Subject) -> None:
    what = "every parameter changes the answers"
    encoded, truth = s.test()
    module = s.pipeline.module
    loss_of = s.setup.job(batch_size=8, seed=0).loss_of

    def answers() -> Tensor:
        with torch.no_grad():
            scores, lengths = module(collate(encoded))
            return torch.cat((scores.flatten(), loss_of(module, scores, lengths, stacked(truth)).view(1)))

    before = answers()
    for name, parameter in module.named_parameters():
        kept = parameter.detach().clone()
        parameter.data.copy_(kept + torch.randn_like(kept))
        moved = not torch.allclose(answers(), before)
        parameter.data.copy_(kept)
        s.require(moved, f"{what}: {name} does not")
    s.same(answers().numpy(), before.numpy(), f"{what}, and changed back they are as before")


def _labels_are_names(s: _Subject) -> None:
    what = "other names for the labels give the same answers under these names"
    targets = s.pipeline.targets
    chosen = s.labelled.select(s.split.test)
    if targets.kind == "number":
        moved = s.fit(_renamed(s.labelled, lambda label: 4.0 * float(label) + 1.0))
        expected = [4.0 * one + 1.0 for one in s.pipeline.predict(chosen).labels]
        s.same(np.array(moved.pipeline.predict(chosen).labels), np.array(expected), what)
        return
    ordered, turned = _other_names(s)

    def under(label: str) -> str:
        return ordered[name_of(float(label)) if targets.kind == "ordinal" else label]

    renamed = s.fit(_renamed(s.labelled, under))
    s.require(renamed.pipeline.fingerprint() == s.pipeline.fingerprint(), f"{what}: other weights")
    answers = _renamed(replace_labels(chosen, s.pipeline.predict(chosen).labels), under).labels
    s.require(tuple(renamed.pipeline.predict(chosen).labels) == answers, what)
    if turned is None:
        return
    # Names in another order: the head's rows change places, and with them all that is about a class.
    other = SequenceSetup.of(
        s.task, s.kind, _renamed(s.labelled, turned.__getitem__), s.network, seed=s.training.seed, split=s.split
    )
    place = [other.pipeline.targets.classes.index(turned[name]) for name in targets.classes]
    back = np.argsort(place)
    weights = {
        name: value[back] if name.startswith("head.") else value
        for name, value in s.pipeline.module.state_dict().items()
    }
    other.pipeline.module.load_state_dict(weights)
    other.pipeline.temperature = s.pipeline.temperature
    losses = [np.array(_loss(setup, s.split)) for setup in (s.setup, other)]
    s.same(losses[1], losses[0], f"{what}: the loss, in another order of names")
    one, two = s.pipeline.predict(chosen).probabilities, other.pipeline.predict(chosen).probabilities
    s.same([row[..., place] for row in two], list(one), f"{what}: probabilities, in another order of names")


def _loss(setup: SequenceSetup, split: Split) -> float:
    """Of the test sequences, as training would have it."""
    encoded, truth = setup.part(split.test)
    module = setup.pipeline.module.eval()
    with torch.no_grad():
        scores, lengths = module(collate(encoded))
        return float(setup.job(batch_size=8, seed=0).loss_of(module, scores, lengths, stacked(truth)))


def replace_labels(labelled: Labelled, labels: Sequence[Any]) -> Labelled:
    """The same sequences with other labels."""
    return replace(labelled, labels=tuple(labels))


def _other_names(s: _Subject) -> tuple[dict[str, str], dict[str, str] | None]:
    """Names in the same order, and in another; None where the names themselves mean something."""
    targets = s.pipeline.targets
    names = targets.classes
    if targets.kind == "ordinal":
        return {name: str(10 * place + 3) for place, name in enumerate(names)}, None
    if targets.spans:
        kinds = sorted({name[2:] for name in names if name != "O"})
        code = {kind: f"K{place:03d}" for place, kind in enumerate(kinds)}
        return {name: name if name == "O" else name[:2] + code[name[2:]] for name in names}, None
    asked = isinstance(s.task, Classify) and s.task.positive is not None
    turned = None if asked or _has_crf(s) else {n: f"n{len(names) - i:03d}" for i, n in enumerate(names)}
    keep = {s.task.positive} if isinstance(s.task, Classify) else set()
    return {name: name if keep & {name} or asked else f"n{place:03d}" for place, name in enumerate(names)}, turned


def _has_crf(s: _Subject) -> bool:
    return s.pipeline.module.crf is not None


def _renamed(labelled: Labelled, name: Any) -> Labelled:
    """Every label by another name: of steps, and of several labels, each."""

    def one(label: Any) -> Any:
        if label is None:
            return None
        if isinstance(label, (tuple, list)):
            return tuple(name(str(part)) for part in label)
        return "|".join(name(part) for part in str(label).split("|")) if "|" in str(label) else name(str(label))

    return replace_labels(labelled, [one(label) for label in labelled.labels])


def _test_part(s: _Subject) -> None:
    """Contents and labels of training sequences in the place of those that are scored on: nothing fitted changes."""
    what = "the test part changes nothing that is fitted"
    train = [row for row in s.split.train.tolist() if s.labelled.labels[row] is not None]
    source = list(range(len(s.labelled)))
    for place, row in enumerate(s.split.test.tolist()):
        source[row] = train[place % len(train)]
    other = s.labelled.select(source)
    changed = s.fit(replace(s.labelled, content=other.content, labels=other.labels))
    s.require(changed.pipeline.fingerprint() == s.pipeline.fingerprint(), f"{what}: weights")
    s.require(_calibrated(changed) == _calibrated(s.setup), f"{what}: temperature or threshold")
    s.require(changed.pipeline.modality.to_dict() == s.pipeline.modality.to_dict(), f"{what}: the modality")
    s.require(changed.pipeline.modality.files() == s.pipeline.modality.files(), f"{what}: the modality's files")
    s.require(changed.pipeline.targets == s.pipeline.targets, f"{what}: the labels")


def _calibration(s: _Subject) -> None:
    """Temperature and threshold come from the validation part: other labels there give others, elsewhere they don't."""
    what = "temperature and threshold are chosen on validation sequences"
    once = replace(s.task, refit=False)
    setup = fit_sequences(once, s.kind, s.labelled, s.network, s.training, split=s.split).setup
    before = _calibrated(setup)
    s.require(_calibrated(s.setup) == before, f"{what}: trained once more they are others")
    setup.calibrate()
    s.require(_calibrated(setup) == before, f"{what}: chosen again they are others")
    held = set(s.split.validation.tolist())
    elsewhere = replace(setup, truth=[one if row in held else None for row, one in enumerate(setup.truth)])
    elsewhere.calibrate()
    s.require(_calibrated(elsewhere) == before, f"{what}: without all others they are others")
    if isinstance(s.task, Classify) and s.task.calibrate and s.pipeline.targets.kind == "class":
        count = len(s.pipeline.targets.classes)
        turned = [(one + 1) % count if one is not None else None for one in setup.truth]
        wrong = replace(setup, truth=turned, pipeline=replace(setup.pipeline))
        wrong.calibrate()
        s.require(_calibrated(wrong) != before, f"{what}: with other labels there they are the same")


def _predicted(s: _Subject) -> None:
    what = "predict = evaluate"
    evaluation = score_sequences(s.setup, baselines=False)
    answers = s.pipeline.predict(s.labelled.select(evaluation.rows))
    method = evaluation.methods[0]
    if answers.probabilities is None:
        s.same(np.array(answers.labels), np.asarray(method.sure), f"{what}: numbers", exact=True)
        return
    steps = s.pipeline.targets.kind == "steps"
    found = np.concatenate(answers.probabilities) if steps else np.asarray(answers.probabilities)
    s.same(found, np.asarray(method.sure), f"{what}: probabilities", exact=True)
    total = found.sum(-1)
    if s.pipeline.targets.kind != "labels":
        s.same(total, np.ones_like(total), f"{what}: probabilities that add up to 1")
    if steps:
        s.require(list(method.said) == list(answers.labels), f"{what}: other labels")
    elif s.pipeline.targets.kind != "labels":
        names = s.pipeline.targets.classes
        s.require([names[code] for code in method.said] == answers.labels, f"{what}: other labels")


CHECKS = {
    "padded = alone": _alone_padded,
    "saved = loaded": _saved,
    "resumed = uninterrupted": _resumed,
    "seeds": _seeds,
    "every parameter": _every_parameter,
    "labels are names": _labels_are_names,
    "the test part": _test_part,
    "calibration": _calibration,
    "predict = evaluate": _predicted,
}
