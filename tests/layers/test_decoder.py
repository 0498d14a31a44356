from itertools import product
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from latchwork.cells import CELLS
from latchwork.errors import ConfigError, DataError, StateError
from latchwork.layers import ATTENTIONS, AttentionDecoder, Memory, Network
from latchwork.sequences import flatten, mask_from_lengths, select

WORDS, VOCABULARY, UNITS, MEMORY, STEPS = 5, 9, 8, 8, 6
LENGTHS = torch.tensor([6, 2, 4])


def decoder(*, network: Network | None = None, tied: bool = False, **options: Any) -> AttentionDecoder:
    network = network or Network(cell="lstm", hidden_size=UNITS, dropout=0.0)
    feed = options.get("input_feeding", True)
    width = options.get("width") or (WORDS if tied else UNITS)
    embedding = nn.Embedding(VOCABULARY, WORDS)
    layers = network.build(WORDS + (width if feed else 0))
    made = AttentionDecoder(embedding, layers, MEMORY, tied=tied, **options)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.4)
    return made.eval()


def memory(made: AttentionDecoder, *, dtype: torch.dtype = torch.float32, poison: float = 0.0) -> Memory:
    generator = torch.Generator().manual_seed(1)
    values = torch.randn(3, STEPS, MEMORY, generator=generator, dtype=dtype)
    there = mask_from_lengths(LENGTHS, STEPS)
    values = values.masked_fill(~there.unsqueeze(-1), poison)
    summary = torch.randn(3, MEMORY, generator=generator, dtype=dtype)
    source = torch.randint(3, VOCABULARY + 2, (3, STEPS), generator=generator) if made.copy else None
    return made.memory(values, LENGTHS, summary, source=source, extra=2 if made.copy else None)


def tokens(time: int = 5) -> torch.Tensor:
    words = torch.randint(1, VOCABULARY, (3, time), generator=torch.Generator().manual_seed(2))
    words[:, 0] = 2
    return words


OPTIONS = [
    dict(zip(("attention", "input_feeding", "copy", "coverage", "tied"), values, strict=True))
    for values in product(ATTENTIONS, (True, False), (True, False), (True, False), (True, False))
]


@given(st.sampled_from(OPTIONS), st.sampled_from(["lstm", "gru", "slstm"]), st.sampled_from([1, 2]), st.integers(0, 99))
@settings(max_examples=40)
def test_all_at_once_is_as_stepped(options: dict[str, Any], cell: str, layers: int, seed: int) -> None:
    torch.manual_seed(seed)
    made = decoder(network=Network(cell=cell, hidden_size=UNITS, layers=layers, dropout=0.0), **options)
    held, words = memory(made), tokens()
    with torch.no_grad():
        whole, final = made(words, held)
        state = made.initial_state(held)
        for t in range(words.shape[1]):
            log_p, weights, state = made.step(words[:, t], state, held)
            torch.testing.assert_close(log_p, whole[:, t], rtol=1e-5, atol=1e-5)
            assert weights.shape == (3, STEPS)
            torch.testing.assert_close(log_p.exp().sum(-1), torch.ones(3))
    for name, leaf in flatten(state).items():
        torch.testing.assert_close(flatten(final)[name], leaf, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("cell", [name for name in CELLS if name != "gru_d"])
@pytest.mark.parametrize("options", [{}, {"residual": True, "hidden_size": 13}, {"norm": "layer"}])
def test_every_cell_can_be_fed_back(cell: str, options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    network = Network(**{"cell": cell, "hidden_size": UNITS, "layers": 2, "dropout": 0.0, **options})
    made = decoder(network=network, width=8, attention="luong")
    held, words = memory(made), tokens()
    with torch.no_grad():
        whole, _ = made(words, held)
        state = made.initial_state(held)
        for t in range(words.shape[1]):
            log_p, _, state = made.step(words[:, t], state, held)
            torch.testing.assert_close(log_p, whole[:, t], rtol=1e-5, atol=1e-5)


@given(st.sampled_from(OPTIONS))
@settings(max_examples=20)
def test_padded_is_as_alone(options: dict[str, Any]) -> None:
    torch.manual_seed(3)
    made = decoder(**options)
    held, words = memory(made, poison=torch.nan), tokens()
    ends = torch.tensor([5, 3, 1])
    with torch.no_grad():
        whole, final = made(words, held, lengths=ends)
        for row, (steps, end) in enumerate(zip(LENGTHS.tolist(), ends.tolist(), strict=True)):
            source = None if held.source is None else held.source[row : row + 1, :steps]
            alone = made.memory(
                held.values[row : row + 1, :steps],
                LENGTHS[row : row + 1],
                held.summary[row : row + 1],
                source=source,
                extra=held.extra if made.copy else None,
            )
            log_p, state = made(words[row : row + 1, :end], alone)
            torch.testing.assert_close(log_p[0], whole[row, :end], rtol=1e-5, atol=1e-5)
            for name, leaf in flatten(state.layers).items():
                torch.testing.assert_close(flatten(final.layers)[name][row], leaf[0], rtol=1e-5, atol=1e-5)


def test_several_rows_look_at_one_sequence() -> None:
    torch.manual_seed(0)
    made = decoder(copy=True, coverage=True)
    held, words = memory(made), tokens()
    state = made.initial_state(held)
    several = select(state, torch.tensor([0, 0, 1, 1, 2, 2]))
    log_p, weights, after = made.step(torch.tensor([4, 5, 6, 4, 10, 8]), several, held)
    for row, (sequence, word) in enumerate([(0, 4), (0, 5), (1, 6), (1, 4), (2, 10), (2, 8)]):
        one = held.select(torch.tensor([sequence]))
        alone, own, then = made.step(torch.tensor([word]), select(state, [sequence]), one)
        torch.testing.assert_close(log_p[row], alone[0])
        torch.testing.assert_close(weights[row], own[0])
        torch.testing.assert_close(select(after, [row]), then)
    with pytest.raises(StateError, match="4 rows look at a memory of 3 sequences"):
        made.step(words[0, :4], select(state, [0, 0, 1, 1]), held)


@pytest.mark.parametrize("copy", [True, False])
def test_nats_are_minus_the_log_probabilities_of_the_targets(copy: bool) -> None:
    torch.manual_seed(0)
    made = decoder(copy=copy, tied=True)
    held, words = memory(made), tokens()
    active = mask_from_lengths(torch.tensor([5, 3, 0]), 5)
    steps, _ = made.run(words, held)
    targets = words.roll(-1, 1)
    if copy:
        assert held.source is not None
        targets[0, :3] = held.source[0, :3]
    found = made.nats(steps, targets, active, held)
    whole = made.log_probabilities(steps, held)
    wanted = -whole.gather(-1, targets.unsqueeze(-1)).squeeze(-1)[active]
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)
    smooth = made.nats(steps, targets, active, held, smoothing=0.1)
    own = made.logits(steps.vectors[active]).log_softmax(-1)
    torch.testing.assert_close(smooth, 0.9 * wanted - 0.1 * own.mean(-1), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("options", [{"input_feeding": True}, {"input_feeding": False}], ids=["fed", "not fed"])
def test_gradients(options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    made = decoder(copy=True, coverage=True, **options).double()
    held = memory(made, dtype=torch.float64)
    words, active = tokens(3), torch.ones(3, 3, dtype=torch.bool)

    def loss(values: torch.Tensor, summary: torch.Tensor) -> torch.Tensor:
        own = made.memory(values, LENGTHS, summary, source=held.source, extra=2)
        steps, _ = made.run(words, own)
        assert steps.repeated is not None
        return made.nats(steps, words, active, own).sum() + steps.repeated.sum()

    values, summary = held.values.clone().requires_grad_(), held.summary.clone().requires_grad_()
    assert torch.autograd.gradcheck(loss, (values, summary), atol=1e-4)
    loss(values, summary).backward()
    for name, parameter in made.named_parameters():
        assert parameter.grad is not None, name
        place = tuple(size // 2 for size in parameter.shape)
        if parameter is made.embedding.weight:
            place = (2, 0)
        ends = []
        with torch.no_grad():
            for step in (1e-6, -2e-6):
                parameter[place] += step
                ends.append(float(loss(values, summary)))
            parameter[place] += 1e-6
        assert float(parameter.grad[place]) == pytest.approx((ends[0] - ends[1]) / 2e-6, abs=1e-5), name


def test_dropout_is_of_the_key_and_there_in_training_alone() -> None:
    for feeding in (True, False):
        torch.manual_seed(0)
        network = Network(
            cell="gru", hidden_size=UNITS, layers=2, dropout=0.3, recurrent_dropout=0.2, zoneout=0.1, weight_drop=0.1
        )
        made = decoder(network=network, input_feeding=feeding, dropout=0.3, embedding_dropout=0.2)
        held, words = memory(made), tokens()
        calm = made(words, held)[0]
        torch.testing.assert_close(made(words, held, key=torch.tensor(1))[0], calm)
        made.train()
        first, second, other = (made(words, held, key=torch.tensor(key))[0] for key in (1, 1, 2))
        torch.testing.assert_close(first, second, rtol=0, atol=0)
        assert not torch.allclose(first, calm)
        assert not torch.allclose(first, other)
        torch.manual_seed(5)
        drawn = made(words, held)[0]
        torch.manual_seed(5)
        torch.testing.assert_close(made(words, held)[0], drawn, rtol=0, atol=0)


@pytest.mark.parametrize("feeding", [True, False])
def test_own_words_are_those_scored_highest(feeding: bool) -> None:
    torch.manual_seed(0)
    made = decoder(input_feeding=feeding, copy=True)
    held, words = memory(made), tokens()
    own = torch.ones(3, 5, dtype=torch.bool)
    with torch.no_grad():
        steps, _ = made.run(words, held, own=own)
        free = made.log_probabilities(steps, held)
        state, said = made.initial_state(held), words[:, 0]
        for t in range(5):
            log_p, _, state = made.step(said, state, held)
            torch.testing.assert_close(free[:, t], log_p, rtol=1e-5, atol=1e-5)
            said = log_p.argmax(-1)
        some = own.clone()
        some[:, 1:] = False
        torch.testing.assert_close(made.run(words, held, own=some)[0].vectors, made.run(words, held)[0].vectors)


def test_padding_changes_nothing_in_a_bfloat16_pass() -> None:
    torch.manual_seed(0)
    for feeding in (True, False):
        made = decoder(input_feeding=feeding, copy=True, coverage=True).train()
        with torch.autocast("cpu", torch.bfloat16):
            held = memory(made)
            steps, _ = made.run(tokens(), held)
            found = made.nats(steps, tokens(), torch.ones(3, 5, dtype=torch.bool), held)
        assert found.dtype == torch.float32
        found.mean().backward()
        assert all(one.grad is not None and one.grad.isfinite().all() for one in made.parameters())


def test_what_is_wrong_is_said() -> None:
    embedding = nn.Embedding(VOCABULARY, WORDS)
    with pytest.raises(
        ConfigError, match="take 5 inputs, expected 13: the embedding's 5 and the attentional vector's 8"
    ):
        AttentionDecoder(embedding, Network(hidden_size=UNITS).build(WORDS), MEMORY)
    with pytest.raises(ConfigError, match="can't read from the end"):
        AttentionDecoder(embedding, Network(hidden_size=4, bidirectional=True).build(13), MEMORY)
    with pytest.raises(ConfigError, match="norm=batch"):
        AttentionDecoder(embedding, Network(hidden_size=UNITS, norm="batch").build(13), MEMORY)
    made = decoder(copy=True)
    with pytest.raises(DataError, match="copies words of the source"):
        made.memory(torch.zeros(1, 2, MEMORY), torch.tensor([2]), torch.zeros(1, MEMORY))
    held = memory(made)
    with pytest.raises(DataError, match="no word to read"):
        made(tokens()[:, :0], held)
