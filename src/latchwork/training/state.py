"""Everything that changes while training runs, as one value: captured, restored, written and read back."""

import contextlib
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from latchwork.errors import ModelFileError
from latchwork.sequences import flatten, map_state, unflatten


class Facts(BaseModel):
    """The part of the state that is numbers. Floats keep every bit in JSON.

    step         updates made
    best         what the best validation found, first key minimised; None before the first
    best_step    the step of it
    waited       validations since then
    factor       what roll-backs have left of the learning rate
    rollbacks    how many there were
    recent       the last training losses, at most ``training.guard.WINDOW``: what an explosion is measured against
    start        the typical absolute loss at the start of training
    train_sum    sum of the training losses since the last validation
    train_count  how many
    lines        records in the log when this was captured
    finished     why training ended; None: it did not
    """

    model_config = ConfigDict(extra="forbid")

    step: int = 0
    best: dict[str, float | None] | None = None
    best_step: int = 0
    waited: int = 0
    factor: float = 1.0
    rollbacks: int = 0
    recent: list[float] = []
    start: float | None = None
    train_sum: float = 0.0
    train_count: int = 0
    lines: int = 0
    finished: Literal["budget", "patience"] | None = None


class Snapshot(NamedTuple):
    """The state at one step. ``tensors`` are its own copies, by the names they have in a checkpoint."""

    tensors: dict[str, Tensor]
    facts: Facts
    carried: Any


class State:
    """The live state: the module's own weights and buffers, the optimizer's, and what the loop adds to them.

    carried   the recurrent state handed from chunk to chunk, or None
    average   the moving average of the weights by name; empty where there is none
    best      the weights of the best validation by name; empty before the first
    """

    def __init__(
        self, module: nn.Module, optimizer: torch.optim.Optimizer, device: torch.device, average: bool
    ) -> None:
        self.optimizer = optimizer
        self.device = device
        self.parameters = dict(module.named_parameters())
        self.buffers = dict(module.named_buffers())
        self.facts = Facts()
        self.carried: Any = None
        self.average = {name: weight.detach().clone() for name, weight in self.parameters.items()} if average else {}
        self.best: dict[str, Tensor] = {}

    def capture(self) -> Snapshot:
        """A copy of everything."""
        tensors = {f"weights.{name}": tensor.detach().clone() for name, tensor in self._weights().items()}
        for name, parameter in self.parameters.items():
            for key, value in self.optimizer.state.get(parameter, {}).items():
                tensors[f"optimizer.{name}.{key}"] = value.clone()
        tensors |= {f"average.{name}": tensor.clone() for name, tensor in self.average.items()}
        tensors |= {f"best.{name}": tensor for name, tensor in self.best.items()}  # never changed in place
        tensors["random.cpu"] = torch.get_rng_state()
        if self.device.type == "cuda":
            tensors["random.cuda"] = torch.cuda.get_rng_state(self.device)
        return Snapshot(tensors, self.facts.model_copy(deep=True), map_state(Tensor.clone, self.carried))

    def restore(self, snapshot: Snapshot) -> None:
        """Back to ``snapshot``, which stays as it is."""
        tensors = snapshot.tensors
        load(self._weights(), _part(tensors, "weights."))
        self.optimizer.state.clear()
        for name, parameter in self.parameters.items():
            saved = _part(tensors, f"optimizer.{name}.")
            if saved:
                # The step count lives on the CPU whatever the device of the weights.
                self.optimizer.state[parameter] = {
                    key: value.clone() if key == "step" else value.to(parameter.device, copy=True)
                    for key, value in saved.items()
                }
        load(self.average, _part(tensors, "average."))
        self.best = {name: tensor.to(self.device) for name, tensor in _part(tensors, "best.").items()}
        torch.set_rng_state(tensors["random.cpu"].cpu())
        if self.device.type == "cuda" and "random.cuda" in tensors:
            torch.cuda.set_rng_state(tensors["random.cuda"].cpu(), self.device)
        self.facts = snapshot.facts.model_copy(deep=True)
        self.carried = map_state(Tensor.clone, snapshot.carried)

    def advance_average(self, decay: float) -> None:
        """One step of the moving average: a ← d a + (1 - d) w, d = min(decay, (1 + step) / (10 + step))."""
        step = self.facts.step
        weight = 1 - min(decay, (1 + step) / (10 + step))
        with torch.no_grad():
            for name, average in self.average.items():
                average.lerp_(self.parameters[name], weight)

    @contextlib.contextmanager
    def averaged(self) -> Iterator[None]:
        """Inside the block the module has the averaged weights, where there are any."""
        own = {name: weight.detach().clone() for name, weight in self.parameters.items()} if self.average else {}
        load(self.parameters, self.average)
        try:
            yield
        finally:
            load(self.parameters, own)

    def keep_best(self) -> None:
        """Take the module's present weights as the best."""
        self.best = {name: tensor.detach().clone() for name, tensor in self._weights().items()}

    def settle(self) -> None:
        """Give the module its final weights: the best validated, else the average, else the last."""
        load(self._weights() if self.best else self.parameters, self.best or self.average)

    def _weights(self) -> dict[str, Tensor]:
        return {**self.parameters, **self.buffers}


def load(targets: dict[str, Any], values: dict[str, Tensor]) -> None:
    """Copy ``values`` into the tensors of the same names. Through autograd's own copy, so that versions are bumped."""
    with torch.no_grad():
        for name, value in values.items():
            targets[name].copy_(value)


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def to_file(snapshot: Snapshot) -> dict[str, Tensor]:
    """The tensors of a checkpoint file: the snapshot's, and the leaves of the carried state."""
    return {**snapshot.tensors, **flatten(snapshot.carried, "carried")}


def carried_leaves(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The leaves of the carried state in a checkpoint file, as ``sequences.unflatten`` wants them."""
    return {
        name.removeprefix("carried").removeprefix("."): tensor
        for name, tensor in tensors.items()
        if name == "carried" or name.startswith("carried.")
    }


def from_file(tensors: dict[str, Tensor], facts: Facts, template: Any, state: State, source: str) -> Snapshot:
    """The inverse of :func:`to_file`. ``template`` is a carried state of the same tree, None where nothing is carried.

    Raises ModelFileError where the weights are not those of this network, StateError where the carried state is not.
    """
    found = {name: tuple(tensor.shape) for name, tensor in _part(tensors, "weights.").items()}
    wanted = {name: tuple(tensor.shape) for name, tensor in {**state.parameters, **state.buffers}.items()}
    for name in sorted(found.keys() | wanted.keys()):
        if found.get(name) != wanted.get(name):
            raise ModelFileError(
                f"{source}: {name} is {found.get(name, 'missing')}, expected {wanted.get(name, 'no such tensor')}: "
                "another network was trained here; train this one in a new folder"
            )
    leaves = carried_leaves(tensors)
    own = {name: tensor for name, tensor in tensors.items() if name != "carried" and not name.startswith("carried.")}
    carried = None
    if leaves:
        leaf_tensors = {name: leaf.to(state.device, copy=True) for name, leaf in leaves.items()}
        carried = unflatten(template, leaf_tensors)
    return Snapshot(own, facts, carried)
