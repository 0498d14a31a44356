"""The exceptions of latchwork.

    LatchworkError                 everything below; catching it catches all that latchwork raises on purpose
    ├── DataError                  the data: a file, a row, a column, a value
    ├── ConfigError                an option: unknown, out of range, or two that contradict each other
    ├── ModelFileError             a run folder or a file of it: missing, damaged, from a newer version
    ├── StateError                 a stream: a row out of order, a snapshot of another model
    ├── KernelError                a cell that the kernel asked for can't run
    ├── TrainingError              training that can't go on: the loss stays NaN or explodes
    └── MissingExtra               an optional package is not installed

A message says what came, what was expected and what to do. The command line prints it in one line and exits with 2.
"""

import difflib
from collections.abc import Iterable


class LatchworkError(Exception):
    """Base of every error that latchwork raises on purpose."""


class DataError(LatchworkError, ValueError):
    """The data can't be used as it is: names the file, row and column where there are any."""


class ConfigError(LatchworkError, ValueError):
    """An option is unknown, out of range, or contradicts another."""


class ModelFileError(LatchworkError):
    """A run folder or model file is missing, damaged, or written by a newer version."""


class StateError(LatchworkError):
    """A stream was given a row out of order or a state that is not its own; the state is left as it was."""


class KernelError(LatchworkError):
    """The kernel asked for can't run this cell or these options."""


class TrainingError(LatchworkError):
    """Training can't go on: the loss stayed NaN or exploded after the allowed number of roll-backs."""


class MissingExtra(LatchworkError, ImportError):
    """An optional package is not installed; the message names the extra that brings it."""


NO_MEMORY = (
    "can't allocate memory",
    "DefaultCPUAllocator",
    "out of memory",
    "std::bad_alloc",
    "Storage size calculation overflowed",
    "Overflow when unpacking long",
)
"""What torch says, without a type of its own, where a tensor has no room or is larger than can be counted."""


def out_of_memory(error: BaseException) -> bool:
    """Whether there was too little memory: on a processor torch says so in a plain RuntimeError.

    >>> out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"))
    True
    >>> out_of_memory(RuntimeError("shapes do not match"))
    False
    """
    if isinstance(error, MemoryError):
        return True
    return isinstance(error, (RuntimeError, TypeError)) and any(one in str(error) for one in NO_MEMORY)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ``'; did you mean "x"?'`` for the nearest known name, or ``''`` where none is near.

    >>> did_you_mean("unts", ["units", "price"])
    '; did you mean "units"?'
    >>> did_you_mean("zzz", ["units"])
    ''
    """
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f'; did you mean "{near[0]}"?' if near else ""
