"""The network that says what comes next: what is tied, what is dropped, what is carried."""

import pytest
import torch
from torch.nn import functional as F

from latchwork.errors import ConfigError
from latchwork.layers import Network, NextToken
from latchwork.sequences import detach


def network(vocabulary: int = 11, embedding: int = 6, hidden: int = 6, **options: object) -> NextToken:
    torch.manual_seed(0)
    shape = {name: options.pop(name) for name in ("layers", "weight_drop", "dropout", "variational") if name in options}
    layers = Network(cell="lstm", hidden_size=hidden, **shape).build(embedding)  # type: ignore[arg-type]
    return NextToken(vocabulary, embedding, layers, **options)  # type: ignore[arg-type]


def tokens(batch: int = 3, time: int = 7, vocabulary: int = 11) -> torch.Tensor:
    return torch.randint(0, vocabulary, (batch, time), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("hidden", [6, 9])
def test_tied_weights_are_one_tensor_that_learns_from_both_sides(hidden: int) -> None:
    module = network(hidden=hidden)
    assert module.tied
    assert (module.projection is None) == (hidden == 6)
    assert sum(one is module.embedding.weight for one in module.parameters()) == 1
    read = module(tokens())
    module.nats(read.hidden, tokens()).sum().backward()
    both = module.embedding.weight.grad
    assert both is not None
    unread = [token for token in range(11) if token not in tokens().unique()]
    assert (both[unread].abs().sum(1) > 0).all()  # a token that was not read learns as an output


def test_without_tying_the_output_has_weights_of_its_own() -> None:
    module = network(tied=False, hidden=9)
    assert not module.tied
    assert module.output is not None
    assert module.output.weight.shape == (11, 9)


def test_nats_are_cross_entropy_in_training_and_outside_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    module = network()
    read = module(tokens())
    assert module.output is not None
    expected = F.cross_entropy(module.output(read.hidden).flatten(0, 1), tokens().flatten(), reduction="none")
    torch.testing.assert_close(module.nats(read.hidden, tokens()).flatten(), expected)
    monkeypatch.setattr("latchwork.layers.softmax.AT_ONCE", 25)  # two rows of eleven scores
    with torch.no_grad():
        torch.testing.assert_close(module.nats(read.hidden, tokens()).flatten(), expected)


def test_an_adaptive_softmax_sums_to_one_and_agrees_with_its_loss() -> None:
    module = network(tied=False, cutoffs=(4, 8))
    hidden = module(tokens()).hidden
    whole = module.log_probabilities(hidden.flatten(0, 1))
    torch.testing.assert_close(whole.exp().sum(-1), torch.ones(21))
    own = -whole.gather(1, tokens().flatten().unsqueeze(1)).view(3, 7)
    torch.testing.assert_close(module.nats(hidden, tokens()), own)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"cutoffs": (4,), "tied": True}, "adaptive softmax"),
        ({"cutoffs": (8, 4), "tied": False}, "rising"),
        ({"cutoffs": (11,), "tied": False}, "below"),
        ({"input_dropout": 1.0}, "input_dropout"),
    ],
)
def test_options_that_can_not_be_are_refused(options: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        network(**options)


def test_it_can_not_read_from_the_end() -> None:
    layers = Network(cell="gru", hidden_size=4, bidirectional=True).build(6)
    with pytest.raises(ConfigError, match="bidirectional"):
        NextToken(11, 6, layers)


def test_the_state_carried_over_chunks_gives_what_one_reading_gives() -> None:
    module = network(layers=2).eval()
    whole = module(tokens())
    first = module(tokens()[:, :3])
    rest = module(tokens()[:, 3:], detach(first.state))
    torch.testing.assert_close(torch.cat([first.hidden, rest.hidden], 1), whole.hidden)


def test_a_reset_forgets_what_was_before() -> None:
    module = network().eval()
    resets = torch.zeros(3, 7, dtype=torch.bool)
    resets[1, 4] = True
    read = module(tokens(), resets=resets)
    alone = module(tokens()[1:2, 4:])
    torch.testing.assert_close(read.hidden[1:2, 4:], alone.hidden)
    torch.testing.assert_close(read.hidden[0], module(tokens()).hidden[0])


def test_steps_give_the_log_probabilities_of_a_whole_reading() -> None:
    module = network(hidden=9, layers=2).eval()
    state = module.initial_state(3)
    whole = module(tokens())
    for step in range(7):
        found, state = module.step(tokens()[:, step], state)
        torch.testing.assert_close(found, module.log_probabilities(whole.hidden[:, step]), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ["embedding_dropout", "input_dropout", "output_dropout"])
def test_each_dropout_acts_in_training_alone_and_by_its_key(name: str) -> None:
    module, key = network(**{name: 0.5}), torch.tensor(7)
    plain = network()
    dropped = module(tokens(), key=key)
    assert not torch.equal(dropped.hidden, plain(tokens()).hidden)
    assert torch.equal(dropped.hidden, module(tokens(), key=key).hidden)
    assert not torch.equal(dropped.hidden, module(tokens(), key=torch.tensor(8)).hidden)
    torch.testing.assert_close(module.eval()(tokens()).hidden, plain.eval()(tokens()).hidden)


def test_output_masks_are_the_same_at_every_step_and_differ_between_rows() -> None:
    module = network(output_dropout=0.5)
    read = module(tokens(), key=torch.tensor(3))
    zero = read.dropped == 0
    assert zero.any()
    assert (zero == zero[:, :1]).all()
    assert not (zero[0] == zero[1]).all()


def test_embedding_dropout_drops_a_token_wherever_it_stands() -> None:
    module = network(embedding_dropout=0.5)
    vectors = module._embedded(tokens(8, 30), torch.tensor(5))
    gone = (vectors == 0).all(-1)
    for token in range(11):
        places = gone[tokens(8, 30) == token]
        assert places.all() or not places.any()
    assert gone.any()
    assert not gone.all()


def test_masks_between_layers_are_the_same_at_every_step_where_variational() -> None:
    torch.manual_seed(0)
    stack = Network(cell="rnn", hidden_size=64, layers=2, dropout=0.5, variational=True).build(5)
    seen: list[torch.Tensor] = []
    stack.layers[1].register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    stack(torch.randn(2, 9, 5))
    zero = seen[0] == 0
    assert zero.any()
    assert (zero == zero[:, :1]).all()
    stack.variational = False
    stack(torch.randn(2, 9, 5))
    zero = seen[1] == 0
    assert not (zero == zero[:, :1]).all()


def test_weight_drop_changes_the_outputs_in_training_alone() -> None:
    module, plain = network(weight_drop=0.5), network()
    assert not torch.equal(module(tokens(), key=torch.tensor(1)).raw, plain(tokens()).raw)
    torch.testing.assert_close(module.eval()(tokens()).raw, plain.eval()(tokens()).raw)
