"""One gateway measured several times, to fill a baseline or to know how much runs differ."""

from __future__ import annotations

import argparse

from benchkit.errors import ExitCode, UserError
from benchkit.lock import take_machine
from benchkit.run.session import Shell, check_writable, say, setting_flags
from benchkit.run.steps import End, NestedRun, Program, Steps, code_of
from benchkit.settings import Settings, from_arguments


class RepeatedRuns:
    """Runs of its own, one after the other, until one of them cannot be trusted."""

    def __init__(self, options: argparse.Namespace, shell: Shell) -> None:
        self._options = options
        self._shell = shell
        self._settings: Settings | None = None

    def open(self) -> Settings:
        """Check the settings, and take the machine for all runs and the time between them."""
        settings = self._settings = from_arguments(self._options)
        take_machine()
        check_writable(settings.results_dir)
        return settings

    def steps(self) -> Steps:
        """Measure so many times; then write the list of all runs, and record the noise."""
        assert self._settings is not None, "steps before open"
        baseline = "save" if self._options.purpose == "baseline" else "skip"
        flags = [*setting_flags(self._options), "--no-report", "--baseline", baseline]
        count = self._options.count
        directories: list[str] = []
        file = self._shell.tmp / "nested"
        for number in range(1, count + 1):
            say(f"run {number} of {count}")
            if code := (yield from code_of(NestedRun(file, flags))):
                kept = f"the {len(directories)} before it are kept in {self._settings.results_dir}"
                raise UserError(f"run {number} of {count} failed: {kept}", ExitCode(code))
            directories.append(file.read_text(encoding="utf-8"))
        yield from code_of(Program(["results_index.py", "--results-dir", self._settings.results_dir], output="none"))
        if self._options.purpose == "noise":
            return End((yield from code_of(Program(["noise.py", "record", *directories]))), "recorded")
        return End(ExitCode.OK, "measured")

    def restore(self) -> None:
        """Each run restores what it changed."""
