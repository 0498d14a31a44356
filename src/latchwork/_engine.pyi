"""The native engine (csrc/bindings.cpp). Missing where latchwork was installed without it."""

from collections.abc import Sequence
from typing import Any

CHUNK: int

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
    """Run on the threads of this GOMP_parallel; 0: on threads of our own."""

def has_team() -> bool:
    """Whether the threads are the caller's."""

def poison(on: bool) -> None:
    """Fill all scratch memory with NaN before its use: for tests."""

class Program:
    """A scheduled program, decoded and checked."""

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
    """Run a program; see csrc/engine.h for what each array is. Releases the interpreter's lock."""

class Session:
    """A live recurrence; see csrc/session.h."""

    def __init__(self, programs: list[tuple[Program, Program]], isa: str, rows: int, bfloat16: bool) -> None: ...
    def pack(
        self,
        layer: int,
        project_weights: Sequence[int],
        project_vectors: Sequence[int],
        step_weights: Sequence[int],
        step_vectors: Sequence[int],
    ) -> None: ...
    def step(self, input: Any, output: Any) -> bool: ...
    def write_state(self, layer: int, leaf: int, address: int) -> None: ...
    def read_state(self, layer: int, leaf: int, address: int) -> None: ...
