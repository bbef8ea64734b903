"""Builders of results directories with a run over several profiles, equal at every call."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from benchkit import store
from benchkit.model import AllRuns, Case, Load, ProfileRun, ProfileState, Run, Verdict
from builders.documents import STARTED, case, comparison, difference_case, environment, failed_case, run

ALL_ID = "all_2026-03-02-093000"

LOADS = {"light": (100, 10), "medium": (1000, 50), "heavy": (5000, 200)}
"""Maps a profile to its requests and concurrency."""

MEDIANS = {
    "tools/list_limit_50": 80.0,
    "tools/call_get_system_time": 110.0,
    "tools/call_convert_time": 130.0,
    "gateway-core/health": 12.0,
    "gateway-core/call_direct": 9.0,
    "gateway-core/call_rpc": 61.0,
}
"""Maps a case to its p50 under the light profile, in ms."""


def load_of(profile: str) -> Load:
    """Return the load of one of the toolkit's profiles."""
    requests, concurrency = LOADS.get(profile, LOADS["light"])
    return environment(profile=profile, requests=requests, concurrency=concurrency).load


def cases_of(profile: str, failed: Sequence[str] = ()) -> list[Case]:
    """Return a profile's cases, slower with higher concurrency; those in ``failed`` are invalid."""
    slower = {"light": 1.0, "medium": 4.2, "heavy": 17.0}[profile]
    made = [
        failed_case(name, "12 of 300 requests failed: http 503", errors={"http 503": 12})
        if name in failed
        else case(name, seed=seed, median_ms=median * slower)
        for seed, (name, median) in enumerate(MEDIANS.items(), start=1)
    ]
    return [*made, difference_case("gateway-core/overhead_rpc", 52.4 * slower, 71.9 * slower, 96.0, 0.147)]


def run_of_profile(profile: str, failed: Sequence[str] = (), **changes: Any) -> Run:
    """Return a complete run of a profile."""
    values: dict[str, Any] = {
        "run_id": f"{profile}_2026-03-02-093000",
        "profile": profile,
        "environment": environment(
            profile=profile, requests=LOADS[profile][0], concurrency=LOADS[profile][1], warmup_requests=20
        ),
    }
    return run(cases_of(profile, failed), **(values | changes))


def write_profile(results: Path, document: Run, moved: dict[str, float] | None = None, *, report: bool = True) -> None:
    """Write a run with its comparison (``moved``: case to its change in percent) and a report."""
    directory = results / document.run_id
    directory.mkdir(parents=True)
    store.save(directory / "run.json", document)
    if moved is not None:
        worst = min(moved.values(), default=0.0)
        verdict = Verdict.CRITICAL if worst <= -25 else Verdict.REGRESSION if worst <= -10 else Verdict.UNCHANGED
        words = {"verdict": verdict, "reason": f"the worst is {verdict}", "exit_code": int(worst <= -10)}
        store.save(directory / "comparison.json", comparison(document, moved, **words))
    if report:
        (directory / "report.html").write_text("<!doctype html><title>a report</title>", encoding="utf-8")


def entry(profile: str, exit_code: int | None = 0, **changes: Any) -> ProfileRun:
    """Return a profile that is done; without an exit code, one that is not measured yet."""
    values: dict[str, Any] = {
        "profile": profile,
        "load": load_of(profile),
        "scenarios": ["tools", "gateway-core"],
        "base_url": "http://127.0.0.1:4444",
    }
    if exit_code is not None:
        values |= {
            "state": ProfileState.DONE,
            "run": f"{profile}_2026-03-02-093000",
            "exit_code": exit_code,
            "reason": "passed",
            "started": STARTED,
            "finished": STARTED + timedelta(minutes=4, seconds=10),
        }
    return ProfileRun(**(values | changes))


def document_of(*profiles: ProfileRun, **changes: Any) -> AllRuns:
    """Return the document of the whole run."""
    values: dict[str, Any] = {
        "run_id": ALL_ID,
        "started": STARTED,
        "options": {"--scenarios": "all"},
        "profiles": list(profiles),
    }
    return AllRuns(**(values | changes))


def write_all(results: Path) -> Path:
    """Write three profiles: one passed, one with a critical regression and an invalid case, one without a run."""
    write_profile(results, run_of_profile("light"), {})
    moved = {"gateway-core/call_rpc": -31.5, "gateway-core/health": -12.25}
    write_profile(results, run_of_profile("medium", ["tools/call_convert_time"]), moved)
    document = document_of(
        entry("light"),
        entry("medium", 1, reason="regression"),
        entry("heavy", 2, run="", reason="nothing was measured: the reason was printed when it happened"),
        finished=STARTED + timedelta(hours=2),
        exit_code=1,
        reason="regression in medium; without a result: heavy; passed: light",
    )
    directory = results / ALL_ID
    directory.mkdir()
    store.save(directory / "all.json", document)
    return directory
