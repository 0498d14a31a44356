"""Options as TOML, the way ``--config`` reads them back."""

import json
from collections.abc import Mapping
from typing import Any


def dumps(sections: Mapping[str, Mapping[str, Any]]) -> str:
    """[section] and a line for each option that is not None; a mapping inside one becomes [section.name]."""
    lines: list[str] = []
    for section, options in sections.items():
        inner = {name: value for name, value in options.items() if isinstance(value, Mapping)}
        lines.append(f"[{section}]")
        lines += [f"{name} = {_value(one)}" for name, one in options.items() if one is not None and name not in inner]
        lines.append("")
        for name, values in inner.items():
            lines.append(dumps({f"{section}.{name}": values}))
    return "\n".join(lines)


def _value(value: Any) -> str:
    """A plain value as TOML writes it, which is as JSON does but for two characters."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007F")
