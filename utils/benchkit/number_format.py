"""Format numbers for terminals, CI and reports.

Signs of changes follow :class:`~benchkit.model.MetricComparison`: a change for the worse is negative, even for metrics
where more is worse.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from benchkit.model import METRICS, Metric

ABSENT = "\N{EN DASH}"
MINUS = "\N{MINUS SIGN}"
TIMES = "\N{MULTIPLICATION SIGN}"
NO_BREAK = "\N{NO-BREAK SPACE}"
THIN = "\N{NARROW NO-BREAK SPACE}"
"""Separator between groups of three digits."""


@dataclass(frozen=True)
class Cell:
    """One value. ``title`` says why it is absent or advisory; ``value`` is the sort key of its column."""

    text: str
    title: str = ""
    absent: bool = False
    advisory: bool = False
    value: float | None = None


def absent(why: str) -> Cell:
    """Return the cell of a value that was not measured: a dash, never a zero."""
    return Cell(ABSENT, title=why, absent=True)


def count(value: int) -> str:
    """Format a whole number, with groups of digits from five digits on: ``9999``, ``10 000``."""
    digits = f"{abs(value):,}".replace(",", THIN) if abs(value) >= 10_000 else str(abs(value))
    return f"{MINUS}{digits}" if value < 0 else digits


def significant(value: float, decimals: int) -> str:
    """Format with three significant digits, at most ``decimals`` decimals, and all digits before the point."""
    magnitude = abs(value)
    places = max(0, min(decimals, 2 - math.floor(math.log10(magnitude)))) if magnitude else decimals
    text = f"{magnitude:.{places}f}"
    if places == 0:
        text = count(round(magnitude))
    return f"{MINUS}{text}" if value < 0 and float(f"{magnitude:.{places}f}") else text


def signed(value: float) -> str:
    """Format as :func:`significant`, with sign and at most one decimal: ``+4.7``; zero has no sign."""
    text = significant(value, 1)
    return f"+{text}" if value > 0 and float(f"{value:.1f}") else text


def metric(name: str, value: float) -> str:
    """Format a metric's value with at most the decimals of the metric table.

    A latency is never shown as zero: if it is below the last decimal, it becomes ``< 0.1``.
    """
    if METRICS[name].unit == "share":
        return percent_of(value)
    decimals = METRICS[name].decimals
    if METRICS[name].is_latency and value < 0.5 * 10.0**-decimals:
        return f"< {10.0**-decimals:g}"
    return significant(value, decimals)


def percent_of(share: float) -> str:
    """Format a share (0-1) in percent with three significant digits; only zero is shown as zero."""
    return "< 0.01" if 0 < share < 0.00005 else significant(share * 100, 2)


def success(ok: int, sent: int) -> str:
    """Format successes in percent of requests sent, rounded down: one failure in a million is not 100 %."""
    hundredths = ok * 10_000 // sent
    if hundredths == 0 and ok:
        return "< 0.01"
    return f"{hundredths / 100:.2f}".rstrip("0").rstrip(".")


def plural(number: int, noun: str) -> str:
    """``1 run``, ``2 runs``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


# ---------------------------------------------------------------------------------------------------------------------
# Plain text: a fixed number of decimals so that columns line up, and only characters that every terminal has


def fixed(row: Metric, value: float | None, width: int = 0) -> str:
    """``20.3``; a share in percent; ``-`` for a value that was not measured.

    Three significant digits if the value would be wider than ``width``.
    """
    if value is None:
        return "-"
    shown, decimals = (100 * value, row.decimals - 2) if row.unit == "share" else (value, row.decimals)
    return _fitting(f"{shown:.{decimals}f}", shown, width)


def figure(row: Metric, value: float | None) -> str:
    """Format as :func:`fixed` with the unit, unless the metric's name includes it: ``20.3 ms``."""
    unit = {"ms": " ms", "s": " s", "share": " %"}.get(row.unit, "")
    return fixed(row, value) + (unit if value is not None else "")


def change(row: Metric, percent: float | None, width: int = 0) -> str:
    """``-12.3 %``, positive is better; percentage points (``+0.05 pp``) for an absolute metric; empty without one."""
    if percent is None or not math.isfinite(percent):
        return ""
    decimals = 2 if row.absolute else 1
    # Adding zero after rounding turns "-0.0" into "0.0".
    rounded = round(percent, decimals) + 0.0
    return f"{_fitting(f'{rounded:+.{decimals}f}', rounded, width)} {'pp' if row.absolute else '%'}"


def interval(ends: tuple[float, float] | None) -> str:
    """``-16.4 to -8.1 %``, the worse end first; empty without an interval."""
    return "" if ends is None else f"{ends[0] + 0.0:+.1f} to {ends[1] + 0.0:+.1f} %"


def change_within(row: Metric, percent: float | None, ends: tuple[float, float] | None) -> str:
    """``+12.3 % (+8.1 to +16.4 %)``: the change with its interval."""
    return f"{change(row, percent)} ({interval(ends)})"


def moved(percent: float, ends: tuple[float, float]) -> str:
    """``12.3 % worse (8.1 to 16.4)``: positive ends go in the direction of the word, so the first may be negative."""
    sign = -1 if percent < 0 else 1
    low, high = sorted(sign * end + 0.0 for end in ends)
    return f"{abs(percent):.1f} % {'worse' if percent < 0 else 'better'} ({low:.1f} to {high:.1f})"


def _fitting(text: str, value: float, width: int) -> str:
    return text if not width or len(text) <= width else f"{value:.3g}"


# ---------------------------------------------------------------------------------------------------------------------
# Words in a report


def better_or_worse(row: Metric, percent: float | None) -> str:
    """``14.2 % worse``; empty if there is no change."""
    if percent is None:
        return ""
    if float(f"{percent:.1f}") == 0:
        return "no change"
    amount = significant(abs(percent), 1)
    unit = f"point{'' if amount == '1' else 's'}" if row.absolute else "%"
    return f"{amount} {unit} {'better' if percent > 0 else 'worse'}"


def signed_interval(row: Metric, ends: tuple[float, float] | None) -> str:
    """``+2.1 to +4.7 %``, the worse end first, minus is worse; empty without an interval."""
    if ends is None:
        return ""
    return f"{signed(ends[0])} to {signed(ends[1])} {'points' if row.absolute else '%'}"
