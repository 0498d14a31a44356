"""What a cell holds: a text, words, a label, tags, a part of a split; or a clear line on why it does not."""

import math
import unicodedata
from collections.abc import Sequence
from typing import Any

from latchwork.errors import DataError
from latchwork.sequences.examples import Part

_PARTS: dict[str, Part] = {
    "train": "train", "training": "train",
    "validation": "validation", "valid": "validation", "val": "validation", "dev": "validation", "devel": "validation",
    "test": "test", "testing": "test",
}  # fmt: skip


def as_text(value: Any, place: str, needed: bool) -> str | tuple[str, ...]:
    """A text as it is, or the words of a list. An empty one is refused where it is ``needed``, and else ""."""
    if isinstance(value, (list, tuple)) and value:
        return as_words(value, place)
    if value is None or value == "" or value == [] or (isinstance(value, str) and not value.strip()):
        if needed:
            raise DataError(f"{place}: the text is empty; write one, or leave the row out")
        return ""
    if not isinstance(value, str):
        raise DataError(f"{place}: the text is {_shown(value)}, expected a text; name the right column with text=")
    return _whole(value, place)


def as_words(value: Any, place: str) -> tuple[str, ...]:
    """The words of a list, or those of a text between blanks. Raises :class:`DataError` where there is none."""
    if isinstance(value, str):
        value = value.split()
    if not isinstance(value, (list, tuple)) or not value:
        raise DataError(f"{place}: {_shown(value)} holds no word; expected a list of words, or a text")
    words = tuple(str(word) if isinstance(word, int | float) else word for word in value)
    for number, word in enumerate(words, 1):
        if not isinstance(word, str) or not word.strip():
            raise DataError(f"{place}: word {number} is {_shown(word)}, expected a word")
        _whole(word, place)
    return words


def as_label(value: Any, place: str, *, step: bool = False) -> Any:
    """A label: a text, a whole or broken number, a tuple of texts for a list; None where there is none.

    The text ``[]`` says, of a whole sequence, that it has none of several labels, as an empty list does.
    """
    if not step and isinstance(value, str) and value.split() in (["[]"], ["[", "]"]):
        return ()
    if isinstance(value, (list, tuple)):
        return tuple(str(as_label(one, place, step=True)) for one in value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, (int, float)):
        return int(value) if float(value).is_integer() else value
    if not isinstance(value, str):
        raise DataError(f"{place}: the label is {_shown(value)}, expected a text, a number or a list of texts")
    return unicodedata.normalize("NFC", _whole(value.strip(), place)) or None


def as_tags(value: Any, place: str, words: int | None = None) -> tuple[str, ...] | None:
    """The labels of a sequence's words, as a list or as a text with blanks between them; None where there is none."""
    if value is None or value == "":
        return None
    if isinstance(value, str):
        value = value.split()
    if not isinstance(value, (list, tuple)):
        raise DataError(f"{place}: the labels are {_shown(value)}, expected one for each word")
    if words is not None and len(value) != words:
        raise DataError(f"{place}: {len(value)} labels for {words} words; expected one for each word")
    tags = tuple(as_label(tag, place, step=True) for tag in value)
    for number, tag in enumerate(tags, 1):
        if tag is None or isinstance(tag, tuple):
            raise DataError(f"{place}: the label of word {number} is {_shown(tag)}, expected a text")
    return tuple(str(tag) for tag in tags)


def as_part(text: str, place: str) -> Part:
    """train, validation or test, by any of their usual names."""
    part = _PARTS.get(text.lower())
    if part is None:
        raise DataError(f'{place}: the split is "{text[:40]}", expected train, validation or test')
    return part


def not_twice(ids: Sequence[str], places: Sequence[str]) -> None:
    """Refuse an id that stands twice."""
    if len(set(ids)) == len(ids):
        return
    seen: dict[str, str] = {}
    for name, place in zip(ids, places, strict=True):
        if name in seen:
            raise DataError(
                f'{place}: the id "{name[:40]}" stood before ({seen[name]}); give each sequence an id of its own'
            )
        seen[name] = place


def _whole(text: str, place: str) -> str:
    """The text, unless it holds half of a surrogate pair, which is no character and which no file can hold."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise DataError(
            f"{place}: character {error.start + 1} is U+{ord(text[error.start]):04X}, half of a surrogate pair; "
            "write the text in UTF-8 again"
        ) from error
    return text


def _shown(value: Any) -> str:
    if value is None or value == "":
        return "empty"
    text = repr(value)
    return f"{type(value).__name__} {text if len(text) <= 40 else text[:39] + '…'}"
