"""Which files of a folder hold pairs of texts, and for which part."""

import re
from pathlib import Path

from latchwork.errors import DataError, did_you_mean
from latchwork.modalities.corpus_read import TABLES
from latchwork.modalities.pairs import PairOptions
from latchwork.modalities.text_files import PACKED
from latchwork.sequences.examples import PARTS, Part

Pair = tuple[Path, Path]
_PART = re.compile(r"(?<![a-z])(train|valid|val|dev|test)|(train|valid|dev|test)(?![a-z])")
_MEANT: dict[str, Part] = {"train": "train", "test": "test"}


def is_prefix(path: Path) -> bool:
    """Whether there is no such file, but files whose names begin so: ``multi30k/train`` for train.de and train.en."""
    if path.exists() or not path.name or not path.parent.is_dir():
        return False
    return any(one.name.startswith(path.name + ".") or _part(one.name, path.name) for one in path.parent.iterdir())


def _part(name: str, prefix: str) -> bool:
    """``multi`` begins multi.train.de, but not multi_other.de."""
    return name.startswith(prefix) and part_of(name) is not None


def part_of(name: str) -> Part | None:
    """The part that a file is for by its name: train*, val* or dev*, test* at the beginning or end of a word."""
    found = _PART.search(name.lower())
    return None if found is None else _MEANT.get(found[1] or found[2], "validation")


def found_files(path: Path, options: PairOptions) -> tuple[dict[Part | None, Path | Pair], tuple[str, ...]]:
    """(the files of each part, of None where there is one pair that names no part; what there is to say about it).

    Raises :class:`DataError` where there are none or one of two is missing.
    """
    folder, prefix = (path, "") if path.is_dir() else (path.parent, path.name)
    there = {
        _plain(one.name): one
        for one in sorted(folder.iterdir())
        if one.is_file() and one.name.startswith(prefix) and not one.name.startswith(".")
    }
    pairs = _pairs(there, options)
    tables: dict[str, Path | Pair] = {
        Path(name).stem: one for name, one in there.items() if name.endswith(TABLES) and part_of(name) is not None
    }
    if not pairs and not tables:
        raise DataError(f"{path}: {_why(there, options)}")
    return _by_part(path, pairs or tables)


def _plain(name: str) -> str:
    for packed in PACKED:
        name = name.removesuffix(packed)
    return name


def _pairs(there: dict[str, Path], options: PairOptions) -> dict[str, Path | Pair]:
    """By what their names have in common."""
    if options.source is None or options.target is None:
        return {}
    ends = [f".{one.removeprefix('.')}" for one in (options.source, options.target)]
    stems: list[dict[str, Path]] = [
        {name.removesuffix(end): one for name, one in there.items() if name.endswith(end)} for end in ends
    ]
    if not all(stems):
        return {}
    for own, other, end in ((stems[0], stems[1], ends[1]), (stems[1], stems[0], ends[0])):
        for stem, one in own.items():
            if stem not in other and part_of(stem) is not None:
                raise DataError(f"{one}: there is no {stem}{end} beside it; expected two files with a text a line")
    return {stem: (stems[0][stem], stems[1][stem]) for stem in stems[0] if stem in stems[1]}


def _by_part(path: Path, found: dict[str, Path | Pair]) -> tuple[dict[Part | None, Path | Pair], tuple[str, ...]]:
    named: dict[Part, list[str]] = {part: [name for name in found if part_of(name) == part] for part in PARTS}
    if path.name in found:  # a prefix that is the whole name
        return {part_of(path.name): found[path.name]}, ()
    if not any(named.values()):
        if len(found) > 1:
            raise DataError(
                f"{path}: which files are for training? Found {', '.join(list(found)[:5])}; give what the names begin "
                "with, or files by part"
            )
        return {None: next(iter(found.values()))}, ()
    files: dict[Part | None, Path | Pair] = {}
    notes: list[str] = []
    for part, names in named.items():
        if not names:
            continue
        chosen = min(names, key=lambda name: (len(re.findall(r"[a-z]+|\d+", name.lower())) > 1, names.index(name)))
        files[part] = found[chosen]
        if others := [name for name in names if name != chosen]:
            notes.append(
                f"{chosen} is the {part} part; {', '.join(others)} would do too: give files by part for another"
            )
    return files, tuple(notes)


def _why(there: dict[str, Path], options: PairOptions) -> str:
    endings = sorted({Path(name).suffix for name in there} - {""})
    has = f"it has {', '.join(endings[:8])}" if endings else "it is empty"
    if options.source is None:
        two = [end.removeprefix(".") for end in endings if end not in (".txt", ".md")][:2]
        example = f'; name the endings, as in source="{two[0]}", target="{two[1]}"' if len(two) > 1 else ""
        return f"no table for training (train.csv, train.tsv, train.jsonl) is in the folder; {has}{example}"
    missing = [one for one in (options.source, options.target or "") if f".{one.removeprefix('.')}" not in endings]
    near = did_you_mean(missing[0], [end.removeprefix(".") for end in endings]) if missing else ""
    what = f'no file ends in ".{missing[0]}"' if missing else "no two files belong together"
    return f"{what}{near}; expected pairs such as train.{options.source} and train.{options.target}; {has}"
