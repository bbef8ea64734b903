"""Annotations of GitHub Actions: workflow commands on stdout, one per line, worst case first.

The format is that of GitHub's runner (``actions/runner``, ``ActionCommand.TryParseV2``) and of its toolkit
(``@actions/core``): ``::error title=TITLE::MESSAGE``. Within a message ``%``, CR and LF are escaped, within a property
``:`` and ``,`` too. GitHub shows 10 annotations of each kind for a step and silently drops the rest, so the last
one says how many more there are.
"""

from __future__ import annotations

from collections.abc import Sequence

from benchkit.plain import plain_text
from benchkit.verdict.ci.results import RunResult

SHOWN_PER_KIND = 10
"""The number of annotations of one kind that GitHub shows for one step."""

_LONGEST = 2000
"""Maximum characters of a message. GitHub accepts 64 KiB, but that is too long to read in a box of the run's page."""


def annotation_lines(result: RunResult) -> list[str]:
    """Return the lines to print: errors, warnings, notices; at most 10 of each, worst first.

    Errors make the run fail; warnings are cases that may have got worse; notices are the run's verdict, improvements
    and cases without a reference.
    """
    found: dict[str, list[tuple[str, str]]] = {"error": [], "warning": [], "notice": []}
    if result.problem:
        found["error"].append((result.headline, result.problem))
    found["notice"].append((result.headline, f"{result.reason} ({result.against})"))
    for case in result.worst_first:
        if case.annotation:
            found[case.annotation].append((f"{case.verdict}: {case.id}", case.summary))
    return [line for kind, annotations in found.items() for line in _lines(kind, annotations)]


def _lines(kind: str, found: Sequence[tuple[str, str]]) -> list[str]:
    """Return one line per title and message; if there are too many, the last says how many are not shown."""
    if len(found) > SHOWN_PER_KIND:
        shown = SHOWN_PER_KIND - 1
        rest = f"{len(found) - shown} more of {len(found)} are in the step summary and in ci_summary.json"
        found = [*found[:shown], ("and more", rest)]
    return [f"::{kind} title={_property(title)}::{_data(message)}" for title, message in found]


def _data(text: str) -> str:
    """Return a message as one line, so that nothing in it can start another command."""
    return plain_text(text, _LONGEST).replace("%", "%25")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
