"""The stream contract of a pipeline: initial_state, step for any chunk, flush."""

import sys
from pathlib import Path

import pytest
import torch

import latchwork as lw
from latchwork.tasks import Rows

sys.path.insert(0, str(Path(__file__).parents[1]))
from small import shop


@pytest.mark.parametrize("memory", ["window", "carried"])
def test_step_answers_each_row_as_offline_does_in_any_chunks(memory: str) -> None:
    task = lw.Forecast(target="units", horizon=3, memory=memory, calendar=("weekday",), test_size=6, validation_size=9)
    training = lw.Training(steps=4, evaluate_every=2)
    model = lw.fit(task, shop(rows=90), network=lw.Network(hidden_size=8), training=training)
    pipeline, series = model.pipeline, model.setup.series
    data = pipeline.data(series)
    rows = Rows(*(torch.as_tensor(getattr(series[0], part)).unsqueeze(0) for part in ("target", "past", "future")))
    rows = Rows(rows.target, rows.past.float(), rows.future.float())
    offline = pipeline.forecast_at(series, torch.tensor([[0, row] for row in range(1, 41)])).quantiles
    for chunks in ([40], [1] * 40, [7, 13, 20]):
        state, row, answers = pipeline.initial_state([series[0].id], data.static[:1]), 0, []
        for size in chunks:
            ahead = data.ahead(torch.tensor([[0, row + step + 1] for step in range(size)]), 3).unsqueeze(0)
            part = Rows(*(value[:, row : row + size] for value in rows))
            answer, state = pipeline.step(part, state, ahead)
            answers.append(answer)
            row += size
        torch.testing.assert_close(torch.cat(answers, dim=1)[0], offline, rtol=1e-5, atol=1e-6)
    assert pipeline.flush(state) is None
