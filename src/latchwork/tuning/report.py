"""What a search came to: the best options, every trial, what mattered; as a table, as JSON and as a picture."""

import math
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any
from xml.etree.ElementTree import Element

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console, ConsoleOptions, RenderResult
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from latchwork.errors import ConfigError, MissingExtra
from latchwork.evaluation.printed import Printed
from latchwork.evaluation.report_parts import picture, section, table
from latchwork.evaluation.svg import Key, Plot, Scale, standalone
from latchwork.optional import load
from latchwork.storage import finite
from latchwork.tuning.objective import UNITS
from latchwork.tuning.options import Options
from latchwork.tuning.space import Space

SHOWN = 5
FEW = 6
"""With fewer finished trials nothing is said of what mattered."""

STATES = {"COMPLETE": "finished", "PRUNED": "stopped early", "FAIL": "failed", "WAITING": "waiting"}


@dataclass(frozen=True)
class Trial:
    """One trial.

    state   finished; stopped early, since it lagged behind; failed; given back, to be begun anew; waiting; running
    value   what is minimised, mean over folds; of one that was stopped early, as it stood; NaN where there is none
    figure  of the metric that people read; NaN where it was not finished
    folds   value of each fold
    values  of the options that are searched
    done    part of its work that was done
    given   whether it has the options as they were given
    """

    number: int
    state: str
    value: float
    figure: float
    folds: tuple[float, ...]
    values: dict[str, Any]
    seconds: float
    done: float
    given: bool = False
    error: str = ""


@dataclass(frozen=True)
class Tuned(Printed):
    """A search; made by :func:`latchwork.tuning.tune`.

    task, metric, folds, seed  what was judged, and how
    trials      in the order they were begun
    space       option -> what it might be
    importance  option -> its share in what the trials differ by; empty where that can't be said
    how         how that was found, or why not
    stopped     "enough" trials; "time"; "interrupted"
    wanted      trials asked for
    options     of the best trial, complete; None where no trial was finished
    """

    task: str
    metric: str
    folds: int
    seed: int
    trials: tuple[Trial, ...]
    space: dict[str, Any]
    importance: dict[str, float]
    how: str
    stopped: str
    wanted: int
    options: Options | None

    @property
    def finished(self) -> list[Trial]:
        """Those that made all their work, the best first."""
        return sorted((one for one in self.trials if one.state == "finished"), key=lambda one: one.value)

    @property
    def best(self) -> Trial | None:
        """The one with the smallest value."""
        return next(iter(self.finished), None)

    @property
    def given(self) -> Trial | None:
        """The one with the options as they were given, where it was finished."""
        return next((one for one in self.finished if one.given), None)

    def chosen(self) -> Options:
        """The options of the best trial."""
        if self.options is None:
            raise ConfigError("no trial was finished, so there are no best options; go on with the search")
        return self.options

    def verdict(self) -> str:
        """One plain sentence: whether searching was of use."""
        best, given = self.best, self.given
        if best is None:
            return "no trial was finished"
        if given is None:
            return f"trial {best.number} is the best; the options as they were given were not among the trials"
        if best is given:
            return "nothing was better than the options as they were given"
        gain = given.value - best.value
        both = np.array(given.folds) - np.array(best.folds)
        sure = f", better in {int((both > 0).sum())} of {len(both)} folds" if len(both) > 1 else ""
        figures = f" ({self.metric} {best.figure:.3f}, before {given.figure:.3f})"
        return f"trial {best.number} is {gain:.3g} better than the options as they were given{figures}{sure}"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for a JSON file; NaN becomes None."""
        saved = {name: value for name, value in asdict(self).items() if name not in ("options", "trials")}
        best = None if self.best is None else self.best.number
        options = None if self.options is None else self.options.to_dict()
        trials = [asdict(one) for one in self.trials]
        return finite({"format": 1, **saved, "best": best, "options": options, "trials": trials})

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The best trials, the verdict, what mattered."""
        count = {state: sum(one.state == state for one in self.trials) for state in (*STATES.values(), "given back")}
        told = ", ".join(f"{number} {state}" for state, number in count.items() if number and state != "waiting")
        over = f"mean over {self.folds} folds" if self.folds > 1 else "on the validation part"
        caption = (
            f"Sorted by choice, what training judges by (smaller is better), {over}; the test part was not looked at."
        )
        table = Table(
            title=f"Search for {self.task}: {told}",
            caption=caption,
            box=SIMPLE_HEAD,
            title_justify="left",
            caption_justify="left",
            padding=(0, 1, 0, 0),
        )
        best = self.finished[:SHOWN]
        shown = best + ([self.given] if self.given is not None and self.given not in best else [])
        names = sorted(self.space, key=lambda name: -self.importance.get(name, 0.0))
        table.add_column("trial")
        for place, one in enumerate(shown):
            style = "bold green" if place == 0 else None
            table.add_column(f"{one.number}{' as given' if one.given else ''}", justify="right", style=style)
        if self.importance:
            table.add_column("importance", justify="right")
        last = [""] if self.importance else []
        table.add_row(escape(self.metric), *(_number(one.figure) for one in shown), *last)
        if self.metric != "log_loss":
            table.add_row("choice", *(_number(one.value) for one in shown), *last)
        if self.folds > 1:
            table.add_row("± over folds", *(_number(float(np.std(one.folds, ddof=1))) for one in shown), *last)
        for name in names:
            cells = [escape(_number(one.values.get(name))) for one in shown]
            table.add_row(escape(name), *cells, *([f"{self.importance.get(name, 0):.0%}"] if self.importance else []))
        yield table
        yield Text(f"  {self.verdict()[:1].upper()}{self.verdict()[1:]}.", style="bold")
        yield Text(f"  importance: {self.how}", style="dim")
        if len(self.finished) > 1:
            yield Text(f"  the best of {len(self.finished)} is flattered by being chosen; the test is not", style="dim")
        errors = [one for one in self.trials if one.error]
        if errors:
            yield Text(f"  trial {errors[-1].number} failed: {errors[-1].error}", style="dim")


def collect(study: Any, options: Options, space: Space, *, stopped: str, wanted: int) -> Tuned:
    """Everything that a study has to tell."""
    frozen = study.get_trials(deepcopy=False)
    again = {one.user_attrs.get("again") for one in frozen}
    trials = tuple(_trial(one, space, one.number in again) for one in frozen)
    finished = [one for one in trials if one.state == "finished"]
    importance, how = _importance(study, len(finished))
    objective = study.user_attrs["objective"]
    best = min(finished, key=lambda one: one.value, default=None)
    return Tuned(
        task=options.name,
        metric=objective["metric"],
        folds=objective["folds"],
        seed=options.training.seed,
        trials=trials,
        space=space.to_dict(),
        importance=importance,
        how=how,
        stopped=stopped,
        wanted=wanted,
        options=None if best is None else options.having(best.values),
    )


def _trial(frozen: Any, space: Space, given_back: bool) -> Trial:
    attributes, unit = frozen.user_attrs, frozen.last_step or 0
    state = "given back" if given_back else STATES.get(frozen.state.name, "running")
    done = 1.0 if state == "finished" else unit / UNITS
    value = frozen.value if frozen.value is not None else frozen.intermediate_values.get(unit, math.nan)
    return Trial(
        number=frozen.number,
        state=state,
        value=float(value),
        figure=float(attributes.get("figure", math.nan)),
        folds=tuple(map(float, attributes.get("folds", ()))),
        values=space.values(frozen.params),
        seconds=float(attributes.get("seconds", 0.0)),
        done=done,
        given=bool(attributes.get("given", False)),
        error=str(attributes.get("error", "")),
    )


def _importance(study: Any, finished: int) -> tuple[dict[str, float], str]:
    """(option -> share, how it was found): fANOVA (Hutter et al. 2014), or PED-ANOVA (Watanabe et al. 2023)."""
    if finished < FEW:
        return {}, f"not known from {finished} finished trial{'s' * (finished != 1)}; {FEW} at least are needed"
    known = load("optuna").importance
    try:
        load("sklearn")
        evaluator, how = known.FanovaImportanceEvaluator(seed=0), "fANOVA"
    except MissingExtra:
        evaluator, how = (
            known.PedAnovaImportanceEvaluator(),
            "PED-ANOVA, since scikit-learn is not installed for fANOVA",
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = known.get_param_importances(study, evaluator=evaluator)
    except (RuntimeError, ValueError) as error:
        return {}, f"not known: {' '.join(str(error).split())}"
    if not all(math.isfinite(value) for value in found.values()):
        return {}, "not known: the finished trials do not differ"
    rough = ", rough with so few" if finished < 20 else ""
    return {name: float(value) for name, value in found.items()}, f"{how} over {finished} finished trials{rough}"


def history_svg(tuned: Tuned, *, width: int = 720, height: int = 320) -> str:
    """:func:`history` as a file of its own."""
    return standalone(history(tuned, width=width, height=height), title=f"Search for {tuned.task}")


def history(tuned: Tuned, *, width: int = 720, height: int = 320) -> Element:
    """The value of every trial in the order they were begun, and the best so far."""
    ended = [one for one in tuned.trials if one.state in ("finished", "stopped early") and math.isfinite(one.value)]
    finished = [one for one in ended if one.state == "finished"]
    stopped = [one for one in ended if one.state == "stopped early"]
    best = np.minimum.accumulate([one.value for one in finished])
    values = [one.value for one in finished]
    high = np.quantile([one.value for one in ended], 0.95)  # a trial that went wrong must not flatten the others
    keys = [Key("finished", "model", "dot"), Key("stopped early", "rival", "dot"), Key("best so far", "reference")]
    plot = Plot(
        Scale.over([0.0], [float(one.number) for one in tuned.trials]),
        Scale.over(values, [max(high, best[0])], pad=0.05),
        width=width,
        height=height,
        label=f"Search for {tuned.task}: value of each trial",
        x_title="trial",
        y_title="choice, smaller is better",
        keys=keys,
    )
    numbers = [float(one.number) for one in finished]
    plot.steps([*numbers, float(tuned.trials[-1].number)], best, "reference")
    plot.dots([float(one.number) for one in stopped], [one.value for one in stopped], "rival", _titles(stopped))
    plot.dots(numbers, values, "model", _titles(finished))
    return plot.root


def tuning_section(tuned: Tuned) -> Element:
    """What the report of the model with the best options says of the search; some trial must be finished."""
    assert tuned.best is not None
    count = f"{len(tuned.trials)} trial{'s' * (len(tuned.trials) != 1)}, {len(tuned.finished)} of them finished"
    over = f"the mean over {tuned.folds} folds" if tuned.folds > 1 else "on the validation part"
    names = sorted(tuned.space, key=lambda name: -tuned.importance.get(name, 0.0))
    chosen, given = tuned.best.values, None if tuned.given is None else tuned.given.values
    rows = [
        [
            name,
            _number(chosen.get(name)),
            "" if given is None else _number(given.get(name)),
            f"{tuned.importance[name]:.0%}" if name in tuned.importance else "–",
        ]
        for name in names
    ]
    verdict = tuned.verdict()
    return section(
        "search",
        "How its options were found",
        f"{verdict[:1].upper()}{verdict[1:]}. The test part was not looked at; the best of several trials is flattered "
        "by being chosen, the score on the test is not.",
        picture(
            lambda width: history(tuned, width=width),
            f"{count}. Each is judged by what training judges by, {over}: smaller is better.",
            "tuning.json",
        ),
        table(
            ["Option", "Chosen", "As given", "Importance"],
            rows,
            caption=f"What was searched, and its share in what the trials differ by: {tuned.how}",
            numeric=[1, 2, 3],
        ),
    )


def _titles(trials: list[Trial]) -> list[str]:
    return [
        f"trial {one.number}: {_number(one.value)}; " + ", ".join(f"{k} {_number(v)}" for k, v in one.values.items())
        for one in trials
    ]


def settings(values: Mapping[str, Any]) -> str:
    """Options in one line.

    >>> settings({"network.layers": 2, "training.learning_rate": 0.00213})
    'layers 2, learning_rate 0.00213'
    """
    return ", ".join(f"{name.rpartition('.')[2]} {_number(value)}" for name, value in values.items())


def _number(value: Any) -> str:
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.4g}" if abs(value) < 1e-3 else f"{value:#.3g}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return " ".join(map(str, value)) or "none"
    return "" if value is None else str(value)


__all__ = ["Trial", "Tuned", "collect", "history", "history_svg", "settings", "tuning_section"]
