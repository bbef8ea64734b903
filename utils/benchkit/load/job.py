"""The task of one load process."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from benchkit.errors import UserError
from benchkit.model import HttpRequest, Part, PlannedCase


@dataclass(frozen=True)
class Job:
    """One load process: a part of a case, and the number of requests to send.

    ``run_dir`` is the run's directory, which holds the request bodies. ``token`` is empty in recorded commands.
    """

    case: PlannedCase
    part: Part
    requests: int
    run_dir: Path
    token: str = ""

    @property
    def http(self) -> HttpRequest:
        """The HTTP request of the part; raises :class:`UserError` if it is not an HTTP request."""
        return http_request(self.case, self.part)


def http_request(case: PlannedCase, part: Part) -> HttpRequest:
    """Return the HTTP request of a part.

    Raises:
        UserError: the part sends another kind of request, which the caller can neither send nor check.
    """
    if not isinstance(part.request, HttpRequest):
        raise UserError(f"{case.id}: sends {part.request.kind} requests; only http requests can be measured so far")
    return part.request


def same_for_each_worker(requests: float, workers: int) -> int:
    """Return the largest multiple of ``workers`` up to ``requests``, but at least one request per worker."""
    return max(1, int(requests) // workers) * workers
