"""Fixtures that several files of tests use by their name."""

from browser import browser

__all__ = ["browser"]
