import re
from itertools import pairwise
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latchwork.evaluation.svg import (
    NAMESPACE,
    Bar,
    Key,
    Plot,
    Scale,
    bars,
    element,
    runs,
    shortened,
    side_by_side,
    standalone,
    stylesheet,
    text_width,
    thin,
    write,
)
from latchwork.evaluation.svg_ticks import DAY, HOUR, MINUTE, date_ticks, log_ticks, number, number_ticks

NAN = float("nan")


def parsed(svg: str) -> ElementTree.Element:
    return ElementTree.fromstring(svg)


def paths(plot: Plot, style: str) -> list[str]:
    return [node.get("d", "") for node in plot.root.iter("path") if style in node.get("class", "").split()]


def plot(x: Scale | None = None, y: Scale | None = None) -> Plot:
    return Plot(x or Scale(0, 10), y or Scale(0, 1), width=400, height=200, label="a plot", keys=[Key("one", "model")])


# Ticks


@settings(max_examples=200)
@given(st.floats(-1e9, 1e9), st.floats(1e-4, 1e9), st.integers(2, 12))
def test_number_ticks_are_round_few_and_inside(low: float, span: float, count: int) -> None:
    if span < 1e-6 * abs(low):
        return
    ticks = number_ticks(low, low + span, count)
    values = [tick.value for tick in ticks]
    assert 2 <= len(ticks) <= count + 1
    assert all(low - 1e-6 * span <= value <= low + span * (1 + 1e-6) for value in values)
    assert values == sorted(set(values))
    assert len({tick.label for tick in ticks}) == len(ticks)


@pytest.mark.parametrize(
    ("low", "high", "labels"),
    [
        (0, 10, ["0", "5", "10"]),
        (0, 0.02, ["0", "0.01", "0.02"]),
        (0, 4_000_000, ["0", "2M", "4M"]),
        (-1.2, 1.2, ["-1", "0", "1"]),
        (9_000, 12_000, ["10,000", "12,000"]),
    ],
)
def test_number_ticks_read_well(low: float, high: float, labels: list[str]) -> None:
    assert [tick.label for tick in number_ticks(low, high, 2)] == labels


@pytest.mark.parametrize(
    ("low", "high", "labels"),
    [
        (0.05, 30, ["0.1", "1", "10"]),
        (0.4, 6, ["0.5", "1", "2", "5"]),
        (1e-9, 1e9, ["1e-9", "0.0001", "10", "1e6"]),
    ],
)
def test_log_ticks(low: float, high: float, labels: list[str]) -> None:
    assert [tick.label for tick in log_ticks(low, high, 4)] == labels


def stamp(text: str) -> int:
    return int(np.datetime64(text, "ns").astype(np.int64))


@pytest.mark.parametrize(
    ("low", "high", "labels"),
    [
        ("1992-01-01", "2002-01-01", ["1992", "1994", "1996", "1998", "2000", "2002"]),
        (
            "2020-01-10",
            "2020-08-10",
            ["Feb 2020", "Mar 2020", "Apr 2020", "May 2020", "Jun 2020", "Jul 2020", "Aug 2020"],
        ),
        ("2020-01-10", "2021-01-10", ["Apr 2020", "Jul 2020", "Oct 2020", "Jan 2021"]),
        ("2021-03-01", "2021-03-29", ["1 Mar 2021", "8 Mar", "15 Mar", "22 Mar", "29 Mar"]),
        ("2021-03-01T18:00", "2021-03-02T18:00", ["1 Mar 18:00", "2 Mar", "06:00", "12:00", "18:00"]),
        (
            "1969-12-31T23:59:50",
            "1970-01-01T00:00:10",
            ["31 Dec 23:59:50", "23:59:55", "1 Jan", "00:00:05", "00:00:10"],
        ),
    ],
)
def test_date_ticks_are_calendar_moments(low: str, high: str, labels: list[str]) -> None:
    assert [tick.label for tick in date_ticks(stamp(low), stamp(high), 7 if "Feb 2020" in labels else 5)] == labels


@settings(max_examples=150)
@given(
    st.integers(-200 * 365, 200 * 365), st.sampled_from([MINUTE, 7 * HOUR, 3 * DAY, 80 * DAY, 3000 * DAY, 20000 * DAY])
)
def test_date_ticks_lie_inside(day: int, span: int) -> None:
    low, high = day * DAY, day * DAY + span
    values = [tick.value for tick in date_ticks(low, high, 6)]
    assert len(values) <= 8
    assert all(low <= value <= high for value in values)
    assert values == sorted(set(values))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.48213, "0.482"), (12.345, "12.3"), (123.4, "123"), (12_345.6, "12,346"), (0, "0"), (NAN, "–"), (None, "–"),
        (-0.5, "-0.500"), (2.5e-7, "2.50e-07"), (3.1e7, "31M"), (float("inf"), "–"),
    ],
)  # fmt: skip
def test_numbers_have_sensible_digits(value: float | None, text: str) -> None:
    assert number(value) == text


# Scales


def test_a_scale_takes_what_is_finite_and_never_has_no_width() -> None:
    assert Scale.over([3.0, NAN, 5.0]) == Scale(3, 5)
    assert Scale.over([3.0, 5.0], zero=True, pad=0.1).low == 0
    for values in ([], [NAN], [4.0], [0.0], [-2.0, -2.0], [1e300]):
        for kind in ("number", "log", "date"):
            scale = Scale.over(values, kind=kind)
            assert scale.low < scale.high
            assert np.isfinite(scale.place([scale.low, scale.high], 0, 100)).all()


def test_what_lies_outside_is_held_at_the_edge() -> None:
    np.testing.assert_allclose(Scale(0, 10).place([-5, 0, 5, 50, NAN], 0, 100), [0, 0, 50, 100, NAN])
    np.testing.assert_allclose(Scale(1, 100, "log").place([10, 0, -1], 0, 100), [50, NAN, NAN])


# Drawing


def test_a_line_breaks_at_gaps_and_keeps_lonely_points() -> None:
    drawn = plot()
    drawn.line([0, 1, 2, 3, 4, 5], [0.1, 0.2, NAN, 0.4, NAN, 0.6], "actual")
    (path,) = paths(drawn, "actual")
    assert path.count("M") == 3
    assert path.count("h0.1") == 2
    assert "nan" not in path


def test_nothing_is_drawn_where_nothing_is_known() -> None:
    drawn = plot()
    drawn.line([0, 1], [NAN, NAN], "actual")
    drawn.band([0, 1], [NAN, 1], [1, NAN], "band-1")
    drawn.dots([0, 1], [NAN, NAN], "model")
    drawn.line([], [], "rival")
    assert not paths(drawn, "actual")
    assert not paths(drawn, "band-1")
    assert not list(drawn.root.iter("circle"))


def test_a_band_closes_and_breaks() -> None:
    drawn = plot()
    drawn.band([0, 1, 2, 3], [0.1, NAN, 0.2, 0.3], [0.4, 0.5, 0.6, 0.7], "band-1")
    (path,) = paths(drawn, "band-1")
    assert path.count("Z") == 2


def test_steps_hold_their_value() -> None:
    drawn = plot(Scale(0, 2), Scale(0, 1))
    drawn.steps([0, 1, 2], [0.0, 1.0], "model")
    (path,) = paths(drawn, "model")[1:]  # the first is the legend's
    points = [tuple(map(float, point.split())) for point in path[1:].split("L")]
    assert [y for _, y in points] == [drawn.bottom, drawn.bottom, drawn.top, drawn.top]
    assert points[1][0] == points[2][0]


@settings(max_examples=100)
@given(st.lists(st.floats(-1e6, 1e6) | st.just(NAN), min_size=1, max_size=400), st.integers(6, 60))
def test_thinning_keeps_peaks_ends_and_size(values: list[float], most: int) -> None:
    array = np.array(values)
    kept = thin(array, most)
    assert len(kept) <= max(most * 4 // 3 + 5, 6)
    assert kept[0] == 0
    assert kept[-1] == len(array) - 1
    assert (np.diff(kept) > 0).all()
    if np.isfinite(array).any():
        assert np.nanmax(array[kept]) == np.nanmax(array)
        assert np.nanmin(array[kept]) == np.nanmin(array)


def test_a_long_line_stays_small() -> None:
    drawn = plot(Scale(0, 1e6))
    values = np.random.default_rng(0).random(1_000_000)
    values[500_000] = NAN
    drawn.line(np.arange(1_000_000), values, "actual")
    (path,) = paths(drawn, "actual")
    assert len(path) < 20_000
    assert path.count("M") == 2


@given(st.lists(st.floats(0, 1) | st.just(NAN), max_size=20))
def test_runs_are_the_known_stretches(values: list[float]) -> None:
    array = np.array(values, dtype=np.float64)
    found = runs(array)
    assert sum(part.stop - part.start for part in found) == np.isfinite(array).sum()
    assert all(np.isfinite(array[part]).all() for part in found)


def test_labels_never_run_into_each_other() -> None:
    drawn = plot(Scale(stamp("2020-01-01"), stamp("2020-12-31"), "date"))
    ends = []
    for node in drawn.root.iter("text"):
        if node.get("class") == "tick" and node.get("text-anchor") == "middle":
            middle, half = float(node.get("x", "")), text_width(node.text or "") / 2
            ends.append((middle - half, middle + half))
    assert len(ends) > 2
    assert all(left[1] < right[0] for left, right in pairwise(ends))
    assert all(start >= 0 and end <= 400 for start, end in ends)


def test_bars_show_whiskers_an_arrow_for_the_giant_and_nothing_for_nan() -> None:
    rows = [
        Bar("model", 1.0, 0.8, 1.2, "1.00", "chosen"),
        Bar("naive", 1.2, NAN, NAN, "1.20"),
        Bar("drift", 900.0, 800.0, 1000.0, "900"),
        Bar("broken", NAN, NAN, NAN, "–"),
    ]
    root = bars(rows, width=500, label="scores", x_title="MAE")
    kinds = [
        [part.get("class") for part in group if part.tag in ("rect", "path")]
        for group in root.iter("g")
    ]  # fmt: skip
    assert kinds == [["body", "halo", "whisker"], ["body"], ["body", "arrow"], []]
    widths = [float(node.get("width", "")) for node in root.iter("rect")]
    assert widths[0] > 40
    assert next(group.get("class") for group in root.iter("g")) == "bar chosen"


def test_a_long_name_is_cut() -> None:
    assert text_width(shortened("x" * 300, 100)) <= 100
    assert shortened("short", 100) == "short"


# Files


def test_texts_are_escaped_and_cleaned() -> None:
    nasty = "<script>alert('1')</script>\x00\x1b\ud800 & \"quoted\""
    drawn = bars([Bar(nasty, 1, 0.5, 2, nasty)], width=400, label=nasty)
    for text in (standalone(drawn, title=nasty), write(drawn)):
        assert "<script" not in text
        text.encode()
    root = parsed(standalone(drawn, title=nasty))
    assert root.findtext(f"{{{NAMESPACE}}}title") == "<script>alert('1')</script>��� & \"quoted\""


def test_a_standalone_file_is_whole_light_and_loads_nothing() -> None:
    drawn = plot()
    drawn.line([0, 1], [0, 1], "model")
    text = standalone(side_by_side([drawn.root, plot().root], label="two"), title="two")
    root = parsed(text)
    assert root.tag == f"{{{NAMESPACE}}}svg"
    assert root.get("role") == "img"
    assert root.get("aria-label") == "two"
    assert float(root.get("width", "")) > 800
    assert "var(" not in text
    assert "@media" not in text
    assert 'fill="#ffffff"' in text
    assert re.findall(r"https?://[^\"']+", text) == [NAMESPACE]


def test_elements_keep_their_texts_in_order() -> None:
    assert write(element("p", "a", element("b", "b"), "c", None, "d", cls="x")) == '<p class="x">a<b>b</b>cd</p>'


def contrast(first: str, second: str) -> float:
    """WCAG 2.2's contrast ratio of two colours #rrggbb."""

    def light(colour: str) -> float:
        parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    high, low = sorted((light(first), light(second)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_colours_can_be_read_in_light_and_in_dark() -> None:
    light, dark = (dict(re.findall(r"--([\w-]+): (#\w+);", part)) for part in stylesheet().split("@media"))
    assert light.keys() == dark.keys()
    for palette in (light, dark):
        for name in ("ink", "soft", "model", "rival"):
            assert contrast(palette[name], palette["paper"]) >= 4.5, name
        for name in palette:
            if name.startswith("layer") or name == "history":
                assert contrast(palette[name], palette["paper"]) >= 3, name
