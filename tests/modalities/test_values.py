import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latchwork.modalities.values import MISSING, to_number, to_numbers, to_text, to_texts, why_no_number

NUMBERISH = st.one_of(
    st.text(st.sampled_from("0123456789.eE+-_ ,xinfaNA"), max_size=8),
    st.floats().map(str),
    st.integers().map(str),
    st.sampled_from([*MISSING, " 1 ", "1_000", "0x10", "١", "Infinity", "-INF", "1e400", "5.", ".5", "+.5e-3", "1,5"]),
)


@settings(max_examples=300)
@given(st.lists(NUMBERISH, min_size=1, max_size=8), st.sampled_from([".", ","]))
def test_one_value_is_read_as_a_column_is(cells, decimal):
    values, bad = to_numbers(pl.Series(cells, dtype=pl.String), decimal)
    for cell, value, wrong in zip(cells, values.tolist(), bad.tolist(), strict=True):
        alone = to_number(cell, decimal)
        assert (alone is None) == wrong
        if alone is not None:
            assert np.array_equal(alone, value, equal_nan=True)


def test_typed_columns_are_numbers():
    assert to_numbers(pl.Series([True, False, None]))[0].tolist()[:2] == [1.0, 0.0]
    assert math.isnan(to_numbers(pl.Series([None]))[0][0])
    assert to_number(True) == 1.0
    assert to_number([1]) is None


@pytest.mark.parametrize(
    "values", [["a", "", None, "NA"], [1.0, 2.5, None, float("nan")], [True, False, None], [1, 2, None], [1e300, 0.1]]
)
def test_one_text_is_read_as_a_column_is(values):
    assert to_texts(pl.Series(values)).to_list() == [to_text(value) for value in values]


def test_na_may_be_a_country():
    assert to_text("NA") == "NA"


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("1,234", "1234"),
        ("-12,345,678.9", "-12345678.9"),
        ("3,14", "decimal"),
        ("1.234,5", "points"),
        ("12%", "unit"),
        ("abc", "empty"),
    ],
)
def test_why_a_text_is_no_number(text, hint):
    assert hint in why_no_number(text)
