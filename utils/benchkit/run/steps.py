"""What a run asks of the shell that leads it (utils/lib/runner.sh), which starts, waits for and stops every process.

A run is a generator of these steps. It is sent the exit codes of what a step started: one for a program, one for each
process of a load.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from benchkit.errors import ExitCode
from benchkit.load.arguments_file import LoadProcess, write_arguments


class Step(Protocol):
    """Something that the shell does."""

    def fields(self) -> list[str]:
        """The answer to the shell; runner.sh says what each field means."""


@dataclass(frozen=True)
class Load:
    """Start load processes at the same time and wait for all of them."""

    run_dir: Path
    processes: Sequence[LoadProcess]

    def fields(self) -> list[str]:
        """Also writes the processes' arguments to the run's directory.

        Raises:
            UserError: an argument cannot be written there, so none is started.
        """
        write_arguments(self.run_dir, self.processes)
        return ["load", str(len(self.processes))]


@dataclass(frozen=True)
class Program:
    """Run a program of utils/. ``output``: where its standard output goes."""

    words: Sequence[object]
    output: Literal["out", "err", "none"] = "out"

    def fields(self) -> list[str]:
        """As :meth:`Step.fields`."""
        return ["program", self.output, *_counted(self.words)]


@dataclass(frozen=True)
class SetUp:
    """Install a gateway: a release, or a wheel or checkout (``source``); one of both is empty."""

    release: str
    source: str

    def fields(self) -> list[str]:
        """As :meth:`Step.fields`."""
        return ["setup", self.release, self.source]


@dataclass(frozen=True)
class NestedRun:
    """Run ./run-configurable.sh. ``dir_file`` takes its directory once there is one."""

    dir_file: Path
    words: Sequence[object]

    def fields(self) -> list[str]:
        """As :meth:`Step.fields`."""
        return ["nested", str(self.dir_file), *_counted(self.words)]


@dataclass(frozen=True)
class StartMonitor:
    """Sample into the first of ``words``, a file, what the run uses from here on."""

    words: Sequence[object]

    def fields(self) -> list[str]:
        """As :meth:`Step.fields`."""
        return ["monitor", *_counted(self.words)]


@dataclass(frozen=True)
class StopMonitor:
    """Sample no more."""

    def fields(self) -> list[str]:
        """As :meth:`Step.fields`."""
        return ["stop-monitor"]


@dataclass(frozen=True)
class End:
    """The run is over. ``comparison``: the document that proves a regression; 1 becomes 2 without one."""

    code: int
    reason: str
    comparison: Path | None = None

    def fields(self) -> list[str]:
        """As :meth:`Step.fields`."""
        return ["end", str(int(self.code)), str(self.comparison or ""), self.reason]


Steps = Generator[Step, list[int], End]
"""A run: yields steps, is sent exit codes, and returns how it ended."""


class StepFailedError(Exception):
    """A program that a run cannot go on without ended with ``code``; it said why."""

    def __init__(self, code: int) -> None:
        super().__init__(f"exit {code}")
        self.code = code


def code_of(step: Step) -> Generator[Step, list[int], int]:
    """Do a step that has one exit code, and answer it."""
    (code,) = yield step
    return code


def succeed(step: Step) -> Generator[Step, list[int], None]:
    """Do a step that the run needs.

    Raises:
        StepFailedError: it ended with another code than 0.
    """
    code = yield from code_of(step)
    if code != ExitCode.OK:
        raise StepFailedError(code)


def _counted(words: Sequence[object]) -> list[str]:
    return [str(len(words)), *(str(word) for word in words)]
