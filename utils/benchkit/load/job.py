"""What one load process is told to do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from benchkit.errors import UserError
from benchkit.model import HttpRequest, Part, PlannedCase


@dataclass(frozen=True)
class Job:
    """One load process: a part of a case, and how many requests it sends.

    ``run_dir`` is the run's directory, which holds the bodies. ``token`` is empty in what is recorded.
    """

    case: PlannedCase
    part: Part
    requests: int
    run_dir: Path
    token: str = ""

    @property
    def http(self) -> HttpRequest:
        """Its request, which has to be an HTTP request; raises :class:`UserError` for any other."""
        return http_request(self.case, self.part)


def http_request(case: PlannedCase, part: Part) -> HttpRequest:
    """The HTTP request of a part.

    Raises:
        UserError: the part sends something else, which the caller can neither send nor check.
    """
    if not isinstance(part.request, HttpRequest):
        raise UserError(f"{case.id}: sends {part.request.kind} requests; only http requests can be measured so far")
    return part.request


def same_for_each_worker(requests: float, workers: int) -> int:
    """The largest multiple of ``workers`` that is not above ``requests``, at least one request for each worker."""
    return max(1, int(requests) // workers) * workers
