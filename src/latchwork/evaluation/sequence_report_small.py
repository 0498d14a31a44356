"""Small pictures of single sequences: lines of a series, strips of labels, an image."""

import base64
import struct
import zlib
from collections.abc import Sequence
from itertools import pairwise
from typing import Any
from xml.etree.ElementTree import Element

import numpy as np
from numpy.typing import NDArray

from latchwork.evaluation.svg import Scale, element, figure, shortened, text_width

SPARKS = 6
"""Columns of a series that are drawn."""

THUMB = 96
"""Pixels of the longer side of an image, at most about twice as many are kept."""

COLORS = 8


def sparks(record: Any, width: int = 300, marks: Sequence[tuple[str, Sequence[int]]] = ()) -> Element:
    """The first columns of a series, one above the other, each on its own scale; below them strips of labels."""
    columns = record.numbers[:, :SPARKS] if record.numbers.size else np.zeros((record.steps, 0))
    names = record.columns.numbers[:SPARKS]
    times = np.arange(record.steps, dtype=np.float64) if record.times is None else record.times
    left = min(80.0, max([text_width(name) for name in [*names, *(name for name, _ in marks)]] or [0.0])) + 8
    high, strip = 22, 12
    root = figure(width, high * columns.shape[1] + strip * len(marks) + 4, f"{record.steps:,} steps of the series")
    across = Scale.over(times)
    for line, (name, values) in enumerate(zip(names, columns.T, strict=True)):
        root.append(element("text", shortened(name, left - 8), cls="tick", x=0.0, y=high * line + 15.0))
        scale = Scale.over(values, pad=0.05)
        plot = _Strip(root, across, scale, (left, width - 2.0), (high * line + 2.0, high * (line + 1) - 2.0))
        plot.line(times, values)
    for line, (name, codes) in enumerate(marks):
        top = high * columns.shape[1] + strip * line + 2.0
        root.append(element("text", name, cls="tick", x=0.0, y=top + 9))
        edges = np.linspace(left, width - 2.0, len(codes) + 1)
        begins = [0, *(at for at in range(1, len(codes)) if codes[at] != codes[at - 1]), len(codes)]
        for first, stop in pairwise(begins):
            shape = {
                "x": float(edges[first]),
                "width": float(edges[stop] - edges[first]),
                "y": top,
                "height": strip - 2,
            }
            root.append(element("rect", cls=f"tag-{codes[first] % COLORS}", **shape))
    return root


class _Strip:
    """A line in a corner of a drawing."""

    def __init__(
        self, root: Element, x: Scale, y: Scale, sides: tuple[float, float], heights: tuple[float, float]
    ) -> None:
        self.root, self.x, self.y, self.sides, self.heights = root, x, y, sides, heights

    def line(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> None:
        known = np.flatnonzero(np.isfinite(y))[:: max(1, len(y) // 400)]
        if not len(known):
            return
        across, down = self.x.place(x[known], *self.sides), self.y.place(y[known], self.heights[1], self.heights[0])
        points = "L".join(f"{a:.1f} {d:.1f}" for a, d in zip(across, down, strict=True))
        self.root.append(element("path", cls="line model", d=f"M{points}" + ("h0.1" if len(known) == 1 else "")))


def thumbnail(pixels: NDArray[Any], label: str) -> Element:
    """An image, made small, as data in the page."""
    small = pixels[:: max(1, pixels.shape[0] // THUMB), :: max(1, pixels.shape[1] // THUMB)]
    height, width = small.shape[:2]
    scale = THUMB / max(height, width)
    root = figure(width * scale, height * scale, label)
    root.set("class", "figure thumb")
    link = "data:image/png;base64," + base64.b64encode(png(small)).decode()
    root.append(element("image", href=link, width=width * scale, height=height * scale))
    return root


def png(pixels: NDArray[Any]) -> bytes:
    """[height, width] or [height, width, 3] of uint8 or uint16 as the bytes of a PNG file of 8 bits."""
    whole = pixels if pixels.dtype == np.uint8 else (pixels // 257).astype(np.uint8)
    height, width = whole.shape[:2]
    colour = 2 if whole.ndim == 3 and whole.shape[2] == 3 else 0
    rows = np.ascontiguousarray(whole if colour else whole.reshape(height, width, -1)[:, :, 0]).reshape(height, -1)
    data = np.concatenate([np.zeros((height, 1), np.uint8), rows], 1).tobytes()

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(data, 9)) + chunk(b"IEND", b"")
