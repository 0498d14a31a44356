"""What a step may be made of, one operation after another and in random company, and what is refused by name."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from latchwork.cells import Cell, HiddenState, LSTMState
from latchwork.errors import KernelError
from latchwork.kernels.cell_program import program_for

H = 8
OUTSIDE = torch.randn(H, dtype=torch.float64)

Step = Callable[..., Tensor]


class Small(Cell):
    """h' = compute(self, x, h), with parameters to play with. x is the first half of what was projected."""

    def __init__(self, compute: Step) -> None:
        super().__init__(3, H)
        self.input = nn.Linear(3, 2 * H)
        self.square = nn.Linear(H, H)
        self.small = nn.Linear(H // 2, H // 2)
        self.wide = nn.Linear(3 * H, H)
        self.norm = nn.LayerNorm(H)
        self.groups = nn.GroupNorm(2, H)
        self.W = nn.Parameter(torch.randn(H, H) * 0.3)
        self.v = nn.Parameter(torch.randn(H))
        self.a = nn.Parameter(torch.randn(()))
        self.heads = nn.Parameter(torch.randn(2, H // 2, H // 2))
        self.register_buffer("mask", torch.rand(H) > 0.5)
        self.register_buffer("places", torch.randperm(H))
        self.held = torch.randn(H, dtype=torch.float64)
        self.several = [torch.randn(H, dtype=torch.float64)]
        self.compute = compute
        self.double()

    def project(self, inputs: Tensor) -> tuple[Tensor, ...]:
        return (self.input(inputs),)

    def step(self, projected, state, constants=()):
        h = self.compute(self, projected[0], projected[0][:, :H], state.h, *constants)
        return h, HiddenState(h)


def in_place(s: Any, p: Tensor, x: Tensor, h: Tensor) -> Tensor:
    z = torch.zeros_like(h)
    z[:, :4] = p[:, 2:6]
    z[:, 5] = h[:, 1]
    z += h
    return z.mul_(0.5).tanh()


def without_gradient(s: Any, p: Tensor, x: Tensor, h: Tensor) -> Tensor:
    with torch.no_grad():
        gate = h.sigmoid()
    return gate * x + h.detach() * h


def loop(s: Any, p: Tensor, x: Tensor, h: Tensor) -> Tensor:
    for _ in range(4):
        h = h + 0.1 * torch.tanh(h @ s.W + x)
    return h


UNARY = ("sin", "cos", "exp", "expm1", "log", "log1p", "sqrt", "rsqrt", "reciprocal", "square", "erf", "log2", "log10")
UNARY = (*UNARY, "exp2", "floor", "trunc", "sign", "abs")
ACTIVATIONS = ("relu6", "elu", "celu", "selu", "mish", "softplus", "logsigmoid", "softsign", "tanhshrink", "hardtanh")

POINTWISE: dict[str, Step] = {
    **{name: lambda s, p, x, h, f=name: getattr(torch, f)(h.abs() * 0.3 + 0.2) * x for name in UNARY},
    **{name: lambda s, p, x, h, f=name: getattr(F, f)(h + x) for name in ACTIVATIONS},
    "gelu by tanh": lambda s, p, x, h: F.gelu(h + x, approximate="tanh"),
    "powers": lambda s, p, x, h: h.abs() ** 1.5 + x**2 + h**3 + x.abs() ** -0.5 + h**1 + h**0,
    "powers of rows": lambda s, p, x, h: h.abs() ** x.tanh() + 2.0 ** h.tanh(),
    "division": lambda s, p, x, h: h / (1 + x * x) + 1 / (1 + h * h) + torch.div(h, 0.3, rounding_mode="floor"),
    "lerp": lambda s, p, x, h: torch.lerp(h, x, 0.3) + torch.lerp(h, x, torch.sigmoid(s.v)),
    "addcmul": lambda s, p, x, h: torch.addcmul(h, x, h, value=0.5) + torch.addcdiv(h, x, 1 + h * h),
    "logaddexp": lambda s, p, x, h: torch.logaddexp(h, x),
    "glu": lambda s, p, x, h: F.glu(p, -1) + h * s.v,
    "where": lambda s, p, x, h: torch.where((x > 0) & ~(h < 1) | (h <= x), h * s.v, s.a),
    "masks": lambda s, p, x, h: (h * (x > 0)).masked_fill(s.mask, 0.5) + (h != 0) * x,
    "logical": lambda s, p, x, h: torch.logical_and(x > 0, torch.logical_or(h >= 0, h == x)) * h,
    "clamp": lambda s, p, x, h: (h + x).clamp(-0.5, 0.5) + (h * x).clamp(min=s.v) + h.clamp(max=0.1),
    "not a number": lambda s, p, x, h: torch.nan_to_num(h / (h - h)) + x,
    "alpha": lambda s, p, x, h: torch.add(h, x, alpha=2) - torch.sub(x, h, alpha=0.5) + torch.rsub(x, h, alpha=3),
    "scalars of rows": lambda s, p, x, h: x[:, :1] * h + h[:, 2:3],
    "written out": lambda s, p, x, h: h * torch.tensor([1.0, 2, 3, 4, 5, 6, 7, 8]) + x * torch.tensor(0.5),
    "arange": lambda s, p, x, h: h * torch.arange(H, dtype=h.dtype) + x,
    "a parameter of one number": lambda s, p, x, h: x * s.a + h * s.a.exp() + s.a,
    "parameters alone": lambda s, p, x, h: h * (s.W @ s.v).softmax(0) + x,
    "ones and zeros": lambda s, p, x, h: (h + torch.zeros_like(h)) * torch.ones(len(h), H, dtype=h.dtype) + 0.0 * x,
    "in place on its own": in_place,
    "without gradient": without_gradient,
    "same": lambda s, p, x, h: h,
    "nothing of the state": lambda s, p, x, h: torch.zeros_like(h) + x,
}

VIEWS: dict[str, Step] = {
    "flip": lambda s, p, x, h: h.flip(-1) + x,
    "roll": lambda s, p, x, h: h.roll(1, -1) + x,
    "every other": lambda s, p, x, h: p[:, ::2] + h,
    "interleaved": lambda s, p, x, h: p.view(-1, H, 2)[..., 0] + h * p.unflatten(1, (H, 2)).select(2, 1),
    "pad": lambda s, p, x, h: F.pad(h[:, :5], (2, 1)) + x,
    "stack": lambda s, p, x, h: torch.stack([x, h, h * s.v], 1).amax(1) + torch.stack([x, h * s.v], -1).mean(-1),
    "repeat": lambda s, p, x, h: h[:, :4].repeat(1, 2) + x + s.v.repeat(len(h), 1),
    "repeat_interleave": lambda s, p, x, h: h[:, :4].repeat_interleave(2, 1) + x,
    "unbind": lambda s, p, x, h: torch.cat(h.view(-1, 2, 4).unbind(1)[::-1], 1) + x,
    "expand": lambda s, p, x, h: h.unsqueeze(1).expand(-1, 2, -1).sum(1) + s.v.expand(len(h), -1) * x,
    "transposed": lambda s, p, x, h: h.t().reshape(2, 4, -1).transpose(0, 1).flatten(0, 1).t() + x,
    "batches together": lambda s, p, x, h: torch.stack(s.square(torch.cat([h, x])).tanh().chunk(2)).sum(0) + h,
    "a batch of several": lambda s, p, x, h: torch.cat([h, x, h * x])[len(h) : 2 * len(h)] * h,
    "squeezed": lambda s, p, x, h: (h.unsqueeze(1) * x.unsqueeze(1)).squeeze(1).squeeze(),
    "tiled": lambda s, p, x, h: torch.einsum("bi,bj->bij", h[:, :4], x[:, :2]).flatten(1),
}

REDUCTIONS: dict[str, Step] = {
    "softmax": lambda s, p, x, h: torch.softmax(x + s.square(h), -1) * h,
    "softmax of heads": lambda s, p, x, h: torch.softmax((x + s.square(h)).view(-1, 2, 4), -1).flatten(1) * h,
    "log_softmax": lambda s, p, x, h: torch.log_softmax(x + h, -1) * h,
    "logsumexp": lambda s, p, x, h: h + torch.logsumexp(x + h, -1, keepdim=True),
    "moments": lambda s, p, x, h: (
        h / (h.std(-1, keepdim=True) + 1) + x / (1 + x.var(-1, keepdim=True)) + h.mean(1, True)
    ),
    "norms": lambda s, p, x, h: F.normalize(h, dim=-1) + x / x.norm(p=1, dim=-1, keepdim=True),
    "layer norm": lambda s, p, x, h: s.norm(x + s.square(h)),
    "group norm": lambda s, p, x, h: s.groups(x + s.square(h)),
    "rms norm": lambda s, p, x, h: F.rms_norm(x + s.square(h), (H,), s.v),
    "extremes": lambda s, p, x, h: h.amin(-1, keepdim=True) + x - x.amax(-1, keepdim=True) * h,
    "partly constant": lambda s, p, x, h: torch.cat([h, torch.ones_like(x), s.v.expand_as(x)], 1).sum(1, True) * x,
    "of a scalar": lambda s, p, x, h: (h[:, :1] + torch.zeros_like(x)).sum(-1, keepdim=True) * x + h,
}

PRODUCTS: dict[str, Step] = {
    "transposed weight": lambda s, p, x, h: x + h @ s.W.T,
    "from the left": lambda s, p, x, h: x + (s.W @ h.T).T,
    "a weight of weights": lambda s, p, x, h: x + h @ (s.W - s.W.T) + h @ torch.tril(s.W, -1) + h @ s.W.softmax(1),
    "part of a weight": lambda s, p, x, h: x[:, :4] @ s.W[2:6] + h[:, 4:] @ s.W.t()[:4, :] + h,
    "a vector": lambda s, p, x, h: x + (h @ s.v).unsqueeze(1),
    "addmm": lambda s, p, x, h: torch.addmm(x, h, s.W, beta=0.5, alpha=2) + torch.addmm(s.v, h, s.W),
    "of joined rows": lambda s, p, x, h: (
        s.wide(torch.cat([p, h], -1)) + s.wide(torch.cat([x, torch.zeros_like(h), h], -1))
    ),
    "of a scalar row": lambda s, p, x, h: s.square(h[:, :1].expand(-1, H)) + x,
    "shared by heads": lambda s, p, x, h: x + s.small(h.view(-1, 2, 4)).flatten(1),
    "blocks": lambda s, p, x, h: x + torch.einsum("bhi,hoi->bho", h.unflatten(-1, (2, 4)), s.heads).flatten(1),
    "blocks turned": lambda s, p, x, h: x + torch.einsum("bhi,hoi->boh", h.unflatten(-1, (2, 4)), s.heads).flatten(1),
    "batched": lambda s, p, x, h: x + (s.heads @ h.view(-1, 2, 4, 1)).flatten(1),
    "batched on the right": lambda s, p, x, h: x + (h.view(-1, 2, 1, 4) @ s.heads).flatten(1),
    "expanded": lambda s, p, x, h: x + torch.bmm(h.unsqueeze(1), s.W.expand(len(h), H, H)).squeeze(1),
    "of two rows, small": lambda s, p, x, h: x + torch.einsum("bij,bj->bi", h.view(-1, 2, 4), x[:, :4]).repeat(1, 4),
    "again and again": loop,
}


@pytest.mark.parametrize("name", [*POINTWISE, *VIEWS, *REDUCTIONS, *PRODUCTS])
def test_operation(check_program, name: str) -> None:
    torch.manual_seed(1)
    check_program(Small({**POINTWISE, **VIEWS, **REDUCTIONS, **PRODUCTS}[name]))


def test_constants_of_a_sequence(check_program) -> None:
    check_program(Small(lambda s, p, x, h, c, d: (h @ s.W * c + x * (d @ s.W[:5])).tanh()), constants=(H, 5))


RANDOM = "draws random numbers"
VALUE = "asks for the value of a tensor"
OTHERS = "a row must not depend on the others"

REFUSED: dict[str, tuple[Step, str]] = {
    "an operation": (lambda s, p, x, h: h.cumsum(-1) + x, r"Small\.step uses aten\.cumsum\.default, which is outside"),
    "an index": (lambda s, p, x, h: h[:, s.places] + x, r"aten\.index\.Tensor, which is outside the compiled set"),
    "sorting": (lambda s, p, x, h: h.sort(-1).values + x, r"aten\.sort"),
    "random numbers": (lambda s, p, x, h: h * torch.rand_like(h) + x, rf"{RANDOM} \(aten\.rand_like"),
    "dropout": (lambda s, p, x, h: F.dropout(h, 0.5) + x, RANDOM),
    "a branch": (lambda s, p, x, h: h if h.sum() > 0 else x, VALUE),
    "an item": (lambda s, p, x, h: h * h.sum().item(), VALUE),
    "an attribute": (lambda s, p, x, h: h * s.held + x, r"uses the tensor held, which is neither a parameter"),
    "one of several": (lambda s, p, x, h: h * s.several[0] + x, r"uses the tensor several\[0\]"),
    "a global": (lambda s, p, x, h: h * OUTSIDE + x, "uses the tensor from outside"),
    "what was given": (lambda s, p, x, h: h.add_(x).tanh(), "changes a tensor in place that is not its own"),
    "a buffer": (lambda s, p, x, h: s.mask.logical_not_() * h + x, "changes a tensor in place|given in place"),
    "a mean of rows": (lambda s, p, x, h: h - h.mean(0) + x, OTHERS),
    "a sum of rows": (lambda s, p, x, h: h - h.sum(0) + x, OTHERS),
    "the batch's size": (lambda s, p, x, h: h / len(h) + x, OTHERS),
    "the batch's root": (lambda s, p, x, h: h * len(h) ** 0.5 + x, OTHERS),
    "rows turned": (lambda s, p, x, h: h.flip(0) + x, "turns the batch around"),
    "rows by rows": (lambda s, p, x, h: h @ h.T @ x, "on two values of a row at once"),
    "a row of the batch": (lambda s, p, x, h: h - h[0] + x, "takes a row out of the batch"),
    "neighbours": (
        lambda s, p, x, h: torch.cat([h[1:], h[:1]]) + x,
        "takes rows out of the batch|the size of the batch",
    ),
    "another width": (lambda s, p, x, h: p, r"returns shape \(16,\) for each row, expected \(8,\)"),
    "another type": (lambda s, p, x, h: x > h, "returns torch.bool, expected floating point"),
    "a mistake": (lambda s, p, x, h: h @ x, r"Small\.step can't be traced: RuntimeError"),
    "checkpoints": (lambda s, p, x, h: checkpoint(torch.tanh, h, use_reentrant=False) + x, "can't be traced"),
    "a large product of rows": (
        lambda s, p, x, h: (p.repeat(1, 32).view(-1, 16, 32) @ p.repeat(1, 16).view(-1, 32, H)).sum(1) * h,
        r"on two values of a row at once \(16x32 by 32x8\)",
    ),
    "too many pieces": (lambda s, p, x, h: p.repeat(1, 512)[:, ::2].flip(1).view(-1, 512, H).amax(1) * h, "pieces"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_by_name(name: str) -> None:
    compute, message = REFUSED[name]
    with pytest.raises(KernelError, match=message) as error:
        program_for(Small(compute), dtype=torch.float64)
    assert "\n" not in str(error.value)


def test_hooks_are_refused() -> None:
    cell = Small(lambda s, p, x, h: s.square(h) + x)
    handle = cell.square.register_forward_hook(lambda *_: None)
    with pytest.raises(KernelError, match=r"Small\.square has hooks"):
        program_for(cell, dtype=torch.float64)
    handle.remove()
    program_for(cell, dtype=torch.float64)


# Random steps. Values are kept small by tanh, and away from poles, so that gradients can be compared.

WIDTHS = (4, 8)
SINGLE: Sequence[Callable[[Any, Tensor], Tensor]] = (
    lambda s, a: a.tanh(),
    lambda s, a: a.sigmoid(),
    lambda s, a: F.silu(a),
    lambda s, a: F.softplus(a),
    lambda s, a: a.abs().add(0.1).sqrt(),
    lambda s, a: a.relu() - 0.5,
    lambda s, a: 1 - a,
    lambda s, a: a.softmax(-1),
    lambda s, a: F.layer_norm(a, a.shape[-1:]),
    lambda s, a: a - a.mean(-1, keepdim=True),
    lambda s, a: a.amax(-1, keepdim=True) * a,
    lambda s, a: s.products[f"{a.shape[-1]}"](a).tanh(),
    lambda s, a: (a @ s.weights[f"{a.shape[-1]}"]).tanh(),
    lambda s, a: a * s.vectors[f"{a.shape[-1]}"],
    lambda s, a: a + s.vectors[f"{a.shape[-1]}"].exp(),
    lambda s, a: torch.einsum("bhi,hio->bho", a.unflatten(-1, (2, -1)), s.blocks[f"{a.shape[-1]}"]).flatten(1).tanh(),
    lambda s, a: a.chunk(2, -1)[1].repeat(1, 2),
    lambda s, a: torch.cat(a.chunk(2, -1)[::-1], -1),
    lambda s, a: a.unflatten(-1, (-1, 2)).transpose(1, 2).flatten(1),
)
DOUBLE: Sequence[Callable[[Any, Tensor, Tensor], Tensor]] = (
    lambda s, a, b: a + b,
    lambda s, a, b: a - 0.5 * b,
    lambda s, a, b: a * b,
    lambda s, a, b: a / (1 + b * b),
    lambda s, a, b: torch.maximum(a, b),
    lambda s, a, b: torch.where(a > b, a * b, b),
    lambda s, a, b: torch.stack([a, b, a * b], 1).sum(1),
    lambda s, a, b: s.joined[f"{a.shape[-1]}"](torch.cat([a, b], -1)).tanh(),
)


class Random(Cell):
    """A step by a plan: each entry takes values that are there and adds one."""

    State = LSTMState

    def __init__(self, plan: tuple[tuple[int, int, int], ...]) -> None:
        super().__init__(2, 8)
        self.plan = plan
        self.input = nn.Linear(2, 12)
        self.products = nn.ModuleDict({f"{n}": nn.Linear(n, n) for n in WIDTHS})
        self.joined = nn.ModuleDict({f"{n}": nn.Linear(2 * n, n, bias=False) for n in WIDTHS})
        self.weights = nn.ParameterDict({f"{n}": nn.Parameter(torch.randn(n, n) * 0.4) for n in WIDTHS})
        self.vectors = nn.ParameterDict({f"{n}": nn.Parameter(torch.randn(n)) for n in WIDTHS})
        self.blocks = nn.ParameterDict({f"{n}": nn.Parameter(torch.randn(2, n // 2, n // 2)) for n in WIDTHS})
        self.double()

    def initial_state(self, batch: int) -> LSTMState:
        zeros = self.vectors["8"].new_zeros
        return LSTMState(zeros(batch, 8), zeros(batch, 4))

    def project(self, inputs: Tensor) -> tuple[Tensor, ...]:
        return (self.input(inputs),)

    def step(self, projected, state, constants=()):
        pools = {8: [projected[0][:, :8], state.h], 4: [projected[0][:, 8:], state.c]}
        for operation, first, second in self.plan:
            pool = pools[WIDTHS[first % 2]]
            a, b = pool[first % len(pool)], pool[second % len(pool)]
            if operation < len(SINGLE):
                pool.append(SINGLE[operation](self, a))
            elif operation < len(SINGLE) + len(DOUBLE):
                pool.append(DOUBLE[operation - len(SINGLE)](self, a, b))
            elif len(pools[4]) <= len(pools[8]):
                pools[4] += pools[8][second % len(pools[8])].split(4, -1)
            else:
                pools[8].append(torch.cat([pools[4][first % len(pools[4])], pools[4][second % len(pools[4])]], -1))
        h = torch.stack(pools[8][2:] + pools[8][:1]).sum(0).tanh()
        c = math.prod(len(pool) for pool in pools.values()) ** -0.5 * pools[4][-1] + pools[4][len(pools[4]) // 2]
        return h, LSTMState(h, c)


STEP = st.tuples(st.integers(0, len(SINGLE) + len(DOUBLE) + 3), st.integers(0, 30), st.integers(0, 30))


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(STEP, min_size=1, max_size=12).map(tuple))
@example(tuple((operation, operation, 2 * operation + 1) for operation in range(len(SINGLE) + len(DOUBLE))))
def test_random_steps(check_program, plan) -> None:
    torch.manual_seed(len(plan))
    cell = Random(plan)
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.4)
    check_program(cell, tolerance=1e-9)
