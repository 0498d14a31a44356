"""State as a value: trees of NamedTuples whose leaves are tensors with the batch first.

A state is never kept on a module. These few functions are all that streams, beam search, pools and checkpoints do with
one.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor

from latchwork.errors import StateError

S = TypeVar("S")


def map_state(function: Callable[[Tensor], Tensor], state: S) -> S:
    """Apply ``function`` to every leaf and keep the shape of the tree.

    >>> map_state(lambda leaf: leaf + 1, (torch.zeros(2), None))
    (tensor([1., 1.]), None)
    """
    return zip_states(function, state)


def zip_states(function: Callable[..., Tensor], state: S, *others: S) -> S:
    """Apply ``function`` to the leaves of several states of the same shape, leaf by leaf."""
    tree: Any = state
    if tree is None:
        return state
    if isinstance(tree, Tensor):
        return function(tree, *others)  # type: ignore[return-value]
    if not isinstance(tree, tuple):
        raise StateError(f"a state is made of tensors and tuples, not of {type(tree).__name__}")
    leaves = [zip_states(function, *parts) for parts in zip(tree, *others, strict=True)]  # type: ignore[call-overload]
    return type(tree)(*leaves) if hasattr(tree, "_fields") else tuple(leaves)  # type: ignore[return-value]


def select(state: S, rows: Tensor | Sequence[int] | slice) -> S:
    """The state of some rows of the batch, in the order given; a row may stand twice (beam search, fork)."""
    index = rows if isinstance(rows, (Tensor, slice)) else torch.as_tensor(list(rows), dtype=torch.long)
    return map_state(lambda leaf: leaf[index], state)


def concatenate(states: Sequence[S]) -> S:
    """One batch made of several states, in order; the inverse of :func:`select` row by row."""
    return zip_states(lambda *leaves: torch.cat(leaves), *states)


def detach(state: S) -> S:
    """The same values, cut from the graph: what truncated backpropagation carries from chunk to chunk."""
    return map_state(Tensor.detach, state)


def where(condition: Tensor, state: S, other: S) -> S:
    """Row by row: ``state`` where ``condition [batch]`` holds, ``other`` elsewhere."""

    def pick(left: Tensor, right: Tensor) -> Tensor:
        return torch.where(condition.view(-1, *[1] * (left.dim() - 1)), left, right)

    return zip_states(pick, state, other)


def flatten(state: Any, prefix: str = "") -> dict[str, Tensor]:
    """The leaves by name (``0.h``, ``0.c``, …): what is written to a file.

    >>> list(flatten(((torch.zeros(1), torch.zeros(1)), torch.zeros(1))))
    ['0.0', '0.1', '1']
    """
    if state is None:
        return {}
    if isinstance(state, Tensor):
        return {prefix: state}
    names = getattr(state, "_fields", range(len(state)))
    flat: dict[str, Tensor] = {}
    for name, part in zip(names, state, strict=True):
        flat.update(flatten(part, f"{prefix}.{name}" if prefix else str(name)))
    return flat


def unflatten(like: S, leaves: Mapping[str, Tensor]) -> S:
    """The inverse of :func:`flatten`: ``like`` gives the tree, and shapes (past the batch) and types to check."""
    expected = flatten(like)
    if expected.keys() != leaves.keys():
        missing, extra = sorted(expected.keys() - leaves.keys()), sorted(leaves.keys() - expected.keys())
        raise StateError(f"the saved state does not fit this model: missing {missing}, not known {extra}")
    for name, leaf in expected.items():
        got = leaves[name]
        if got.shape[1:] != leaf.shape[1:] or got.dtype != leaf.dtype:
            raise StateError(
                f"the saved state does not fit this model: {name} is {got.dtype} {tuple(got.shape)}, "
                f"expected {leaf.dtype} {tuple(leaf.shape)} (the first size is the batch)"
            )
    batches = {leaf.shape[:1] for leaf in leaves.values()}
    if len(batches) > 1:
        sizes = sorted(int(size[0]) for size in batches if size)
        raise StateError(f"the saved state is torn: its leaves hold batches of {sizes} rows, expected one size")
    order = iter(expected)
    return map_state(lambda _: leaves[next(order)], like)
