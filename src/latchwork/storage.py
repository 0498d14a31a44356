"""Atomic writes and checked reads: every file that latchwork owns goes through here.

A write makes a temporary file in the same folder, flushes it to the disk, renames it over the old one and flushes the
folder: after a crash, a kill or a full disk the old file or the new one is there, never half of one. A read checks the
size, the format and the values before anything is made of them. What goes wrong is a ModelFileError of one line.
No pickle: tensors are safetensors, all else is JSON.
"""

import contextlib
import errno
import hashlib
import json
import math
import os
import re
import secrets
import shutil
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, overload

import safetensors
import safetensors.torch
import torch
from pydantic import BaseModel, ValidationError
from torch import Tensor

from latchwork.errors import ModelFileError

MAX_JSON = 256 * 2**20
MAX_TENSORS = 16 * 2**30
CHUNK = 2**20
PARTIAL = ".partial"
CHECKED = (torch.float16, torch.bfloat16, torch.float32, torch.float64)

Expected = Mapping[str, tuple[tuple[int, ...], torch.dtype]]
Model = TypeVar("Model", bound=BaseModel)


# Writing


@contextlib.contextmanager
def _explained(path: Path, consequence: str) -> Iterator[None]:
    """Turn the operating system's refusals into one line that names the file and the remedy."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            reason, remedy = "the disk is full", "free some space and try again"
        else:
            reason, remedy = (error.strerror or str(error)).lower(), "choose a folder that can be written"
        raise ModelFileError(f"can't write {_meant(path)}: {reason}; {consequence}; {remedy}") from error


def _aside(path: Path) -> Path:
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}{PARTIAL}")


def _meant(path: Path) -> Path:
    """The path the user knows: a file inside a folder that is still being filled aside belongs to the folder's name."""
    return Path(*(re.sub(rf"^\.(.+)\.[0-9a-f]{{8}}\{PARTIAL}$", r"\1", part) for part in path.parts))


def _flush_folder(folder: Path) -> None:
    if os.name == "nt":  # Windows can't open a folder, and writes renames through by itself
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _write_all(handle: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(handle, rest) :]


def write_bytes(path: Path | str, data: bytes) -> None:
    """Put ``data`` at ``path`` as a whole or not at all; missing folders above it are made.

    Raises ModelFileError where the disk is full or the folder can't be written; nothing was changed then.
    """
    path = Path(path)
    aside = _aside(path)
    with _explained(path, "nothing was changed"):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
            try:
                _write_all(handle, data)
                os.fsync(handle)
            finally:
                os.close(handle)
            aside.replace(path)
        except BaseException:
            aside.unlink(missing_ok=True)
            raise
        _flush_folder(path.parent)


def write_text(path: Path | str, text: str) -> None:
    """:func:`write_bytes` of UTF-8 text."""
    write_bytes(path, text.encode())


def write_json(path: Path | str, value: Any) -> None:
    """Write a pydantic model, or whatever JSON can hold. NaN and infinity are refused: JSON has no word for them."""
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json")
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def pack_tensors(tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> bytes:
    """Tensors by name as safetensors bytes; from any device, views and shared storage too."""
    apart = {name: _apart(tensor) for name, tensor in tensors.items()}
    return safetensors.torch.save(apart, dict(metadata) if metadata else None)


def _apart(tensor: Tensor) -> Tensor:
    return tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)


def write_tensors(path: Path | str, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> None:
    """:func:`write_bytes` of tensors as safetensors."""
    write_bytes(path, pack_tensors(tensors, metadata))


@contextlib.contextmanager
def new_folder(path: Path | str) -> Iterator[Path]:
    """Fill a folder aside and rename it to ``path`` when the block ends well; on any error it is removed.

    A folder that stood at ``path`` is replaced: it is moved aside first, since no system renames over a full folder,
    and put back where the renaming fails.

        with new_folder("runs/sales/model") as folder:
            write_json(folder / "config.json", config)
            write_tensors(folder / "model.safetensors", weights)
    """
    path = Path(path)
    aside, old = _aside(path), _aside(path)
    with _explained(path, "nothing was changed"):
        try:
            aside.mkdir(parents=True)
            yield aside
            _flush_folder(aside)
            if path.exists():
                path.rename(old)
            try:
                aside.rename(path)
            except OSError:
                if old.exists():
                    old.rename(path)
                raise
        except BaseException:
            shutil.rmtree(aside, ignore_errors=True)
            raise
        _flush_folder(path.parent)
    shutil.rmtree(old, ignore_errors=True)


def remove_partial(folder: Path | str) -> None:
    """Remove what killed writers left in ``folder``. Only for the one process that writes there."""
    for path in Path(folder).glob(f".*{PARTIAL}"):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


# A log of JSON lines


def append_jsonl(path: Path | str, record: Mapping[str, Any], *, sync: bool = False) -> None:
    """Add one line. It outlives a killed process at once, and a power cut once a later call says ``sync``.

    The torn line that a killed writer left is cut off first; a full disk leaves the file as it was.
    """
    path = Path(path)
    line = (json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n").encode()
    with _explained(path, "the line was not added"):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab+", buffering=0) as file:
            end = file.seek(0, os.SEEK_END)
            if end:
                file.seek(end - 1)
                if file.read(1) != b"\n":
                    file.seek(0)
                    end = file.read().rfind(b"\n") + 1
                    file.truncate(end)
            try:
                _write_all(file.fileno(), line)
            except OSError:
                file.truncate(end)
                raise
            if sync:
                os.fsync(file.fileno())


def write_jsonl(path: Path | str, records: Iterable[Mapping[str, Any]]) -> None:
    """Replace the whole log, atomically."""
    lines = (json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n" for record in records)
    write_text(path, "".join(lines))


def read_jsonl(path: Path | str, max_bytes: int = MAX_JSON) -> list[dict[str, Any]]:
    """The records of a log. A last line without its end is what a killed writer left, and is not read."""
    path = Path(path)
    lines = _read(path, max_bytes).split(b"\n")
    records: list[dict[str, Any]] = []
    for number, line in enumerate(lines[:-1], start=1):
        try:
            record = _parse(line)
        except (ValueError, RecursionError) as error:
            raise ModelFileError(f"{path}: line {number} is not JSON ({error}); remove that line") from error
        if not isinstance(record, dict):
            raise ModelFileError(f"{path}: line {number} is not a JSON object; remove that line")
        records.append(record)
    return records


# Reading


def read_bytes(path: Path | str, max_bytes: int = MAX_TENSORS) -> bytes:
    """The bytes of a file, or ModelFileError where it is missing or too large."""
    return _read(Path(path), max_bytes)


def _read(path: Path, max_bytes: int) -> bytes:
    try:
        with path.open("rb") as file:
            data = _at_most(file, max_bytes)
    except FileNotFoundError as error:
        raise ModelFileError(f"no such file: {path}; give a run folder that latchwork wrote") from error
    except OSError as error:
        raise ModelFileError(f"can't read {path}: {(error.strerror or str(error)).lower()}") from error
    if data is None:
        raise ModelFileError(f"{path} is larger than the {max_bytes:,} bytes allowed for it; it is not read")
    return data


def _at_most(file: BinaryIO, max_bytes: int) -> bytes | None:
    """All of a file, or None where it is larger. Room is made for what is there, not for what might be."""
    size = os.fstat(file.fileno()).st_size
    if size > max_bytes:
        return None
    parts = [file.read(size + 1)]
    held = len(parts[0])
    while size < held <= max_bytes and (part := file.read(CHUNK)):  # more than it said: it grows, or is a pipe
        parts.append(part)
        held += len(part)
    if held > max_bytes:
        return None
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _parse(data: bytes) -> Any:
    return json.loads(data, parse_constant=_refuse_constant)


@overload
def read_json(path: Path | str, model: type[Model], max_bytes: int = MAX_JSON) -> Model: ...
@overload
def read_json(path: Path | str, model: None = None, max_bytes: int = MAX_JSON) -> Any: ...
def read_json(path: Path | str, model: type[BaseModel] | None = None, max_bytes: int = MAX_JSON) -> Any:
    """Read JSON, checked against a pydantic model where one is given.

    Raises ModelFileError where the file is missing, too large, cut off, not JSON, or does not fit the model; the
    message names the first field that does not.
    """
    path = Path(path)
    try:
        value = _parse(_read(path, max_bytes))
    except (ValueError, RecursionError) as error:
        raise ModelFileError(
            f"{path} is damaged or cut off: not JSON ({error}); write it again or take it from a backup"
        ) from error
    if model is None:
        return value
    try:
        return model.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the whole file"
        raise ModelFileError(f"{path} does not fit what latchwork writes there: {where}: {first['msg']}") from error


def unpack_tensors(
    data: bytes, source: Path | str, expected: Expected | None = None, *, all_finite: bool = True
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The inverse of :func:`pack_tensors`: (tensors, metadata). ``source`` is what messages call the data.

    expected    name -> (shape, dtype): exactly these tensors must be there
    all_finite  False: NaN and infinity are values like others (a state that remembers missing rows holds NaN)

    Raises ModelFileError where the data are cut off or garbage, a tensor is missing, not known or of another shape or
    type, or a value is NaN or infinite.
    """
    try:
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")]) if len(data) > 8 else {}
        tensors = safetensors.torch.load(data)
    except (safetensors.SafetensorError, ValueError, KeyError, RecursionError) as error:
        raise ModelFileError(
            f"{source} is damaged or cut off: not safetensors ({error}); write it again or take it from a backup"
        ) from error
    if expected is not None:
        _check_expected(tensors, source, expected)
    for name, tensor in tensors.items():
        if all_finite and tensor.dtype in CHECKED and not bool(torch.isfinite(tensor).all()):
            raise ModelFileError(f"{source}: {name} holds NaN or infinite values, expected finite ones; it is damaged")
    return tensors, header.get("__metadata__", {})


def _check_expected(tensors: Mapping[str, Tensor], source: Path | str, expected: Expected) -> None:
    for name, (shape, dtype) in expected.items():
        if name not in tensors:
            raise ModelFileError(
                f"{source}: {name} is missing, expected {dtype} {tuple(shape)}; is it another model's?"
            )
        tensor = tensors[name]
        if tuple(tensor.shape) != tuple(shape) or tensor.dtype != dtype:
            raise ModelFileError(
                f"{source}: {name} is {tensor.dtype} {tuple(tensor.shape)}, "
                f"expected {dtype} {tuple(shape)}; is it another model's?"
            )
    if extra := sorted(tensors.keys() - expected.keys()):
        raise ModelFileError(f"{source}: {extra[0]} is not known to this model; is it another model's?")


def read_tensors(
    path: Path | str, expected: Expected | None = None, max_bytes: int = MAX_TENSORS, *, all_finite: bool = True
) -> dict[str, Tensor]:
    """Read a safetensors file, checked as :func:`unpack_tensors` says."""
    return unpack_tensors(_read(Path(path), max_bytes), path, expected, all_finite=all_finite)[0]


def wrong_field(error: ValidationError, what: str) -> ModelFileError:
    """The first field of ``what``, a part of a model file, that does not fit."""
    first = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"]) or "the whole"
    return ModelFileError(f"{what} is damaged: field {where}: {first['msg']}")


# Identity


def sha256(data: bytes | Path) -> str:
    """The hexadecimal SHA-256 of bytes or of a file.

    >>> sha256(b"")[:8]
    'e3b0c442'
    """
    if isinstance(data, Path):
        try:
            with data.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise ModelFileError(f"can't read {data}: {(error.strerror or str(error)).lower()}") from error
    return hashlib.sha256(data).hexdigest()


def check_version(found: object, known: int, source: Path | str) -> None:
    """Refuse a file whose format is newer than ``known``, the last one that this latchwork can read."""
    if not isinstance(found, int) or isinstance(found, bool) or found < 1:
        raise ModelFileError(f"{source}: format is {found!r}, expected a whole number from 1; it is damaged")
    if found > known:
        raise ModelFileError(
            f"{source}: written by latchwork format {found}, this is latchwork {version('latchwork')} "
            f"which knows up to {known}; install a newer latchwork"
        )


def finite(value: Any) -> Any:
    """``value`` as JSON can hold it: a NaN or infinite number, however deep inside, becomes None.

    >>> finite({"mae": float("nan"), "rows": [1, 2.5]})
    {'mae': None, 'rows': [1, 2.5]}
    """
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: finite(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(part) for part in value]
    return value
