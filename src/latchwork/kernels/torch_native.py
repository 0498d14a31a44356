"""PyTorch's own fused recurrences, for the cells that are PyTorch's: what torch.nn.LSTM, GRU and RNN call."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from operator import attrgetter
from typing import Any

import torch
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from latchwork.cells import GRU, LSTM, RNN, Cell, HiddenState, LSTMState
from latchwork.errors import KernelError
from latchwork.kernels.structure import hooked
from latchwork.sequences import mask_from_lengths, where
from latchwork.types import Bool, Float, Int, Tensor


def refusal(
    cell: Cell, *, resets: Bool[Tensor, "batch time"] | None = None, constants: tuple[Tensor, ...] = ()
) -> str | None:
    """Why PyTorch's own recurrences can't run this, or None where they can."""
    if type(cell) not in (LSTM, GRU, RNN):
        return f"{type(cell).__name__} is not one of PyTorch's own recurrences"
    if isinstance(cell, RNN) and cell.activation not in ("tanh", "relu"):
        return f"PyTorch's own RNN knows tanh and relu, not {cell.activation}"
    if resets is not None:
        return "PyTorch's own recurrences have no resets inside a row"
    if constants:
        return "PyTorch's own recurrences take no constants"
    if (module := hooked(cell)) is not None:
        return f"{type(cell).__name__}.{module} has hooks, which PyTorch's own recurrences would not call"
    return None


def packs(cell: Cell) -> bool:
    """Whether ragged rows of this cell have to be packed.

    A GRU and a tanh RNN run on over the padding, bounded and unread, and each row's final state is its last output. An
    LSTM's final c is in no output, and a ReLU RNN may overflow in the padding, where 0 * inf would spoil the gradient.
    """
    return not (isinstance(cell, GRU) or (isinstance(cell, RNN) and cell.activation == "tanh"))


def run(
    cell: Cell,
    inputs: Float[Tensor, "batch time input"],
    state: Any = None,
    *,
    lengths: Int[Tensor, " batch"] | None = None,
    resets: Bool[Tensor, "batch time"] | None = None,
    reverse: bool = False,
    fresh: Any = None,
    constants: tuple[Tensor, ...] = (),
) -> tuple[Float[Tensor, "batch time output"], Any]:
    """The same answer as :func:`latchwork.kernels.loop.run`, by PyTorch's own recurrence of that cell.

    Raises :class:`KernelError` where :func:`refusal` names a reason.
    """
    if reason := refusal(cell, resets=resets, constants=constants):
        raise KernelError(f'kernel "torch" can\'t run this: {reason}; use kernel="loop" or "auto"')
    batch, time = inputs.shape[:2]
    if state is None:
        state = cell.initial_state(batch) if fresh is None else fresh
    if time == 0 or batch == 0:
        return inputs.new_zeros(batch, time, cell.output_size), state
    if lengths is None:
        turned = inputs.flip(1) if reverse else inputs
        outputs, final = _recur(cell, turned, state)
        return (outputs.flip(1) if reverse else outputs), final

    active = mask_from_lengths(lengths, time)
    inputs = inputs.masked_fill(~active.unsqueeze(-1), 0.0)
    turned = _turn(inputs, lengths) if reverse else inputs
    # PyTorch packs no empty rows: they run over one step of zeros, which is then taken away again.
    ends = lengths.clamp(min=1)
    if packs(cell):
        packed = pack_padded_sequence(turned, ends.cpu(), batch_first=True, enforce_sorted=False)
        outputs, final = _recur_packed(cell, packed, state, time)
    else:
        outputs, _ = _recur(cell, turned, state)
        final = HiddenState(h=outputs[torch.arange(batch, device=ends.device), ends - 1])
    outputs = _turn(outputs, lengths) if reverse else outputs
    outputs = outputs.masked_fill(~active.unsqueeze(-1), 0.0)
    return outputs, where(lengths > 0, final, state)


def _turn(values: Tensor, lengths: Tensor) -> Tensor:
    """Each row back to front within its own length; padding stays where it is."""
    steps = torch.arange(values.shape[1], device=values.device)
    ends = lengths.unsqueeze(1)
    index = torch.where(steps < ends, ends - 1 - steps, steps)
    return values.gather(1, index.unsqueeze(-1).expand_as(values))


def _weights(cell: Cell) -> list[Tensor]:
    """The cell's tensors in the order of PyTorch's flat weights."""
    names = ["input.weight", "recurrent.weight"]
    if cell.bias:
        names += ["input.bias", "recurrent.bias"]
    if isinstance(cell, LSTM) and cell.proj_size:
        names.append("projection.weight")
    # By attribute and not from named_parameters: a parametrized or dropped weight is a plain tensor.
    return [attrgetter(name)(cell) for name in names]


def _function(cell: Cell) -> Any:
    if isinstance(cell, RNN):
        return torch.rnn_tanh if cell.activation == "tanh" else torch.rnn_relu
    return torch.lstm if isinstance(cell, LSTM) else torch.gru


def _hidden(cell: Cell, state: Any) -> Any:
    """State -> PyTorch's: one layer, one direction."""
    parts = [leaf.unsqueeze(0).contiguous() for leaf in state]
    return parts if isinstance(cell, LSTM) else parts[0]


def _state(cell: Cell, parts: tuple[Tensor, ...]) -> Any:
    leaves = [leaf.squeeze(0) for leaf in parts]
    return LSTMState(*leaves) if isinstance(cell, LSTM) else HiddenState(*leaves)


@contextmanager
def _unflattened(inputs: Tensor) -> Iterator[None]:
    """cuDNN warns where the weights do not lie in one piece. A cell's are parameters of their own, so they never do."""
    if not inputs.is_cuda:
        yield
        return
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="RNN module weights are not part of single contiguous chunk")
        yield


def _recur(cell: Cell, inputs: Tensor, state: Any) -> tuple[Tensor, Any]:
    # cuDNN keeps what its backward needs in training mode only; with no dropout here, the mode changes nothing else.
    train = torch.is_grad_enabled()
    with _unflattened(inputs):
        outputs, *final = _function(cell)(
            inputs, _hidden(cell, state), _weights(cell), cell.bias, 1, 0.0, train, False, True
        )
    return outputs, _state(cell, tuple(final))


def _recur_packed(cell: Cell, packed: PackedSequence, state: Any, time: int) -> tuple[Tensor, Any]:
    train = torch.is_grad_enabled()
    ordered = type(state)(*(leaf[packed.sorted_indices] for leaf in state))
    with _unflattened(packed.data):
        data, *final = _function(cell)(
            packed.data, packed.batch_sizes, _hidden(cell, ordered), _weights(cell), cell.bias, 1, 0.0, train, False
        )
    outputs, _ = pad_packed_sequence(packed._replace(data=data), batch_first=True, total_length=time)
    return outputs, _state(cell, tuple(leaf[:, packed.unsorted_indices] for leaf in final))
