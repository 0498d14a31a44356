"""The classic learners behind the baselines, by scikit-learn: linear ones and boosted trees, for any kind of target.

What is chosen (penalty, number of trees) is chosen on the validation rows; the cost of a fit is bounded by a count of
work, so the same data give the same answer on every machine.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from numbers import Real
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from latchwork import optional
from latchwork.errors import DataError

Array = NDArray[np.float64]
Matrix = Any
"""Rows of features: an array, or a sparse matrix of scipy."""

Kind = Literal["class", "labels", "number"]

MOST_WORK = 2e7
"""Features that are not zero, times outputs, that a linear fit reads in one pass."""

MOST_TREE_WORK = 8e6
"""Features times outputs of the rows that trees are grown on."""

MOST_LABELS = 50
"""Of several labels, so many (the most frequent) get a model of their own."""

STRENGTHS = (0.01, 0.1, 1.0, 3.0, 10.0, 30.0, 100.0, 1000.0)
"""Inverse penalties that are tried, in this order, until the loss on the validation rows has risen twice in a row."""

STOCHASTIC_STRENGTHS = (0.05, 0.5, 5.0)
"""The same for stochastic descent, where each try is dear."""

TOLERANCE = 1e-5
"""Weighted words make small gradients: with ten times more the fit stops before it has begun."""

TREES = 150
PASSES = 100


class Answer(NamedTuple):
    """probabilities [n, classes] ([n] for a number), and what a reader of the table must know."""

    probabilities: Array
    note: str = ""


@dataclass(frozen=True, eq=False)
class Targets:
    """What is to be learned: codes [n] of classes, 0/1 [n, classes] of several labels, or numbers [n].

    rows  which of the sequences these are: those with a label that is known in training
    """

    kind: Kind
    values: NDArray[Any]
    rows: NDArray[np.int64]
    classes: int

    @classmethod
    def of(cls, labels: Sequence[Any], classes: Sequence[str], kind: Kind) -> "Targets":
        """Labels without a place among ``classes`` are left out."""
        code = {name: index for index, name in enumerate(classes)}
        if kind == "labels":
            rows = np.array([row for row, label in enumerate(labels) if label is not None], np.int64)
            values = np.zeros((len(rows), len(classes)))
            for place, row in enumerate(rows):
                values[place, [code[one] for one in labels[row] if one in code]] = 1.0
            return cls(kind, values, rows, len(classes))
        if kind == "class":
            rows = np.array([row for row, label in enumerate(labels) if label in code], np.int64)
            return cls(kind, np.array([code[labels[row]] for row in rows], np.int64), rows, len(classes))
        rows = np.array([row for row, label in enumerate(labels) if _is_number(label)], np.int64)
        return cls(kind, np.array([float(labels[row]) for row in rows]), rows, 0)

    def select(self, rows: NDArray[np.int64]) -> "Targets":
        """Some of them."""
        return replace(self, values=self.values[rows], rows=self.rows[rows])

    def constant(self, count: int) -> Array:
        """The same answer for all: class frequencies, or the mean."""
        if not len(self.rows):
            raise DataError("no training sequence has a label, so there is nothing to learn from")
        if self.kind == "number":
            return np.full(count, self.values.mean())
        if self.kind == "labels":
            return np.tile(self.values.mean(0), (count, 1))
        return np.tile(np.bincount(self.values, minlength=self.classes) / len(self.rows), (count, 1))

    @property
    def outputs(self) -> int:
        """Numbers that a linear model gives for each row."""
        if self.kind == "number":
            return 1
        return self.classes if self.classes > 2 or self.kind == "labels" else 1


def kind_of(labels: Sequence[Any]) -> Kind:
    """What the labels are: a text, several, or a number."""
    first = next((label for label in labels if label is not None), None)
    if first is None:
        raise DataError("no training sequence has a label, so there is nothing to learn from")
    if isinstance(first, str):
        return "class"
    return "labels" if isinstance(first, (tuple, list)) else "number"


def _is_number(label: Any) -> bool:
    return isinstance(label, (Real, np.number)) and bool(np.isfinite(float(label)))


def linear(
    train: Matrix, y: Targets, chosen_on: Matrix, v: Targets, asked: Matrix, seed: int, *, again: bool = False
) -> Answer:
    """Logistic regression (ridge for a number); the penalty of lowest loss on the validation rows.

    ``train`` and ``chosen_on`` have a row for each of their targets' rows. Too many rows are thinned, with a note.
    again: fit once more, on the validation rows too, with that penalty.
    """
    train, y, thinned = _thin(train, y, MOST_WORK, seed)
    if y.kind == "labels":
        return _each(train, y, chosen_on, v, asked, seed, partial(linear, again=again), thinned)
    if len(np.unique(y.values)) < 2:
        return Answer(y.constant(asked.shape[0]), "one label in training")
    models = optional.load("sklearn.linear_model")
    best, chosen, best_loss, note, worse = None, 1.0, np.inf, "", 0
    strengths = STRENGTHS if len(v.rows) else (1.0,)
    model = models.LogisticRegression(max_iter=PASSES, tol=TOLERANCE, warm_start=True, random_state=seed)
    for strength in strengths:
        if y.kind == "number":
            model = models.Ridge(alpha=1.0 / strength)
        else:
            model.C = strength
        settled = _quietly(lambda fitted=model: fitted.fit(train, y.values))
        answers = _answers(model, asked, y)
        loss = _loss(_answers(model, chosen_on, y), v) if len(v.rows) else 0.0
        worse += 1
        if loss < best_loss:
            best, chosen, best_loss, worse = answers, strength, loss, 0
            note = f"{'alpha' if y.kind == 'number' else 'C'} {1 / strength if y.kind == 'number' else strength:g}"
            note += " by validation" if len(v.rows) else ""
            note += "" if settled else f", stopped after {PASSES} passes"
        if worse == 2:
            break
    if best is None:
        raise DataError("the features of the validation rows give no finite loss")
    if again and len(v.rows):
        if y.kind == "number":
            model = models.Ridge(alpha=1.0 / chosen)
        else:
            model.C = chosen
        x, values = _together(train, y, chosen_on, v)
        _quietly(lambda: model.fit(x, values))
        best, note = _answers(model, asked, y), f"{note}, fitted on both"
    return Answer(best, _joined(note, thinned))


def stochastic(
    train: Matrix, y: Targets, chosen_on: Matrix, v: Targets, asked: Matrix, seed: int, *, again: bool = False
) -> Answer:
    """Logistic regression of each class against the others by stochastic descent: for classes of very many rows."""
    train, y, thinned = _thin(train, y, 5 * MOST_WORK, seed)
    if len(np.unique(y.values)) < 2:
        return Answer(y.constant(asked.shape[0]), "one label in training")
    made = optional.load("sklearn.linear_model").SGDClassifier
    rounds = int(np.clip(1_500_000 // len(y.rows), 6, 50))
    shared = {"max_iter": rounds, "tol": None, "random_state": seed, "n_jobs": torch.get_num_threads()}
    best, chosen, best_loss, note = y.constant(asked.shape[0]), 0.5, np.inf, ""
    for strength in STOCHASTIC_STRENGTHS if len(v.rows) else (0.5,):
        model = made(loss="log_loss", alpha=1 / (strength * len(y.rows)), **shared)
        model.fit(train, y.values)
        loss = _loss(_answers(model, chosen_on, y), v) if len(v.rows) else 0.0
        if loss < best_loss:
            best, chosen, best_loss = _answers(model, asked, y), strength, loss
            note = f"C {strength:g}" + (" by validation" if len(v.rows) else "")
    if again and len(v.rows):
        x, values = _together(train, y, chosen_on, v)
        model = made(loss="log_loss", alpha=1 / (chosen * len(values)), **shared).fit(x, values)
        best, note = _answers(model, asked, y), f"{note}, fitted on both"
    return Answer(best, _joined(note, thinned))


def boosted(
    train: Array, y: Targets, chosen_on: Array, v: Targets, asked: Array, seed: int, *, again: bool = False
) -> Answer:
    """Gradient boosting over histograms; so many trees as give the lowest loss on the validation rows."""
    train, y, thinned = _thin(train, y, MOST_TREE_WORK, seed)
    if y.kind == "labels":
        return _each(train, y, chosen_on, v, asked, seed, partial(boosted, again=again), thinned)
    if len(np.unique(y.values)) < 2:
        return Answer(y.constant(len(asked)), "one label in training")
    ensemble = optional.load("sklearn.ensemble")
    made = ensemble.HistGradientBoostingRegressor if y.kind == "number" else ensemble.HistGradientBoostingClassifier
    leaf = int(np.clip(len(y.rows) // 20, 2, 20))
    model = made(max_iter=TREES, min_samples_leaf=leaf, early_stopping=False, random_state=seed)
    model.fit(train, y.values)
    staged = model.staged_predict if y.kind == "number" else model.staged_predict_proba
    best = TREES
    if len(v.rows):
        best = 1 + int(np.argmin([_loss(_spread(one, model, y), v) for one in staged(chosen_on)]))
    if again and len(v.rows):
        model = made(max_iter=best, min_samples_leaf=leaf, early_stopping=False, random_state=seed)
        model.fit(*_together(train, y, chosen_on, v))
        return Answer(_answers(model, asked, y), _joined(f"{best} rounds by validation, fitted on both", thinned))
    answers = next(one for tree, one in enumerate(staged(asked), start=1) if tree == best)
    return Answer(_spread(answers, model, y), _joined(f"{best} rounds", thinned))


def _together(train: Matrix, y: Targets, chosen_on: Matrix, v: Targets) -> tuple[Matrix, NDArray[Any]]:
    """Training and validation rows in one, and their values."""
    both = (
        np.concatenate if isinstance(train, np.ndarray) else partial(optional.load("scipy.sparse").vstack, format="csr")
    )
    return both([train, chosen_on]), np.concatenate([y.values, v.values])


def _each(
    train: Matrix,
    y: Targets,
    chosen_on: Matrix,
    v: Targets,
    asked: Matrix,
    seed: int,
    learner: Callable[..., Answer],
    thinned: str,
) -> Answer:
    """A model for each of several labels; the rare ones beyond :data:`MOST_LABELS` get their share in training."""
    found = y.constant(asked.shape[0])
    common = np.argsort(-y.values.sum(0), kind="stable")[:MOST_LABELS]
    for label in common:
        one = replace(y, kind="class", values=y.values[:, label].astype(np.int64), classes=2)
        other = replace(v, kind="class", values=v.values[:, label].astype(np.int64), classes=2)
        found[:, label] = learner(train, one, chosen_on, other, asked, seed).probabilities[:, 1]
    rest = y.classes - len(common)
    return Answer(found, _joined(f"{rest} rare labels by their share alone" if rest else "", thinned))


def _thin(train: Matrix, y: Targets, most: float, seed: int) -> tuple[Matrix, Targets, str]:
    """Fewer rows where a fit would take too long; every class keeps its share, and at least one."""
    size = getattr(train, "nnz", None) or np.size(train)
    rows = len(y.rows)
    keep = int(rows * most / max(size * max(y.outputs, 1), 1))
    keep = max(keep, 20 * y.outputs, 200)
    if keep >= rows:
        return train, y, ""
    random = np.random.default_rng([seed, 3])
    order = random.permutation(rows)
    if y.kind == "class":
        place = np.empty(rows)
        for code in np.unique(y.values):
            mine = order[y.values[order] == code]
            place[mine] = np.arange(len(mine)) / len(mine)
        order = order[np.argsort(place[order], kind="stable")]
    kept = np.sort(order[:keep])
    return train[kept], y.select(kept), f"fitted on {keep:,} of {rows:,} training rows"


def _quietly(fit: Callable[[], Any]) -> bool:
    """Whether it came to an end by itself; scikit-learn says so by a warning."""
    unsettled = optional.load("sklearn.exceptions").ConvergenceWarning
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", unsettled)
        fit()
    return not any(issubclass(one.category, unsettled) for one in caught)


def _answers(model: Any, asked: Matrix, y: Targets) -> Array:
    return _spread(model.predict(asked) if y.kind == "number" else model.predict_proba(asked), model, y)


def _spread(answers: Array, model: Any, y: Targets) -> Array:
    """Probabilities in the columns of all classes, 0 for one that the fit had no example of."""
    if y.kind == "number":
        return np.asarray(answers, np.float64)
    found = np.zeros((len(answers), y.classes))
    found[:, model.classes_] = answers
    return found


def _loss(answers: Array, v: Targets) -> float:
    """Mean squared error, or log loss."""
    if v.kind == "number":
        return float(np.square(answers - v.values).mean())
    return float(-np.log(np.maximum(answers[np.arange(len(v.values)), v.values], 1e-15)).mean())


def _joined(*notes: str) -> str:
    return "; ".join(note for note in notes if note)
