"""A live recurrence by the engine: weights packed once, buffers of its own, one step at a time from Python.

It goes around autograd and torch's dispatcher, which cost more than a small cell's step.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from latchwork.cells import Cell
from latchwork.errors import ConfigError, DataError, KernelError
from latchwork.kernels import cpu
from latchwork.kernels.cell_program import CellProgram, tensors_of
from latchwork.kernels.compute import name_of, native, plain
from latchwork.kernels.native import instruction_set, required
from latchwork.sequences import flatten, unflatten
from latchwork.types import Tensor


# Looked up once: a step of a small cell takes two or three microseconds.
_empty, _FLOAT32 = np.empty, np.float32


class Session:
    """Cells on top of each other, stepped live.

        session = Session([cell], batch=1)
        output = session.step(x)                    # float32 [batch, input] -> [batch, output], a new array

    A row gives the same bits in a session of any size, and the same as :func:`latchwork.kernels.run` without gradients.
    The state is the session's own: :attr:`state` reads it and sets it, as the values that ``Recurrent.step`` takes.
    The weights are packed when the session is made and again when a parameter was replaced or changed in place. What
    torch does not count as a change (edits through ``.data``, tensors made in inference mode) needs :meth:`repack`.
    One thread at a time may use a session; any number of sessions may run side by side.

    narrow: products in bfloat16, summed in float32; the state stays float32. Half the weights' memory, about three
    decimals of each product.
    """

    def __init__(self, cells: Sequence[Cell], *, batch: int = 1, narrow: bool = False) -> None:
        if batch < 1:
            raise ConfigError(f"batch is {batch}, expected at least 1")
        if not cells:
            raise ConfigError("a session has no cells, expected at least one")
        self.cells, self.batch, self.narrow = tuple(cells), batch, narrow
        self._programs = [self._program(cell) for cell in cells]
        natives = [
            native(name_of(program, cell.input_size)) for program, cell in zip(self._programs, cells, strict=True)
        ]
        self._layers = [(own.project, own.forward) for own in natives]
        pairs = [(project.native, forward.native) for project, forward in self._layers]
        try:
            self._native = required().Session(pairs, instruction_set(), batch, narrow)
        except ValueError as error:
            raise ConfigError(f"these cells do not fit on top of each other: {error}") from None
        self._shape = (batch, cells[-1].output_size)
        self._expected = (batch, cells[0].input_size)
        self._watched: list[Tensor] = []
        self.repack()
        self.state = tuple(cell.initial_state(batch) for cell in cells)

    @staticmethod
    def _program(cell: Cell) -> CellProgram:
        plan = cpu.plan(cell)
        if isinstance(plan, str):
            raise KernelError(f"no session for this cell: {plan}; step it by Recurrent(cell).step")
        program = plan.program
        if program.project is None:
            raise KernelError(f"no session for this cell: {program.project_refusal}; step it by Recurrent(cell).step")
        if any(parameter.dtype == torch.float64 for parameter in cell.parameters()):
            raise KernelError("no session for this cell: sessions compute in float32, and it is float64")
        return program

    def step(self, inputs: Any) -> np.ndarray:
        """One step: float32 [batch, input] -> [batch, output]. Raises :class:`DataError` for any other array."""
        watched = self._watched
        if [tensor._version for tensor in watched] != self._versions or [
            tensor.data_ptr() for tensor in watched
        ] != self._addresses:
            self.repack()
        output = _empty(self._shape, _FLOAT32)
        try:
            taken = self._native.step(inputs, output)
        except (TypeError, BufferError, ValueError):  # no array, or one with gaps
            taken = isinstance(inputs, np.ndarray) and inputs.dtype == np.float32 and inputs.shape == self._expected
            taken = taken and self._native.step(np.ascontiguousarray(inputs), output)
        if not taken:
            got = f"{inputs.dtype} {inputs.shape}" if isinstance(inputs, np.ndarray) else f"a {type(inputs).__name__}"
            raise DataError(f"inputs is {got}, expected a float32 array [batch, input] of shape {self._expected}")
        return output

    def repack(self) -> None:
        """Read the weights anew."""
        self._watched = []
        for index, (cell, program) in enumerate(zip(self.cells, self._programs, strict=True)):
            tensors = tensors_of(cell, program)
            own = plain(tensors, torch.float32)
            with torch.no_grad():
                both = [plain(made(own), torch.float32) for made in (program.project_weights, program.weights)]
            arguments = []
            for scheduled, weights in zip(self._layers[index], both, strict=True):
                arguments.append([weight.data_ptr() for weight in weights])
                arguments.append([weights[at].data_ptr() for at, _ in scheduled.layout.vectors])
            self._native.pack(index, *arguments)
            self._watched += [tensor for tensor in tensors if not tensor.is_inference()]
        self._versions = [tensor._version for tensor in self._watched]
        self._addresses = [tensor.data_ptr() for tensor in self._watched]

    @property
    def state(self) -> tuple[Any, ...]:
        """The state of every cell: a value, a copy of the session's own."""
        states = []
        for index, cell in enumerate(self.cells):
            like = cell.initial_state(self.batch)
            leaves = {}
            for leaf, (name, tensor) in enumerate(flatten(like).items()):
                values = torch.empty(tensor.shape, dtype=torch.float32)
                self._native.read_state(index, leaf, values.data_ptr())
                leaves[name] = values.to(tensor.dtype)
            states.append(unflatten(like, leaves))
        return tuple(states)

    @state.setter
    def state(self, state: tuple[Any, ...]) -> None:
        prepared = []
        for index, (cell, own) in enumerate(zip(self.cells, state, strict=True)):
            like = cell.initial_state(self.batch)
            checked = unflatten(
                like,
                {
                    name: leaf.to(t.dtype)
                    for (name, leaf), t in zip(flatten(own).items(), flatten(like).values(), strict=True)
                },
            )
            for leaf, (name, tensor) in enumerate(flatten(checked).items()):
                if len(tensor) != self.batch:
                    raise DataError(f"state.{name} has {len(tensor)} rows, expected {self.batch}: the session's batch")
                prepared.append((index, leaf, plain([tensor], torch.float32)[0]))
        for index, leaf, values in prepared:
            self._native.write_state(index, leaf, values.data_ptr())
