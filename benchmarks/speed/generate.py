"""Tokens a second, trained and in one live text, beside torch.nn.LSTM; a key of autocomplete; very long texts."""

import argparse
import json
import statistics
import time

import numpy as np
import torch
from torch.nn import functional as F

import latchwork as lw
from latchwork.modalities import END
from latchwork.streaming import Completer, Reading

WORDS = 200
"""Words of the made-up text's vocabulary."""


def text(count: int) -> str:
    """Words of letters, drawn by Zipf's law."""
    random = np.random.default_rng(0)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    words = ["".join(random.choice(letters, random.integers(2, 9))) for _ in range(WORDS)]
    shares = 1 / np.arange(1, WORDS + 1)
    return " ".join(random.choice(words, count, p=shares / shares.sum()))


def torch_side(model: lw.LanguageModel) -> tuple[torch.nn.Module, torch.nn.LSTM]:
    """torch.nn.LSTM with the model's embedding and output."""
    module = model.pipeline.module
    return module, torch.nn.LSTM(module.embedding.embedding_dim, module.layers.output_size, batch_first=True)


def training(model: lw.LanguageModel, rounds: int, batch: int, time_steps: int) -> dict[str, float]:
    """Tokens a second of a forward and a backward pass, in turn, medians."""
    module, rival = torch_side(model)
    module.train()
    tokens = torch.randint(3, module.vocabulary, (batch, time_steps + 1))
    inputs, targets = tokens[:, :-1], tokens[:, 1:]

    def ours() -> None:
        module.nats(module(inputs).hidden, targets).mean().backward()

    def theirs() -> None:
        hidden, _ = rival(module.embedding(inputs))
        hidden = hidden if module.projection is None else module.projection(hidden)
        F.cross_entropy(module.output(hidden).flatten(0, 1), targets.flatten()).backward()

    spent: dict[str, list[float]] = {"latchwork": [], "torch.nn.LSTM": []}
    for _ in range(rounds):
        for name, run in (("latchwork", ours), ("torch.nn.LSTM", theirs)):
            began = time.perf_counter()
            run()
            spent[name].append(time.perf_counter() - began)
    return {name: round(batch * time_steps / statistics.median(times)) for name, times in spent.items()}


def generating(model: lw.LanguageModel, count: int) -> dict[str, float]:
    """Tokens a second of one live text, drawn at temperature 1."""
    module, rival = torch_side(model)
    module.eval()
    live = model.stream(seed=1)
    began = time.perf_counter()
    for _ in range(count):
        live.next()
    ours = count / (time.perf_counter() - began)
    token, state = torch.tensor([[END]]), None
    generator = torch.Generator().manual_seed(1)
    began = time.perf_counter()
    with torch.no_grad():
        for _ in range(count):
            hidden, state = rival(module.embedding(token), state)
            hidden = hidden if module.projection is None else module.projection(hidden)
            token = torch.multinomial(module.output(hidden)[0].softmax(-1), 1, generator=generator)
    return {"latchwork": round(ours), "torch.nn.LSTM": round(count / (time.perf_counter() - began))}


def long_text(model: lw.LanguageModel, count: int) -> list[float]:
    """Microseconds of a token, medians over tenths of a long text: they should not rise."""
    live = model.stream(seed=2, repetition_penalty=1.1, no_repeat_ngram_size=8)
    spent = []
    for _ in range(count):
        began = time.perf_counter()
        live.next()
        spent.append(time.perf_counter() - began)
    return [round(1e6 * statistics.median(part.tolist()), 1) for part in np.array_split(np.array(spent), 10)]


def keys(model: lw.LanguageModel, typed: str) -> dict[str, float]:
    """Milliseconds from a key to the offers."""
    typing, spent = Completer(model.pipeline), []
    for key in typed:
        began = time.perf_counter()
        typing.key(key)
        spent.append(1e3 * (time.perf_counter() - began))
    return {"median": round(statistics.median(spent), 3), "p95": round(float(np.quantile(spent, 0.95)), 3)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--hidden-size", type=int, nargs="+", default=[128, 256, 512])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", action="store_true", help="one JSON line a model on standard output")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    corpus = text(6000)
    for unit in ("char", "word"):
        for hidden in options.hidden_size:
            model = lw.fit(
                lw.Generate(tokenizer=unit),
                [corpus],
                network=lw.Network(cell="lstm", hidden_size=hidden),
                training=lw.Training(steps=3, batch_size=8, truncate=32),
            )
            facts = {
                "tokens": unit,
                "vocabulary": len(model.pipeline.vocabulary),
                "hidden_size": hidden,
                "engine": not Reading(model.pipeline).why,
                "training_tokens_per_second": training(model, options.rounds, 32, 128),
                "generating_tokens_per_second": generating(model, 2000),
                "microseconds_by_tenth_of_20000_tokens": long_text(model, 20_000 if hidden <= 256 else 5_000),
                "milliseconds_a_key": keys(model, corpus[:300]),
                "threads": options.threads,
            }
            print(json.dumps(facts) if options.json else facts, flush=True)


if __name__ == "__main__":
    main()
