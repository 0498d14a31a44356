"""The compiled engine: whether it is there, which instruction set it runs with, and programs in its form."""

import ctypes
import importlib
import os
from functools import cache, cached_property
from types import ModuleType

import torch

from latchwork.errors import ConfigError
from latchwork.kernels.cell_program import CellProgram
from latchwork.kernels.program import Program
from latchwork.kernels.schedule import Array, Schedule, schedule

MISSING = (
    "latchwork was installed without its engine; build it with: pip install --force-reinstall --no-binary latchwork "
    "latchwork (wants a C++ compiler)"
)

VARIABLE = "LATCHWORK_CPU"
"""The environment variable that forces an instruction set."""


@cache
def engine() -> ModuleType | None:
    """The extension module, or None where latchwork was installed without it."""
    try:
        module = importlib.import_module("latchwork._engine")
    except ModuleNotFoundError as error:
        if error.name != "latchwork._engine":
            raise
        return None
    # Torch is loaded already, and with it the thread team that the engine is to share: two that spin on the same cores
    # make each other many times slower. Elsewhere than with GNU OpenMP the engine has threads of its own.
    team = getattr(ctypes.CDLL(None), "GOMP_parallel", None) if os.name == "posix" else None
    if team is not None:
        module.use_team(ctypes.cast(team, ctypes.c_void_p).value or 0)
    return module


def required() -> ModuleType:
    """The extension module, which is known to be there."""
    module = engine()
    assert module is not None
    return module


def instruction_set() -> str:
    """The instruction set that the engine runs with: the best there is, or what :data:`VARIABLE` says."""
    wanted = os.environ.get(VARIABLE, "")
    try:
        return required().instruction_set(wanted)
    except ValueError as error:
        raise ConfigError(f"{VARIABLE}={wanted}: {error}") from None


class Native:
    """A cell's programs in the engine's form, each made when it is first wanted."""

    def __init__(self, program: CellProgram, input_size: int) -> None:
        self.program, self.input_size = program, input_size

    def _arrays(self, kind: str, widths: tuple[int, ...]) -> list[tuple[Array, int]]:
        return [((kind, index), width) for index, width in enumerate(widths)]

    @cached_property
    def project(self) -> "Scheduled":
        """projected = project(inputs); external arrays: the inputs, then each of the projected."""
        own = self.program
        assert own.project is not None
        return Scheduled(
            own.project,
            reads=self._arrays("projected", (self.input_size,)),
            writes=self._arrays("output", own.projected),
        )

    @cached_property
    def forward(self) -> "Scheduled":
        """Inference; external arrays: each of the projected, then the output."""
        return self._forward(self.program.forward, ())

    @cached_property
    def saving(self) -> "Scheduled":
        """Training; external arrays: each of the projected, the output, then what is kept."""
        return self._forward(self.program.saving, self.program.saved)

    @cached_property
    def inlined(self) -> "Scheduled | None":
        """The same from the inputs; external arrays: the inputs, the output, then what is kept."""
        own = self.program.inlined
        return None if own is None else self._forward(own, self.program.saved, (self.input_size,))

    def _forward(self, program: Program, saved: tuple[int, ...], given: tuple[int, ...] | None = None) -> "Scheduled":
        own = self.program
        return Scheduled(
            program,
            reads=self._arrays("projected", own.projected if given is None else given),
            writes=self._arrays("output", (own.output,)) + self._arrays("saved", saved),
            states=own.state,
            constants=own.constants,
        )

    @cached_property
    def backward(self) -> "Scheduled":
        """External arrays: each of the projected, what was kept, the output's cotangent, then the projected's
        cotangents and the cuts.
        """
        own = self.program
        return Scheduled(
            own.backward,
            reads=self._arrays("projected", own.projected)
            + self._arrays("saved", own.saved)
            + self._arrays("grad_output", (own.output,)),
            writes=self._arrays("grad_projected", own.projected) + self._arrays("cut", own.cuts),
            states=own.state,
            constants=own.constants,
            sums=own.sums,
        )


class Scheduled:
    """A program cut into stages and decoded by the engine."""

    def __init__(
        self,
        program: Program,
        *,
        reads: list[tuple[Array, int]],
        writes: list[tuple[Array, int]],
        states: tuple[int, ...] = (),
        constants: tuple[int, ...] = (),
        sums: tuple[int, ...] = (),
    ) -> None:
        module = required()
        cut: Schedule = schedule(
            program,
            codes=module.codes(),
            spaces=module.spaces(),
            reads=reads,
            writes=writes,
            states=states,
            constants=constants,
            sums=sums,
        )
        self.layout, self.stages = cut.layout, cut.stages
        self.native = module.Program(cut.code, cut.numbers)

    def run(
        self,
        *,
        externals: list[torch.Tensor],
        weights: list[torch.Tensor],
        rows: int,
        steps: int,
        dtype: torch.dtype,
        narrow: bool = False,
        backward: bool = False,
        reverse: bool = False,
        lengths: torch.Tensor | None = None,
        starts: torch.Tensor | None = None,
        resets: torch.Tensor | None = None,
        states: list[torch.Tensor] | None = None,
        fresh: list[torch.Tensor] | None = None,
        fresh_gradients: list[torch.Tensor] | None = None,
        constants: list[torch.Tensor] | None = None,
    ) -> tuple[list[torch.Tensor], list[torch.Tensor], list[torch.Tensor]]:
        """Run it: (final states, row sums, sums). The external arrays that are written are written in place.

        Everything is contiguous and of type ``dtype``, float32 or float64, the external arrays possibly bfloat16.
        """
        layout = self.layout
        states = states or []
        finals = [torch.empty_like(state) for state in states]
        row_sums = [torch.empty(rows, width, dtype=dtype) for _, _, width in layout.row_sums]
        sums = [torch.empty(width, dtype=dtype) for width in layout.sums]
        required().run(
            self.native,
            instruction_set(),
            dtype == torch.float64,
            rows,
            steps,
            torch.get_num_threads(),
            backward,
            reverse,
            narrow,
            _address(lengths),
            _address(starts),
            _address(resets),
            [(array.data_ptr(), array.shape[-1], array.dtype == torch.bfloat16) for array in externals],
            _addresses(states),
            _addresses(finals),
            _addresses(fresh or []),
            _addresses(fresh_gradients or []),
            _addresses(constants or []),
            _addresses(row_sums),
            _addresses(sums),
            _addresses(weights),
            [weights[index].data_ptr() for index, _ in layout.vectors],
        )
        return finals, row_sums, sums


def _address(tensor: torch.Tensor | None) -> int:
    return 0 if tensor is None else tensor.data_ptr()


def _addresses(tensors: list[torch.Tensor]) -> list[int]:
    return [tensor.data_ptr() for tensor in tensors]
