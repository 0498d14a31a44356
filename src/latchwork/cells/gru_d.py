"""A gated recurrent unit for numbers that are missing at times, or that come at irregular ones."""

from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional

from latchwork.cells.cell import Cell, HiddenState
from latchwork.cells.gru import GRU
from latchwork.errors import ConfigError
from latchwork.types import Float, Tensor


class GRUDState(NamedTuple):
    """h: the output, [batch, hidden]; x: each feature's value when it was seen last, [batch, features], 0 before."""

    h: Float[Tensor, "batch hidden"]
    x: Float[Tensor, "batch features"]


class GRUD(Cell):
    """GRU-D: what was not seen for a time fades, in the input towards its mean and in the state towards zero.

    One step's input holds the values x, their mask m (1 seen, 0 missing), the time d since each was seen last, and
    what is left, u, which is read as it is:  [x, m, d, u], [3 features + rest].

        γ = exp(-max(0, w d + b_γ));   Γ = exp(-max(0, W_Γ d + b_Γ))
        x̂ = x where m is 1, otherwise γ x'                 x': the value seen last
        r, z, n = W [x̂, m, γ, u] + b;  r', z', n' = R (Γ h) + b'
        r = σ(r + r');  z = σ(z + z');  n = tanh(n + r n')
        h' = (1 - z) n + z Γ h

    The mean of every feature counts as 0: standardise them. With all values seen and no time gone by it is
    :class:`latchwork.cells.GRU`. Gates stand in the weights in the order r, z, n (reset, update, candidate).
    ``input``: W, [3 hidden, input]; ``recurrent``: R, [3 hidden, hidden]; ``decay_input``: w, [features];
    ``decay_state``: W_Γ, [hidden, features]; each with its bias. State: h, [batch, hidden], which is the output, and x,
    [batch, features], so that it streams; without features h alone. Only h is learned as an initial state and zoned
    out. Initialisation: uniform in ±1/√hidden; decays slow, w in 0 … 0.1 and W_Γ in 0 … 0.1 / features, without a bias,
    so that the time's unit should be one in which it is of the size of 1.

    ``features=None``: a third of the input's width. Read backwards, d counts from the value after: :meth:`backwards`.

    Source: Che et al. 2018, arXiv:1606.01865, with the reset gate as in :class:`GRU`, and γ given to the gates too.
    """

    gates = ("r", "z", "n")
    keeps = {"z": 1.0}  # noqa: RUF012 (a class constant, read only)
    independent = ("h",)
    State = GRUDState
    above = GRU
    """The cell of the layers above the first, whose inputs have no mask and no time."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        bias: bool = True,
        features: int | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias=bias)
        self.features = input_size // 3 if features is None else features
        if not 0 <= 3 * self.features <= input_size:
            raise ConfigError(
                f"features is {features}, expected at most a third of the {input_size} inputs: "
                "values, mask and time stand side by side"
            )
        self.input = nn.Linear(input_size, 3 * hidden_size, bias=bias, device=device, dtype=dtype)
        self.recurrent = nn.Linear(hidden_size, 3 * hidden_size, bias=bias, device=device, dtype=dtype)
        if self.features:
            self.decay_input = _Decay((self.features,), bias=bias, device=device, dtype=dtype)
            self.decay_state = _Decay((hidden_size, self.features), bias=bias, device=device, dtype=dtype)
        else:
            self.State = HiddenState
        self.reset_parameters()

    def project(self, inputs: Float[Tensor, "*batch input"]) -> tuple[Tensor, ...]:
        if not self.features:
            return (self.input(inputs),)
        x, mask, gaps, rest = inputs.split([self.features] * 3 + [self.input_size - 3 * self.features], -1)
        fade = self.decay_input(gaps)
        known = torch.cat((mask, fade, rest), -1)
        gates = functional.linear(known, self.input.weight[:, self.features :], self.input.bias)
        return gates, self.decay_state(gaps), x, mask, fade

    def step(
        self, projected: tuple[Tensor, ...], state: GRUDState | HiddenState, constants: tuple[Tensor, ...] = ()
    ) -> tuple[Tensor, GRUDState | HiddenState]:
        if isinstance(state, HiddenState):
            h = self._gated(projected[0], state.h)
            return h, HiddenState(h=h)
        gates, decay, x, mask, fade = projected
        seen = mask > 0.5
        read = torch.where(seen, x, fade * state.x)
        h = self._gated(gates + functional.linear(read, self.input.weight[:, : self.features]), decay * state.h)
        return h, GRUDState(h=h, x=torch.where(seen, x, state.x))

    def _gated(self, gates: Tensor, h: Tensor) -> Tensor:
        input_r, input_z, input_n = gates.chunk(3, -1)
        recurrent_r, recurrent_z, recurrent_n = self.recurrent(h).chunk(3, -1)
        r = (input_r + recurrent_r).sigmoid()
        z = (input_z + recurrent_z).sigmoid()
        n = (input_n + r * recurrent_n).tanh()
        return (1 - z) * n + z * h

    def backwards(self, inputs: Tensor, lengths: Tensor | None = None) -> Tensor:
        """The inputs with the time until each feature is seen next in place of the time since it was seen last.

        s_0 = 0, s_t = s_{t−1} + the most that any feature's d grew by since the step before; d'_t = (s of the next step
        at which it is seen, or of the last step) − s_t. A feature whose d is 0 at every step keeps it.
        """
        if not self.features or not inputs.shape[1]:
            return inputs
        x, mask, gaps, rest = inputs.split([self.features] * 3 + [self.input_size - 3 * self.features], -1)
        seen = mask > 0.5
        grown = gaps[:, 1:] - gaps[:, :-1].masked_fill(seen[:, :-1], 0.0)
        apart = functional.pad(grown.amax(-1).clamp(min=0.0), (1, 0))
        if lengths is not None:
            apart = apart.masked_fill(torch.arange(apart.shape[1], device=apart.device) >= lengths.unsqueeze(1), 0.0)
        times = apart.cumsum(1).unsqueeze(-1)
        at = torch.where(seen, times, torch.inf)
        if lengths is not None:  # what stands past the end is never seen
            active = torch.arange(at.shape[1], device=at.device) < lengths.unsqueeze(1)
            at = at.masked_fill(~active.unsqueeze(-1), torch.inf)
        after = functional.pad(at[:, 1:], (0, 0, 0, 1), value=torch.inf).flip(1).cummin(1).values.flip(1)
        until = torch.minimum(after, times[:, -1:]) - times
        until = until.masked_fill(~(gaps > 0).any(1, keepdim=True), 0.0)
        return torch.cat((x, mask, until, rest), -1)

    def initial_state(self, batch: int) -> GRUDState | HiddenState:
        """Zeros."""
        like = self.input.weight
        h = like.new_zeros(batch, self.hidden_size)
        return GRUDState(h=h, x=like.new_zeros(batch, self.features)) if self.features else HiddenState(h=h)

    def reset_parameters(self) -> None:
        super().reset_parameters()
        if self.features:
            self.decay_input.reset_parameters(0.1)
            self.decay_state.reset_parameters(0.1 / self.features)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, features={self.features}"


class _Decay(nn.Module):
    """exp(-max(0, w d + b)): w a number for each feature, or a matrix. Not a Linear: it starts in its own way."""

    def __init__(
        self,
        shape: tuple[int, ...],
        *,
        bias: bool,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(shape, device=device, dtype=dtype))
        self.bias = nn.Parameter(torch.empty(shape[0], device=device, dtype=dtype)) if bias else None

    def reset_parameters(self, most: float) -> None:
        with torch.no_grad():
            self.weight.uniform_(0.0, most)
            if self.bias is not None:
                self.bias.zero_()

    def forward(self, gaps: Float[Tensor, "*batch features"]) -> Float[Tensor, "*batch width"]:
        if self.weight.dim() > 1:
            rate = functional.linear(gaps, self.weight, self.bias)
        else:
            rate = gaps * self.weight if self.bias is None else gaps * self.weight + self.bias
        return (-rate.relu()).exp()
