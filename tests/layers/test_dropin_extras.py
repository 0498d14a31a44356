"""What the drop-in layers do beyond torch.nn: lengths, resets, steps, learned states, dropout of their own."""

from typing import Any

import pytest
import torch
from torch.nn.utils.rnn import pack_padded_sequence

from latchwork import cells, kernels, layers
from latchwork.errors import DataError, KernelError, StateError
from latchwork.kernels import loop
from latchwork.layers import Recurrent, draw_key, dropout, fold
from latchwork.sequences import flatten

pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")

KINDS: dict[str, tuple[Any, dict[str, Any]]] = {
    "lstm": (layers.LSTM, {}),
    "lstm projection": (layers.LSTM, {"proj_size": 2}),
    "gru": (layers.GRU, {}),
    "rnn": (layers.RNN, {"nonlinearity": "relu"}),
}
LENGTHS = torch.tensor([3, 6, 0, 1])


def make(name: str, **options: Any) -> Any:
    torch.manual_seed(1)
    kind, extra = KINDS[name]
    return kind(3, 5, **extra, **options)


def batch_of(layer: Any, rows: int = 4, time: int = 6) -> torch.Tensor:
    x = torch.randn(rows, time, 3)
    return x if layer.batch_first else x.transpose(0, 1)


def close(got: Any, expected: Any) -> None:
    for a, b in zip(flatten(got).values(), flatten(expected).values(), strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("kernel", ["auto", "torch", "loop"])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("batch_first", [False, True])
def test_lengths_equal_a_packed_sequence(name: str, kernel: str, bidirectional: bool, batch_first: bool) -> None:
    layer = make(name, num_layers=2, bidirectional=bidirectional, batch_first=batch_first, kernel=kernel)
    x = batch_of(layer)
    lengths = LENGTHS.clamp(min=1)
    outputs, end = layer(x, lengths=lengths)
    packed = pack_padded_sequence(x, lengths, batch_first=batch_first, enforce_sorted=False)
    expected, last = layer(packed)
    unpacked, _ = torch.nn.utils.rnn.pad_packed_sequence(expected, batch_first=batch_first, total_length=6)
    torch.testing.assert_close(outputs, unpacked)
    close(end, last)


@pytest.mark.parametrize("kernel", ["auto", "torch", "loop"])
def test_length_zero_gives_back_the_state_and_padding_is_not_read(kernel: str) -> None:
    layer = make("lstm", num_layers=2, batch_first=True, kernel=kernel)
    x = batch_of(layer)
    for row, length in enumerate(LENGTHS.tolist()):
        x[row, length:] = torch.nan
    hx = (torch.randn(2, 4, 5), torch.randn(2, 4, 5))
    outputs, (h, c) = layer(x, hx, lengths=LENGTHS)
    assert outputs.isfinite().all()
    assert outputs[2].eq(0).all()
    assert torch.equal(h[:, 2], hx[0][:, 2])
    assert torch.equal(c[:, 2], hx[1][:, 2])
    outputs.sum().backward()
    assert all(p.grad.isfinite().all() for p in layer.parameters())


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("batch_first", [False, True])
def test_resets_begin_anew(name: str, batch_first: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    layer = make(name, num_layers=2, batch_first=batch_first)
    x = batch_of(layer)
    resets = torch.zeros(4, 6, dtype=torch.bool)
    resets[1:3, 4] = True
    laid = resets if batch_first else resets.transpose(0, 1)
    outputs, end = layer(x, resets=laid)
    time = 1 if batch_first else 0
    begun, last = layer(x.narrow(time, 4, 2))
    rows = slice(1, 3)
    if batch_first:
        torch.testing.assert_close(outputs[rows, 4:], begun[rows])
    else:
        torch.testing.assert_close(outputs[4:, rows], begun[:, rows])
    for a, b in zip(flatten(end).values(), flatten(last).values(), strict=True):
        torch.testing.assert_close(a[:, rows], b[:, rows])
    monkeypatch.setattr(kernels.cpu, "engine", lambda: None)
    assert "resets" in layer.explain_kernel(x, resets=laid)[0].reason
    layer.kernel = "torch"
    with pytest.raises(KernelError, match="resets"):
        layer(x, resets=laid)


def test_resets_backwards_and_packed_by_hand() -> None:
    layer = make("gru", bidirectional=True, batch_first=True)
    x, lengths = batch_of(layer), LENGTHS.clamp(min=1)
    resets = torch.rand(4, 6) < 0.4
    onward, backward = (layer._bound(place) for place in (0, 1))
    a, s = loop.run(onward, x, lengths=lengths, resets=resets)
    b, u = loop.run(backward, x, lengths=lengths, resets=resets, reverse=True)
    outputs, h = layer(x, lengths=lengths, resets=resets)
    torch.testing.assert_close(outputs, torch.cat((a, b), -1))
    torch.testing.assert_close(h, torch.stack((s.h, u.h)))
    packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    got, last = layer(packed, resets=resets)
    unpacked, _ = torch.nn.utils.rnn.pad_packed_sequence(got, batch_first=True)
    torch.testing.assert_close(unpacked, outputs)
    torch.testing.assert_close(last, h)
    single, end = layer(x[1], resets=resets[1])
    torch.testing.assert_close(single, outputs[1])
    torch.testing.assert_close(end, h[:, 1])


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("learn", [False, True])
def test_stepped_equals_run(name: str, learn: bool) -> None:
    layer = make(name, num_layers=2, batch_first=True, learn_initial_state=learn)
    if learn:
        torch.nn.init.normal_(layer.initial_h)
    x = batch_of(layer)
    expected, end = layer(x)
    state, outputs = layer.initial_state(4), []
    assert all(isinstance(part, (cells.LSTMState, cells.HiddenState)) for part in state)
    for x_t in x.unbind(1):
        output, state = layer.step(x_t, state)
        outputs.append(output)
    torch.testing.assert_close(torch.stack(outputs, 1), expected)
    close(layer.state_to(state), end)
    close(layer.state_from(end), state)
    # A state goes from the call to the steps and back.
    _, middle = layer(x[:, :3])
    output, _ = layer.step(x[:, 3], layer.state_from(middle))
    torch.testing.assert_close(output, expected[:, 3])


def test_a_bidirectional_layer_refuses_steps_with_the_remedy() -> None:
    layer = make("lstm", bidirectional=True)
    for call in (
        lambda: layer.initial_state(2),
        lambda: layer.step(torch.zeros(2, 3), ()),
        lambda: layer.state_from(()),
    ):
        with pytest.raises(StateError, match="bidirectional=False"):
            call()
    with pytest.raises(StateError, match="one for each layer"):
        make("lstm", num_layers=2).step(torch.zeros(2, 3), ())


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("bidirectional", [False, True])
def test_learned_initial_state(name: str, bidirectional: bool) -> None:
    plain = make(name, num_layers=2, bidirectional=bidirectional)
    layer = make(name, num_layers=2, bidirectional=bidirectional, learn_initial_state=True)
    # The same random order, the same start: zeros, as torch's.
    assert all(torch.equal(value, layer.state_dict()[key]) for key, value in plain.state_dict().items())
    added = set(layer.state_dict()) - set(plain.state_dict())
    assert added == ({"initial_h", "initial_c"} if name.startswith("lstm") else {"initial_h"})
    x = batch_of(layer)
    torch.testing.assert_close(layer(x)[0], plain(x)[0])
    with torch.no_grad():
        for key in added:
            getattr(layer, key).normal_()
    hx = tuple(getattr(layer, key)[:, None].expand(-1, 4, -1).contiguous() for key in sorted(added, reverse=True))
    expected = plain(x, hx if len(hx) > 1 else hx[0])
    packed = pack_padded_sequence(x, LENGTHS.clamp(min=1), enforce_sorted=False)
    for kernel in ("auto", "loop"):
        layer.kernel = kernel
        close(layer(x), expected)
        close(layer(x, hx if len(hx) > 1 else hx[0]), expected)
        one, end = layer(x[:, 0])
        torch.testing.assert_close(one, expected[0][:, 0])
        assert flatten(end)["0" if name.startswith("lstm") else ""].dim() == 2
        outputs, end = layer(packed)
        reference, last = plain(packed, hx if len(hx) > 1 else hx[0])
        torch.testing.assert_close(outputs.data, reference.data)
        close(end, last)
        layer.zero_grad()
        layer(x)[0].sum().backward()
        assert all(getattr(layer, key).grad.ne(0).any() for key in added)


@pytest.mark.parametrize("name", KINDS)
def test_a_reset_goes_back_to_the_learned_state(name: str) -> None:
    layer = make(name, num_layers=2, batch_first=True, learn_initial_state=True)
    torch.nn.init.normal_(layer.initial_h)
    x = batch_of(layer)
    resets = torch.zeros(4, 6, dtype=torch.bool)
    resets[:, 2] = True
    torch.testing.assert_close(layer(x, resets=resets)[0][:, 2:], layer(x[:, 2:])[0])


def test_dropout_between_layers_by_hand() -> None:
    layer = make("gru", num_layers=3, dropout=0.5, batch_first=True)
    x = batch_of(layer)
    torch.manual_seed(4)
    got, _ = layer(x)
    torch.manual_seed(4)
    key, values = draw_key(), x
    for place in range(3):
        if place:
            values = dropout(values, 0.5, fold(key, place))
        values, _ = loop.run(layer._bound(place), values)
    torch.testing.assert_close(got, values)
    torch.manual_seed(4)
    assert torch.equal(layer(x)[0], got)
    assert not torch.equal(layer(x)[0], got)


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("option", ["recurrent_dropout", "zoneout", "weight_drop"])
def test_regularised_layers_equal_recurrent(name: str, option: str) -> None:
    layer = make(name, batch_first=True, **{option: 0.4})
    names = {"input.weight": "weight_ih_l0", "recurrent.weight": "weight_hh_l0", "projection.weight": "weight_hr_l0"}
    names |= {"input.bias": "bias_ih_l0", "recurrent.bias": "bias_hh_l0"}
    cell: Any = {
        "lstm": lambda: cells.LSTM(3, 5),
        "lstm projection": lambda: cells.LSTM(3, 5, proj_size=2),
        "gru": lambda: cells.GRU(3, 5),
        "rnn": lambda: cells.RNN(3, 5, activation="relu"),
    }[name]()
    cell.load_state_dict({own: layer.state_dict()[names[own]] for own in cell.state_dict()})
    other = Recurrent(cell, kernel="loop", **{option: 0.4})
    x = batch_of(layer)
    torch.manual_seed(2)
    got, _ = layer(x)
    torch.manual_seed(2)
    key = fold(draw_key(), 0)
    expected, _ = other(x, key=key)
    torch.testing.assert_close(got, expected)
    plain = make(name, batch_first=True)(x)[0]
    assert not torch.allclose(got, plain)
    if option == "zoneout":
        torch.testing.assert_close(layer.eval()(x)[0], other.eval()(x)[0])
    else:
        assert torch.equal(layer.eval()(x)[0], plain)


def test_kernel_asked_for_by_name_runs_or_raises() -> None:
    layer = make("lstm", kernel="torch", zoneout=0.1)
    with pytest.raises(KernelError, match="Zoneout"):
        layer(batch_of(layer))
    assert make("lstm", kernel="torch", weight_drop=0.1).explain_kernel(torch.zeros(2, 1, 3))[0].name == "torch"
    explained = make("lstm", num_layers=2, bidirectional=True, zoneout=0.1).explain_kernel(torch.zeros(2, 1, 3))
    assert [choice.name for choice in explained] == ["cpu" if kernels.engine() else "loop"] * 4


def test_errors_say_what_was_expected() -> None:
    layer = make("lstm", batch_first=True, kernel="loop")
    x = batch_of(layer)
    with pytest.raises(DataError, match="7 features, expected 3"):
        layer(torch.zeros(4, 6, 7))
    with pytest.raises(DataError, match="expected 2 axes"):
        layer(torch.zeros(1, 4, 6, 3))
    with pytest.raises(DataError, match=r"lengths has \(3,\) entries"):
        layer(x, lengths=torch.tensor([1, 2, 3]))
    with pytest.raises(DataError, match="expected 0 to 6"):
        layer(x, lengths=torch.tensor([1, 2, 3, 7]))
    with pytest.raises(DataError, match="resets has"):
        layer(x, resets=torch.zeros(6, 4, dtype=torch.bool))
    with pytest.raises(DataError, match="without a batch"):
        layer(x[0], lengths=torch.tensor([3]))
    packed = pack_padded_sequence(x, torch.tensor([6, 5, 4, 1]), batch_first=True)
    with pytest.raises(DataError, match="PackedSequence"):
        layer(packed, lengths=torch.tensor([6, 5, 4, 1]))
    with pytest.raises(StateError, match=r"h has shape \(1, 3, 5\), expected \(1, 4, 5\)"):
        layer(x, (torch.zeros(1, 3, 5), torch.zeros(1, 3, 5)))


@pytest.mark.gpu
@pytest.mark.parametrize("name", KINDS)
def test_the_same_seed_gives_the_same_numbers_on_a_gpu(name: str) -> None:
    layer = make(name, num_layers=2, dropout=0.5, recurrent_dropout=0.2, zoneout=0.2, bidirectional=True).double()
    x = batch_of(layer).double()
    torch.manual_seed(3)
    expected, _ = layer(x)
    torch.manual_seed(3)
    torch.testing.assert_close(layer.cuda()(x.cuda())[0].cpu(), expected)
