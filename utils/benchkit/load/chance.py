"""When do failures in a sample prove that too many fail? An exact test, so that few failures are judged as few."""

from __future__ import annotations

from scipy import special

LEVEL = 0.01
"""Probability of calling a failure rate too high that is just at the limit."""


def is_above(failures: int, total: int, percent: float) -> bool:
    """Whether ``failures`` of ``total`` prove a failure rate above ``percent``.

    One-sided exact binomial test: at a true rate of ``percent``, that many failures or more would come up with a
    probability below :data:`LEVEL`. With 1 %: 3 of 30, 5 of 100, 9 of 300.
    """
    if failures <= 0:
        return False
    return percent <= 0 or float(special.bdtrc(failures - 1, total, min(percent / 100, 1.0))) < LEVEL


def least_percent(failures: int, total: int) -> float:
    """The lowest failure rate in percent that fits the sample (lower bound of Clopper and Pearson, 1934)."""
    return 100 * float(special.betaincinv(failures, total - failures + 1, LEVEL)) if failures > 0 else 0.0
