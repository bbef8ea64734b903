"""A run over several load profiles, step by step; each profile is a run of its own."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchkit import store
from benchkit.errors import ExitCode, UserError, os_reason
from benchkit.lock import take_machine
from benchkit.model import AllRuns, ProfileState
from benchkit.run.owner import write_owner
from benchkit.run.profile_sweep import (
    DOCUMENT,
    RUNNING,
    WHAT,
    begun,
    ended,
    expected,
    finished,
    next_profile,
    planned,
    resumed,
    running,
    span,
    with_running,
)
from benchkit.run.session import Shell, say, wants_report
from benchkit.run.steps import End, NestedRun, Program, Steps, code_of
from benchkit.settings import Settings, given_flags, load_settings
from benchkit.verdict.stored_runs import read_history


class ProfileSweep:
    """Measures every profile that is not done, writes the state after each, and a report over all."""

    def __init__(self, options: argparse.Namespace, shell: Shell) -> None:
        self._options = options
        self._shell = shell
        self._dir = Path()
        self._document: AllRuns | None = None
        self._has_report = True

    def open(self) -> Settings:
        """Check the settings of each profile, say how long it will take, and write down what is to be measured."""
        take_machine()
        settings = self._begin() if self._options.resume is None else self._resume()
        write_owner(self._dir, self._shell.pid, os.getpid())
        self._shell.tell_dir(self._dir)
        self._has_report = wants_report(settings[0], self._options)
        self._announce(settings)
        return settings[0]

    def steps(self) -> Steps:
        """One run after the other; one that fails does not stop those after it."""
        while (following := next_profile(self._state)) is not None:
            self._clear()
            self._save(begun(self._state, following.profile, datetime.now(UTC)))
            number = 1 + [one.profile for one in self._state.profiles].index(following.profile)
            say(f"{self._state.run_id}: profile {number} of {len(self._state.profiles)}: {following.profile}")
            words = ["--profile", following.profile, "--results-dir", self._dir.parent]
            for flag, value in self._state.options.items():
                words += [flag, value]
            quiet = [] if self._has_report else ["--no-report"]
            code = yield from code_of(NestedRun(self._dir / RUNNING, [*words, *quiet]))
            self._save(ended(self._state, following.profile, datetime.now(UTC), code, running(self._dir)))
            self._clear()
            if code != ExitCode.OK:
                say(f"warning: profile {following.profile} ended with exit {code}")
        self._save(finished(self._state, datetime.now(UTC)))
        words = ["profile_sweep_report.py", self._dir, *([] if self._has_report else ["--no-html"])]
        if (yield from code_of(Program(words))) != ExitCode.OK:
            say("warning: the report over all profiles could not be written")
        assert self._state.exit_code is not None, "it is finished"
        return End(self._state.exit_code, self._state.reason, self._proof())

    def restore(self) -> None:
        """Each run restores what it changed."""

    @property
    def _state(self) -> AllRuns:
        assert self._document is not None, "steps before open"
        return self._document

    def _save(self, document: AllRuns) -> None:
        self._document = document
        store.save(self._dir / DOCUMENT, document)

    def _begin(self) -> list[Settings]:
        scenarios = os.environ.get("SCENARIOS") or os.environ.get("PERF_SCENARIOS") or "all"
        given = {"--scenarios": scenarios, **given_flags(self._options)}
        settings = _settings(_names(self._options.profiles or "light,medium,heavy"), given)
        parts = planned(settings)
        self._dir = _new_directory(settings[0].results_dir)
        options = {flag: value for flag, value in given.items() if flag != "--results-dir"}
        self._save(AllRuns(run_id=self._dir.name, started=datetime.now(UTC), options=options, profiles=parts))
        return settings

    def _resume(self) -> list[Settings]:
        given = given_flags(self._options)
        results = load_settings(flags=_only(given, "--results-dir")).results_dir
        named = self._options.resume
        self._dir = (_found(Path(named), results) if named else _newest(results)).resolve()
        if "--results-dir" in given and results.resolve() != self._dir.parent:
            raise UserError(f"--results-dir {given['--results-dir']}: {self._dir} does not lie there; leave it out")
        document = store.load(self._dir / DOCUMENT, AllRuns, WHAT)
        asked = {flag: value for flag, value in given.items() if flag != "--results-dir"}
        if self._options.profiles is not None:
            asked["--profiles"] = ",".join(_names(self._options.profiles))
        # What is asked for otherwise is told before what the settings say of it.
        flags = {**document.options, "--results-dir": str(self._dir.parent)}
        settings = _settings([one.profile for one in document.profiles], flags)
        cut = [one for one in document.profiles if one.state in (ProfileState.RUNNING, ProfileState.INTERRUPTED)]
        self._save(resumed(with_running(document, self._dir), self._dir, asked, planned(settings)))
        self._clear()
        for one in cut:
            say(f"{one.profile} was cut short: it is measured again as a whole, what was measured of it is kept")
        return settings

    def _announce(self, settings: Sequence[Settings]) -> None:
        """Say what will be measured and how long that takes, before anything is started."""
        history = read_history(self._dir.parent)
        history.close()
        left = [
            (one, expected(ours, history.runs))
            for one, ours in zip(self._state.profiles, settings, strict=True)
            if one.state is not ProfileState.DONE
        ]
        names = ", ".join(one.profile for one, _ in left)
        say(f"{self._state.run_id}: {names}; scenarios {', '.join(left[0][0].scenarios)}")
        for one, time_it_takes in left:
            say(f"  {one.profile:<10} {time_it_takes!s:<18} ({time_it_takes.source})")
        say(f"this will take {span(sum(each.low_s for _, each in left), sum(each.high_s for _, each in left))}")

    def _proof(self) -> Path | None:
        """The comparison that calls one of the runs a regression."""
        for one in self._state.profiles:
            if one.exit_code == ExitCode.REGRESSION:
                return self._dir.parent / one.run / "comparison.json"
        return None

    def _clear(self) -> None:
        (self._dir / RUNNING).unlink(missing_ok=True)


def _names(profiles: str) -> list[str]:
    return [name.strip() for name in profiles.split(",") if name.strip()]


def _settings(profiles: Sequence[str], flags: Mapping[str, str]) -> list[Settings]:
    if not profiles:
        raise UserError("--profiles: names no profile; give them like light,medium")
    return [load_settings(flags=flags, profile=name) for name in profiles]


def _only(flags: Mapping[str, str], name: str) -> dict[str, str]:
    return {flag: value for flag, value in flags.items() if flag == name}


def _new_directory(results: Path) -> Path:
    while True:
        path = results / f"all_{datetime.now():%Y-%m-%d-%H%M%S}"
        try:
            results.mkdir(parents=True, exist_ok=True)
            path.mkdir()
        except FileExistsError:
            time.sleep(0.2)
        except OSError as error:
            raise UserError(f"{path}: cannot be made: {os_reason(error)}; set RESULTS_DIR") from error
        else:
            return path.resolve()


def _found(given: Path, results: Path) -> Path:
    """The directory that was named: a path, or a name below the results' directory."""
    for path in (given, results / given):
        if (path / DOCUMENT).exists():
            return path
    raise UserError(f"--resume {given}: there is no {DOCUMENT} in it; give a directory like {results}/all_…")


def _newest(results: Path) -> Path:
    """The newest one that is not complete."""
    for path in sorted(results.glob(f"all_*/{DOCUMENT}"), reverse=True):
        if not store.load(path, AllRuns, WHAT).is_complete:
            return path.parent
    raise UserError(f"{results}: nothing to resume: it holds no run over all profiles that is not complete")
