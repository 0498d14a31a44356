import math

import pytest
import torch

from latchwork.cells import ACTIVATIONS, activation
from latchwork.errors import ConfigError

EXPECTED = {
    "linear": lambda x: x,
    "sigmoid": lambda x: 1 / (1 + math.exp(-x)),
    "tanh": math.tanh,
    "relu": lambda x: max(x, 0.0),
    "leaky_relu": lambda x: x if x > 0 else 0.01 * x,
    "swish": lambda x: x / (1 + math.exp(-x)),
    "gelu": lambda x: x * 0.5 * (1 + math.erf(x / math.sqrt(2))),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_pointwise(name: str) -> None:
    values = [-2.5, -0.3, 0.0, 0.7, 3.1]
    got = activation(name)(torch.tensor(values, dtype=torch.float64))
    assert got.tolist() == pytest.approx([EXPECTED[name](x) for x in values])


def test_softmax_is_over_the_last_axis() -> None:
    got = activation("softmax")(torch.tensor([[0.0, math.log(3.0)], [5.0, 5.0]]))
    torch.testing.assert_close(got, torch.tensor([[0.25, 0.75], [0.5, 0.5]]))


def test_names() -> None:
    assert set(ACTIVATIONS) == {*EXPECTED, "softmax"}
    with pytest.raises(ConfigError, match='did you mean "sigmoid"'):
        activation("sigmoyd")
