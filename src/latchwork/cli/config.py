"""``--config FILE``: options from a TOML file, by the names that they have everywhere; and whole numbers in words."""

import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args, get_type_hints

from cyclopts import App
from pydantic import TypeAdapter, ValidationError

from latchwork.errors import ConfigError, did_you_mean
from latchwork.layers import Network
from latchwork.tasks import Classify, Forecast, Generate, Label, Translate
from latchwork.training import Training

TASKS: dict[str, Any] = {
    "forecast": Forecast,
    "classify": Classify,
    "label": Label,
    "generate": Generate,
    "translate": Translate,
}
COMMANDS = ("train", "tune", "backtest", "compare")


def configured(tokens: list[str]) -> tuple[list[str], dict[str, Any]]:
    """Take ``--config FILE`` out of the words: (the other words, the options of the file by name)."""
    rest: list[str] = []
    given = None
    words = iter(tokens)
    for word in words:
        name, equals, value = word.partition("=")
        if name != "--config":
            rest.append(word)
            continue
        value = value if equals else next(words, "")
        if not value:
            raise ConfigError("--config wants a file; give one that a run wrote, such as runs/sales/config.toml")
        given = Path(value)
    if given is None:
        return rest, {}
    if rest[:1] not in [[name] for name in COMMANDS]:
        raise ConfigError("--config holds the options of train, tune, backtest and compare; leave it out here")
    task = rest[1] if rest[1:] and rest[1] in TASKS else ""
    try:
        return rest, read_config(given, task=task, command=" ".join(rest[:2]))
    except OSError as error:
        raise ConfigError(f"can't read {given}: {(error.strerror or str(error)).lower()}") from error


def read_config(path: Path, *, task: str = "", command: str = "") -> dict[str, Any]:
    """The options of a TOML file: a section for the task, [network], [training], every name known, every value of its
    option's type. task: the only one whose section may be there, which is what ``command`` is for.
    """
    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}") from error
    sections = {**TASKS, "network": Network, "training": Training}
    options: dict[str, Any] = {}
    for section, values in tree.items():
        if section not in sections or not isinstance(values, dict):
            raise ConfigError(
                f"{path}: [{section}] is not known{did_you_mean(section, sections)}; expected {', '.join(sections)}"
            )
        if task and section in TASKS and section != task:
            raise ConfigError(f"{path} holds [{section}], and this is {command}; give a file with [{task}], or none")
        _check(path, section, sections[section], values)
        options |= {name.replace("_", "-"): value for name, value in values.items()}
    return options


def _check(path: Path, section: str, kind: Any, values: Mapping[str, Any]) -> None:
    """Raise :class:`ConfigError` for a name that is not known, or a value of another type than the option's."""
    hints = get_type_hints(kind)
    known = {one.name for one in fields(kind)}
    for name, value in values.items():
        if name not in known:
            raise ConfigError(f'{path}: {section} has no option "{name}"{did_you_mean(name, known)}')
        if is_dataclass(hints[name]) and isinstance(value, dict):
            _check(path, f"{section}.{name}", hints[name], value)
            continue
        try:
            TypeAdapter(hints[name]).validate_json(json.dumps(value), strict=True)
        except (ValidationError, TypeError) as error:
            shown = json.dumps(value, ensure_ascii=False, default=str)
            raise ConfigError(f"{path}, [{section}]: {name} is {shown}, expected {_expected(error)}") from None


def _expected(error: Exception) -> str:
    first = error.errors()[0] if isinstance(error, ValidationError) else None
    if first is None:
        return "a number, text, true or false, or a list of them"
    named = {
        "int_type": "a whole number",
        "int_from_float": "a whole number",
        "float_type": "a number",
        "bool_type": "true or false",
        "string_type": "text",
        "path_type": "the path of a file",
        "tuple_type": "a list",
    }
    if first["type"] == "literal_error":
        return first.get("ctx", {})["expected"].replace("'", "")
    return named.get(first["type"], first["msg"].lower())


def check_whole(app: App, words: Sequence[str]) -> None:
    """Raise :class:`ConfigError` for a fraction where an option takes whole numbers, which would be rounded."""
    chain, apps, rest = app.parse_commands(list(words))
    if not chain or chain[-1].startswith("-") or apps[-1].default_command is None:
        return
    takes = {
        name: set(_leaves(one.hint))
        for one in apps[-1].assemble_argument_collection(parse_docstring=False)
        for name in one.names
    }
    for word, following in pairwise([*rest, ""]):
        name, equals, value = word.partition("=")
        value = value if equals else following
        kinds = takes.get(name.replace("_", "-"), set())
        if int not in kinds or kinds & {float, str}:
            continue
        try:
            whole = float(value).is_integer()
        except ValueError:
            continue
        if not whole:
            raise ConfigError(f"{name.lstrip('-').replace('-', '_')} is {value}, expected a whole number")


def _leaves(hint: Any) -> Iterator[Any]:
    inner = get_args(hint)
    if not inner:
        yield hint
    for one in inner:
        yield from _leaves(one)
