"""Files of columns (CoNLL): a word a line with what is said of it, a blank line between sentences."""

import re
from dataclasses import dataclass
from unicodedata import normalize

from latchwork.errors import DataError, did_you_mean
from latchwork.modalities.text_files import TextFile

UNIVERSAL = ("id", "form", "lemma", "upos", "xpos", "feats", "head", "deprel", "deps", "misc")
"""The columns of CoNLL-U, https://universaldependencies.org/format.html."""

_GAP = re.compile(r"[ \t]+")  # not \s: a word may hold a no-break space
_EMPTY = "_"


@dataclass(frozen=True)
class Sentence:
    """words and tags (None: there are none), the name that the file gives it, and the line where it begins."""

    words: tuple[str, ...]
    tags: tuple[str, ...] | None
    name: str | None
    line: int


def read_columns(file: TextFile, word: str | None, tag: str | None, *, labelled: bool = True) -> list[Sentence]:
    """The sentences of a file of columns. Raises :class:`DataError` naming the line.

    word, tag  the columns, counted from 1; None: the first and the last. In a .conllu file (ten columns, told apart by
               tabs; words of several tokens and empty nodes are left out) they are form and upos, and have names.
    labelled   False: the tags may be missing
    """
    universal = file.kind == ".conllu"
    sentences: list[Sentence] = []
    rows: list[tuple[int, list[str]]] = []
    name: str | None = None
    width = len(UNIVERSAL) if universal else 0

    def close() -> None:
        nonlocal name
        if rows:
            where = _places(file.name, universal, word, tag, width, labelled)
            if (sentence := _sentence(file.name, rows, where, name, universal)) is not None:
                sentences.append(sentence)
        rows.clear()
        name = None

    for number, line in enumerate(file.lines, 1):
        if not line.strip(" \t"):
            close()
        elif universal and line.startswith("#"):
            key, _, value = line[1:].partition("=")
            name = value.strip() if key.strip() == "sent_id" else name
        else:
            cells = line.split("\t") if universal or "\t" in line else _GAP.split(line.strip(" "))
            width = width or len(cells)
            if len(cells) != width:
                raise DataError(f"{file.name}: line {number} has {len(cells)} columns, expected {width}")
            if not universal or cells[0].isdigit():
                rows.append((number, cells))
            elif not re.fullmatch(r"\d+[-.]\d+", cells[0]):
                raise DataError(f'{file.name}: line {number} begins with "{cells[0][:20]}", expected a word\'s number')
    close()
    if not sentences:
        raise DataError(f"{file.name}: no sentence in it; expected a word a line, and blank lines between sentences")
    return sentences


def _places(
    name: str, universal: bool, word: str | None, tag: str | None, width: int, labelled: bool
) -> tuple[int, int | None]:
    """The columns of the word and of the tag, counted from 0."""

    def find(column: str, role: str) -> int:
        if universal and column.lower() in UNIVERSAL:
            return UNIVERSAL.index(column.lower())
        if column.isascii() and column.isdigit() and int(column) > 0:
            return int(column) - 1
        known = f"one of {', '.join(UNIVERSAL)}" if universal else "its number, counted from 1"
        hint = did_you_mean(column, UNIVERSAL) if universal else ""
        raise DataError(f'{name}: {role} is the column "{column}", expected {known}{hint}')

    word_at = find(word, "text") if word else (1 if universal else 0)
    tag_at = find(tag, "label") if tag else (UNIVERSAL.index("upos") if universal else width - 1)
    for role, at in (("text", word_at), ("label", tag_at)):
        if at >= width and (labelled or role == "text"):
            raise DataError(f"{name}: {role} is column {at + 1}, but the file has {width}")
    if tag_at == word_at and labelled:
        raise DataError(f"{name}: column {word_at + 1} would be the word and the label; expected a column for each")
    return word_at, tag_at if tag_at < width and tag_at != word_at else None


def _sentence(
    file: str, rows: list[tuple[int, list[str]]], where: tuple[int, int | None], name: str | None, universal: bool
) -> Sentence | None:
    at, tag_at = where
    if rows[0][1][at] == "-DOCSTART-":
        return None
    words = tuple(cells[at] for _, cells in rows)
    tags = None if tag_at is None else tuple(normalize("NFC", cells[tag_at]) for _, cells in rows)
    for (number, _), word, tag in zip(rows, words, tags or words, strict=True):
        if not word.strip() or not tag.strip():
            raise DataError(f"{file}: line {number}: the {'label' if word.strip() else 'word'} is empty")
        if " " in word and not universal:
            raise DataError(
                f'{file}: line {number}: the word "{word[:40]}" holds a space; '
                "expected one word a line, and blank lines between sentences"
            )
    if universal and tags is not None and set(tags) == {_EMPTY} and tag_at in (3, 4):
        tags = None
    return Sentence(words, tags, name, rows[0][0])
