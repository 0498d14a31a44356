"""The contract of a modality of whole sequences: texts, records, images."""

import json
from collections.abc import Sequence
from dataclasses import fields
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from latchwork.modalities import SourceOptions
from latchwork.sequences import Encoded, Features, Labelled
from latchwork.sequences.examples import PAD
from latchwork.tasks import Classify
from latchwork.tasks.sequence_pipeline import MODALITIES, READERS, kind_of_source

SHARE = 0.7
"""Of the sequences, from the first on, it is fitted to."""


def check_sequences(
    source: Any,
    options: SourceOptions | None = None,
    *,
    task: Literal["classify", "label"] = "classify",
    kind: str | None = None,
) -> None:
    """Check what reads a source against the contract; raises AssertionError.

    1. reading twice gives the same sequences, labels and names; asked about without labels, the same contents
    2. what is fitted depends on the training sequences only, and on each of them as it stands
    3. saved as JSON with its files and loaded, it encodes the same, bit for bit
    4. a sequence is encoded alone as among others, in any order
    5. what is encoded is what ``features`` says: fields, widths, types; finite, at least one step, no padding inside;
       of a sequence that is too long the steps that ``kept`` names

    kind: text, records or image; None: what the source and the options say.
    """
    options = options or SourceOptions()
    kind = kind or kind_of_source(source, Classify(**{one.name: getattr(options, one.name) for one in fields(options)}))
    read = READERS[kind]
    labelled = read(source, options, task)
    _same_sequences(labelled, read(source, options, task), "read again")
    assert read(source, options, task, labelled=False).fingerprints() == labelled.fingerprints(), (
        "read without labels: other contents"
    )
    rows = np.arange(max(1, int(SHARE * len(labelled))))
    fitted = MODALITIES[kind].fit(labelled, rows, options)
    check_fitted_on_training_sequences(fitted, labelled, rows, options)
    encoded = fitted.encode(labelled)
    assert len(encoded) == len(labelled), f"{len(encoded)} encoded sequences of {len(labelled)}"
    _same_encoded(encoded, fitted.encode(labelled), "encoded again")
    loaded = type(fitted).from_dict(json.loads(json.dumps(fitted.to_dict(), allow_nan=False)), fitted.files())
    assert loaded.to_dict() == fitted.to_dict(), "saved and loaded it is another one"
    assert loaded.features == fitted.features, "saved and loaded it has other features"
    _same_encoded(encoded, loaded.encode(labelled), "saved and loaded")
    for row in range(len(labelled)):
        _same_encoded([encoded[row]], fitted.encode(labelled.select([row])), f"sequence {row} alone")
    backwards = np.arange(len(labelled))[::-1]
    _same_encoded(encoded[::-1], fitted.encode(labelled.select(backwards)), "in another order")
    for row, one in enumerate(encoded):
        _check_features(one, fitted.features, f"sequence {row}")
    if hasattr(fitted, "kept"):
        _check_kept(fitted, labelled, encoded)


def check_fitted_on_training_sequences(
    fitted: Any, labelled: Labelled, rows: NDArray[np.int64], options: SourceOptions
) -> None:
    """Without the other sequences, or with other contents in them, the same is fitted; with other rows it is not."""
    kind = type(fitted)
    alone = labelled.select(rows)
    for other, what in (
        (kind.fit(alone, np.arange(len(rows)), options), "without the other sequences"),
        (kind.fit(_others_changed(labelled, rows), rows, options), "with other contents in the other sequences"),
    ):
        assert other.to_dict() == fitted.to_dict(), f"{what} something else is fitted"
        assert other.files() == fitted.files(), f"{what} other files are fitted"


def _others_changed(labelled: Labelled, rows: NDArray[np.int64]) -> Labelled:
    """The first training content in place of everything that is not for training."""
    kept = set(rows.tolist())
    replaced = [row if row in kept else int(rows[0]) for row in range(len(labelled))]
    changed = labelled.select(replaced)
    return Labelled(changed.content, labelled.labels, labelled.ids, labelled.places, labelled.groups, labelled.parts)


def _same_sequences(left: Labelled, right: Labelled, what: str) -> None:
    assert left.fingerprints() == right.fingerprints(), f"{what}: other contents"
    for name in ("labels", "ids", "places", "groups", "parts", "sha256"):
        assert getattr(left, name) == getattr(right, name), f"{what}: other {name}"
    assert (left.order is None) == (right.order is None), f"{what}: an order, and none"
    if left.order is not None and right.order is not None:
        assert np.array_equal(left.order, right.order), f"{what}: another order"


def _same_encoded(left: Sequence[Encoded], right: Sequence[Encoded], what: str) -> None:
    for row, (one, other) in enumerate(zip(left, right, strict=True)):
        for field in fields(Encoded):
            a, b = getattr(one, field.name), getattr(other, field.name)
            assert (a is None) == (b is None), f"{what}: sequence {row} has {field.name}, and has none"
            if a is not None:
                assert a.dtype == b.dtype, f"{what}: sequence {row}: {field.name} of another type"
                assert np.array_equal(a, b), f"{what}: sequence {row}: {field.name} differs"


def _check_features(one: Encoded, features: Features, what: str) -> None:
    masked = features.masked
    expected = {
        "tokens": features.vocabulary > 0,
        "characters": features.characters > 0,
        "numbers": features.numbers > 0,
        "mask": masked,
        "gaps": masked,
        "static": features.static > 0,
        "image": features.image is not None,
    }
    steps = len(one)
    assert steps >= 1, f"{what}: no step"
    for name, there in expected.items():
        array = getattr(one, name)
        assert (array is not None) == there, f"{what}: {name} is {'missing' if there else 'there'}, against {features}"
        if array is None:
            continue
        whole = name in ("tokens", "characters")
        assert array.dtype == (np.int64 if whole else np.float32), f"{what}: {name} is {array.dtype}"
        assert np.isfinite(array).all(), f"{what}: {name} is not finite"
        if name not in ("static", "image"):
            assert len(array) == steps, f"{what}: {name} has {len(array)} steps of {steps}"
    if one.tokens is not None:
        inside = (one.tokens != PAD) & (one.tokens > 0) & (one.tokens < features.vocabulary)
        assert inside.all(), f"{what}: a token is padding, or not in the vocabulary of {features.vocabulary}"
    if one.characters is not None:
        assert one.characters.min() >= 0, f"{what}: a character below 0"
        assert one.characters.max() < features.characters, f"{what}: a character beyond {features.characters}"
        words = one.characters != PAD
        assert (words[:, :-1] >= words[:, 1:]).all(), f"{what}: padding stands inside a word"
    for name, width in (("numbers", features.numbers), ("mask", features.numbers), ("gaps", features.numbers)):
        array = getattr(one, name)
        assert array is None or array.shape[1] == width, f"{what}: {name} has {array.shape}, expected {width} columns"
    if one.mask is not None and one.numbers is not None and one.gaps is not None:
        assert np.isin(one.mask, (0, 1)).all(), f"{what}: a mask that is neither 0 nor 1"
        assert not one.numbers[one.mask == 0].any(), f"{what}: a number where the mask says that none was seen"
        assert (one.gaps >= 0).all(), f"{what}: a time since it was seen below 0"
        assert not one.gaps[0].any(), f"{what}: time has passed before the first step"
    assert one.static is None or len(one.static) == features.static, (
        f"{what}: other static numbers than {features.static}"
    )
    assert one.image is None or one.image.shape[:2] == features.image, f"{what}: an image of another shape"


def _check_kept(fitted: Any, labelled: Labelled, encoded: Sequence[Encoded]) -> None:
    """Steps that are kept are increasing, and as many as were encoded; of a table with a label for each, those too."""
    for row, (content, one) in enumerate(zip(labelled.content, encoded, strict=True)):
        if isinstance(content, str):
            continue
        steps = len(getattr(content, "numbers", content))
        kept = fitted.kept(steps)
        assert len(kept) == len(one), f"sequence {row}: {len(one)} steps, and {len(kept)} are kept"
        assert (np.diff(kept) > 0).all(), f"sequence {row}: the steps that are kept are not in order"
        assert not len(kept) or 0 <= kept[0] <= kept[-1] < steps, f"sequence {row}: steps are kept that are not there"
