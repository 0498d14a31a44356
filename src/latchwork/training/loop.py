"""The training loop, for any task: steps, validation, roll-back, interruption, checkpoints, exact resume."""

import contextlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from latchwork.errors import ConfigError, ModelFileError, TrainingError
from latchwork.sequences import map_state
from latchwork.storage import finite, remove_partial
from latchwork.training.checkpoint import Checkpoint, Checkpoints, environment
from latchwork.training.guard import accept, trouble
from latchwork.training.interrupt import Interrupt
from latchwork.training.job import Callback, Job, Outcome
from latchwork.training.log import Log
from latchwork.training.options import Training
from latchwork.training.schedule import Group, Thaw, parameter_groups, rate
from latchwork.training.state import Snapshot, State, carried_leaves, from_file, to_file

ROLLBACKS = 3

BETAS = (0.9, 0.98)
"""AdamW's: budgets here are some hundred steps, and a second moment over a thousand would hardly have warmed up."""


def train(
    job: Job,
    options: Training,
    *,
    folder: Path | str | None = None,
    resume: bool = False,
    callbacks: Sequence[Callback] = (),
    config: Mapping[str, Any] | None = None,
    resume_hint: str = "",
    stop_after: int | None = None,
    groups: Sequence[Group] = (),
) -> Outcome:
    """Train ``job.module`` and leave its final weights in it, in eval mode.

    folder       gets ``checkpoints/`` and ``metrics.jsonl``; None: nothing is written
    resume       go on from the newest checkpoint in ``folder``; where there is none yet, start at the beginning
    config       whatever else decides the run (task, network, hash of the data), as JSON; a resumed run must match it
    resume_hint  the command that resumes, told when training is interrupted
    stop_after   end after so many steps of the schedule, as if the budget were spent (a second training that stops
                 where the validation of a first one was best)
    groups       parameters that learn at a share of the rate, or from a later step on; all others learn as options say

    Each step: AdamW (Loshchilov & Hutter 2019, arXiv:1711.05101) on the loss of one batch, the gradient clipped by its
    norm, the rate from the schedule. A step whose loss or gradient is NaN, infinite or exploded
    (:func:`latchwork.training.guard.trouble`) never reaches the weights: the run goes back to the last checkpoint, with
    half the rate, three times at most.

    A run killed at any step and resumed ends with the weights of one that was not, bit for bit, on the same machine
    with the same torch and number of threads (on a GPU with deterministic=True). The caller makes the module; all
    that is random after that comes from options.seed, and the caller's own random state is left as it was.

    metrics.jsonl, also Outcome.history, has a line for each step (from 1): step, loss, learning_rate, gradient_norm
    (before clipping); about 200 times in a run gradient_norms (by layer); at validations validation (the job's
    figures), train (mean loss since the last one) and gap (first figure - train: overfitting, where both measure the
    same thing). A line with "event" tells what happened after that step. A figure that is not finite is null.

    Raises ConfigError where the options can't be, or where a resumed run's differ from those it was started with;
    TrainingError after three roll-backs (the module then has the last good weights); ModelFileError where the folder
    can't be written or its checkpoints can't be read.
    """
    options = options.completed()
    with Interrupt() as interrupt, _surroundings(options), contextlib.ExitStack() as closing:
        for callback in callbacks:
            closing.callback(callback.close)
        run = _Run(job, options, folder, dict(config or {}), callbacks, stop_after, groups)
        closing.callback(run.thaw.done)
        return run.train(resume, resume_hint, interrupt)


class _Run:
    def __init__(
        self,
        job: Job,
        options: Training,
        folder: Path | str | None,
        config: dict[str, Any],
        callbacks: Sequence[Callback],
        stop_after: int | None,
        groups: Sequence[Group] = (),
    ) -> None:
        self.job = job
        self.options = options
        self.config: dict[str, Any] = finite(config)
        self.callbacks = callbacks
        self.folder = folder = None if folder is None else Path(folder)
        self.device = torch.device(options.device)
        self.module = job.module.to(self.device)
        self.steps = min(options.steps or 0, stop_after or options.steps or 0)
        self.evaluate_every = options.evaluate_every or 1
        self.checkpoint_every = options.checkpoint_every or 1
        self.layers = _layers(self.module)
        self.trained = [parameter for parameter in self.module.parameters() if parameter.requires_grad]
        if not self.trained:
            raise ConfigError("the network has no parameter that can be trained")
        # foreach, not fused: a fused step changes weights without bumping their versions (seen in torch 2.13), and
        # whoever keeps a packed copy of a weight asks its version.
        grouped = parameter_groups(self.module, options.weight_decay, groups)
        self.thaw = Thaw(self.module, grouped)
        self.optimizer = torch.optim.AdamW(grouped, lr=options.learning_rate or 0.0, betas=BETAS, foreach=True)
        self.state = State(self.module, self.optimizer, self.device, average=bool(options.average))
        self.log = Log(None if folder is None else folder / "metrics.jsonl")
        self.checkpoints = None if folder is None else Checkpoints(folder / "checkpoints", self.checkpoint_every)
        self.saved = -1
        self.good: Snapshot

    def train(self, resume: bool, resume_hint: str, interrupt: Interrupt) -> Outcome:
        notes = self._begin(resume)
        for callback in self.callbacks:
            callback.begin(self.state.facts.step, self.steps)
        for note in notes:
            self._event(note)
        stopped: Literal["budget", "patience", "interrupted"] | None = self.state.facts.finished
        while stopped is None:
            self._step()
            stopped = self.state.facts.finished
            if stopped is None and interrupt.asked:
                stopped = "interrupted"
                self._save()
                self._event(self._told(resume_hint))
        facts = self.state.facts
        self.state.settle()
        self.module.eval()
        outcome = Outcome(
            steps=facts.step,
            best_step=facts.best_step,
            best=dict(facts.best or {}),
            history=self.log.records,
            stopped=stopped,
            rollbacks=facts.rollbacks,
            checkpoint=None if self.checkpoints is None else self.checkpoints.path(facts.step),
        )
        for callback in self.callbacks:
            callback.end(outcome)
        return outcome

    def _told(self, resume_hint: str) -> str:
        where = f"interrupted after step {self.state.facts.step} of {self.steps}"
        if self.checkpoints is None:
            return f"{where}; nothing is saved, since training was given no folder"
        return f"{where}; saved in {self.folder}; resume with: {resume_hint or 'the same call and resume=True'}"

    # Beginning

    def _begin(self, resume: bool) -> list[str]:
        """Bring the run to its first step; returns what there is to tell."""
        torch.manual_seed(self.options.seed)
        notes: list[str] = []
        if self.checkpoints is not None and self.folder is not None:
            if resume:
                found, notes = self.checkpoints.newest()
                if found is not None:
                    return notes + self._continue(found)
                notes = [f"there is no checkpoint in {self.folder} yet; training starts at the beginning"]
            elif self.checkpoints.steps():
                raise ConfigError(
                    f"{self.folder} holds a run that has made {self.checkpoints.steps()[-1]} steps; resume it "
                    "(resume=True), remove the folder, or choose another"
                )
            self._clean()
        elif resume:
            raise ConfigError("resume is set, but there is no folder to resume from; give the run's folder")
        self.log.start()
        self._checkpoint()
        return notes

    def _clean(self) -> None:
        if self.checkpoints is not None and self.folder is not None:
            remove_partial(self.folder)
            remove_partial(self.checkpoints.folder)

    def _continue(self, found: Checkpoint) -> list[str]:
        manifest, step = found.manifest, found.manifest.facts.step
        _compare(manifest.options | {"config": manifest.config}, self._identity(), found.path)
        self._clean()
        snapshot = self._revive(found)
        self.good = self._target(snapshot, step)
        self.state.restore(snapshot)  # last: reviving draws random numbers and may touch buffers
        self.saved = step
        lost = self.log.resume(snapshot.facts.lines, step)
        notes = [] if lost is None else [lost]
        if self.state.facts.finished:
            return [*notes, f"training was already finished after step {step}; nothing is left to resume"]
        notes.append(f"resumed after step {step}")
        now = environment(self.device)
        for name, value in manifest.environment.items():
            if now.get(name) != value:
                notes.append(f"{name} was {value} and is {now.get(name)} now: the last bits of the weights may differ")
        return notes

    def _target(self, snapshot: Snapshot, step: int) -> Snapshot:
        """Where a roll-back returns to: the last regular checkpoint, as it would have without the interruption."""
        regular = step - step % self.checkpoint_every
        if regular != step and self.checkpoints is not None:
            with contextlib.suppress(ModelFileError):
                return self._revive(self.checkpoints.load(regular))
        return snapshot

    def _revive(self, found: Checkpoint) -> Snapshot:
        template = None
        if carried_leaves(found.tensors):
            # The file has the leaves of the carried state; its structure is known to the job alone.
            with torch.no_grad(), self._precision():
                batch = move(self.job.batch(found.manifest.facts.step), self.device)
                template = _carry(self.job.loss(batch, None)[1])
        return from_file(found.tensors, found.manifest.facts, template, self.state, str(found.path))

    def _identity(self) -> dict[str, Any]:
        return {**self.options.to_mapping(), "config": self.config}

    # One step

    def _step(self) -> None:
        record = self._update()
        if record is None:
            return
        facts = self.state.facts
        if facts.step % self.evaluate_every == 0 or facts.step == self.steps:
            record |= self._validate()
        if facts.finished is None and facts.step == self.steps:
            facts.finished = "budget"
        regular = facts.step % self.checkpoint_every == 0 or facts.finished is not None
        self.log.add(record, sync=regular)
        for callback in self.callbacks:
            callback.step(self.log.records[-1])
        if regular:
            self._checkpoint()

    def _update(self) -> dict[str, Any] | None:
        """One update of the weights; None where it went wrong and the run was rolled back."""
        facts, options = self.state.facts, self.options
        self.module.train()
        self.thaw.to(facts.step)
        batch = move(self.job.batch(facts.step), self.device)
        with self._precision():
            loss, carried = self.job.loss(batch, self.state.carried)
        loss = loss.float() if loss.dtype != torch.float64 else loss
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        gradients = [parameter.grad for parameter in self.trained if parameter.grad is not None]
        length = torch.nn.utils.get_total_norm(gradients, foreach=True)
        value, norm = torch.stack((loss.detach().double(), length.double())).tolist()  # one wait for the device
        reason = trouble(value, norm, facts, options.warmup_steps)
        if reason is not None:
            self._roll_back(reason)
            return None
        record: dict[str, Any] = {"step": facts.step + 1, "loss": value, "gradient_norm": norm}
        if facts.step % max(1, self.steps // 200) == 0:
            record["gradient_norms"] = self._norms()
        if options.clip:
            torch.nn.utils.clip_grads_with_norm_(self.trained, options.clip, length, foreach=True)
        learning_rate = (options.learning_rate or 0.0) * facts.factor * rate(facts.step, options)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate * group["rate_scale"]
        self.optimizer.step()
        if options.average:
            self.state.advance_average(options.average)
        self.state.carried = _carry(carried)
        accept(value, facts)
        facts.train_sum += value
        facts.train_count += 1
        facts.step += 1
        return record | {"learning_rate": learning_rate}

    def _precision(self) -> contextlib.AbstractContextManager[Any]:
        if self.options.precision == "bfloat16":
            return torch.autocast(self.device.type, dtype=torch.bfloat16)
        return contextlib.nullcontext()

    def _norms(self) -> dict[str, float]:
        """The norm of the gradient by layer."""
        norms: dict[str, float] = {}
        for layer, parameters in self.layers.items():
            gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
            if gradients:
                norms[layer] = float(torch.nn.utils.get_total_norm(gradients, foreach=True))
        return norms

    def _validate(self) -> dict[str, Any]:
        facts = self.state.facts
        self.module.eval()
        with self.state.averaged(), torch.no_grad():
            figures: dict[str, float | None] = finite({name: float(x) for name, x in self.job.validate().items()})
            if not figures:
                return {}
            score = next(iter(figures.values()))
            before = None if facts.best is None else next(iter(facts.best.values()))
            if score is not None and (before is None or score < before):
                facts.best, facts.best_step, facts.waited = figures, facts.step, 0
                self.state.keep_best()
            else:
                facts.waited += 1
        mean = facts.train_sum / max(1, facts.train_count)
        facts.train_sum, facts.train_count = 0.0, 0
        if self.options.patience and facts.waited >= self.options.patience:
            facts.finished = "patience"
        return {"validation": figures, "train": mean, "gap": None if score is None else score - mean}

    # When something happens

    def _roll_back(self, reason: str) -> None:
        failed, facts = self.state.facts.step + 1, self.state.facts
        factor, rollbacks = facts.factor / 2, facts.rollbacks + 1
        self.optimizer.zero_grad(set_to_none=True)
        self.state.restore(self.good)
        if rollbacks > ROLLBACKS:
            raise TrainingError(
                f"{reason} at step {failed}, after {ROLLBACKS} roll-backs that each halved the rate; lower "
                f"learning_rate (it is {self.options.learning_rate:g}), or look for extreme values in the training data"
            )
        self.state.facts.factor, self.state.facts.rollbacks = factor, rollbacks
        self.log.roll_back(self.good.facts.step)
        self._event(
            f"{reason} at step {failed}: back to step {self.good.facts.step}, with the learning rate halved to "
            f"{(self.options.learning_rate or 0.0) * factor:.3g} ({rollbacks} of {ROLLBACKS} roll-backs)"
        )

    def _event(self, message: str) -> None:
        step = self.state.facts.step
        self.log.add({"step": step, "event": message})
        for callback in self.callbacks:
            callback.event(step, message)

    def _checkpoint(self) -> None:
        """Take the state as the last good one, and write it."""
        self.state.facts.lines = len(self.log)
        self.good = self.state.capture()
        self._write(self.good)

    def _save(self) -> None:
        """Write the state between two regular checkpoints."""
        if self.checkpoints is not None and self.saved != self.state.facts.step:
            self.state.facts.lines = len(self.log)
            self._write(self.state.capture())

    def _write(self, snapshot: Snapshot) -> None:
        if self.checkpoints is None:
            return
        self.checkpoints.save(
            to_file(snapshot),
            snapshot.facts,
            options=self.options.to_mapping(),
            config=self.config,
            environment=environment(self.device),
        )
        self.saved = snapshot.facts.step


def _carry(state: Any) -> Any:
    """What one step hands to the next: cut from the graph, in float32 where autocast made it less."""

    def cut(leaf: Tensor) -> Tensor:
        leaf = leaf.detach()
        return leaf.float() if leaf.dtype in (torch.bfloat16, torch.float16) else leaf

    return map_state(cut, state)


def move(batch: Any, device: torch.device) -> Any:
    """A batch on another device: tensors in tuples, lists and dicts, and whatever else has a method ``to``."""
    if device.type == "cpu" or batch is None:
        return batch
    if isinstance(batch, dict):
        return {key: move(part, device) for key, part in batch.items()}
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*(move(part, device) for part in batch))
    if isinstance(batch, (list, tuple)):
        return type(batch)(move(part, device) for part in batch)
    return batch.to(device) if hasattr(batch, "to") else batch


def _layers(module: nn.Module) -> dict[str, list[nn.Parameter]]:
    """The trainable parameters by layer: the name up to ``layers.N`` (torch's ``_lN`` too), else up to a number and the
    module below it, else its first part.

    layers.0.cell.input.weight -> layers.0;  encoder.weight_hh_l1 -> encoder.1;  members.1.embed.weight ->
    members.1.embed; head.bias -> head
    """
    layers: dict[str, list[nn.Parameter]] = {}
    for name, parameter in module.named_parameters():
        if not parameter.requires_grad:
            continue
        numbered = re.match(r"(.*?\blayers\.\d+)\.", name) or re.match(r"(.*?\.\d+(?:\.\w+(?=\.))?)\.", name)
        stacked = re.search(r"^(?:(.*)\.)?(?:weight|bias)_\w+?_l(\d+)(?:_reverse)?$", name)
        if numbered:
            layer = numbered[1]
        elif stacked:
            layer = f"{stacked[1]}.{stacked[2]}" if stacked[1] else stacked[2]
        else:
            layer = name.partition(".")[0]
        layers.setdefault(layer, []).append(parameter)
    return layers


def _compare(started: Mapping[str, Any], asked: Mapping[str, Any], source: Path) -> None:
    before, now = _flat(started), _flat(asked)
    for name in sorted(before.keys() | now.keys()):
        if before.get(name) != now.get(name):
            raise ConfigError(
                f"{name} is {now.get(name, 'not set')}, but the run in {source.parent.parent} was started with "
                f"{before.get(name, 'none')}; resume with the same options, or train in a new folder"
            )


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


@contextlib.contextmanager
def _surroundings(options: Training) -> Iterator[None]:
    """The random state and torch's determinism belong to the caller, and are given back as they were."""
    devices = [torch.cuda.current_device()] if options.device == "cuda" else []
    strict = torch.are_deterministic_algorithms_enabled()
    warn = torch.is_deterministic_algorithms_warn_only_enabled()
    with torch.random.fork_rng(devices=devices):
        if options.deterministic:
            # cuBLAS reads this once, when its first handle is made; without it torch refuses its products.
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
            torch.use_deterministic_algorithms(True)
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(strict, warn_only=warn)
