"""A run over several profiles: its state, its remaining work, its expected duration and its result.

The state is a document, :class:`~benchkit.model.AllRuns`, saved after each step. The functions here return the next
document and never modify the previous one. run-all.sh starts the runs.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from benchkit import store
from benchkit.clock import duration, seconds_between
from benchkit.ended import ended as how_it_ended
from benchkit.errors import ExitCode, UserError, severity, worst_code
from benchkit.load.plan import load_of
from benchkit.model import (
    AllRuns,
    Comparison,
    ProfileRun,
    ProfileState,
    Run,
    RunStatus,
)
from benchkit.report.profile_sweep_page import ProfileDocuments
from benchkit.run.owner import is_abandoned
from benchkit.settings import Settings
from benchkit.text_table import text_table
from benchkit.verdict.stored_runs import StoredRun, sent_by

DOCUMENT = "all.json"
WHAT = "run over all profiles"

RUNNING = "running"
"""File with the directory of the current profile's run; that run writes it."""

START_S = 30.0
"""Seconds for starting and stopping the stack, probing, and writing the report, which stored runs do not record."""

ROUGH_RATES = (20.0, 100.0)
"""Observed throughput of one-worker gateways over all cases (low, high), requests per second. Used without a run."""

OTHER_PROFILE = (0.7, 1.5)
"""Factors for the error of a time scaled from another profile, which has another concurrency."""

RUNS = 5
"""How many of a profile's newest runs an estimate uses."""


# ---------------------------------------------------------------------------------------------------------------------
# The document


def planned(profiles: Sequence[Settings]) -> list[ProfileRun]:
    """Return the requested profiles, each with its measurement still to do.

    Raises:
        UserError: a profile is named twice.
    """
    names = [settings.profile for settings in profiles]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"--profiles {','.join(names)}: {name} is listed twice")
    return [
        ProfileRun(
            profile=settings.profile,
            load=load_of(settings),
            scenarios=settings.scenarios,
            base_url=settings.config.service.base_url,
        )
        for settings in profiles
    ]


def resumed(document: AllRuns, directory: Path, given: Mapping[str, str], wanted: Sequence[ProfileRun]) -> AllRuns:
    """Return the document of a resumed run. A profile that was interrupted is measured again as a whole.

    Args:
        document: as it was left.
        directory: of the run, for messages.
        given: options on the resuming command line, ``--profiles`` among them; none means the same as before.
        wanted: the profiles with the current settings.

    Raises:
        UserError: every profile is done, or the options or settings differ from those the run began with.
    """
    if document.is_complete:
        raise UserError(f"{directory}: nothing to resume: all of its profiles were measured")
    before = {"--profiles": ",".join(one.profile for one in document.profiles), **document.options}
    for flag, value in given.items():
        if before.get(flag) != value:
            was = f"{flag} {before[flag]}" if flag in before else f"no {flag}"
            raise UserError(f"{flag} {value}: {directory.name} was begun with {was}; go on without it, or begin anew")
    for one, now in zip(document.profiles, wanted, strict=True):
        if one.state is not ProfileState.DONE and (difference := _difference(one, now)):
            raise UserError(
                f"profile {now.profile}: {difference} since {directory.name} was begun; set it back, or begin anew"
            )
    return document.model_copy(
        update={
            "profiles": [_reset(one) for one in document.profiles],
            "finished": None,
            "exit_code": None,
            "reason": "",
        }
    )


def next_profile(document: AllRuns) -> ProfileRun | None:
    """Return the first profile that is not done; ``None`` if all are."""
    return next((one for one in document.profiles if one.state is not ProfileState.DONE), None)


def begun(document: AllRuns, profile: str, at: datetime) -> AllRuns:
    """Mark a profile's run as started."""
    return _changed(document, profile, state=ProfileState.RUNNING, started=at, finished=None, exit_code=None, reason="")


def ended(document: AllRuns, profile: str, at: datetime, exit_code: int, run_dir: Path | None) -> AllRuns:
    """Mark a profile's run as ended with an exit code; ``run_dir`` is ``None`` if the run created no directory."""
    reason = _reason(run_dir, exit_code)
    name = run_dir.name if run_dir and run_dir.is_dir() else ""
    cut = exit_code in (ExitCode.INTERRUPTED, ExitCode.TERMINATED)
    state = ProfileState.INTERRUPTED if cut else ProfileState.DONE
    return _changed(document, profile, state=state, finished=at, exit_code=exit_code, reason=reason, run=name)


def finished(document: AllRuns, at: datetime, exit_code: int | None = None) -> AllRuns:
    """Mark the whole run as ended; ``exit_code`` is set if it was interrupted."""
    code = worst_code(one.exit_code or 0 for one in document.profiles) if exit_code is None else exit_code
    return document.model_copy(
        update={"finished": at, "exit_code": int(code), "reason": summary_sentence(document, exit_code)}
    )


def running(directory: Path) -> Path | None:
    """Return the directory of the current profile's run; ``None`` if there is none yet."""
    try:
        text = (directory / RUNNING).read_text(encoding="utf-8").strip()
    except OSError:
        return None
    return Path(text) if text else None


def with_running(document: AllRuns, directory: Path) -> AllRuns:
    """Fill in the run of the profile that was running when the whole run was killed; a file names its directory."""
    for one in document.profiles:
        if one.state is ProfileState.RUNNING:
            document = ended(document, one.profile, datetime.now(UTC), ExitCode.TERMINATED, running(directory))
    return document


def stop_sweep(directory: Path, code: int) -> AllRuns:
    """Write the final document of a run over several profiles that ended early with this exit code.

    Raises:
        UserError: its document cannot be read or written.
    """
    document = with_running(store.load(directory / DOCUMENT, AllRuns, WHAT), directory)
    document = finished(document, datetime.now(UTC), code)
    store.save(directory / DOCUMENT, document)
    (directory / RUNNING).unlink(missing_ok=True)
    return document


def end_killed_groups(results: Path, say: Callable[[str], None]) -> None:
    """Write the final document of every run over several profiles whose shell was killed; ``--resume`` can go on."""
    for path in sorted(results.glob(f"all_*/{DOCUMENT}")):
        directory = path.parent
        if not is_abandoned(directory):
            continue
        with contextlib.suppress(UserError):  # the list of runs reports damaged documents
            document = store.load(path, AllRuns, WHAT)
            if document.finished is not None:
                continue
            stop_sweep(directory, ExitCode.TERMINATED)
            say(f"{directory.name} was killed: marked as interrupted; ./run-all.sh --resume goes on")


def summary_sentence(document: AllRuns, stopped: int | None = None) -> str:
    """``regression in medium; heavy could not be measured; passed: light``; ``stopped``: an interrupt's exit code."""
    by_code: dict[int | None, list[str]] = {}
    for one in sorted(document.profiles, key=_badness):
        known = one.exit_code in set(ExitCode) or one.exit_code is None
        by_code.setdefault(one.exit_code if known else ExitCode.USAGE, []).append(one.profile)
    words = [_ENDS[code].format(", ".join(names)) for code, names in by_code.items()]
    if stopped is not None and not any(one.state is ProfileState.INTERRUPTED for one in document.profiles):
        words.insert(0, "interrupted")
    return "; ".join(words)


_ENDS: dict[int | None, str] = {
    ExitCode.INTERRUPTED: "interrupted in {}",
    ExitCode.TERMINATED: "interrupted in {}",
    ExitCode.REGRESSION: "regression in {}",
    ExitCode.USAGE: "without a result: {}",
    ExitCode.INVALID: "invalid or missing cases in {}",
    ExitCode.INCONCLUSIVE: "undecided: {}",
    ExitCode.OK: "passed: {}",
    None: "not measured: {}",
}


def documents_of(results: Path, entry: ProfileRun) -> ProfileDocuments:
    """Load the documents of a profile's run; report unreadable ones in words and leave them out."""
    directory = results / entry.run
    if not entry.run or not (directory / "run.json").exists():
        return ProfileDocuments(entry)
    report = f"../{quote(entry.run)}/report.html" if (directory / "report.html").exists() else ""
    run = None
    try:
        run = store.load(directory / "run.json", Run, "run")
        path = directory / "comparison.json"
        comparison = store.load(path, Comparison, "comparison") if path.exists() else None
    except UserError as error:
        return ProfileDocuments(entry, run, report=report, problem=error.within(results))
    return ProfileDocuments(entry, run, comparison, report)


def summary_lines(document: AllRuns, profiles: Sequence[ProfileDocuments]) -> list[str]:
    """Return the summary for one screen: the sentence, then a line per profile, the worst first."""
    rows: list[tuple[str, ...]] = [("profile", "verdict", "valid", "worse", "requests", "took", "exit", "run")]
    rows += [_summary_row(one) for one in sorted(profiles, key=lambda one: _badness(one.entry))]
    return [f"{document.run_id}: {document.reason}", *text_table(rows, right=range(2, 7))]


def _summary_row(one: ProfileDocuments) -> tuple[str, ...]:
    """Return the cells of a profile's line. Only gating cases count; ``worse`` counts the regressions."""
    entry, run = one.entry, one.run
    took = duration(seconds_between(entry.started, entry.finished)) if entry.started and entry.finished else "-"
    end = (took, "-" if entry.exit_code is None else str(entry.exit_code), entry.run or "-")
    if run is None or one.ended is None:
        return (entry.profile, "Not measured", "-", "-", "-", *end)
    worse = "-" if one.comparison is None else one.comparison.worse_cases
    valid = f"{one.ended.valid}/{one.ended.measured}"
    return (entry.profile, one.ended.word, valid, worse, str(sent_by(run)), *end)


def _badness(entry: ProfileRun) -> int:
    """Return the sort key that puts the worst result first and profiles without a result last."""
    return severity(ExitCode.OK) + 1 if entry.exit_code is None else severity(entry.exit_code)


def _changed(document: AllRuns, profile: str, **values: object) -> AllRuns:
    profiles = [one.model_copy(update=values) if one.profile == profile else one for one in document.profiles]
    return document.model_copy(update={"profiles": profiles})


def _reset(one: ProfileRun) -> ProfileRun:
    """Return a profile that is not done reset to its start; it remembers the directory of the interrupted attempt."""
    if one.state is ProfileState.DONE:
        return one
    earlier = [*one.earlier, *([one.run] if one.run else [])]
    return ProfileRun(
        profile=one.profile, load=one.load, scenarios=one.scenarios, base_url=one.base_url, earlier=earlier
    )


def _difference(before: ProfileRun, now: ProfileRun) -> str:
    """Describe what changed in a profile since the run began; empty if nothing did."""
    pairs: list[tuple[str, object, object]] = [
        ("scenarios", before.scenarios, now.scenarios),
        ("the gateway's address", before.base_url, now.base_url),
    ]
    pairs += [(name, old, getattr(now.load, name)) for name, old in before.load]
    return "; ".join(f"{name} changed from {_plain(old)} to {_plain(new)}" for name, old, new in pairs if old != new)


def _plain(value: object) -> str:
    return ",".join(value) if isinstance(value, list) else str(value)


def _reason(run_dir: Path | None, exit_code: int) -> str:
    """Return why the run ended as it did, in the run's own words."""
    if run_dir is None or not (run_dir / "run.json").exists():
        if exit_code in (ExitCode.INTERRUPTED, ExitCode.TERMINATED):
            return "interrupted before anything was measured"
        return "nothing was measured: the reason was printed when it happened"
    try:
        run = store.load(run_dir / "run.json", Run, "run")
        path = run_dir / "comparison.json"
        end = how_it_ended(run, store.load(path, Comparison, "comparison") if path.exists() else None)
    except UserError as error:
        return error.within(run_dir.parent)
    if end.exit_code != exit_code:
        return "measured; what came after it failed, and the reason was printed when it happened"
    return end.reason


# ---------------------------------------------------------------------------------------------------------------------
# How long it will take


@dataclass(frozen=True)
class Expected:
    """The lower and upper bound of a run's duration in seconds, and the source of the estimate, in words."""

    low_s: float
    high_s: float
    source: str

    def __str__(self) -> str:
        return span(self.low_s, self.high_s)


def expected(settings: Settings, runs: Sequence[StoredRun]) -> Expected:
    """Estimate how long a profile's run will take.

    Uses the profile's own stored runs, preferably those with the same load and scenarios; else the newest run of any
    profile; else a rough rate. Load time is scaled by the number of requests, the rest is taken unscaled.

    Args:
        settings: of the profile.
        runs: all stored runs, the oldest first.
    """
    requests = planned_requests(settings)
    usable = [run for run in runs if _tells_time(run)]
    own = [run for run in usable if run.profile == settings.profile]
    same = [run for run in own if run.load == load_of(settings) and run.scenarios == settings.scenarios]
    newest = (same or own)[-RUNS:]
    if newest:
        # The work is the same, so what was skipped then is skipped again.
        times = [_time_of(run, run.sent if same else requests) for run in newest]
        whose = "its run" if len(newest) == 1 else f"its last {len(newest)} runs, the newest"
        return Expected(min(times), max(times), f"from {whose} of {_day(newest[-1])}{'' if same else _SCALED}")
    if usable:
        time = _time_of(usable[-1], requests)
        source = f"from the {usable[-1].profile} run of {_day(usable[-1])}{_SCALED}"
        return Expected(OTHER_PROFILE[0] * time, OTHER_PROFILE[1] * time, source)
    slow, fast = ROUGH_RATES
    source = f"rough: no run is stored yet; {slow:g} to {fast:g} requests a second"
    return Expected(START_S + requests / fast, START_S + requests / slow, source)


_SCALED = ", scaled by requests"


def planned_requests(settings: Settings) -> int:
    """Return how many requests a run will send if the target supports everything that the scenarios ask for."""
    load = settings.config.performance
    total = 0.0
    for name in settings.scenarios:
        scenario = settings.config.scenarios[name]
        weights = sum(case.weight for case in scenario.cases.values())
        for case in scenario.cases.values():
            share = case.weight / weights if scenario.concurrent else 1.0
            total += load.iterations * load.default_requests * case.share_of_requests * share
    return round(total)


def span(low_s: float, high_s: float) -> str:
    """Format a range of seconds with the precision of a guess: ``about 6 min``, ``40-60 min``, ``2-5 h``.

    The lower end is rounded down, the upper one up. Less than a minute becomes ``about 1 min``.
    """
    if high_s <= 1.25 * low_s or high_s <= 60:
        return f"about {_moment(high_s, math.ceil)}"
    low, high = _moment(low_s, math.floor), _moment(high_s, math.ceil)
    if low.split()[1] == high.split()[1]:
        return high if low == high else f"{low.split()[0]}-{high}"
    return f"{low} to {high}"


def _moment(seconds: float, rounded: Callable[[float], int]) -> str:
    """``6 min``, ``1.5 h``, ``12 h``: whole minutes up to 100, half hours up to 10 hours, then whole hours."""
    minutes = max(1, rounded(seconds / 60))
    if minutes < 100:
        return f"{minutes} min"
    hours = rounded(seconds / 1800) / 2 if seconds < 36_000 else rounded(seconds / 3600)
    return f"{hours:g} h"


def _tells_time(run: StoredRun) -> bool:
    """Return whether a run's duration can be used for an estimate: it finished, and most of its work was done."""
    whole = run.status is RunStatus.COMPLETE and not run.paired
    return whole and run.sent > 0 and run.load_seconds > 0 and 2 * run.ended.valid > run.ended.measured


def _time_of(run: StoredRun, requests: int) -> float:
    around = max(0.0, seconds_between(run.started, run.finished) - run.load_seconds)
    return START_S + around + run.load_seconds * requests / run.sent


def _day(run: StoredRun) -> str:
    return f"{run.finished.astimezone():%Y-%m-%d}"
