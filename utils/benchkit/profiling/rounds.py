"""A sampled round as it lies on the disk: samples and requests, brought to one clock.

That clock starts with the round's load. Both programs count from moments of their own, which are known to a span; how
wide that is together stands in the document.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchkit.model import PlannedCase, RawIteration, part_files
from benchkit.model.cpu_profile import IDLE, RecordedProcess, Recording
from benchkit.profiling.categories import classify
from benchkit.profiling.samples import Thread, moved, read_trace
from benchkit.profiling.stalls import Requests
from benchkit.store import load

LATEST_S = 0.3
"""Samples are later than this for no reason that is known."""


@dataclass(frozen=True)
class SampledLoad:
    """What was sampled in a round.

    ``threads`` are on the clock of the round's load where that is known (``requests``), else on the sampler's own.
    ``uncertainty_s``: half of the span in which the two clocks' beginnings lie; ``late_s``: see :func:`lateness_s`.
    """

    recording: Recording
    threads: list[Thread]
    requests: Requests | None = None
    uncertainty_s: float = 0.0
    late_s: float = 0.0


@dataclass(frozen=True)
class _Load:
    """A round's requests; 0 is ``origin_s`` (seconds since the epoch), give or take half of ``slack_s``."""

    requests: Requests
    origin_s: float
    slack_s: float


def recording_name(case: str, number: int | str) -> str:
    """The file name of a round's :class:`Recording`, beside the round's rows."""
    return f"{case}.{number}.samples.json"


def read_iteration(directory: Path, case: str, number: int) -> RawIteration | None:
    """The record of a round that ran to its end; ``None`` for any other.

    Raises:
        UserError: it is damaged.
    """
    document = directory / f"{case}.{number}.json"
    if not document.exists():
        return None
    raw = load(document, RawIteration, "record of an iteration")
    return raw if raw.parts and not raw.interrupted else None


ReadAnswers = Callable[[PlannedCase, Path], tuple[NDArray[np.float64], NDArray[np.float64]]]
"""Reads one file of a case's rows: when each answered request began and ended, in seconds after the process's start."""


def read_round(directory: Path, case: PlannedCase, recording: Recording, read_answers: ReadAnswers) -> SampledLoad:
    """What was sampled in a round.

    Args:
        directory: the case's, below ``raw/``.
        case: as planned.
        recording: says which files hold the samples.
        read_answers: reads the rows of the round's load.

    Raises:
        UserError: a file is missing or damaged.
    """
    traces = [(one, read_trace(directory / one.file)) for one in recording.processes]
    raw = read_iteration(directory, case.name, recording.round)
    if raw is None:
        return SampledLoad(recording, [thread for _, trace in traces for thread in trace])
    one = _read_load(directory, case, raw, read_answers)
    # A stack is first seen, on average, half an interval after it came to be.
    half_s = 0.5 / recording.rate
    threads = [moved(thread, _middle(process) - one.origin_s - half_s) for process, trace in traces for thread in trace]
    uncertainty_s = one.slack_s / 2 + half_s + max((_half_width_s(process) for process, _ in traces), default=0.0)
    late_s = lateness_s(threads, uncertainty_s)
    return SampledLoad(recording, [moved(thread, -late_s) for thread in threads], one.requests, uncertainty_s, late_s)


def _read_load(directory: Path, case: PlannedCase, raw: RawIteration, read_answers: ReadAnswers) -> _Load:
    start = min(part.started for part in raw.parts)
    begins: list[float] = []
    ends: list[float] = []
    slack_s = 0.0
    for part, name in zip(raw.parts, part_files(case, raw.iteration), strict=True):
        began, completed = read_answers(case, directory / name)
        # The process was started, and had ended, within this much more than its requests took.
        slack_s = max(slack_s, part.wall_s - float(completed.max(initial=0.0)))
        shift_s = (part.started - start).total_seconds()
        begins += (began + shift_s).tolist()
        ends += (completed + shift_s).tolist()
    order = np.argsort(begins, kind="stable")
    requests = Requests([begins[number] for number in order], [ends[number] for number in order])
    # Requests count from the load process's own start, which lies somewhere in the slack. The middle of the slack is
    # wrong by half of it at most.
    return _Load(requests, start.timestamp() + slack_s / 2, slack_s)


def lateness_s(threads: Sequence[Thread], uncertainty_s: float) -> float:
    """How late the samples are: the gateway begins to work when the first request comes, at 0.

    py-spy writes down when a sample was processed, which is late where the machine is busy. Nothing is moved where the
    gateway was at work already, or where its first work comes too late to have to do with it.
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
