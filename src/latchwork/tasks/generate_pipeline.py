"""A language model bound together: vocabulary, network, task."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from latchwork import storage
from latchwork.cells import Cell
from latchwork.errors import DataError, ModelFileError
from latchwork.layers import Network, NextToken
from latchwork.modalities import END, Vocabulary
from latchwork.tasks.generate import Generate
from latchwork.tasks.generate_job import Stream, read_nats
from latchwork.tasks.model_file import ModelFile, read_model, read_weights, save_model
from latchwork.tasks.saved import plain, task_from
from latchwork.types import Tensor


@dataclass
class LanguagePipeline:
    """Vocabulary, network and task bound together, fitted. The task and the network have no open options left."""

    vocabulary: Vocabulary
    task: Generate
    network: Network
    module: NextToken

    name = "generate"

    def fingerprint(self) -> str:
        """A hash of the weights: a state belongs to one model."""
        return storage.sha256(storage.pack_tensors(self.module.state_dict()))

    def stream(self, documents: Sequence[str]) -> Stream:
        """Texts as one row of tokens. Each begins after ``<eos>``; several also end with it, one alone just stops."""
        return stream_of(self.vocabulary, documents)

    def nats(self, documents: Sequence[str]) -> NDArray[np.float64]:
        """-log p of every token of the texts, the ``<eos>`` after each of several among them."""
        return read_nats(self.module, self.stream(documents))

    def initial_state(self, batch: int = 1) -> tuple[Any, ...]:
        """Nothing read yet."""
        return self.module.initial_state(batch)

    @torch.no_grad()
    def step(self, tokens: Tensor, state: tuple[Any, ...]) -> tuple[Tensor, tuple[Any, ...]]:
        """Read tokens [batch, time], of any number of steps: log p of each token to come next [batch, time,
        vocabulary], and the state after them. At ``<eos>`` another text begins, from a fresh state.
        """
        if tokens.numel() and not 0 <= int(tokens.min()) <= int(tokens.max()) < len(self.vocabulary):
            raise DataError(f"a token is not from 0 to {len(self.vocabulary) - 1}, the vocabulary of this model")
        self.module.eval()
        if not tokens.shape[1]:
            return torch.zeros(len(tokens), 0, len(self.vocabulary)), state
        read = self.module(tokens, state, resets=tokens == END)
        scores = self.module.log_probabilities(read.hidden.flatten(0, 1))
        return scores.view(*tokens.shape, -1), read.state

    def flush(self, state: tuple[Any, ...]) -> None:
        """Nothing: a language model holds no output back."""


def stream_of(vocabulary: Vocabulary, documents: Sequence[str]) -> Stream:
    """See :meth:`LanguagePipeline.stream`."""
    mark = np.array([END])
    parts = [part for one in vocabulary.encode_all(documents) for part in (mark, one)]
    return np.concatenate([*parts, mark] if len(documents) > 1 else [*parts] or [mark])


def build_language(task: Generate, vocabulary: int, network: Network) -> NextToken:
    """The network of a task without open options, not trained."""
    assert task.embedding is not None
    assert task.tied is not None
    return NextToken(
        vocabulary,
        task.embedding,
        network.build(task.embedding),
        tied=task.tied,
        cutoffs=task.adaptive_softmax,
        embedding_dropout=task.embedding_dropout or 0.0,
        input_dropout=task.input_dropout or 0.0,
        output_dropout=task.output_dropout or 0.0,
    )


def save_language(pipeline: LanguagePipeline, folder: Path, version: str) -> None:
    """Write the model's folder."""
    save_model(
        folder,
        pipeline.module,
        ModelFile,
        version=version,
        task={"name": pipeline.name, **plain(pipeline.task)},
        network=pipeline.network.to_dict(),
        files=pipeline.vocabulary.files(),
        parts={"vocabulary": pipeline.vocabulary.to_dict()},
    )


def load_language(folder: Path, cells: Mapping[str, type[Cell]] | None = None) -> LanguagePipeline:
    """Read and check it. A cell of one's own is named in ``cells``: code is never read from a file."""
    file, files = read_model(folder, ModelFile)
    try:
        task = task_from(file.task)
        if not isinstance(task, Generate):
            raise ModelFileError(f"{folder} holds a model of another task")
        network = Network.from_dict(file.network, cells=cells)
        vocabulary = Vocabulary.from_dict(file.parts["vocabulary"], files)
        module = build_language(task, len(vocabulary), network)
    except (DataError, KeyError, TypeError, ValueError, AssertionError) as error:
        raise ModelFileError(f"{folder} is damaged: {error}; train the model anew or take it from a backup") from error
    read_weights(folder, module, file)
    return LanguagePipeline(vocabulary, task, network, module)
