"""torch.nn's ways to hand over sequences, brought to one form (padded, batch first) and back."""

from dataclasses import dataclass

import torch
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from latchwork.errors import DataError
from latchwork.kernels import Rows
from latchwork.sequences import mask_from_lengths
from latchwork.types import Bool, Int, Tensor


@dataclass(frozen=True)
class Layout:
    """How the caller's sequences lay, and what is needed to lay the answer the same way.

    batch_first: the layer's own flag. unbatched: one sequence, [time, features]. packed: the caller's PackedSequence;
    its rows are run in the order in which it holds them, longest first.
    """

    batch_first: bool
    unbatched: bool = False
    packed: PackedSequence | None = None

    def rows_in(self, rows: Tensor, dim: int) -> Tensor:
        """Rows of the caller (of a state, of resets) in the order in which they are run."""
        if self.unbatched:
            return rows.unsqueeze(dim)
        if self.packed is not None and self.packed.sorted_indices is not None:
            return rows.index_select(dim, self.packed.sorted_indices)
        return rows

    def rows_out(self, rows: Tensor, dim: int) -> Tensor:
        """The inverse of :meth:`rows_in`."""
        if self.unbatched:
            return rows.squeeze(dim)
        if self.packed is not None and self.packed.unsorted_indices is not None:
            return rows.index_select(dim, self.packed.unsorted_indices)
        return rows

    def outputs(self, outputs: Tensor) -> Tensor | PackedSequence:
        """[batch, time, features] as the caller lays sequences."""
        if self.packed is not None:
            lengths = _packed_lengths(self.packed)
            data = pack_padded_sequence(outputs, lengths, batch_first=True).data
            return self.packed._replace(data=data)
        if self.unbatched:
            return outputs.squeeze(0)
        return outputs if self.batch_first else outputs.transpose(0, 1)


def arrange(
    inputs: Tensor | PackedSequence,
    lengths: Int[Tensor, " batch"] | None,
    resets: Bool[Tensor, "..."] | None,
    *,
    batch_first: bool,
) -> tuple[Tensor, Tensor | None, Tensor | None, Layout]:
    """(inputs [batch, time, features], lengths, resets [batch, time], how they lay) from what torch.nn's layers take.

    ``resets`` lie as the inputs do, without the features; beside a PackedSequence, as its padded form.
    """
    if isinstance(inputs, PackedSequence):
        if lengths is not None:
            raise DataError("lengths came beside a PackedSequence, which has its own; give one of them")
        # Without the indices the rows come in the order in which they are packed.
        values, _ = pad_packed_sequence(inputs._replace(sorted_indices=None, unsorted_indices=None), batch_first=True)
        layout = Layout(batch_first, packed=inputs)
        lengths = _packed_lengths(inputs).to(values.device)
        if resets is not None:
            resets = layout.rows_in(resets if batch_first else resets.transpose(0, 1), 0)
    elif inputs.dim() == 2:
        if lengths is not None:
            raise DataError("lengths came beside one sequence without a batch; cut the sequence instead")
        layout = Layout(batch_first, unbatched=True)
        values = inputs.unsqueeze(0)
        resets = None if resets is None else resets.unsqueeze(0)
    else:
        layout = Layout(batch_first)
        values = inputs if batch_first else inputs.transpose(0, 1)
        resets = resets if resets is None or batch_first else resets.transpose(0, 1)
    for name, given, expected in (("lengths", lengths, values.shape[:1]), ("resets", resets, values.shape[:2])):
        if given is not None and given.shape != expected:
            raise DataError(f"{name} has {tuple(given.shape)} entries (batch first), expected {tuple(expected)}")
    return values, lengths, resets, layout


def rows_of(packed: PackedSequence) -> tuple[Rows, Int[Tensor, " tokens"]]:
    """Its rows, one behind the other: how they lie then, and where each of their steps lies in the packed data."""
    sizes = packed.batch_sizes
    rows = Rows.ragged(_packed_lengths(packed), len(sizes))
    assert rows.lengths is not None
    there = mask_from_lengths(rows.lengths, rows.steps)
    places = (sizes.cumsum(0) - sizes) + torch.arange(rows.batch).unsqueeze(1)
    return rows, places[there]


def _packed_lengths(packed: PackedSequence) -> Int[Tensor, " batch"]:
    """Steps of each row of a PackedSequence, in its own order: row r is there while a batch has more than r."""
    rows = torch.arange(int(packed.batch_sizes[0]))
    return (packed.batch_sizes.unsqueeze(0) > rows.unsqueeze(1)).sum(1)
