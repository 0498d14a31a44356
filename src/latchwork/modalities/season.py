"""The season of some series: after how many rows they repeat, found in the numbers or confirmed from the calendar."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

SERIES = 60  # looked at, evenly spread over those given
ROWS = 20_000  # the last ones of each
PERIODS = 3  # a season must be seen this often


def detect_season(values: Sequence[Values], candidates: tuple[int, ...] = ()) -> int:
    """The season length in rows, or 1 where there is none. Not affected by the scale or shift of a series.

    values      one array for each series, NaN where missing
    candidates  lengths that the calendar suggests, shortest first: the first one that the series confirm is taken.
                Without any, the lengths up to a third of the series are searched.

    A length m is confirmed when, with a moving average of length m taken away (the trend and all slower motion), the
    autocorrelation at lag m stands out: above its large-lag standard error (Bartlett 1946), and above that at every
    lag from m/2 to 3m/2, which smooth series that have no season at m fail. Several series vote with their average.
    """
    prepared = _prepare(values)
    if not prepared:
        return 1
    strengths: dict[int, float] = {}
    if candidates:
        for m in (m for m in candidates if m > 1):
            strengths[m], _ = _strength(prepared, m, 2.0)
    else:  # many lags are looked at, so much more is asked of each
        for m in _peaks(prepared):
            strength, lag = _strength(prepared, m, 4.0)
            if strength > 0 and _repeats(prepared, lag, strength):
                strengths[lag] = max(strength, strengths.get(lag, 0.0))
    # multiples of a season repeat as well, and a little better: the shortest that does nearly as well is meant
    least = (0.4 if candidates else 0.7) * max(strengths.values(), default=0.0)
    return min((m for m, strength in strengths.items() if strength > least), default=1)


def spread(count: int, most: int = SERIES) -> list[int]:
    """The indices of at most ``most`` of ``count`` series, evenly spread.

    >>> spread(5, 3)
    [0, 2, 4]
    """
    return [int(i) for i in np.unique(np.linspace(0, count - 1, most).round())] if count else []


def _prepare(values: Sequence[Values]) -> list[Values]:
    """At most SERIES of them, the last ROWS rows, gaps filled by straight lines, standardised; no constant one."""
    chosen = [values[i] for i in spread(len(values))]
    prepared = []
    for series in chosen:
        seen = np.flatnonzero(np.isfinite(series))
        if len(seen) < 8:
            continue
        cut = series[seen[0] : seen[-1] + 1][-ROWS:]
        rows = np.arange(len(cut))
        known = np.isfinite(cut)
        if known.mean() < 0.5:
            continue
        filled = np.interp(rows, rows[known], cut[known])
        deviation = float(filled.std())
        if deviation > 1e-9 * (float(np.abs(filled).max()) or 1.0):
            prepared.append((filled - filled.mean()) / deviation)
    return prepared


def _correlation(series: Values, lags: int) -> Values:
    """Autocorrelation at lags 0 … lags-1, each averaged over the pairs that there are."""
    size = 1 << (2 * len(series) - 1).bit_length()
    spectrum = np.fft.rfft(series - series.mean(), size)
    covariance = np.fft.irfft(spectrum * spectrum.conj(), size)[:lags] / (len(series) - np.arange(lags))
    return covariance / covariance[0] if covariance[0] > 1e-12 else np.zeros(lags)


def _without_average(series: Values, length: int) -> Values:
    """The series less its centred moving average (an even length: half weight at both ends)."""
    window = np.ones(length) if length % 2 else np.r_[0.5, np.ones(length - 1), 0.5]
    half = len(window) // 2
    total = np.cumsum(np.r_[0.0, series])
    if length % 2:
        average = (total[length:] - total[:-length]) / length
    else:
        boxes = (total[length:] - total[:-length]) / length
        average = (boxes[1:] + boxes[:-1]) / 2
    return series[half : half + len(average)] - average


def _strength(prepared: list[Values], length: int, errors: float) -> tuple[float, int]:
    """The autocorrelation at about that lag (0 where it does not stand out by so many standard errors), and the lag."""
    low, high = -(-length // 2), length + length // 2
    curves, pairs = [], 0
    for series in prepared:
        if len(series) < PERIODS * length:
            continue
        rest = _without_average(series, length)
        if len(rest) > high + 1:
            curves.append(_correlation(rest, high + 1))
            pairs += len(rest) - length
    if not curves:
        return 0.0, length
    curve = np.mean(curves, axis=0)
    near = round(0.03 * length)  # a year has 52.18 weeks: the peak may lie beside the whole number
    around = np.r_[curve[low : max(low, length - near)], curve[length + near + 1 : high + 1]]
    error = float(np.sqrt((1 + 2 * (curve[1:low] ** 2).sum()) / pairs))
    begin = max(2, length - near)
    lag = begin + int(curve[begin : length + near + 1].argmax())
    peak = float(curve[lag])
    stands_out = peak > max(0.1, errors * error) and (not len(around) or peak > around.max())
    return (peak, lag) if stands_out else (0.0, length)


def _repeats(prepared: list[Values], length: int, strength: float) -> bool:
    """Whether the autocorrelation comes back at twice the lag: asked of a search on top, as it looks at many lags."""
    curves = [
        _correlation(rest, 2 * length + 2) for s in prepared if len(rest := _without_average(s, length)) > 3 * length
    ]
    near = max(1, round(0.03 * length))
    return bool(curves) and float(np.mean(curves, axis=0)[2 * length - near :].max()) > 0.5 * strength


def _peaks(prepared: list[Values], most: int = 24) -> list[int]:
    """Lags worth a closer look: the highest tops of two autocorrelations, of differences and without a trend."""
    longest = max(len(series) for series in prepared) // PERIODS
    found: list[int] = []
    for change in (np.diff, lambda series: _without_average(series, max(3, min(longest, len(series) // 4)))):
        curves = [_correlation(rest, longest + 2) for s in prepared if len(rest := change(s)) > longest + 2]
        if not curves:
            continue
        curve = np.mean(curves, axis=0)
        tops = np.flatnonzero((curve[1:-1] >= curve[:-2]) & (curve[1:-1] >= curve[2:])) + 1
        tops = tops[(tops > 2) & (curve[tops] > 0.05)]
        found.extend(int(lag) for lag in tops[np.argsort(-curve[tops], kind="stable")][:most])
        found.extend(int(lag) for lag in tops[:4])
    return sorted(set(found))
