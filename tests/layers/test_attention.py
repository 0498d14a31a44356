import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from latchwork.errors import ConfigError, DataError
from latchwork.layers import ATTENTIONS, Attention, attention
from latchwork.sequences import mask_from_lengths

KINDS = st.sampled_from(ATTENTIONS)


def made(kind: str, query: int = 4, memory: int = 5, *, coverage: bool = False) -> Attention:
    layer = Attention(kind, query, query if kind == "dot" else memory, coverage=coverage).double()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.normal_()
    return layer


def width(layer: Attention) -> int:
    return 4 if layer.kind == "dot" else 5


def by_hand(layer: Attention, query: torch.Tensor, steps: torch.Tensor, covered: torch.Tensor) -> torch.Tensor:
    """The weights of one query over one memory, term by term."""
    scores = []
    for step, c in zip(steps, covered, strict=True):
        if layer.kind == "bahdanau":
            energy = layer.key.weight @ step + layer.query.weight @ query + layer.query.bias
            energy = energy + c * layer.covered if layer.coverage else energy
            scores.append(layer.score @ energy.tanh())
        else:
            key = step if layer.kind == "dot" else layer.key.weight @ step
            scores.append(query @ key + (c * layer.covered if layer.coverage else 0.0))
    return torch.stack(scores).softmax(0)


@given(KINDS, st.booleans(), st.integers(0, 999))
@settings(max_examples=30)
def test_weights_are_as_by_hand_and_padding_never_counts(kind: str, coverage: bool, seed: int) -> None:
    torch.manual_seed(seed)
    layer = made(kind, coverage=coverage)
    lengths = torch.tensor([6, 3, 1])
    there = mask_from_lengths(lengths, 6)
    values = torch.randn(3, 6, width(layer), dtype=torch.float64)
    queries = torch.randn(3, 2, 4, dtype=torch.float64)
    covered = torch.rand(3, 2, 6, dtype=torch.float64)
    seen = layer(queries, layer.keys(values), values, there, covered)
    torch.testing.assert_close(seen.weights.sum(-1), torch.ones(3, 2, dtype=torch.float64))
    assert (seen.weights.masked_select(~there.unsqueeze(1)) == 0).all()
    for row, length in enumerate(lengths.tolist()):
        for place in range(2):
            own = by_hand(layer, queries[row, place], values[row, :length], covered[row, place, :length])
            torch.testing.assert_close(seen.weights[row, place, :length], own)
            torch.testing.assert_close(seen.context[row, place], own @ values[row, :length])
    others = values.masked_fill(~there.unsqueeze(-1), 1e6)
    again = layer(queries, layer.keys(others), others, there, covered)
    torch.testing.assert_close(again.context, seen.context)


@pytest.mark.parametrize("kind", ATTENTIONS)
@pytest.mark.parametrize("steps", [0, 3])
def test_of_a_memory_without_steps_the_context_is_zero(kind: str, steps: int) -> None:
    layer = made(kind)
    values = torch.zeros(2, steps, width(layer), dtype=torch.float64)
    queries = torch.randn(2, 1, 4, dtype=torch.float64, requires_grad=True)
    seen = layer(queries, layer.keys(values), values, torch.zeros(2, steps, dtype=torch.bool))
    assert seen.context.eq(0).all()
    assert seen.weights.eq(0).all()
    (seen.context.sum() + seen.weights.sum()).backward()
    assert queries.grad is not None
    assert queries.grad.isfinite().all()


@given(KINDS, st.booleans())
@settings(max_examples=6)
def test_gradients(kind: str, coverage: bool) -> None:
    torch.manual_seed(0)
    layer = made(kind, coverage=coverage)
    there = mask_from_lengths(torch.tensor([3, 2]), 3)
    tensors = [torch.randn(2, 2, 4), torch.randn(2, 3, width(layer)), torch.rand(2, 2, 3)]
    tensors = [one.double().requires_grad_() for one in tensors]

    def run(queries: torch.Tensor, values: torch.Tensor, covered: torch.Tensor, *_: torch.Tensor) -> torch.Tensor:
        return layer(queries, layer.keys(values), values, there, covered).context

    assert torch.autograd.gradcheck(run, (*tensors, *layer.parameters()))


def test_many_queries_give_what_single_ones_give(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    layer = made("bahdanau", coverage=True)
    there = mask_from_lengths(torch.tensor([3, 2]), 3)
    queries, values = torch.randn(2, 7, 4).double(), torch.randn(2, 3, 5).double()
    covered = torch.rand(2, 7, 3).double()
    whole = layer(queries, layer.keys(values), values, there, covered)
    monkeypatch.setattr(attention, "AT_ONCE", 60)
    torch.testing.assert_close(layer(queries, layer.keys(values), values, there, covered), whole)


def test_what_is_wrong_is_said() -> None:
    with pytest.raises(ConfigError, match=r'attention is "bahdanu".*did you mean "bahdanau"'):
        Attention("bahdanu", 4, 4)
    with pytest.raises(ConfigError, match="as wide as the memory, and these are 4 and 6"):
        Attention("dot", 4, 6)
    with pytest.raises(ConfigError, match="width is for bahdanau"):
        Attention("luong", 4, 6, width=7)
    layer = Attention("luong", 4, 4, coverage=True)
    values = torch.zeros(1, 2, 4)
    with pytest.raises(DataError, match="there is no coverage"):
        layer(values, layer.keys(values), values, torch.ones(1, 2, dtype=torch.bool))
