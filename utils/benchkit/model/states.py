"""What a state looks like wherever it is shown: its colour, and what CI systems make of it."""

from __future__ import annotations

from enum import StrEnum


class Tone(StrEnum):
    """The colour of a state; its word always stands beside it."""

    GOOD = "good"
    BAD = "bad"
    WARN = "warn"
    PLAIN = "plain"

    @property
    def style(self) -> str:
        """The same as a style of rich, for a terminal; empty for plain text."""
        return {"good": "green", "bad": "red", "warn": "yellow"}.get(self.value, "")


class CiOutcome(StrEnum):
    """The four outcomes of a test that CI systems know."""

    FAILED = "failed"
    ERROR = "error"
    SKIPPED = "skipped"
    PASSED = "passed"
