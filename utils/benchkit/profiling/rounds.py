"""Read a sampled round from disk: samples and requests on a common clock.

That clock starts with the round's load. The clocks of both programs start at times known only within an interval; the
document contains the total uncertainty.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchkit.load.engines import engine_named
from benchkit.model import PlannedCase, RawIteration, part_files
from benchkit.profiling.categories import classify
from benchkit.profiling.document import IDLE, RecordedProcess, Recording
from benchkit.profiling.samples import Thread, moved, read_trace
from benchkit.profiling.stalls import Requests
from benchkit.store import load

LATEST_S = 0.3
"""Maximum known delay of samples in seconds; a later start of the work has another reason."""


@dataclass(frozen=True)
class SampledLoad:
    """The samples of a round.

    ``threads`` are on the clock of the round's load if that is known (``requests``), else on the sampler's own.
    ``uncertainty_s``: half of the interval that contains the start of both clocks; ``late_s``: see :func:`lateness_s`.
    """

    recording: Recording
    threads: list[Thread]
    requests: Requests | None = None
    uncertainty_s: float = 0.0
    late_s: float = 0.0


@dataclass(frozen=True)
class _Load:
    """A round's requests; time 0 is ``origin_s`` (seconds since the epoch), plus or minus half of ``slack_s``."""

    requests: Requests
    origin_s: float
    slack_s: float


def recording_name(case: str, number: int | str) -> str:
    """Return the file name of a round's :class:`Recording`, next to the round's rows."""
    return f"{case}.{number}.samples.json"


def read_iteration(directory: Path, case: str, number: int) -> RawIteration | None:
    """Return the record of a complete round; ``None`` for any other.

    Raises:
        UserError: it is damaged.
    """
    document = directory / f"{case}.{number}.json"
    if not document.exists():
        return None
    raw = load(document, RawIteration, "record of an iteration")
    return raw if raw.parts and not raw.interrupted else None


def read_round(directory: Path, case: PlannedCase, recording: Recording) -> SampledLoad:
    """Return the samples of a round.

    Args:
        directory: the case's directory below ``raw/``.
        case: the case as planned.
        recording: names the files with the samples.

    Raises:
        UserError: a file is missing or damaged.
    """
    traces = [(one, read_trace(directory / one.file)) for one in recording.processes]
    raw = read_iteration(directory, case.name, recording.round)
    if raw is None:
        return SampledLoad(recording, [thread for _, trace in traces for thread in trace])
    one = _read_load(directory, case, raw)
    # On average, a stack is first seen half an interval after it appeared.
    half_s = 0.5 / recording.rate
    threads = [moved(thread, _middle(process) - one.origin_s - half_s) for process, trace in traces for thread in trace]
    uncertainty_s = one.slack_s / 2 + half_s + max((_half_width_s(process) for process, _ in traces), default=0.0)
    late_s = lateness_s(threads, uncertainty_s)
    return SampledLoad(recording, [moved(thread, -late_s) for thread in threads], one.requests, uncertainty_s, late_s)


def _read_load(directory: Path, case: PlannedCase, raw: RawIteration) -> _Load:
    start = min(part.started for part in raw.parts)
    begins: list[float] = []
    ends: list[float] = []
    slack_s = 0.0
    for part, name in zip(raw.parts, part_files(case, raw.iteration), strict=True):
        rows = engine_named(case.engine).rows(directory / name)
        completed = rows.offset_s + rows.latency_ms / 1000
        # The process's lifetime exceeds the time of its requests by this much, before and after them.
        slack_s = max(slack_s, part.wall_s - float(completed.max(initial=0.0)))
        shift_s = (part.started - start).total_seconds()
        begins += (rows.offset_s + shift_s).tolist()
        ends += (completed + shift_s).tolist()
    order = np.argsort(begins, kind="stable")
    requests = Requests([begins[number] for number in order], [ends[number] for number in order])
    # Request times count from the load process's own start, which is somewhere in the slack. Its middle is wrong by at
    # most half of it.
    return _Load(requests, start.timestamp() + slack_s / 2, slack_s)


def lateness_s(threads: Sequence[Thread], uncertainty_s: float) -> float:
    """Return how late the samples are: the gateway starts to work when the first request arrives, at 0.

    py-spy records when a sample was processed, which is late on a busy machine. The result is 0 if the gateway was
    already working, or if its first work is too late to be explained by that.
    """
    first = min(
        (
            piece.start_s
            for thread in threads
            for piece in thread.slices
            if piece.end_s > -uncertainty_s and classify(piece.stack) not in IDLE
        ),
        default=0.0,
    )
    return first if 0.0 < first <= LATEST_S else 0.0


def _middle(process: RecordedProcess) -> float:
    return (process.earliest.timestamp() + process.latest.timestamp()) / 2


def _half_width_s(process: RecordedProcess) -> float:
    return (process.latest - process.earliest).total_seconds() / 2
