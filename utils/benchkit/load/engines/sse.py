"""The engine ``sse``: the time to the first server-sent event. Its program is part of the toolkit.

The engine ``hey`` cannot measure this, because it waits for the end of an answer.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchkit import __version__
from benchkit.load.job import Job, same_for_each_worker
from benchkit.model import AnswerForm, HttpRequest, Request
from benchkit.settings import ROOT, Settings

if TYPE_CHECKING:
    from benchkit.load.rows import Rows


class Sse:
    """``utils/sse_load.py``; see :class:`benchkit.load.engines.Engine`."""

    name = "sse"
    resolution_ms = 0.1
    closed_loop = True
    cores: int | None = 1
    """A single Python process."""
    answer: AnswerForm = "event"
    headers: Mapping[str, str] = {}
    script: Path | None = ROOT / "utils" / "sse_load.py"

    def problem_with(self, request: Request) -> str:
        """Accept only GET requests without a body."""
        if isinstance(request, HttpRequest) and request.method == "GET" and request.body is None:
            return ""
        return "it sends only http requests with GET and without a body"

    def requests(self, requests: float, workers: int) -> int:
        """Return the number of requests: each worker sends the same number, and the rest is dropped."""
        return same_for_each_worker(requests, workers)

    # pylint: disable-next=unused-argument  # other engines need the settings
    def program(self, settings: Settings) -> list[str]:  # noqa: ARG002
        """Return the interpreter and the script, which reads its arguments from standard input to hide the token."""
        return [sys.executable, "-Es", str(self.script), "--stdin"]

    # pylint: disable-next=unused-argument  # it is part of the toolkit
    def version(self, program: Sequence[str]) -> str:  # noqa: ARG002
        """Return the toolkit's version."""
        return __version__

    def arguments(self, job: Job) -> list[str]:
        """Return requests, workers, timeout, expected type of the first event, headers, address."""
        words = ["-n", str(job.requests), "-c", str(job.part.concurrency), "-t", str(job.case.timeout_s)]
        for text in job.case.expect.contains[:1]:
            words += ["--expect", text]
        for name, value in job.http.headers_with(job.token).items():
            words += ["-H", f"{name}: {value}"]
        return [*words, job.http.url]

    def rows(self, path: Path) -> Rows:
        """Read the rows, which have hey's columns."""
        from benchkit.load.engines.hey_output import read_rows  # pylint: disable=import-outside-toplevel  # numpy

        return read_rows(path)
