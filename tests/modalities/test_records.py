import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from latchwork.errors import DataError, ModelFileError
from latchwork.modalities import Record, Records
from latchwork.modalities.records import KNEE, MAX_GAP, MAX_LEVELS, Columns, Scale, elapsed
from latchwork.modalities.source import SourceOptions
from latchwork.sequences.examples import Labelled, collate

COLUMNS = Columns(("x", "y"), ("colour",), ("age",), ("ward",))
NUMBERS = st.one_of(st.just(np.nan), st.floats(-1e3, 1e3), st.sampled_from([0.0, 1e300, -1e12, 5e-324]))


@st.composite
def records(draw):
    steps = draw(st.integers(1, 6))
    gaps = draw(arrays(np.float64, steps, elements=st.sampled_from([0.0, 0.5, 1.0, 7.0])))
    texts = draw(st.lists(st.sampled_from(["", "red", "blue"]), min_size=steps, max_size=steps))
    return Record(
        COLUMNS,
        np.cumsum(gaps) - gaps[0],
        draw(arrays(np.float64, (steps, 2), elements=NUMBERS)),
        np.array(texts, str)[:, None],
        draw(arrays(np.float64, 1, elements=NUMBERS)),
        (draw(st.sampled_from(["", "a", "b"])),),
    )


def labelled(some):
    names = tuple(f"s{at}" for at in range(len(some)))
    return Labelled(tuple(some), ("l",) * len(some), names, names)


def plain(*values, names=("x",), times=None, is_open=False):
    matrix = np.array(values, float).reshape(len(values), -1)
    return Record(Columns(names, open=is_open), times, matrix, np.zeros((len(values), 0), str), np.zeros(0))


def fit(some, rows=None, **options):
    whole = labelled(some)
    return Records.fit(whole, range(len(whole)) if rows is None else rows, SourceOptions(**options)), whole


def fitted_on(some, count):
    if all(np.isnan(one.numbers).all() and not (one.texts != "").any() for one in some[:count]):
        with pytest.raises(DataError, match="no column has a value"):
            fit(some, range(count))
        return None, None
    return fit(some, range(count))


def equal(one, other):
    for name in ("numbers", "mask", "gaps", "static"):
        left, right = getattr(one, name), getattr(other, name)
        assert (left is None) == (right is None)
        assert left is None or np.array_equal(left, right)


@settings(max_examples=60)
@given(st.lists(records(), min_size=1, max_size=5), st.lists(records(), max_size=3))
def test_laws(train, rest):
    model, whole = fitted_on([*train, *rest], len(train))
    if model is None:
        return
    assert fitted_on(train, len(train))[0] == model, "sequences that are not for training changed what was fitted"
    assert fitted_on(train[::-1], len(train))[0] == model, "the order of the sequences changed what was fitted"
    saved = Records.from_dict(json.loads(json.dumps(model.to_dict(), allow_nan=False)), model.files())
    assert saved == model
    features = model.features
    for row, one in enumerate(model.encode(whole)):
        equal(one, model.encode(whole.select([row]))[0])
        record = whole.content[row]
        assert one.numbers.dtype == np.float32
        assert one.numbers.shape == (record.steps, features.numbers)
        assert len(one) == record.steps
        for array in (one.numbers, one.mask, one.gaps, one.static):
            assert array is None or np.isfinite(array).all()
        assert (one.mask is not None) == (one.gaps is not None) == features.masked
        if one.mask is not None:
            assert (one.numbers[one.mask == 0] == 0).all()
            assert (one.gaps >= 0).all()
            assert not one.gaps[0].any()
        cut = max(1, record.steps // 2)  # a step knows the steps before it only
        (early,) = model.encode(labelled([record.cut(0, cut)]))
        np.testing.assert_array_equal(early.numbers, one.numbers[:cut])
        if one.mask is not None:
            np.testing.assert_array_equal(early.gaps, one.gaps[:cut])
    collate(model.encode(whole))


@given(arrays(np.float64, st.integers(1, 50), elements=st.floats(-1e6, 1e6)), st.floats(-1e308, 1e308))
def test_a_scale_keeps_the_order_and_is_centred(values, other):
    model, _ = fit([plain(*values)])
    (scale,) = model.numbers
    encoded = model.encode(labelled([plain(*values)]))[0].numbers[:, 0].astype(float)
    assert np.all(np.diff(encoded[np.argsort(values, kind="stable")]) >= -1e-6)
    if np.ptp(values) > 1e-3:
        assert abs(encoded.mean()) < 1e-3
        assert encoded.std() == pytest.approx(1, abs=1e-3)
    (new,) = model.encode(labelled([plain(other)]))
    assert np.isfinite(new.numbers).all()
    assert scale.width > 0


def test_a_spike_is_a_logarithm_and_leaves_the_others_alone():
    values = np.sin(np.arange(1000.0))
    model, whole = fit([plain(*values, 7e5)])
    encoded = model.encode(whole)[0].numbers[:, 0]
    assert 0.7 < encoded[:-1].std() < 1
    assert KNEE < encoded[-1] < 40
    less = model.encode(labelled([plain(6e5)]))[0].numbers[0, 0]
    assert less < encoded[-1]


@pytest.mark.parametrize(
    ("values", "expected"),
    [([3, 3, 3], [0, 0, 0]), ([np.nan, 5, 5], [0, 0, 0]), ([1e9, 1e9 + 1e-6], [0, 0]), ([0, 0, 0, 0, 9], None)],
)
def test_columns_with_little_spread(values, expected):
    model, whole = fit([plain(*values)])
    encoded = model.encode(whole)[0].numbers[:, 0]
    if expected is None:
        assert encoded[-1] > 1 > encoded[0]
    else:
        np.testing.assert_allclose(encoded, expected, atol=1e-6)


@given(arrays(np.float64, st.integers(1, 8), elements=st.floats(0, 9)), st.data())
def test_gaps_are_those_of_grud(gaps, data):
    times = np.cumsum(gaps)
    seen = data.draw(arrays(np.bool_, (len(times), 2)))
    expected = np.zeros(seen.shape)
    for step in range(1, len(times)):  # as the paper writes it
        expected[step] = times[step] - times[step - 1] + np.where(seen[step - 1], 0, expected[step - 1])
    np.testing.assert_allclose(elapsed(times, seen), expected, atol=1e-9)


def test_mask_and_gaps_are_given_where_they_tell_something():
    assert not fit([plain(1, 2, 3), plain(4, 5)])[0].masked
    assert not fit([plain(1, 2, 3, times=np.array([0.0, 2, 4]))])[0].masked
    assert fit([plain(1, np.nan, 3)])[0].masked
    model, whole = fit([plain(1, 2, 3, 4, times=np.array([0.0, 2, 4, 10]))])
    assert model.masked
    assert model.step == 2
    assert model.encode(whole)[0].gaps[:, 0].tolist() == [0, 1, 1, 3]
    assert model.features.masked
    far = model.encode(labelled([plain(1, 2, times=np.array([0, 1e12]))]))[0]
    assert far.gaps.max() == MAX_GAP


def test_categories_and_static():
    def one(colours, age, ward):
        texts = np.array(colours, str)[:, None]
        return Record(COLUMNS, None, np.ones((len(colours), 2)), texts, np.array([float(age)]), (ward,))

    model, _ = fit([one(["red", "blue", ""], 30, "a"), one(["red"], np.nan, "b"), one(["red"], 50, "a")])
    assert model.names == ("x", "y", "colour=blue", "colour=red", "colour=?")
    assert model.static_names == ("age", "age=missing", "ward=a", "ward=b", "ward=?")
    (got,) = model.encode(labelled([one(["green", "", "red"], np.nan, "c")]))
    assert got.numbers[:, 2:].tolist() == [[0, 0, 1], [0, 0, 0], [0, 1, 0]]
    assert got.mask[:, 2:].tolist() == [[1, 1, 1], [0, 0, 0], [1, 1, 1]]
    assert got.static.tolist() == [0, 1, 0, 0, 1]
    many = one([f"c{at % 100}" for at in range(300)] + ["c7"], 1, "a")
    assert len(fit([many])[0].categories[0].levels) == MAX_LEVELS
    assert "c7" in fit([many])[0].categories[0].levels


def test_another_file_has_other_columns():
    model, _ = fit([plain([1, 2], [3, 4], names=("x", "y"))])
    swapped = labelled([plain([2, 9, 1], [4, 9, 3], names=("y", "z", "x"))])
    equal(model.encode(swapped)[0], model.encode(labelled([plain([1, 2], [3, 4], names=("x", "y"))]))[0])
    with pytest.raises(DataError, match='s0: there is no column "y", which the training file had'):
        model.encode(labelled([plain(1)]))
    opened, _ = fit([plain([1, 2], [3, np.nan], names=("x", "y"), is_open=True)])
    (got,) = opened.encode(labelled([plain(1, is_open=True)]))
    assert got.mask.tolist() == [[1, 0]]
    with pytest.raises(DataError, match='no column "y", which other training sequences have'):
        fit([plain([1, 2], names=("x", "y")), plain(1)])


def test_numbers_that_another_file_holds_as_texts():
    model, _ = fit([plain(1, 2, 3)])

    def texts(*values):
        return labelled(
            [Record(Columns((), ("x",)), None, np.zeros((len(values), 0)), np.array(values)[:, None], np.zeros(0))]
        )

    equal(model.encode(texts("1", "2"))[0], model.encode(labelled([plain(1, 2)]))[0])
    with pytest.raises(DataError, match='s0: column "x" holds "2,5", where the training sequences had numbers'):
        model.encode(texts("1", "2,5"))
    words = texts("1", "b")
    flags = Records.fit(words, [0])
    assert flags.names == ("x=1", "x=b", "x=?")
    assert flags.encode(labelled([plain(1, 3)]))[0].numbers.tolist() == [[1, 0, 0], [0, 0, 1]]


@pytest.mark.parametrize(("keep", "kept"), [("start", [0, 1, 2, 3]), ("end", [6, 7, 8, 9]), ("both", [0, 7, 8, 9])])
def test_a_long_sequence_is_cut(keep, kept):
    model, whole = fit([plain(*range(10), times=np.arange(10.0) ** 2)], max_length=4, keep=keep)
    full, _ = fit([plain(*range(10), times=np.arange(10.0) ** 2)])
    (short,) = model.encode(whole)
    np.testing.assert_array_equal(short.numbers, full.encode(whole)[0].numbers[kept])
    assert short.gaps[0, 0] == 0


def test_a_column_without_training_values_is_left_out():
    model, whole = fit([plain([1, np.nan], [2, np.nan], names=("x", "y")), plain([1, 5], names=("x", "y"))], [0])
    assert model.names == ("x",)
    assert not model.masked
    assert model.encode(whole)[1].numbers.shape == (1, 1)


def test_what_can_not_be_fitted():
    with pytest.raises(DataError, match="no sequence is left to train on"):
        fit([plain(1)], [])
    with pytest.raises(DataError, match="s0: no column has a value in the training sequences"):
        fit([plain(np.nan), plain(1)], [0])
    with pytest.raises(DataError, match='static column "agee" has no value'):
        fit([plain(1)], static=("agee",))
    with pytest.raises(DataError, match="expected a sequence of measurements, got str"):
        fit(["a text"])


def test_a_damaged_model_file():
    data = fit([plain(1, 2)])[0].to_dict()
    for change in ({"step": -1.0}, {"numbers": []}, {"numbers": [{"name": 3}]}, {"other": 1}, {"keep": "all"},
                   {"step": float("nan")}, {"numbers": [{"name": "x", "width": 0.0}]}):  # fmt: skip
        with pytest.raises(ModelFileError, match="the records part of the model file is damaged"):
            Records.from_dict({**data, **change})


def test_fingerprints_tell_sequences_apart():
    one = plain(*range(5000))
    other = one._replace(numbers=np.where(one.numbers == 2500, -1, one.numbers))
    prints = labelled([one, other, one]).fingerprints()
    assert prints[0] == prints[2] != prints[1]


def test_a_scale_of_its_own():
    scale = Scale.fit("x", np.array([1.0, 2, 3, np.nan]))
    assert (scale.centre, scale.missing) == (2.0, True)
    assert replace(scale, missing=False) == Scale.fit("x", np.array([3.0, 1, 2]))
