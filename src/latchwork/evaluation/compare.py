"""Cells, and what might stand in their place, trained alike on the same sequences."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from statistics import NormalDist
from typing import Any

import numpy as np

from latchwork.cells import Cell
from latchwork.errors import ConfigError
from latchwork.evaluation.compared import Against, Compared
from latchwork.evaluation.contest import Contest, Trial, contenders_of, run_contest, seeds_of
from latchwork.evaluation.leaks import Finding
from latchwork.evaluation.sequence_figures import paired
from latchwork.evaluation.twins import Twin
from latchwork.layers import Network
from latchwork.metrics import LOWER_IS_BETTER
from latchwork.metrics.paired import small_sample
from latchwork.tasks import Classify, Label, SequenceSetup, SequenceTask, folds_of, read_examples, split_of
from latchwork.training import Callback, Training

CELLS = ("lstm", "gru", "rnn", "mingru")
LEVEL = 0.95
Progress = Callable[[str, float], None]


def compare(
    task: SequenceTask,
    data: Any,
    *,
    cells: Sequence[str | type[Cell]] = CELLS,
    rivals: Sequence[str] = (),
    twins: Sequence[str] = (),
    seeds: int | Sequence[int] = 3,
    folds: int | None = None,
    network: Network | None = None,
    training: Training | None = None,
    baselines: bool = True,
    callbacks: Sequence[Callback] = (),
    progress: Progress | None = None,
    ready: Callable[[SequenceSetup, list[Finding]], None] | None = None,
    each: Callable[[Trial, int], None] | None = None,
) -> Compared:
    """Train cells on the same split, or folds, with the same budget, and score each on the test part, once.

    cells      names, or classes of one's own; the others are compared with the first
    rivals     feedforward, transformer: in the place of the recurrent layers
    twins      of the first cell. shuffled: the steps of each sequence in another order. truncated (or truncated=20):
               its last quarter, or so many steps; for :class:`Label` a state that is forgotten as often
    seeds      so many from ``training.seed`` on, or those given: of the weights and of the order of training; the split
               is that of ``training.seed``
    network    the options that all have in common, but for the cell
    ready, each  told before the first training and after each, see :func:`latchwork.evaluation.run_contest`

    A difference has a 95% interval. On one split its variance is that of the draw of test sequences (or entities), by
    bootstrap, and that of the means over seeds, with Student's t of the degrees that Welch and Satterthwaite give. Over
    folds it is Student's t with Nadeau and Bengio's correction (2003, Machine Learning 52), variance · (1 / folds +
    test / train), as folds share sequences.

    Raises :class:`ConfigError` for names that are not known, :class:`DataError` for data that can't be used.
    """
    network, training = network or Network(), training or Training()
    if not isinstance(task, (Classify, Label)):
        raise ConfigError(
            f"compare is for Classify and Label, and this is {type(task).__name__}; train it with each cell instead"
        )
    if twins and getattr(task, "aim_folds", 0):
        raise ConfigError("aim_folds is for a threshold, and twins are compared without one; leave one of them out")
    chosen = contenders_of(cells, rivals, twins, steps=isinstance(task, Label))
    numbers = seeds_of(seeds, training.seed)
    if folds is not None and folds < 2:
        raise ConfigError(f"folds is {folds}, expected at least 2, or none for one split")
    kind, labelled = read_examples(_task(task), data)
    seed = training.seed
    splits = [split_of(task, labelled, seed=seed)] if folds is None else folds_of(task, labelled, folds, seed=seed)
    contest = run_contest(
        task,
        kind,
        labelled,
        splits,
        chosen,
        seeds=numbers,
        network=replace(network, cell=chosen[0].cell),
        training=training,
        baselines=baselines,
        callbacks=callbacks,
        progress=progress,
        ready=ready,
        each=each,
    )
    if folds is None and len(numbers) == 2:
        few = "two seeds say little of how much seeds differ: with three the intervals are far shorter"
        contest.folds = replace(contest.folds, notes=(*contest.folds.notes, few))
    first, methods = chosen[0].name, contest.folds.methods
    rivals = [name for name in methods if name != first and contest.kinds[name] != "oracle"]
    against = tuple(difference(contest, name, first) for name in rivals)
    winner = _by_validation(contest)
    beside = beside_best(contest, winner or first)
    sentences = []
    for one in chosen:
        found = next((other for other in against if other.method == one.name), None)
        if one.twin is not None and found is not None:
            sentences.append(_twin(contest, one.twin, found))
    return Compared(
        contest.folds,
        tuple(contest.trials),
        dict(contest.kinds),
        first,
        against,
        winner,
        beside,
        tuple(sentences),
        tuple(contest.findings),
        contest.stopped,
    )


def difference(contest: Contest, method: str, rival: str) -> Against:
    """The main figure of one less that of the other, with its interval; see :func:`compare`."""
    folds = contest.folds
    one, other = (folds.figures(name) for name in (method, rival))
    if len(folds.names) > 1:
        return _over_folds(contest, method, rival, one, other)
    first, second = (
        [answer for (name, _, _), answer in contest.answers.items() if name == side] for side in (method, rival)
    )
    if not first or not second:
        return Against(method, rival, math.nan, math.nan, math.nan)
    found = paired(contest.truths[0], first, second, folds.main)
    seeds = [values[~np.isnan(values)] for values in (one[0], other[0])]
    # The variance of each mean over seeds, and what it is worth: Welch and Satterthwaite.
    parts = [(float(values.var(ddof=1)) / len(values), len(values) - 1) for values in seeds if len(values) > 1]
    of_seeds = sum(part for part, _ in parts)
    if not of_seeds or math.isnan(found.lower):
        return Against(method, rival, found.value, found.lower, found.upper, math.sqrt(of_seeds) if parts else math.nan)
    bounds = []
    for bound in (found.lower, found.upper):
        of_test = ((bound - found.value) / NormalDist().inv_cdf((1 + LEVEL) / 2)) ** 2
        degrees = (of_test + of_seeds) ** 2 / sum(part**2 / free for part, free in parts)
        bounds.append(student(degrees) * math.sqrt(of_test + of_seeds))
    return Against(method, rival, found.value, found.value - bounds[0], found.value + bounds[1], math.sqrt(of_seeds))


def student(degrees: float) -> float:
    """The quantile of Student's t beyond which (1 - LEVEL) / 2 lies; between whole degrees on a line over 1 / degrees.

    >>> round(student(2), 2), round(student(4), 2)
    (4.3, 2.78)
    """
    below = max(1, math.floor(degrees))
    share = max(0.0, 1 / below - 1 / degrees) * below * (below + 1)
    first, second = (_whole_student(free) for free in (below, below + 1))
    return first + min(1.0, share) * (second - first)


def _whole_student(degrees: int) -> float:
    units = min(degrees + 1, 200)
    return NormalDist().inv_cdf((1 + LEVEL) / 2) * small_sample(units, LEVEL) * math.sqrt((units - 1) / units)


def beside_best(contest: Contest, name: str) -> Against | None:
    """A method less the best of the baselines; None where there is none with a figure."""
    others = [one for one in contest.folds.methods if contest.kinds[one] == "baseline"]
    best = next((one for one in others if not math.isnan(contest.folds.spread(one).mean)), None)
    return None if best is None else difference(contest, name, best)


def _over_folds(contest: Contest, method: str, rival: str, one: Any, other: Any) -> Against:
    each = np.array([_mean(a) - _mean(b) for a, b in zip(one, other, strict=True)])
    kept = ~np.isnan(each)
    each, count = each[kept], int(kept.sum())
    if count < 2:
        return Against(method, rival, _mean(each), math.nan, math.nan)
    sizes = np.array(contest.folds.sizes, np.float64)[kept]
    widened = math.sqrt(1 / count + float((sizes[:, 2] / sizes[:, 0]).mean()))
    value, half = float(each.mean()), student(count - 1) * float(each.std(ddof=1)) * widened
    return Against(method, rival, value, value - half, value + half)


def _mean(values: Any) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else math.nan


def _by_validation(contest: Contest) -> str | None:
    """The cell of the smallest mean choice, over folds and seeds."""
    means = {}
    for name, kind in contest.kinds.items():
        values = [one.choice for one in contest.trials if one.name == name and not math.isnan(one.choice)]
        if kind == "cell" and values:
            means[name] = float(np.mean(values))
    return min(means, key=lambda name: means[name]) if means else None


def _twin(contest: Contest, twin: Twin, found: Against) -> str:
    forgets = next((one.forgets for one in contest.trials if one.name == found.method), 0)
    main = contest.folds.main
    title = contest.folds.titles.get(main, main)
    less = main in LOWER_IS_BETTER
    return twin.said(title, found.value, found.lower, found.upper, less=less, steps=forgets or None)


def _task(task: Any) -> SequenceTask:
    if not isinstance(task, (Classify, Label)):
        raise ConfigError(f"task is {type(task).__name__}, and cells are compared for Classify and Label")
    return task
