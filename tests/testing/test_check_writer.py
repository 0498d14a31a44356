"""The contract of models that write, over every kind of token and some cells; and that it finds what is broken."""

import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from latchwork import Generate, Network
from latchwork.layers import NextToken
from latchwork.tasks.generate_pipeline import LanguagePipeline
from latchwork.testing import check_writer

sys.path.insert(0, str(Path(__file__).parents[1]))
from prose import prose

TEXTS = [prose(60, seed=1), prose(60, seed=2), prose(60, seed=3), prose(60, seed=4)]


@pytest.mark.parametrize("unit", ["char", "word", "given", "bpe"])
def test_every_kind_of_token_passes(unit: str) -> None:
    size = 270 if unit == "bpe" else None
    check_writer(Generate(tokenizer=unit, vocabulary_size=size), TEXTS)  # type: ignore[arg-type]


@pytest.mark.parametrize("cell", ["rnn", "gru", "mingru", "minlstm", "layernorm_lstm", "slstm"])
def test_cells_pass(cell: str) -> None:
    check_writer(Generate(tokenizer="char"), TEXTS, network=Network(cell=cell, hidden_size=6, layers=2))


@pytest.mark.parametrize(
    "options",
    [{"tied": True, "embedding": 5}, {"tied": False, "adaptive_softmax": (9, 20)}, {"output_dropout": 0.5}],
)
def test_options_pass(options: dict[str, Any]) -> None:
    network = Network(cell="lstm", hidden_size=8, weight_drop=0.2, variational=True, layers=2, dropout=0.2)
    check_writer(Generate(tokenizer="char", **options), TEXTS, network=network)


def test_a_state_that_survives_a_document_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    real = NextToken.forward

    def without_resets(self: NextToken, *given: Any, resets: Any = None, **rest: Any) -> Any:
        return real(self, *given, **rest)

    monkeypatch.setattr(NextToken, "forward", without_resets)
    with pytest.raises(AssertionError, match="whatever stood before"):
        check_writer(Generate(tokenizer="char"), TEXTS)


def test_scores_that_are_no_probabilities_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    real = LanguagePipeline.step

    def louder(self: LanguagePipeline, tokens: torch.Tensor, state: Any) -> Any:
        scores, after = real(self, tokens, state)
        return scores + 0.1, after

    monkeypatch.setattr(LanguagePipeline, "step", louder)
    with pytest.raises(AssertionError, match="sum to one"):
        check_writer(Generate(tokenizer="char"), TEXTS)
