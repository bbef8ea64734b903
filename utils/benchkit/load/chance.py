"""Exact test of a failure rate against its limit, so that a few failures in a small sample prove nothing."""

from __future__ import annotations

from scipy import special

LEVEL = 0.01
"""Significance level: the probability of rejecting a failure rate that is exactly at the limit."""


def is_above(failures: int, total: int, percent: float) -> bool:
    """Return whether ``failures`` of ``total`` prove a failure rate above ``percent``.

    One-sided exact binomial test: with a true rate of ``percent``, this many failures or more occur with a
    probability below :data:`LEVEL`. At 1 %, these are significant: 3 of 30, 5 of 100, 9 of 300.
    """
    if failures <= 0:
        return False
    return percent <= 0 or float(special.bdtrc(failures - 1, total, min(percent / 100, 1.0))) < LEVEL


def least_percent(failures: int, total: int) -> float:
    """Return the lower confidence bound of the failure rate in percent (Clopper and Pearson, 1934)."""
    return 100 * float(special.betaincinv(failures, total - failures + 1, LEVEL)) if failures > 0 else 0.0
