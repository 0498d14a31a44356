"""Jobs small enough to train in a second. Run as a script it trains one in a folder, for the tests that kill it."""

import hashlib
import os
import sys
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from latchwork.sequences import ChunkSampler, EpochSampler
from latchwork.training import Training, train


class Network(nn.Module):
    """GRU with dropout and batch normalisation, so that random numbers and buffers count too."""

    def __init__(self, inputs: int, hidden: int = 8, dropout: float = 0.2) -> None:
        super().__init__()
        self.rnn = nn.GRU(inputs, hidden, batch_first=True)
        self.drop = nn.Dropout(dropout)
        self.norm = nn.BatchNorm1d(hidden)
        self.head = nn.Linear(hidden, 1)

    def forward(self, x: Tensor, h: Tensor | None = None) -> tuple[Tensor, Tensor]:
        output, h = self.rnn(x, h)
        output = self.norm(output.flatten(0, 1)).view_as(output)
        return self.head(self.drop(output)).float().squeeze(-1), h


class Adding:
    """The adding problem (Hochreiter & Schmidhuber 1997): the sum of the two numbers that are marked."""

    def __init__(self, seed: int = 1, count: int = 64, batch_size: int = 10, dropout: float = 0.2) -> None:
        torch.manual_seed(seed)
        self.module = Network(2, dropout=dropout)
        random = np.random.default_rng(seed)
        marks = np.zeros((2 * count, 8))
        marks[:, 1], marks[:, 6] = 1, 1
        x = np.stack([random.uniform(size=(2 * count, 8)), marks], axis=-1)
        self.x = torch.tensor(x, dtype=torch.float32)
        self.y = (self.x[..., 0] * self.x[..., 1]).sum(1)
        self.count = count
        self.sampler = EpochSampler(count, batch_size, seed)

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        rows = torch.from_numpy(self.sampler.rows(step))
        return self.x[rows], self.y[rows]

    def loss(self, batch: tuple[Tensor, Tensor], carried: Any) -> tuple[Tensor, Any]:
        x, y = batch
        return (self.module(x)[0][:, -1] - y).square().mean(), None

    def validate(self) -> Mapping[str, float]:
        error = self.module(self.x[self.count :])[0][:, -1] - self.y[self.count :]
        return {"mse": float(error.square().mean()), "mae": float(error.abs().mean())}


class Carried(NamedTuple):
    """What the carried job hands on: the network's state, and the last input, NaN where a lane began anew."""

    h: Tensor
    last: Tensor


class Walks:
    """Predict the running mean of long sequences, chunk by chunk, the state carried from one to the next."""

    def __init__(self, seed: int = 1, dropout: float = 0.2, lanes: int = 3, pause: float = 0.0) -> None:
        torch.manual_seed(seed)
        self.module = Network(1, dropout=dropout)
        random = np.random.default_rng(seed)
        self.sequences = [torch.tensor(random.normal(size=n), dtype=torch.float32) for n in (40, 23, 31, 17, 28)]
        self.sampler = ChunkSampler([len(one) for one in self.sequences], lanes, 6, seed)
        self.pause = pause

    def batch(self, step: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        if self.pause:
            time.sleep(self.pause)
        chunk = self.sampler.chunk(step)
        lanes, width = chunk.resets.shape
        x, y, mask = torch.zeros(lanes, width, 1), torch.zeros(lanes, width), torch.zeros(lanes, width)
        for lane, (index, start, stop) in enumerate(zip(chunk.sequence, chunk.start, chunk.stop, strict=True)):
            whole = self.sequences[index]
            means = whole.cumsum(0) / torch.arange(1, len(whole) + 1)
            x[lane, : stop - start, 0], y[lane, : stop - start] = whole[start:stop], means[start:stop]
            mask[lane, : stop - start] = 1
        return x, y, mask, torch.from_numpy(chunk.resets[:, 0])

    def loss(self, batch: tuple[Tensor, Tensor, Tensor, Tensor], carried: Carried | None) -> tuple[Tensor, Carried]:
        x, y, mask, anew = batch
        h = torch.zeros(1, len(x), 8) if carried is None else carried.h.transpose(0, 1)
        h = torch.where(anew[None, :, None], 0.0, h)
        output, h = self.module(x, h)
        loss = ((output - y).square() * mask).sum() / mask.sum()
        return loss, Carried(h.transpose(0, 1), torch.where(anew, torch.nan, x[:, -1, 0]))

    def validate(self) -> Mapping[str, float]:
        errors = []
        for one in self.sequences:
            means = one.cumsum(0) / torch.arange(1, len(one) + 1)
            errors.append((self.module(one[None, :, None])[0][0] - means).square().mean())
        return {"mse": float(torch.stack(errors).mean())}


def fingerprint(module: nn.Module) -> str:
    """A hash of every bit of the weights and buffers."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(name.encode() + tensor.numpy().tobytes())
    return digest.hexdigest()


OPTIONS = Training(
    steps=40, learning_rate=0.01, evaluate_every=7, checkpoint_every=5, average=0.9, warmup=5, device="cpu", seed=3
)

if __name__ == "__main__":
    torch.set_num_threads(1)
    pause = float(sys.argv[2])
    flush = os.fsync

    def slow(handle: int) -> None:
        time.sleep(15 * pause)
        flush(handle)

    os.fsync = slow
    job = Walks(pause=pause)
    outcome = train(job, OPTIONS, folder=sys.argv[1], resume=True, resume_hint="latchwork train --resume")
    print(outcome.stopped, outcome.steps, fingerprint(job.module))
