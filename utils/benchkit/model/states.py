"""How states are shown everywhere: their colour and their CI outcome."""

from __future__ import annotations

from enum import StrEnum


class Tone(StrEnum):
    """The colour of a state. Its name is always shown with it."""

    GOOD = "good"
    BAD = "bad"
    WARN = "warn"
    PLAIN = "plain"

    @property
    def style(self) -> str:
        """The colour as a style of rich, for a terminal; empty for plain text."""
        return {"good": "green", "bad": "red", "warn": "yellow"}.get(self.value, "")


class CiOutcome(StrEnum):
    """The four outcomes of a test in CI systems."""

    FAILED = "failed"
    ERROR = "error"
    SKIPPED = "skipped"
    PASSED = "passed"
