"""Numbers as a reader sees them. Units stand in the headings, so a cell holds the number alone."""

from __future__ import annotations

import math
from dataclasses import dataclass

from benchkit.model import METRICS

ABSENT = "\N{EN DASH}"
MINUS = "\N{MINUS SIGN}"
TIMES = "\N{MULTIPLICATION SIGN}"
NO_BREAK = "\N{NO-BREAK SPACE}"
THIN = "\N{NARROW NO-BREAK SPACE}"
"""Between groups of three digits."""


LATENCIES = frozenset(name for name, row in METRICS.items() if row.unit == "ms" and not name.startswith("added_"))
"""What took time; the ``added_`` ones are differences, which can be zero or negative."""


@dataclass(frozen=True)
class Cell:
    """One figure. ``title`` says why it is absent, or why it is advisory; ``value`` is what a column is sorted by."""

    text: str
    title: str = ""
    absent: bool = False
    advisory: bool = False
    value: float | None = None


def absent(why: str) -> Cell:
    """A figure that was not measured: a dash, never a zero."""
    return Cell(ABSENT, title=why, absent=True)


def count(value: int) -> str:
    """A whole number, grouped from five digits on: ``9999``, ``10 000``."""
    digits = f"{abs(value):,}".replace(",", THIN) if abs(value) >= 10_000 else str(abs(value))
    return f"{MINUS}{digits}" if value < 0 else digits


def significant(value: float, decimals: int) -> str:
    """A number with three significant digits, at most ``decimals`` decimals, and all digits before the point."""
    magnitude = abs(value)
    places = max(0, min(decimals, 2 - math.floor(math.log10(magnitude)))) if magnitude else decimals
    text = f"{magnitude:.{places}f}"
    if places == 0:
        text = count(round(magnitude))
    return f"{MINUS}{text}" if value < 0 and float(f"{magnitude:.{places}f}") else text


def signed(value: float) -> str:
    """The same with its sign, and at most one decimal: ``+4.7``; zero has none."""
    text = significant(value, 1)
    return f"+{text}" if value > 0 and float(f"{value:.1f}") else text


def metric(name: str, value: float) -> str:
    """A value of the metric table, with no more decimals than the table gives it.

    No latency is shown as zero: what took less than the last decimal tells is ``< 0.1``.
    """
    if METRICS[name].unit == "share":
        return percent_of(value)
    decimals = METRICS[name].decimals
    if name in LATENCIES and value < 0.5 * 10.0**-decimals:
        return f"< {10.0**-decimals:g}"
    return significant(value, decimals)


def heading(name: str) -> str:
    """A metric's name and unit, for the head of a column or a row."""
    row = METRICS[name]
    return {"1/s": row.label, "share": f"{row.label} %"}.get(row.unit, f"{row.label} {row.unit}")


def percent_of(share: float) -> str:
    """A share (0-1) in percent, three significant digits; what is not zero is not shown as zero."""
    return "< 0.01" if 0 < share < 0.00005 else significant(share * 100, 2)


def success(ok: int, sent: int) -> str:
    """Successes in percent of what was sent, cut and not rounded: one failure in a million is not 100 %."""
    hundredths = ok * 10_000 // sent
    if hundredths == 0 and ok:
        return "< 0.01"
    return f"{hundredths / 100:.2f}".rstrip("0").rstrip(".")
