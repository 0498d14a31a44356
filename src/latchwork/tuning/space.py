"""What a search may choose: for each option some values, or a range; from the task, or from a TOML file."""

import json
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from latchwork.errors import ConfigError, did_you_mean
from latchwork.sequences import Features
from latchwork.tasks import Classify, SequenceSetup
from latchwork.tuning.options import Options

BOUNDS = ("low", "high", "log", "step")
UNEVEN = 0.5
"""Class weights are searched where the rarest class has less than this part of an even share."""


@dataclass(frozen=True)
class Choice:
    """One of some plain values; lists stand for options that hold several."""

    values: tuple[Any, ...]

    @property
    def labels(self) -> list[Any]:
        """The values as a study holds them: a list as its JSON."""
        return [json.dumps(one) if isinstance(one, (list, tuple, dict)) else one for one in self.values]

    @property
    def tried(self) -> list[Any]:
        """Values that are tried on the options before the search."""
        return list(self.values)

    def suggest(self, name: str, trial: Any) -> Any:
        """A value, asked of the sampler."""
        return self.value(trial.suggest_categorical(name, self.labels))

    def value(self, label: Any) -> Any:
        """The value of a label."""
        return next(one for one, named in zip(self.values, self.labels, strict=True) if _same(named, label))

    def holds(self, value: Any) -> bool:
        """Whether the value is one of them."""
        return any(_same(one, value) for one in self.values)

    def to_dict(self) -> Any:
        """As the TOML file has it."""
        return list(self.values)


@dataclass(frozen=True)
class Range:
    """Numbers from low to high, both included; log: evenly spread over their logarithms; whole: whole numbers."""

    low: float
    high: float
    log: bool = False
    step: float | None = None
    whole: bool = False

    @property
    def tried(self) -> list[Any]:
        """Values that are tried on the options before the search."""
        return [self.low, self.high]

    def suggest(self, name: str, trial: Any) -> Any:
        """A value, asked of the sampler."""
        if self.whole:
            return trial.suggest_int(name, self.low, self.high, step=self.step or 1, log=self.log)
        return trial.suggest_float(name, self.low, self.high, step=self.step, log=self.log)

    def value(self, label: Any) -> Any:
        """The value of what a study holds: the same."""
        return label

    def holds(self, value: Any) -> bool:
        """Whether the value is one of them."""
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not number or not self.low <= value <= self.high or (self.whole and value != int(value)):
            return False
        return self.step is None or abs((value - self.low) / self.step - round((value - self.low) / self.step)) < 1e-9

    def to_dict(self) -> Any:
        """As the TOML file has it."""
        rest = {"log": True} if self.log else {} if self.step is None else {"step": self.step}
        return {"low": self.low, "high": self.high, **rest}


@dataclass(frozen=True)
class Space:
    """Option -> what it may be. A search gives every option a value; the others stay as they are."""

    dimensions: Mapping[str, Choice | Range] = field(default_factory=dict)

    @classmethod
    def of(cls, named: Mapping[str, Any], options: Options, kind: str = "text") -> "Space":
        """From plain values: a list of choices, or {low, high, log, step}; every value is tried on the options.

        >>> from latchwork import Classify, Network, Training
        >>> options = Options(Classify(), Network(), Training())
        >>> Space.of({"network.layers": [1, 2], "training.learning_rate": {"low": 1e-4, "high": 1e-2}}, options)
        Space(dimensions={'network.layers': Choice(values=(1, 2)), 'training.learning_rate': Range(low=0.0001, ...
        >>> Space.of({"network.hiden_size": [64]}, options)
        Traceback (most recent call last):
            ...
        latchwork.errors.ConfigError: the search space names "network.hiden_size", which ... "network.hidden_size"?
        """
        given = _flat(named, set(options.known()))
        for name in given:
            options.check(name)
        if kind == "records" and f"{options.name}.max_length" in given:
            raise ConfigError(
                f"the search space has {options.name}.max_length, which decides where series are cut: it is the same "
                "for all trials; leave it out of the space and set it as an option"
            )
        if not given:
            raise ConfigError('the search space is empty; give it options, such as "network.hidden_size" = [64, 128]')
        dimensions = {name: _dimension(name, value, options) for name, value in given.items()}
        _try(dimensions, options)
        return cls(dimensions)

    @classmethod
    def read(cls, path: Path, options: Options, kind: str = "text") -> "Space":
        """From the table [space] of a TOML file."""
        try:
            tree = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise ConfigError(f"can't read {path}: {(error.strerror or str(error)).lower()}") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path} is not TOML: {error}") from error
        for section in tree:
            if section != "space":
                raise ConfigError(
                    f"{path}: [{section}] is not known{did_you_mean(section, ['space'])}; expected [space]"
                )
        table = tree.get("space")
        if not isinstance(table, dict):
            raise ConfigError(f"{path} has no table [space]; write one, with the options below it")
        try:
            return cls.of(table, options, kind)
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}") from None

    def check(self, options: Options, features: Features) -> None:
        """Raise :class:`ConfigError` where sequences of these features can't be changed as the space says."""
        for name, dimension in self.dimensions.items():
            for one in dimension.tried if ".augment." in name else []:
                try:
                    options.having({name: one}).task.augment.check(features)
                except ConfigError as error:
                    raise ConfigError(f"the search space gives {name} the value {one!r}: {error}") from None

    def suggest(self, trial: Any) -> dict[str, Any]:
        """A value for every option, asked of the sampler."""
        return {name: one.suggest(name, trial) for name, one in self.dimensions.items()}

    def values(self, labels: Mapping[str, Any]) -> dict[str, Any]:
        """The values of what a study holds."""
        return {name: one.value(labels[name]) for name, one in self.dimensions.items() if name in labels}

    def labels(self, values: Mapping[str, Any]) -> dict[str, Any] | None:
        """What a study holds for these values; None where the space does not hold them all."""
        if any(name not in values or not one.holds(values[name]) for name, one in self.dimensions.items()):
            return None
        return {
            name: json.dumps(values[name]) if isinstance(values[name], (list, tuple)) else values[name]
            for name in self.dimensions
        }

    def to_dict(self) -> dict[str, Any]:
        """As the TOML file has it."""
        return {name: one.to_dict() for name, one in self.dimensions.items()}


def default_space(options: Options, setup: SequenceSetup) -> Space:
    """What is worth searching for these data, without what the options say themselves.

    ``setup``: one that was made with the options, for what the data are.
    """
    features, targets, task = setup.pipeline.modality.features, setup.pipeline.targets, options.task
    cells = ["gru", "lstm", "gru_d"] if features.masked else ["gru", "lstm"]
    named: dict[str, Any] = {
        "network.cell": cells,
        "network.hidden_size": [64, 128, 256],
        "network.layers": [1, 2],
        "network.dropout": {"low": 0.0, "high": 0.6},
        "network.bidirectional": [True, False],
        "training.learning_rate": {"low": 5e-4, "high": 1e-2, "log": True},
        "training.batch_size": [16, 32, 64],
    }
    if features.vocabulary and task.vectors is None:
        named[f"{options.name}.embedding"] = [50, 100, 200]
    if features.vocabulary:
        named[f"{options.name}.embedding_dropout"] = {"low": 0.0, "high": 0.3}
    if isinstance(task, Classify):
        named["classify.pooling"] = ["last", "mean", "max", "attention"]
        counts = targets.counts if targets.kind == "class" else ()
        if counts and min(counts) < UNEVEN * sum(counts) / len(counts):
            named["classify.class_weight"] = ["none", "balanced"]
    said = {name for name in named if options.get(name) != _default(options, name)}
    rest = {name: value for name, value in named.items() if name not in said}
    if not rest:
        raise ConfigError("every option that is searched was set; leave some out, or give a search space (--space)")
    return Space.of(rest, options, setup.pipeline.modality.kind)


def given_values(options: Options, setup: SequenceSetup, names: Mapping[str, Any]) -> dict[str, Any]:
    """The values that a training without any search would have."""
    training = options.training.resolved(**setup.defaults()).completed()
    used = Options(setup.task, setup.pipeline.network, training)
    found = {name: used.get(name) for name in names}
    return {name: 0.0 if value is None and name.endswith("_dropout") else value for name, value in found.items()}


def _default(options: Options, name: str) -> Any:
    section, _, rest = name.partition(".")
    part = {"network": options.network, "training": options.training}.get(section, options.task)
    return next(one.default for one in fields(part) if one.name == rest)


def _flat(named: Mapping[str, Any], known: set[str], prefix: str = "") -> dict[str, Any]:
    """Tables inside tables as dotted names; a table below a known option is its range."""
    flat: dict[str, Any] = {}
    for key, value in named.items():
        name = f"{prefix}{key}"
        inner = isinstance(value, Mapping) and name not in known and not set(value) & set(BOUNDS)
        flat |= _flat(value, known, f"{name}.") if inner else {name: value}
    return flat


def _dimension(name: str, value: Any, options: Options) -> Choice | Range:
    if isinstance(value, Mapping):
        found: Choice | Range = _range(name, value, options)
    elif isinstance(value, (list, tuple)):
        if not value:
            raise ConfigError(f"the search space gives {name} no values; expected at least one")
        if len({json.dumps(one) for one in value}) < len(value):
            raise ConfigError(f"the search space gives {name} a value twice: {list(value)}")
        found = Choice(tuple(value))
    else:
        raise ConfigError(
            f"the search space gives {name} {value!r}; expected values to choose from, such as [1, 2], or a range, "
            "such as {low = 0.1, high = 0.5}"
        )
    for one in found.tried:
        options.typed(name, one)
    return found


def _try(dimensions: Mapping[str, Choice | Range], options: Options) -> None:
    """Every value on the options, alone or beside the first of every other option that is searched."""
    first = {name: one.tried[0] for name, one in dimensions.items()}
    for name, dimension in dimensions.items():
        for one in dimension.tried:
            try:
                options.having({name: one})
            except ConfigError as error:
                try:
                    options.having({**first, name: one})
                except ConfigError:
                    raise ConfigError(f"the search space gives {name} the value {one!r}: {error}") from None


def _range(name: str, value: Mapping[str, Any], options: Options) -> Range:
    for key in value:
        if key not in BOUNDS:
            raise ConfigError(
                f'the range of {name} has "{key}"{did_you_mean(key, BOUNDS)}; expected {", ".join(BOUNDS)}'
            )
    takes = options.takes(name)
    if int not in takes and float not in takes:
        raise ConfigError(f"the search space gives {name} a range, and it takes no numbers; give a list of values")
    low, high, step, log = (value.get(key) for key in ("low", "high", "step", "log"))
    for key, one in (("low", low), ("high", high), ("step", step)):
        missing = one is None and key != "step"
        if missing or (one is not None and (isinstance(one, bool) or not isinstance(one, (int, float)))):
            raise ConfigError(f"the range of {name} has {key} = {one!r}, expected a number")
        if one is not None and not math.isfinite(one):
            raise ConfigError(f"the range of {name} has {key} = {one}, expected a finite number")
    assert low is not None
    assert high is not None
    if not isinstance(log, (bool, type(None))):
        raise ConfigError(f"the range of {name} has log = {log!r}, expected true or false")
    whole = float not in takes
    if whole and not all(isinstance(one, (int, type(None))) for one in (low, high, step)):
        raise ConfigError(f"the range of {name} is {dict(value)}, expected whole numbers")
    if not low < high:
        raise ConfigError(f"the range of {name} goes from {low} to {high}, expected low below high")
    if log and (low <= 0 or step is not None):
        raise ConfigError(f"the range of {name} is logarithmic: expected low above 0 and no step, got {dict(value)}")
    if step is not None and not 0 < step <= high - low:
        raise ConfigError(f"the range of {name} has step = {step}, expected above 0 and at most {high - low:g}")
    if step is not None:
        high = low + math.floor((high - low) / step + 1e-9) * step
    return Range(low, high, bool(log), step, whole)


def _same(one: Any, other: Any) -> bool:
    """Equal and of one type: True is not 1."""
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return list(one) == list(other)
    return isinstance(one, bool) == isinstance(other, bool) and one == other
