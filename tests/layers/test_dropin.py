"""A script that swaps the import runs and gives the same numbers: torch.nn's layers and ours, side by side."""

import copy
import inspect
import itertools
from typing import Any

import pytest
import torch
from safetensors.torch import load, save
from torch import nn
from torch.nn.utils import parametrize
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pack_sequence

from latchwork import kernels, layers
from latchwork.errors import ConfigError

pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")

KINDS: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "lstm": (nn.LSTM, layers.LSTM, {}),
    "lstm projection": (nn.LSTM, layers.LSTM, {"proj_size": 2}),
    "gru": (nn.GRU, layers.GRU, {}),
    "rnn tanh": (nn.RNN, layers.RNN, {}),
    "rnn relu": (nn.RNN, layers.RNN, {"nonlinearity": "relu"}),
}
SHAPES = [
    {"num_layers": n, "bidirectional": both, "batch_first": first, "bias": bias}
    for n, both, first, bias in itertools.product((1, 2), (False, True), (False, True), (True, False))
]
LENGTHS = [3, 6, 1, 6]


def pair(name: str, **options: Any) -> tuple[Any, Any]:
    """torch.nn's layer and ours from the same seed, in float64; ours on the reference kernel where asked."""
    theirs, ours, extra = KINDS[name]
    kernel = options.pop("kernel", "auto")
    torch.manual_seed(11)
    a = theirs(3, 5, **extra, **options)
    torch.manual_seed(11)
    b = ours(3, 5, **extra, **options, kernel=kernel)
    return a.double(), b.double()


def inputs(layer: nn.RNNBase, batch: int = 4, time: int = 6) -> torch.Tensor:
    x = torch.randn(batch, time, 3, dtype=torch.float64)
    return x if layer.batch_first else x.transpose(0, 1)


def start(layer: nn.RNNBase, batch: int | None = 4) -> Any:
    places = layer.num_layers * (2 if layer.bidirectional else 1)
    rows = () if batch is None else (batch,)
    h = torch.randn(places, *rows, layer.proj_size or layer.hidden_size, dtype=torch.float64)
    c = torch.randn(places, *rows, layer.hidden_size, dtype=torch.float64)
    return (h, c) if isinstance(layer, nn.LSTM) else h


def flat(results: Any) -> list[torch.Tensor]:
    """All tensors of what a layer returns, in order."""
    if isinstance(results, torch.Tensor):
        return [results]
    if isinstance(results, PackedSequence):
        return [part for part in results if part is not None]
    return [tensor for part in results for tensor in flat(part)]


def same(a: nn.Module, b: nn.Module, x: Any, hx: Any = None) -> None:
    """Types, layout, numbers and every gradient."""
    results = []
    for layer in (a, b):
        layer.zero_grad()
        outputs = layer(x, hx)
        assert isinstance(outputs, tuple)
        assert len(outputs) == 2
        tensors = flat(outputs)
        generator = torch.Generator().manual_seed(5)
        total = sum(
            (t * torch.randn(t.shape, generator=generator, dtype=t.dtype)).sum()
            for t in tensors
            if t.is_floating_point()
        )
        total.backward()  # type: ignore[union-attr]
        results.append((outputs, tensors, [p.grad.clone() for p in layer.parameters()]))  # type: ignore[union-attr]
    (theirs, expected, gradients), (ours, got, own) = results
    assert [type(part) for part in theirs] == [type(part) for part in ours]
    for tensor, other in zip(got, expected, strict=True):
        torch.testing.assert_close(tensor, other)
    for tensor, other in zip(own, gradients, strict=True):
        torch.testing.assert_close(tensor, other)


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("kernel", ["auto", "loop", "torch"])
@pytest.mark.parametrize(
    "options", SHAPES, ids=lambda o: "-".join(k if v is True else str(v) for k, v in o.items() if v)
)
def test_same_numbers(name: str, kernel: str, options: dict[str, Any]) -> None:
    a, b = pair(name, kernel=kernel, **options)
    expected = {"auto": "cpu" if kernels.engine() else "torch"}.get(kernel, kernel)
    assert b.explain_kernel(inputs(b))[0].name == expected
    same(a, b, inputs(a))
    same(a, b, inputs(a), start(a))
    # One sequence without a batch.
    same(a, b, torch.randn(6, 3, dtype=torch.float64))
    same(a, b, torch.randn(6, 3, dtype=torch.float64), start(a, None))


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("kernel", ["auto", "loop"])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("batch_first", [False, True])
def test_same_numbers_packed(name: str, kernel: str, bidirectional: bool, batch_first: bool) -> None:
    a, b = pair(name, kernel=kernel, num_layers=2, bidirectional=bidirectional, batch_first=batch_first)
    x = inputs(a)
    packed = pack_padded_sequence(x, torch.tensor(LENGTHS), batch_first=batch_first, enforce_sorted=False)
    same(a, b, packed)
    same(a, b, packed, start(a))
    rows = [torch.randn(n, 3, dtype=torch.float64) for n in (5, 5, 2)]
    same(a, b, pack_sequence(rows))
    same(a, b, pack_sequence(rows), start(a, 3))


@pytest.mark.parametrize("name", KINDS)
def test_the_start_is_torchs_in_the_same_random_order(name: str) -> None:
    a, b = pair(name, num_layers=2, bidirectional=True)
    after = []
    for kind in KINDS[name][:2]:
        torch.manual_seed(0)
        kind(3, 5, **KINDS[name][2])
        after.append(torch.get_rng_state())
    assert torch.equal(*after)
    assert list(a.state_dict()) == list(b.state_dict())
    assert all(torch.equal(value, b.state_dict()[key]) for key, value in a.state_dict().items())


@pytest.mark.parametrize("name", KINDS)
def test_state_dict_both_ways(name: str) -> None:
    a, b = pair(name, num_layers=2)
    with torch.no_grad():
        for parameter in b.parameters():
            parameter.normal_()
    a.load_state_dict(load(save(b.state_dict())))
    same(a, b, inputs(a))
    with torch.no_grad():
        for parameter in a.parameters():
            parameter.normal_()
    b.load_state_dict(a.state_dict(), strict=True)
    same(a, b, inputs(a))


@pytest.mark.parametrize("name", KINDS)
def test_attributes_are_torchs(name: str) -> None:
    a, b = pair(name, num_layers=2, bidirectional=True)
    assert [n for n, _ in a.named_parameters()] == [n for n, _ in b.named_parameters()]
    assert [[w.shape for w in layer] for layer in a.all_weights] == [
        [w.shape for w in layer] for layer in b.all_weights
    ]
    assert b.flatten_parameters() is None
    for attribute in (
        "mode",
        "input_size",
        "hidden_size",
        "num_layers",
        "bias",
        "dropout",
        "bidirectional",
        "proj_size",
    ):
        assert getattr(a, attribute) == getattr(b, attribute)
    assert repr(b) == repr(a)
    assert list(a.children()) == list(b.children()) == []


@pytest.mark.parametrize("name", KINDS)
def test_isinstance_says_that_it_is_torchs(name: str) -> None:
    theirs, ours, _ = KINDS[name]
    assert isinstance(pair(name)[1], theirs)
    assert issubclass(ours, theirs)
    assert ours.__name__ == theirs.__name__


def test_positional_arguments_and_defaults() -> None:
    assert layers.LSTM(3, 5, 2, True, True).batch_first
    assert layers.GRU(3, 5, 2, False).bias is False
    assert layers.RNN(3, 5, 1, "relu").mode == "RNN_RELU"
    own = {"recurrent_dropout", "zoneout", "weight_drop", "learn_initial_state", "kernel"}
    added = inspect.signature(layers.LSTM).parameters
    assert own <= set(added)
    assert all(added[name].kind is inspect.Parameter.KEYWORD_ONLY for name in own)


def test_errors_are_torchs() -> None:
    for kind in (nn.LSTM, layers.LSTM):
        with pytest.raises(ValueError, match="dropout should be a number"):
            kind(3, 5, dropout=2.0)
        with pytest.raises(RuntimeError, match=r"input\.size"):
            kind(3, 5)(torch.zeros(2, 4, 7))
        with pytest.warns(UserWarning, match="num_layers greater than 1"):
            kind(3, 5, dropout=0.5)


@pytest.mark.parametrize("name", KINDS)
def test_dropout_does_nothing_in_evaluation(name: str) -> None:
    a, b = pair(name, num_layers=2, dropout=0.5)
    same(a.eval(), b.eval(), inputs(a))


def test_device_and_type() -> None:
    layer = layers.LSTM(3, 5, device="meta", dtype=torch.float64, learn_initial_state=True)
    assert {p.device.type for p in layer.parameters()} == {"meta"}
    assert {p.dtype for p in layer.parameters()} == {torch.float64}
    real = layer.to_empty(device="cpu").float()
    assert real.initial_h.dtype == torch.float32


@pytest.mark.parametrize("name", KINDS)
def test_deep_copy_and_conversion(name: str) -> None:
    _, b = pair(name, kernel="loop", num_layers=2)
    x = inputs(b)
    twin = copy.deepcopy(b)
    assert torch.equal(twin(x)[0], b(x)[0])
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.zero_()
    assert not torch.equal(twin(x)[0], b(x)[0])
    assert b.float()(x.float())[0].dtype == torch.float32


@pytest.mark.parametrize("kernel", ["auto", "loop"])
def test_parametrized_weights(kernel: str) -> None:
    a, b = pair("lstm", kernel=kernel)
    for layer in (a, b):
        parametrize.register_parametrization(layer, "weight_hh_l0", nn.Tanh())
    same(a, b, inputs(a))
    original = b.parametrizations.weight_hh_l0.original
    assert original.grad is not None
    assert original.grad.ne(0).any()


def test_own_options_are_checked() -> None:
    for option in ("recurrent_dropout", "zoneout", "weight_drop"):
        with pytest.raises(ConfigError, match=f"{option} is 20"):
            layers.LSTM(3, 5, **{option: 20})
    with pytest.raises(ConfigError, match="kernel"):
        layers.GRU(3, 5, kernel="cuda")


@pytest.mark.parametrize("kind", [layers.RNN, layers.GRU, layers.LSTM])
@pytest.mark.parametrize("enforce", [True, False])
def test_packed_rows_are_the_padded_ones(kind: Any, enforce: bool) -> None:
    torch.manual_seed(0)
    layer = kind(3, 5, num_layers=2, bidirectional=True, batch_first=True)
    lengths = torch.tensor([6, 4, 4, 1] if enforce else [4, 1, 6, 4])
    found = []
    for packed in (True, False):
        inputs = torch.randn(4, 6, 3, generator=torch.Generator().manual_seed(1)).requires_grad_()
        if packed:
            given = torch.nn.utils.rnn.pack_padded_sequence(inputs, lengths, batch_first=True, enforce_sorted=enforce)
            result, state = layer(given)
            outputs, _ = torch.nn.utils.rnn.pad_packed_sequence(result, batch_first=True)
        else:
            outputs, state = layer(inputs, lengths=lengths)
        grads = torch.autograd.grad(outputs.square().sum(), [inputs, *layer.parameters()])
        found.append([outputs, *(state if isinstance(state, tuple) else (state,)), *grads])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)
