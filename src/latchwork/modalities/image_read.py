"""Reading images: folders, a table of paths, or arrays. The size that an image claims is checked before decoding.

An image becomes an array of uint8 or uint16: [height, width] if grey, [height, width, 3] if in colour.
"""

import hashlib
import io
import struct
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import IO, Any, Literal

import numpy as np
from numpy.typing import NDArray

from latchwork.errors import ConfigError, DataError
from latchwork.modalities.records_columns import need, read_times
from latchwork.modalities.records_files import load_rows
from latchwork.modalities.source import SourceOptions, only
from latchwork.modalities.table_files import _near
from latchwork.modalities.text_values import as_label, as_part, not_twice
from latchwork.modalities.values import to_texts
from latchwork.optional import load
from latchwork.sequences.examples import Labelled, Part

MAX_PIXELS = 64_000_000
"""Of one image: more is refused before decoding."""

MAX_FILE = 256 * 2**20
MAX_TOTAL = 4 * 2**30
"""Bytes of all images of a source, once decoded (and resized, where ``image_size`` is given)."""

IMAGES = (".png", ".jpg", ".jpeg")
TABLES = (".csv", ".tsv", ".csv.gz", ".tsv.gz", ".jsonl", ".parquet")
PATHS = ("path", "image", "file", "filename")
_INSTEAD = "give a table of paths"
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, KeyError, IndexError, TypeError, OverflowError, AttributeError,
           struct.error, zlib.error)  # fmt: skip

Pixels = NDArray[np.uint8] | NDArray[np.uint16]


def read_images(
    source: Any, options: SourceOptions, task: Literal["classify", "label"] = "classify", *, labelled: bool = True
) -> Labelled:
    """Read labelled images; the content is one array of pixels each.

        folder     one folder for each label, with png or jpg files in it, at any depth; folders train, validation (val,
                   valid, dev) and test above these say the part. Images right in it have no label.
        a table    csv, tsv, jsonl or parquet with a column of paths (path, image, file or filename), seen from the
                   table's folder, and the columns that options name: label, id, group, split,
                   time
        .npz       arrays train_images, train_labels, val_images … test_labels as in MedMNIST, or images and labels
        one image  without a label

    Frames of colour (also with a palette) become red, green and blue; what is transparent becomes white; the
    orientation that a camera noted is applied. With ``image_size`` each is resized right away (bilinear, not keeping
    its proportions). 16 bits stay 16 bits. ``labelled``: False where labels may be absent.

    Raises :class:`DataError` with the path: no image, damaged, cut short, of several frames, or of too many pixels.
    """
    if task == "label":
        raise ConfigError("images have a label each: their task is classify")
    if not isinstance(source, (str, Path)):
        raise DataError(f"images are read from a folder, a table of paths or an .npz file, got {type(source).__name__}")
    path = Path(source).expanduser()
    if path.is_dir():
        if labelled:
            only(options, (), "a folder of images", _INSTEAD)
        return _Reader(path.name, options).files(path, list(_found(path)))
    if not path.exists():
        raise DataError(f"no such file or folder: {path}{_near(path)}")
    lower = path.name.lower()
    if lower.endswith(".npz"):
        if labelled:
            only(options, (), "an .npz file")
        return _npz(path, options)
    if lower.endswith(IMAGES):
        if labelled:
            only(options, (), "one image")
        return _Reader(path.name, options).files(path.parent, [_File(path, None, None)])
    if is_table(path):
        if labelled:
            only(options, ("label", "id", "group", "time", "split"), "a table of images")
        return _table(path, options, labelled)
    raise DataError(
        f"{path.name}: expected a folder of images, a table of paths ({', '.join(TABLES)}), an .npz file, or an image "
        f"({', '.join(IMAGES)})"
    )


def is_table(source: Any) -> bool:
    """Whether it is a table of paths, by its name."""
    return isinstance(source, (str, Path)) and str(source).lower().endswith(TABLES) and not Path(source).is_dir()


@dataclass(frozen=True)
class _File:
    path: Path
    label: Any
    part: Part | None


def _part(name: str) -> Part | None:
    try:
        return as_part(name, "")
    except DataError:
        return None


def _found(root: Path) -> Iterator[_File]:
    """The images of a folder, with what the folders between say."""
    paths = sorted(one for one in root.rglob("*") if one.name.lower().endswith(IMAGES) and one.name[:2] != "._")
    if not paths:
        raise DataError(f"{root}: holds no image ({', '.join(IMAGES)})")
    tops = {one.relative_to(root).parts[0] for one in paths if one.parent != root}
    parts: dict[str, Part] = {name: part for name in tops if (part := _part(name)) is not None}
    if parts and len(parts) < len(tops):
        other = min(tops - set(parts))
        raise DataError(
            f'{root}: holds "{min(parts)}", a part of a split, and "{other}", which is none; move one of them'
        )
    for path in paths:
        between = path.relative_to(root).parts[:-1]
        part: Part | None = parts.get(between[0]) if between else None
        names = between[1:] if part else between
        if not names and (tops or part):
            raise DataError(f"{path}: stands outside of the folders that give the labels; move it into one of them")
        yield _File(path, as_label(names[0], str(path)) if names else None, part)


class _Reader:
    """Decodes one image after the other, and counts what they take."""

    def __init__(self, name: str, options: SourceOptions) -> None:
        self.name, self.size = name, options.image_size
        self.taken = 0
        self.digest = hashlib.sha256()

    def files(self, root: Path, files: Sequence[_File]) -> Labelled:
        """The images of a folder."""
        content = tuple(self.read(file.path) for file in files)
        parts: tuple[Part | None, ...] = tuple(file.part for file in files)
        return Labelled(
            content=content, labels=tuple(file.label for file in files),
            ids=tuple(file.path.relative_to(root).as_posix() for file in files),
            places=tuple(str(file.path) for file in files),
            parts=parts if any(parts) else None, sha256=self.digest.hexdigest(),
        )  # fmt: skip

    def read(self, path: Path) -> Pixels:
        """One image."""
        try:
            if path.stat().st_size > MAX_FILE:
                raise DataError(f"{path}: is larger than {MAX_FILE:,} bytes; make it smaller")
            data = path.read_bytes()
        except OSError as error:
            raise DataError(f"{path}: can't be read: {error.strerror or error}") from error
        except ValueError as error:  # a zero byte in the path
            raise DataError(f"{str(path)!r}: is no path ({error})") from error
        self.digest.update(hashlib.sha256(data).digest())
        pixels = resize(decode(data, str(path)), self.size, self.size)
        self.taken += pixels.nbytes
        if self.taken > MAX_TOTAL:
            raise DataError(
                f"{self.name}: its images take more than {MAX_TOTAL:,} bytes; give image_size= to make them smaller"
            )
        return pixels


def decode(data: bytes, place: str) -> Pixels:
    """The pixels of a png or jpg file, upright. Raises :class:`DataError` naming ``place``."""
    module = load("PIL.Image")
    operations = load("PIL.ImageOps")
    if not data:
        raise DataError(f"{place}: the file is empty, expected a png or jpg image")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of large images, which are refused here, and of odd EXIF data
        try:
            image = module.open(io.BytesIO(data), formats=("PNG", "JPEG"))
        except module.DecompressionBombError as error:
            raise DataError(f"{place}: has far more than {MAX_PIXELS:,} pixels; make it smaller") from error
        except module.UnidentifiedImageError as error:
            raise DataError(f"{place}: is no png or jpg image; convert it, or take it away") from error
        except _BROKEN as error:
            raise DataError(f"{place}: is a damaged image ({_line(error)}); take it away") from error
        width, height = image.size
        if width * height > MAX_PIXELS:
            raise DataError(f"{place}: has {width} x {height} pixels, at most {MAX_PIXELS:,} are read; make it smaller")
        frames = getattr(image, "n_frames", 1)
        if frames > 1 and image.format == "PNG":
            raise DataError(f"{place}: is animated ({frames} frames), expected one image; save one frame of it")
        try:
            image.load()
            return _array(operations.exif_transpose(image), module, place)
        except _BROKEN as error:
            if isinstance(error, DataError):
                raise
            raise DataError(f"{place}: is damaged or cut short ({_line(error)}); copy it again") from error


def _array(image: Any, module: ModuleType, place: str) -> Pixels:
    if image.mode.startswith("I"):  # 16 bits of grey; "I" in older versions of Pillow
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 65535:
            raise DataError(f"{place}: holds grey values beyond 16 bits; save it with 8 or 16")
        return values.astype(np.uint16)
    if image.mode in ("1", "L"):
        return np.asarray(image.convert("L"))
    if image.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = module.new("RGBA", image.size, (255, 255, 255, 255))
        image = module.alpha_composite(white, image)
    return np.asarray(image.convert("RGB"))


def _line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:100] or type(error).__name__


def resize(pixels: Pixels, height: int | None, width: int | None) -> Pixels:
    """Brought to [height, width], bilinear, averaging where it becomes smaller."""
    if height is None or width is None or pixels.shape[:2] == (height, width):
        return pixels
    module = load("PIL.Image")
    way = module.Resampling.BILINEAR
    if pixels.dtype == np.uint8:
        return np.asarray(module.fromarray(pixels).resize((width, height), way))
    planes = [pixels] if pixels.ndim == 2 else [pixels[:, :, at] for at in range(3)]
    done = [np.asarray(module.fromarray(plane.astype(np.float32)).resize((width, height), way)) for plane in planes]
    whole = done[0] if pixels.ndim == 2 else np.stack(done, axis=-1)
    return np.clip(np.round(whole), 0, 65535).astype(np.uint16)


# A table of paths


def _table(path: Path, options: SourceOptions, labelled: bool) -> Labelled:
    rows = load_rows(path, SourceOptions())
    known = [name for name in PATHS if name in rows.frame.columns]
    if not known:
        need(rows, PATHS[0], "path")
    label = options.label or ("label" if "label" in rows.frame.columns else None)
    if labelled and options.label is not None:
        need(rows, options.label, "label")
    places = [rows.place(row) for row in range(len(rows.frame))]

    def column(name: str | None, role: str) -> list[str] | None:
        if name is None or (name not in rows.frame.columns and not labelled):
            return None
        return to_texts(need(rows, name, role)).str.strip_chars().fill_null("").to_list()

    files = column(known[0], "path") or []
    empty = next((place for place, file in zip(places, files, strict=True) if not file), None)
    if empty is not None:
        raise DataError(f'{empty}: the path (column "{known[0]}") is empty')
    ids, groups, parts = (column(getattr(options, role), role) for role in ("id", "group", "split"))
    ids = ids or (files if len(set(files)) == len(files) else [str(row + 1) for row in range(len(files))])
    not_twice(ids, places)
    labels = column(label, "label") if label in rows.frame.columns else None
    said: tuple[Part | None, ...] | None = None
    if parts is not None:
        said = tuple(as_part(one, at) if one else None for one, at in zip(parts, places, strict=True))
    if groups is not None and "" in groups:
        raise DataError(f'{places[groups.index("")]}: the group (column "{options.group}") is empty')
    tags = (
        [as_label(one or None, at) for one, at in zip(labels, places, strict=True)] if labels else [None] * len(files)
    )
    reader = _Reader(path.name, options)
    content = tuple(_placed(reader, path.parent / file, place) for file, place in zip(files, places, strict=True))
    digest = hashlib.sha256((rows.sha256 + reader.digest.hexdigest()).encode()).hexdigest()
    of = None if groups is None else tuple(groups)
    order = None
    if options.time is not None and (labelled or options.time in rows.frame.columns):
        order = read_times(rows, options.time).values
    return Labelled(content, tuple(tags), tuple(ids), tuple(places), of, said, order, digest)


def _placed(reader: _Reader, path: Path, place: str) -> Pixels:
    try:
        return reader.read(path)
    except DataError as error:
        raise DataError(f"{place}: {error}") from error


# Arrays


def _npz(path: Path, options: SourceOptions) -> Labelled:
    """Images and labels as arrays; without pickle, and not before their headers were looked at."""
    try:
        if path.stat().st_size > MAX_TOTAL:
            raise DataError(f"{path.name}: is larger than {MAX_TOTAL:,} bytes; split it")
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        with zipfile.ZipFile(path) as archive:
            arrays = _arrays(archive, path.name)
    except (OSError, zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
        raise DataError(f"{path.name}: is no readable .npz file ({_line(error)}); copy it again") from error
    names: tuple[tuple[str, Part | None], ...] = (
        ("train", "train"), ("val", "validation"), ("validation", "validation"), ("test", "test"), ("", None),
    )  # fmt: skip
    content: list[Pixels] = []
    labels: list[Any] = []
    ids: list[str] = []
    parts: list[Part | None] = []
    places: list[str] = []
    for prefix, part in names:
        key = f"{prefix}_images" if prefix else "images"
        if key not in arrays:
            continue
        images = _checked(arrays[key], f"{path.name}: {key}")
        given = _labels(arrays.get(key.replace("images", "labels")), len(images), f"{path.name}: {key}")
        for at, pixels in enumerate(images):
            content.append(resize(pixels, options.image_size, options.image_size))
            labels.append(given[at])
            ids.append(f"{prefix}/{at + 1}" if prefix else str(at + 1))
            parts.append(part)
            places.append(f"{path.name}: {key}, number {at + 1}")
    if not content:
        raise DataError(
            f"{path.name}: holds {', '.join(sorted(arrays)) or 'no array'}; expected train_images and train_labels "
            "(val_, test_), or images and labels"
        )
    return Labelled(tuple(content), tuple(labels), tuple(ids), tuple(places),
                    parts=tuple(parts) if any(parts) else None, sha256=digest)  # fmt: skip


def _arrays(archive: zipfile.ZipFile, name: str) -> dict[str, NDArray[Any]]:
    wanted = [f"{part}_{kind}" for part in ("train", "val", "validation", "test") for kind in ("images", "labels")]
    total = 0
    found: dict[str, NDArray[Any]] = {}
    for entry in archive.infolist():
        key = entry.filename.removesuffix(".npy")
        if key not in (*wanted, "images", "labels"):
            continue
        total += entry.file_size
        if total > MAX_TOTAL:
            raise DataError(f"{name}: its arrays take more than {MAX_TOTAL:,} bytes; split it")
        with archive.open(entry) as file:
            found[key] = _array_of(file, entry.file_size, f"{name}: {key}")
    return found


def _array_of(file: IO[bytes], size: int, place: str) -> NDArray[Any]:
    """An array whose header says what the file holds, no more and no less."""
    try:
        version = np.lib.format.read_magic(file)
        if version not in ((1, 0), (2, 0)):
            raise ValueError(f"format version {version}")
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(file)
    except (ValueError, EOFError, SyntaxError) as error:
        raise DataError(f"{place}: is no array ({_line(error)})") from error
    if dtype.hasobject or dtype.kind not in "uifbU":
        raise DataError(f"{place}: holds values of type {dtype}, expected numbers")
    count = 1
    for length in shape:
        count *= int(length)
    if any(length < 0 for length in shape) or count * dtype.itemsize + file.tell() != size:
        raise DataError(f"{place}: has the shape {shape}, which does not fit the {size:,} bytes of the file")
    values = np.frombuffer(file.read(), dtype)
    return values.reshape(shape, order="F" if fortran else "C")


def _checked(images: NDArray[Any], place: str) -> NDArray[Any]:
    if images.ndim == 4 and images.shape[-1] == 1:
        images = images[..., 0]
    if images.dtype not in (np.uint8, np.uint16):
        raise DataError(f"{place}: holds values of type {images.dtype}, expected uint8 or uint16")
    if images.ndim not in (3, 4) or (images.ndim == 4 and images.shape[-1] != 3) or 0 in images.shape:
        raise DataError(f"{place}: has the shape {images.shape}, expected (images, height, width) or (…, 3)")
    if images.shape[1] * images.shape[2] > MAX_PIXELS:
        raise DataError(f"{place}: has {images.shape[1]} x {images.shape[2]} pixels, at most {MAX_PIXELS:,} are read")
    return images


def _labels(labels: NDArray[Any] | None, count: int, place: str) -> list[Any]:
    """Texts; of several columns of 0 and 1, the numbers of those that hold a 1."""
    if labels is None:
        return [None] * count
    if labels.shape not in ((count,), (count, 1)) and not (labels.ndim == 2 and len(labels) == count):
        raise DataError(f"{place}: {count} images, but labels of the shape {labels.shape}")
    if labels.ndim == 1 or labels.shape[1] == 1:
        return [str(int(one)) if isinstance(one, float) and one.is_integer() else str(one)
                for one in labels.reshape(-1).tolist()]  # fmt: skip
    if not np.isin(labels, (0, 1)).all():
        raise DataError(f"{place}: labels in several columns are 0 or 1, got {labels[~np.isin(labels, (0, 1))][0]}")
    return [tuple(str(at) for at in np.flatnonzero(row).tolist()) for row in labels]
