"""Images, brought to one size and scale; a network reads them column by column, from left to right."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pydantic
from numpy.typing import NDArray

from latchwork import storage
from latchwork.errors import DataError, ModelFileError
from latchwork.modalities.image_read import Pixels, read_images, resize
from latchwork.modalities.source import MAX_SIDE, SourceOptions
from latchwork.sequences.examples import Encoded, Features, Labelled

__all__ = ["Images", "read_images"]

_GREY = np.array([0.299, 0.587, 0.114], np.float32)
"""Shares of red, green and blue: ITU-R BT.601."""


@dataclass(frozen=True)
class Images:
    """Images as fitted on training images: (x − mean) / deviation of each channel, x between 0 and 1.

    height, width    in pixels: ``options.image_size`` squared, or as the first training image
    mean, deviation  of each channel over the training pixels: one (grey) where all training images are grey, or three.
                     Images in colour become grey for the first, grey ones are repeated for the second
    """

    __pydantic_config__ = pydantic.ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
    kind: ClassVar[str] = "image"

    height: int
    width: int
    mean: tuple[float, ...]
    deviation: tuple[float, ...]

    def __post_init__(self) -> None:
        if not (1 <= self.height <= MAX_SIDE and 1 <= self.width <= MAX_SIDE):
            raise DataError(
                f"images of {self.height} x {self.width} pixels; expected at most {MAX_SIDE} each: give image_size="
            )
        if len(self.mean) not in (1, 3) or len(self.deviation) != len(self.mean) or min(self.deviation) <= 0:
            raise DataError("expected a mean and a deviation above 0 for each of 1 or 3 channels")

    @classmethod
    def fit(
        cls, labelled: Labelled, rows: Sequence[int] | NDArray[np.int64], options: SourceOptions | None = None
    ) -> "Images":
        """Fit size, channels and scale to the training images ``rows``; the others are not looked at."""
        options = options or SourceOptions()
        if not len(rows):
            raise DataError("no image is left to train on")
        chosen = labelled.select(rows)
        images = _images(chosen)
        height, width = images[0].shape[:2]
        if options.image_size is not None:
            height = width = options.image_size
        channels = 1 if all(_is_grey(pixels) for pixels in images) else 3
        unscaled = cls(height, width, (0.0,) * channels, (1.0,) * channels)
        total = np.zeros((2, channels))
        for pixels in images:
            values = unscaled.encode_one(pixels).astype(np.float64)
            total += values.mean(axis=(1, 2)), (values**2).mean(axis=(1, 2))
        mean, square = total / len(images)
        deviation = np.sqrt(np.maximum(square - mean**2, 0))
        deviation = np.where(deviation > 1e-6, deviation, 1.0)
        return cls(height, width, tuple(mean.tolist()), tuple(deviation.tolist()))

    @property
    def features(self) -> Features:
        """What :meth:`encode` gives."""
        return Features(image=(len(self.mean), self.height))

    def encode(self, labelled: Labelled) -> list[Encoded]:
        """[channels, height, width] of each image."""
        return [Encoded(image=self.encode_one(pixels)) for pixels in _images(labelled)]

    def encode_one(self, pixels: Pixels) -> NDArray[np.float32]:
        """[channels, height, width] of one image."""
        top = 255.0 if pixels.dtype == np.uint8 else 65535.0
        values = resize(pixels, self.height, self.width).astype(np.float32) / np.float32(top)
        if values.ndim == 3:
            values = values[:, :, 0][None] if _is_grey(pixels) else np.moveaxis(values, -1, 0)
        else:
            values = values[None]
        if len(values) > len(self.mean):
            values = np.tensordot(_GREY, values, axes=1)[None]
        elif len(values) < len(self.mean):
            values = np.repeat(values, 3, axis=0)
        mean, deviation = (np.array(one, np.float32)[:, None, None] for one in (self.mean, self.deviation))
        return np.ascontiguousarray((values - mean) / deviation)

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain JSON values."""
        return _ADAPTER.dump_python(self, mode="json")

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], files: Mapping[str, bytes] | None = None) -> "Images":
        """The inverse of :meth:`to_dict`; raises :class:`ModelFileError` naming the field that is wrong."""
        try:
            return _ADAPTER.validate_json(json.dumps(dict(data)))
        except pydantic.ValidationError as error:
            raise storage.wrong_field(error, "the image part of the model file") from error
        except (TypeError, ValueError) as error:
            raise ModelFileError(f"the image part of the model file is damaged: {error}") from error

    def files(self) -> dict[str, bytes]:
        """No files beside the JSON."""
        return {}


_ADAPTER = pydantic.TypeAdapter(Images)


def _images(labelled: Labelled) -> list[Pixels]:
    for pixels, place in zip(labelled.content, labelled.places, strict=True):
        if not isinstance(pixels, np.ndarray):
            raise DataError(f"{place}: expected an image, got {type(pixels).__name__}")
    return list(labelled.content)


def _is_grey(pixels: Pixels) -> bool:
    """Whether it has one channel, or three that are the same."""
    return pixels.ndim == 2 or bool((pixels == pixels[:, :, :1]).all())
