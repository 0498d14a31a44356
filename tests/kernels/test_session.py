"""A session's step is the layer's step, bit for bit the engine's run; it notices changed weights, and refuses."""

import gc
import weakref
from typing import Any

import numpy as np
import pytest
import torch

import latchwork as lw
from latchwork import kernels
from latchwork.cells import CELLS, GRU, LSTM
from latchwork.errors import ConfigError, DataError, KernelError, StateError
from latchwork.kernels import Session
from latchwork.layers import Network, Recurrent

pytestmark = pytest.mark.skipif(kernels.engine() is None, reason="latchwork was installed without its engine")


@pytest.mark.parametrize("name", CELLS)
def test_stepped_is_run(name: str) -> None:
    torch.manual_seed(0)
    cell = CELLS[name](5, 37)
    inputs = torch.randn(3, 9, 5)
    session = Session([cell], batch=3)
    stepped = np.stack([session.step(inputs[:, t].numpy()) for t in range(9)], axis=1)
    with torch.no_grad():
        outputs, end = kernels.run(cell, inputs, kernel="cpu")
    assert np.array_equal(stepped, outputs.numpy())
    (state,) = session.state
    assert all(torch.equal(got, expected) for got, expected in zip(state, end, strict=True))


def test_a_row_alone_has_the_bits_it_has_among_others() -> None:
    cell = GRU(3, 21)
    inputs = torch.randn(4, 6, 3).numpy()
    many, one = Session([cell], batch=4), Session([cell])
    for t in range(6):
        together = many.step(inputs[:, t])
        assert np.array_equal(one.step(np.ascontiguousarray(inputs[2:3, t])), together[2:3])


def test_layers_and_their_states() -> None:
    torch.manual_seed(1)
    inputs = torch.randn(2, 5, 3)
    lstm = lw.LSTM(3, 8, num_layers=2, batch_first=True, learn_initial_state=True).eval()
    stack = Network(cell="peephole_lstm", hidden_size=8, layers=2).build(3).eval()
    for layer in (lstm, stack, Recurrent(GRU(3, 8), zoneout=0.2).eval()):
        session = layer.session(batch=2)
        with torch.no_grad():
            outputs, _ = layer(inputs)
            for t in range(5):
                if t == 3:  # move to another session in the middle
                    fresh = layer.session(batch=2)
                    fresh.state = session.state
                    session = fresh
                got = session.step(inputs[:, t].contiguous().numpy())
                torch.testing.assert_close(torch.from_numpy(got), outputs[:, t], atol=1e-6, rtol=1e-5)


def test_changed_weights() -> None:
    cell = LSTM(3, 8)
    session = Session([cell])
    x = np.ones((1, 3), np.float32)
    start = session.state

    def both() -> tuple[np.ndarray, np.ndarray]:
        session.state = start
        with torch.no_grad():
            expected = kernels.run(cell, torch.ones(1, 1, 3), kernel="cpu")[0][0]
        return session.step(x), expected.numpy()

    assert np.array_equal(*both())
    with torch.no_grad():
        cell.recurrent.weight.mul_(2)
        cell.input.bias.add_(1)
    assert np.array_equal(*both())
    cell.load_state_dict({name: value * 3 for name, value in cell.state_dict().items()})
    assert np.array_equal(*both())
    cell.input.weight = torch.nn.Parameter(torch.randn(32, 3))
    assert np.array_equal(*both())
    cell.input.weight.data.mul_(0.5)
    session.repack()
    assert np.array_equal(*both())
    with torch.inference_mode():
        other = LSTM(3, 8)
        Session([other]).step(x)


def test_bfloat16_halves_the_weights_and_keeps_the_state() -> None:
    torch.manual_seed(2)
    cell = LSTM(32, 64)
    exact, narrow = Session([cell]), Session([cell], narrow=True)
    worst = 0.0
    for _ in range(200):
        x = np.random.default_rng(0).normal(size=(1, 32)).astype(np.float32)
        worst = max(worst, float(np.abs(exact.step(x) - narrow.step(x)).max()))
    assert 0 < worst < 0.02


def test_what_came_is_not_an_input() -> None:
    session = Session([LSTM(3, 8)], batch=2)
    before = session.state
    for wrong, said in [
        (np.zeros((2, 3)), "float64"),
        (np.zeros((1, 3), np.float32), r"\(1, 3\), expected"),
        (np.zeros((2, 3), ">f4"), "f4"),
        ([[0.0] * 3] * 2, "list"),
        (None, "NoneType"),
    ]:
        with pytest.raises(DataError, match=said):
            session.step(wrong)  # type: ignore[arg-type]
    assert all(torch.equal(a, b) for a, b in zip(before[0], session.state[0], strict=True))
    with pytest.raises(StateError):
        session.state = (LSTM(3, 9).initial_state(2),)
    with pytest.raises(DataError, match="2: the session's batch"):
        session.state = (LSTM(3, 8).initial_state(1),)


def test_what_can_not_be_stepped() -> None:
    with pytest.raises(ConfigError, match="batch is 0"):
        Session([LSTM(3, 8)], batch=0)
    with pytest.raises(ConfigError, match="on top of each other"):
        Session([LSTM(3, 8), LSTM(3, 8)])
    with pytest.raises(KernelError, match="float64"):
        Session([LSTM(3, 8).double()])
    with pytest.raises(StateError, match="reverse"):
        Recurrent(LSTM(3, 8), reverse=True).session()
    with pytest.raises(StateError, match="future"):
        lw.LSTM(3, 8, bidirectional=True).session()
    with pytest.raises(StateError, match="residual"):
        Network(cell="gru", hidden_size=3, layers=2, residual=True).build(3).session()


def _read_only(x: np.ndarray) -> np.ndarray:
    x = x.copy()
    x.setflags(write=False)
    return x


def _unaligned(x: np.ndarray) -> np.ndarray:
    there = np.zeros(x.nbytes + 1, np.uint8)[1:].view(np.float32).reshape(x.shape)
    there[:] = x
    return there


ARRAYS = {
    "read only": _read_only,
    "unaligned": _unaligned,
    "columns first": np.asfortranarray,
    "gaps": lambda x: np.repeat(x, 2, axis=1)[:, ::2],
    "backwards": lambda x: x[::-1, ::-1].copy()[::-1, ::-1],
    "subclass": lambda x: x.view(np.recarray),
    "memoryview": memoryview,
}


@pytest.mark.parametrize("kind", ARRAYS)
def test_however_the_array_lies_it_is_taken(kind: str) -> None:
    x = np.random.default_rng(0).normal(size=(2, 3)).astype(np.float32)
    one = Session([GRU(3, 8)], batch=2)
    other = Session(one.cells, batch=2)
    given: Any = ARRAYS[kind](x)
    assert np.array_equal(one.step(x), other.step(given))
    assert np.array_equal(given, x)


def test_the_array_that_comes_back_is_the_callers() -> None:
    session = Session([GRU(3, 8)])
    first = session.step(np.ones((1, 3), np.float32))
    kept = first.copy()
    session.step(np.ones((1, 3), np.float32))
    assert np.array_equal(first, kept)


def test_a_layer_that_holds_its_session_is_collected() -> None:
    cell = LSTM(3, 8)
    session = cell.recurrent.__dict__["session"] = Session([cell])
    gone = weakref.ref(cell.recurrent)
    assert gc.is_tracked(session._native)
    del cell, session
    gc.collect()
    assert gone() is None


def test_a_weight_taken_away_is_noticed() -> None:
    cell = LSTM(3, 8)
    session = Session([cell])
    x = np.ones((1, 3), np.float32)
    session.step(x)
    del cell.recurrent.weight
    with pytest.raises(KernelError, match="no attribute 'weight'"):
        session.step(x)
