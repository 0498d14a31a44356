"""A batch of sequences: values with the batch first, each row's own length, and where rows begin anew."""

from dataclasses import dataclass, replace

import torch

from latchwork.errors import DataError
from latchwork.types import Bool, Float, Int, Tensor


def mask_from_lengths(lengths: Int[Tensor, " batch"], time: int) -> Bool[Tensor, "batch time"]:
    """True at the steps that exist.

    >>> mask_from_lengths(torch.tensor([2, 0]), 3)
    tensor([[ True,  True, False],
            [False, False, False]])
    """
    return torch.arange(time, device=lengths.device) < lengths.unsqueeze(1)


@dataclass(frozen=True)
class Batch:
    """Padded sequences.

    values   [batch, time, features]  what lies past a row's length is never read
    lengths  [batch]                  steps of each row; None: all of them
    resets   [batch, time]            True: the state before this step is fresh; None: nowhere
    times    [batch, time]            time stamps or elapsed time, for irregular series; None: evenly spaced
    """

    values: Float[Tensor, "batch time features"]
    lengths: Int[Tensor, " batch"] | None = None
    resets: Bool[Tensor, "batch time"] | None = None
    times: Tensor | None = None

    def __post_init__(self) -> None:
        batch, time = self.values.shape[:2]
        if self.lengths is not None and self.lengths.shape != (batch,):
            raise DataError(f"lengths has shape {tuple(self.lengths.shape)}, expected ({batch},): one for each row")
        # Only where the look costs nothing: on a GPU it would wait for the device, and batches are made on the CPU.
        if self.lengths is not None and batch and self.lengths.device.type == "cpu":
            shortest, longest = (int(end) for end in self.lengths.aminmax())
            if shortest < 0 or longest > time:
                raise DataError(
                    f"lengths go from {shortest} to {longest}, expected 0 to {time}, the steps of the batch"
                )
        if self.resets is not None and self.resets.shape != (batch, time):
            raise DataError(f"resets has shape {tuple(self.resets.shape)}, expected ({batch}, {time})")

    def to(self, device: torch.device | str) -> "Batch":
        """The same batch on another device."""
        move = {
            name: value.to(device)
            for name in ("values", "lengths", "resets", "times")
            if (value := getattr(self, name)) is not None
        }
        return replace(self, **move)
