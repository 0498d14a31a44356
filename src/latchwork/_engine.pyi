"""The native engine (csrc/bindings.cpp), for `latchwork.kernels` alone. Missing where latchwork was installed without.

Arrays come as addresses; who passes them keeps them alive and has checked their shapes. csrc/engine.h and
csrc/session.h say what each of them is.
"""

from collections.abc import Sequence
from typing import Any

CHUNK: int
"""How many columns of a stage are worked off together."""

def version() -> str:
    """The version of latchwork that this was built from."""

def codes() -> dict[str, int]:
    """Operation -> number."""

def spaces() -> dict[str, int]:
    """Kind of argument -> number."""

def instruction_sets() -> list[tuple[str, str]]:
    """(name, why it can't be used or "") in rising order of preference."""

def instruction_set(name: str) -> str:
    """The name of the set that is taken for ``name``; ValueError where it can't be had."""

def use_team(entry: int) -> None:
    """Run on the threads of this GOMP_parallel; 0: on threads of the engine's own."""

def has_team() -> bool:
    """Whether the threads are the caller's."""

def poison(on: bool) -> None:
    """Fill all scratch memory with NaN before its use: for tests."""

def array(bytes: int) -> Any:
    """Bytes from the engine's pool, for torch.from_dlpack: given back to it when the last tensor goes."""

class Program:
    """A program in the engine's form."""

    def __init__(self, code: Sequence[int], numbers: Sequence[float]) -> None: ...

def run(
    program: Program,
    isa: str,
    twofold: bool,
    rows: int,
    steps: int,
    threads: int,
    backward: bool,
    reversed: bool,
    bfloat16: bool,
    lengths: int,
    starts: int,
    resets: int,
    externals: Sequence[tuple[int, int, bool]],
    states: Sequence[int],
    final_states: Sequence[int],
    fresh: Sequence[int],
    fresh_gradients: Sequence[int],
    constants: Sequence[int],
    row_sums: Sequence[int],
    accumulators: Sequence[int],
    weights: Sequence[int],
    vectors: Sequence[int],
) -> None:
    """Run a program over rows and steps; twofold: in float64. Releases the interpreter's lock."""

class Session:
    """A live recurrence. Not for two threads at once."""

    def __init__(self, programs: Sequence[tuple[Program, Program]], isa: str, rows: int, bfloat16: bool) -> None: ...
    def pack(
        self,
        layer: int,
        project_weights: Sequence[int],
        project_vectors: Sequence[int],
        step_weights: Sequence[int],
        step_vectors: Sequence[int],
    ) -> None:
        """Read a layer's weights anew."""

    def step(self, input: object, output: object) -> bool:
        """One step, by Python's buffer protocol; False where the arrays are not what is expected."""

    def write_state(self, layer: int, leaf: int, address: int) -> None:
        """Set a leaf of the state, [rows, width]."""

    def read_state(self, layer: int, leaf: int, address: int) -> None:
        """Copy a leaf of the state, [rows, width], out."""
