"""A live recurrence by the engine: weights packed once, buffers of its own, one step at a time from Python.

It goes around autograd and torch's dispatcher, which cost more than a small cell's step.
"""

from collections.abc import Sequence
from operator import is_not
from typing import Any

import numpy as np
import torch

from latchwork.cells import Cell
from latchwork.errors import ConfigError, DataError, KernelError, StateError
from latchwork.kernels import cpu
from latchwork.kernels.cell_program import CellProgram, tensors_of
from latchwork.kernels.compute import name_of, native, plain
from latchwork.kernels.native import instruction_set, required
from latchwork.sequences import flatten, map_state, unflatten
from latchwork.types import Tensor


class Session:
    """Cells on top of each other, stepped live.

        session = Session([cell], batch=1)
        output = session.step(x)                    # float32 [batch, input] -> [batch, output], a new array

    A row gives the same bits in a session of any size, and the same as :func:`latchwork.kernels.run` without gradients.
    The state is the session's own: :attr:`state` reads it and sets it, as the values that ``Recurrent.step`` takes.
    The weights are packed when the session is made and again when a parameter or module was replaced or changed in
    place. What shows in neither (edits through ``.data``, which ``Module.to`` makes too, steps of fused optimisers,
    tensors made in inference mode, hooks, another option of a cell) needs :meth:`repack`.
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
        self._expected = (batch, cells[0].input_size)
        self._programs: list[CellProgram] = []
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
        output = self._native.step(inputs)
        return self._again(inputs) if output is None else output

    def _again(self, inputs: Any) -> np.ndarray:
        """Off the fast path: the weights changed, or the array has gaps, or it is no input."""
        if self._native.changed():
            self.repack()
        output = self._native.advance(inputs)
        if output is None and isinstance(inputs, np.ndarray) and inputs.dtype == np.float32:
            output = self._native.advance(np.array(inputs, order="C"))
        if output is None:
            got = f"{inputs.dtype} {inputs.shape}" if isinstance(inputs, np.ndarray) else f"a {type(inputs).__name__}"
            raise DataError(f"inputs is {got}, expected a float32 array [batch, input] of shape {self._expected}")
        return output

    def repack(self) -> None:
        """Read the cells anew: their weights and, where an option changed, their programs. The state stays."""
        programs = [self._program(cell) for cell in self.cells]
        if not self._programs or any(map(is_not, programs, self._programs)):
            before = self.state if self._programs else None
            self._build(programs)
            if before is not None:
                self.state = before
        for index, (cell, program) in enumerate(zip(self.cells, programs, strict=True)):
            own = plain(tensors_of(cell, program), torch.float32)
            with torch.no_grad():
                both = [plain(made(own), torch.float32) for made in (program.project_weights, program.weights)]
            arguments = []
            for scheduled, weights in zip(self._layers[index], both, strict=True):
                arguments.append([weight.data_ptr() for weight in weights])
                arguments.append([weights[at].data_ptr() for at, _ in scheduled.layout.vectors])
            self._native.pack(index, *arguments)
        self._watch()

    def _build(self, programs: list[CellProgram]) -> None:
        natives = [
            native(name_of(program, cell.input_size)) for program, cell in zip(programs, self.cells, strict=True)
        ]
        self._programs, self._layers = programs, [(own.project, own.forward) for own in natives]
        pairs = [(project.native, forward.native) for project, forward in self._layers]
        try:
            self._native = required().Session(pairs, instruction_set(), self.batch, self.narrow)
        except ValueError as error:
            raise ConfigError(f"these cells do not fit on top of each other: {error}") from None

    def _watch(self) -> None:
        """Remember what a change would show in: which tensors and modules are held, and the tensors' versions."""
        places = [
            (table, name, held)
            for cell in self.cells
            for module in cell.modules()
            for table in (module._parameters, module._buffers, module._modules)
            for name, held in table.items()
        ]
        tensors = [held for _, _, held in places if isinstance(held, torch.Tensor) and not held.is_inference()]
        self._native.watch(places, tensors)

    def __getstate__(self) -> Any:
        raise StateError(
            "a session is live and can't be copied or written to a file; keep session.state, which is a value"
        )

    @property
    def state(self) -> tuple[Any, ...]:
        """The state of every cell: a value, a copy of the session's own."""
        states = []
        for index, like in enumerate(self._likes()):
            leaves = {}
            for leaf, (name, tensor) in enumerate(flatten(like).items()):
                leaves[name] = torch.empty(tensor.shape, dtype=torch.float32)
                self._native.read_state(index, leaf, leaves[name].data_ptr())
            states.append(unflatten(like, leaves))
        return tuple(states)

    @state.setter
    def state(self, state: Any) -> None:
        likes = self._likes()
        if not isinstance(state, tuple) or len(state) != len(likes) or hasattr(state, "_fields"):
            raise StateError(
                f"state is a {type(state).__name__}, expected a tuple of {len(likes)}: a state for each cell"
            )
        prepared = []
        for index, (like, own) in enumerate(zip(likes, state, strict=True)):
            if type(own) is not type(like):
                raise StateError(f"state[{index}] is a {type(own).__name__}, expected {type(like).__name__}")
            given = {name: leaf.detach().to(torch.float32) for name, leaf in flatten(own).items()}
            for leaf, (name, tensor) in enumerate(flatten(unflatten(like, given)).items()):
                if len(tensor) != self.batch:
                    raise DataError(f"state.{name} has {len(tensor)} rows, expected {self.batch}: the session's batch")
                prepared.append((index, leaf, tensor.contiguous()))
        for index, leaf, values in prepared:
            self._native.write_state(index, leaf, values.data_ptr())

    def _likes(self) -> list[Any]:
        """A state of each cell, in the float32 that the session keeps it in."""
        return [map_state(Tensor.float, cell.initial_state(self.batch)) for cell in self.cells]
