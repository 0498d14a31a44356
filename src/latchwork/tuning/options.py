"""The options of a trial: task, network and training, addressed by name, such as ``network.hidden_size``."""

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from functools import cache
from typing import Any, NamedTuple, get_type_hints

from pydantic import TypeAdapter, ValidationError

from latchwork.errors import ConfigError, did_you_mean
from latchwork.layers import Network
from latchwork.tasks import Classify, SequenceTask, task_from
from latchwork.tasks.saved import plain
from latchwork.training import Training

DECIDED = {
    "task": {
        *("label", "labels", "text", "id", "group", "time", "split", "columns", "static", "ignore", "variable"),
        *("value", "missing", "period", "image_size", "validation", "test", "validation_size", "test_size", "by_time"),
        *("metric", "target", "positive", "aim", "cost", "bound", "aim_folds", "calibrate", "spans", "refit"),
    },
    "network": {"kernel"},
    "training": {"seed", "device", "deterministic", "checkpoint_every"},
}
"""What decides which sequences are read, how they are split and judged, or nothing but the machine: not searched."""


class Options(NamedTuple):
    """What a model is trained with."""

    task: SequenceTask
    network: Network
    training: Training

    @property
    def name(self) -> str:
        """Of the task: classify or label."""
        return "classify" if isinstance(self.task, Classify) else "label"

    def known(self) -> list[str]:
        """The names that can be searched, nested ones (``classify.augment.jitter``) too."""
        names = []
        for section, part in self._parts().items():
            decided = DECIDED["task" if section == self.name else section]
            for one in fields(part):
                value = getattr(part, one.name)
                if one.name in decided:
                    continue
                if is_dataclass(value):
                    names += [f"{section}.{one.name}.{inner.name}" for inner in fields(value)]
                else:
                    names.append(f"{section}.{one.name}")
        return names

    def check(self, name: str) -> None:
        """Raise :class:`ConfigError` for a name that is not known or can't be searched."""
        known = self.known()
        if name in known:
            return
        section, _, rest = name.partition(".")
        decided = DECIDED["task" if section == self.name else section] if section in self._parts() else set()
        if rest in decided:
            raise ConfigError(
                f"the search space has {name}, which decides what is read, how it is split or judged, or where it "
                "runs: it is the same for all trials; leave it out of the space and set it as an option"
            )
        short = [one for one in known if name in (one.rpartition(".")[2], one.partition(".")[2])]
        hint = f'; did you mean "{short[0]}"?' if short else did_you_mean(name, known)
        raise ConfigError(
            f'the search space names "{name}", which is no option of {self.name}, network or training{hint or "; "}'
            f"{'' if hint else 'expected a name such as network.hidden_size'}"
        )

    def get(self, name: str) -> Any:
        """The value of an option."""
        section, _, rest = name.partition(".")
        value: Any = self._parts()[section]
        for one in rest.split("."):
            value = getattr(value, one)
        return value

    def takes(self, name: str) -> tuple[Any, ...]:
        """The types that an option takes: of ``float | None``, float and None."""
        owner, last = self._owner(name)
        hint = _hints(type(owner))[last]
        return tuple(getattr(hint, "__args__", ())) or (hint,)

    def typed(self, name: str, value: Any) -> Any:
        """A plain value as the option holds it. Raises :class:`ConfigError` where it is of another type."""
        owner, last = self._owner(name)
        try:
            return _adapter(type(owner), last).validate_json(json.dumps(value), strict=True)
        except (ValidationError, TypeError, ValueError) as error:
            reason = error.errors()[0]["msg"].lower() if isinstance(error, ValidationError) else str(error)
            raise ConfigError(f"the search space gives {name} the value {value!r}: {reason}") from None

    def having(self, values: Mapping[str, Any]) -> "Options":
        """The same with other (plain) values, which are checked as the options check them."""
        parts = self._parts()
        changed: dict[str, dict[str, Any]] = {section: {} for section in parts}
        for name, value in values.items():
            section, _, rest = name.partition(".")
            first, _, inner = rest.partition(".")
            given = self.typed(name, value)
            if inner:
                given = replace(changed[section].get(first, getattr(parts[section], first)), **{inner: given})
            changed[section][first] = given
        task, network, training = (replace(part, **changed[section]) for section, part in parts.items())
        return Options(task, network, training)

    def to_dict(self) -> dict[str, Any]:
        """Plain values; a cell of one's own by its name."""
        return {
            "task": {"name": self.name, **plain(self.task)},
            "network": self.network.to_dict(),
            "training": self.training.to_mapping(),
        }

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> "Options":
        """The inverse of :meth:`to_dict`, for the cells that have a name."""
        network = Network.from_dict(saved["network"])
        return cls(task_from(saved["task"]), network, Training.from_mapping(saved["training"]))

    def _parts(self) -> dict[str, Any]:
        return {self.name: self.task, "network": self.network, "training": self.training}

    def _owner(self, name: str) -> tuple[Any, str]:
        """The dataclass that holds an option, and the option's own name."""
        owner, _, last = name.rpartition(".")
        return (self.get(owner) if "." in owner else self._parts()[owner]), last


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


@cache
def _adapter(kind: type, name: str) -> TypeAdapter[Any]:
    return TypeAdapter(_hints(kind)[name])
