"""``--config FILE``: options from a TOML file, by the names that they have everywhere."""

import tomllib
from dataclasses import fields
from pathlib import Path
from typing import Any

from latchwork.errors import ConfigError, did_you_mean
from latchwork.layers import Network
from latchwork.tasks import Classify, Forecast, Label
from latchwork.training import Training


def configured(tokens: list[str]) -> tuple[list[str], dict[str, Any]]:
    """Take ``--config FILE`` out of the words: (the other words, the options of the file by name)."""
    rest, options = [], {}
    words = iter(tokens)
    for word in words:
        name, equals, value = word.partition("=")
        if name != "--config":
            rest.append(word)
            continue
        value = value if equals else next(words, "")
        if not value:
            raise ConfigError("--config wants a file; give one that a run wrote, such as runs/sales/config.toml")
        if rest[:1] not in (["train"], ["backtest"], ["compare"], ["tune"]):
            raise ConfigError("--config holds the options of train, tune, backtest and compare; leave it out here")
        path = Path(value)
        try:
            options = read_config(path)
        except OSError as error:
            raise ConfigError(f"can't read {path}: {(error.strerror or str(error)).lower()}") from error
    return rest, options


def read_config(path: Path) -> dict[str, Any]:
    """The options of a TOML file: a section for the task, [network], [training], every name known."""
    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}") from error
    sections = {"forecast": Forecast, "classify": Classify, "label": Label, "network": Network, "training": Training}
    options: dict[str, Any] = {}
    for section, values in tree.items():
        if section not in sections or not isinstance(values, dict):
            raise ConfigError(
                f"{path}: [{section}] is not known{did_you_mean(section, sections)}; expected {', '.join(sections)}"
            )
        known = {one.name for one in fields(sections[section])}
        for name, value in values.items():
            if name not in known:
                raise ConfigError(f'{path}: {section} has no option "{name}"{did_you_mean(name, known)}')
            options[name.replace("_", "-")] = value
    return options
