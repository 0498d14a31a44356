"""Where an axis is marked, and how its marks read: round numbers, powers of ten, and round dates."""

import math
from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

SECOND = 1_000_000_000
MINUTE, HOUR, DAY = 60 * SECOND, 3600 * SECOND, 86_400 * SECOND
MONTH = int(30.44 * DAY)

_CLOCK = [(SECOND, n) for n in (1, 2, 5, 10, 15, 30)] + [(MINUTE, n) for n in (1, 2, 5, 10, 15, 30)]
_CLOCK += [(HOUR, n) for n in (1, 2, 3, 6, 12)] + [(DAY, n) for n in (1, 2, 7, 14)]
_MONTHS = [1, 2, 3, 6] + [12 * n for n in (1, 2, 5, 10, 20, 50, 100)]
_NAMES = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_SUFFIXES = ((1e12, "T"), (1e9, "B"), (1e6, "M"))


class Tick(NamedTuple):
    """A mark on an axis: where, in the units of the data, and what stands beside it."""

    value: float
    label: str


def number(value: float | None, digits: int = 3) -> str:
    """A number as a person writes it: ``digits`` significant ones, thousands apart, no exponent where it can be helped.

    >>> number(0.048213), number(12345.6), number(float("nan")), number(2.5e9)
    ('0.0482', '12,346', '–', '2.5B')
    """
    if value is None or not math.isfinite(value):
        return "–"
    size = abs(value)
    if size == 0:
        return "0"
    if size >= 1e15 or size < 1e-4:
        return f"{value:.{digits - 1}e}"
    for unit, suffix in _SUFFIXES:
        if size >= unit * 10 ** (0 if unit > 1e6 else 1):
            return f"{value / unit:.{digits}g}{suffix}" if size < 1000 * unit else f"{value / unit:,.0f}{suffix}"
    decimals = max(0, digits - 1 - math.floor(math.log10(size)))
    return f"{value:,.{decimals}f}"


def number_ticks(low: float, high: float, count: int) -> list[Tick]:
    """At most ``count`` + 1 round numbers inside [low, high], all written with the same digits.

    >>> [tick.label for tick in number_ticks(0, 1, 4)]
    ['0', '0.25', '0.5', '0.75', '1']
    """
    steps = _round_steps((high - low) / (count + 1))
    step = next(step for step in steps if len(_multiples(low, high, step)) <= count + 1)
    values = [index * step for index in _multiples(low, high, step)]
    largest = max((abs(value) for value in values), default=0.0)
    if largest >= 1e15 or step < 1e-5:
        return [Tick(value, f"{value:.4g}") for value in values]
    unit, suffix = next(((unit, text) for unit, text in _SUFFIXES if largest >= unit), (1.0, ""))
    decimals = next((digits for digits in range(9) if _whole(step / unit * 10**digits)), 9)
    texts = [f"{value / unit:,.{decimals}f}" for value in values]
    if decimals and not suffix:
        texts = [text.rstrip("0").rstrip(".") if _all_short(texts) else text for text in texts]
    return [Tick(value, "0" if value == 0 else text + suffix) for value, text in zip(values, texts, strict=True)]


def _all_short(texts: Iterable[str]) -> bool:
    return all(len(text.lstrip("-")) <= 4 for text in texts)


def _whole(value: float) -> bool:
    return abs(value - round(value)) < 1e-6


def _multiples(low: float, high: float, step: float) -> range:
    return range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)


def _round_steps(least: float) -> list[float]:
    """1, 2, 2.5 and 5 times powers of ten, from about ``least`` on."""
    power = math.floor(math.log10(least))
    return [factor * 10.0**each for each in (power, power + 1) for factor in (1, 2, 2.5, 5)]


def log_ticks(low: float, high: float, count: int) -> list[Tick]:
    """Powers of ten inside [low, high]; with few of them also 2 and 5 times these."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    every = max(1, math.ceil((last - first) / max(1, count)))
    factors = (1, 2, 5) if last - first <= 2 else (1,)
    values = [factor * 10.0**power for power in range(first, last + 1, every) for factor in factors]
    inside = [value for value in values if low * (1 - 1e-9) <= value <= high * (1 + 1e-9)]
    return [Tick(value, _power(value)) for value in inside]


def _power(value: float) -> str:
    return f"{value:g}" if 1e-4 <= value < 1e6 else f"{value:.0e}".replace("e-0", "e-").replace("e+0", "e")


def date_ticks(low: float, high: float, count: float) -> list[Tick]:
    """Round moments inside [low, high], nanoseconds since 1970: whole hours, days, Mondays, months or years.

    >>> [tick.label for tick in date_ticks(0, 3 * 366 * DAY, 4)]
    ['1970', '1971', '1972', '1973']
    """
    span, count = high - low, count + 0.5
    for unit, n in _CLOCK:
        if span / (unit * n) <= count:
            return _clock_ticks(low, high, unit * n)
    months = next((n for n in _MONTHS if span / (MONTH * n) <= count), _MONTHS[-1])
    return _month_ticks(low, high, months)


def _clock_ticks(low: float, high: float, step: int) -> list[Tick]:
    anchor = -3 * DAY if step % (7 * DAY) == 0 else 0  # weeks begin on Monday, and 1970 on a Thursday
    first = math.ceil((low - anchor) / step)
    moments = [anchor + index * step for index in range(first, math.floor((high - anchor) / step) + 1)]
    form: Callable[[int], str] = _day if step >= DAY else _minute if step >= MINUTE else _second
    ticks = []
    for index, moment in enumerate(moments):
        text = form(moment)
        if index == 0 and step >= DAY:
            text = f"{text} {_parts(moment)[0]}"
        elif step < DAY and moment % DAY == 0:
            text = _day(moment)
        elif index == 0:
            text = f"{_day(moment)} {text}"
        ticks.append(Tick(float(moment), text))
    return ticks


def _month_ticks(low: float, high: float, step: int) -> list[Tick]:
    first = np.datetime64(math.floor(low / DAY), "D").astype("M8[M]").astype(int)
    last = np.datetime64(math.ceil(high / DAY), "D").astype("M8[M]").astype(int)
    ticks = []
    for month in range(-(-first // step) * step if step < 12 else _year_start(first, step), last + 1, step):
        moment = float(np.datetime64(month, "M").astype("M8[D]").astype(np.int64)) * DAY
        if low <= moment <= high:
            year, name = divmod(month, 12)
            ticks.append(Tick(moment, str(1970 + year) if step >= 12 else f"{_NAMES[name]} {1970 + year}"))
    return ticks


def _year_start(month: int, step: int) -> int:
    years = step // 12
    return ((month // 12 + 1970) // years * years - 1970) * 12


def _parts(moment: int) -> tuple[int, int, int]:
    year, month, day = str(np.datetime64(moment // DAY, "D")).rsplit("-", 2)
    return int(year), int(month), int(day)


def _day(moment: int) -> str:
    _, month, day = _parts(moment)
    return f"{day} {_NAMES[month - 1]}"


def _minute(moment: int) -> str:
    return f"{moment % DAY // HOUR:02}:{moment % HOUR // MINUTE:02}"


def _second(moment: int) -> str:
    return f"{_minute(moment)}:{moment % MINUTE // SECOND:02}"
