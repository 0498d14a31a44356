"""A task's options as plain values, and back."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from pydantic import TypeAdapter, ValidationError

from latchwork.errors import ConfigError, did_you_mean
from latchwork.layers import Augment
from latchwork.tasks.classify import Classify
from latchwork.tasks.generate import Generate
from latchwork.tasks.label import Label
from latchwork.tasks.translate import Translate

TASKS: dict[str, Any] = {"classify": Classify, "label": Label, "generate": Generate, "translate": Translate}


def plain(task: Any) -> dict[str, Any]:
    """The options as JSON holds them."""
    return TypeAdapter(type(task)).dump_python(task, mode="json")


def task_from(options: Mapping[str, Any]) -> Any:
    """The task from plain values; an unknown name is a ConfigError that says which was meant."""
    kind = TASKS.get(str(options.get("name")))
    if kind is None:
        raise ConfigError(f'no task is called "{options.get("name")}"; expected {", ".join(TASKS)}')
    known = {one.name for one in fields(kind)}
    values = {name: value for name, value in options.items() if name != "name"}
    for name in values:
        if name not in known:
            raise ConfigError(f'{options["name"]} has no option "{name}"{did_you_mean(name, known)}')
    augment = {one.name for one in fields(Augment)}
    given = options.get("augment")
    for name in given if isinstance(given, Mapping) else ():
        if name not in augment:
            raise ConfigError(f'augment has no option "{name}"{did_you_mean(str(name), augment)}')
    try:
        return TypeAdapter(kind).validate_python(values)
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigError(f"option {'.'.join(map(str, first['loc']))}: {first['msg'].lower()}") from None
