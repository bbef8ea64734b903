"""Engines: what can make load. One file for each; :data:`ENGINES` is the list of them.

To add one: write a class with what :class:`Engine` asks for, in a file of its own, and put it into :data:`ENGINES`.
A case of ``config.yaml`` chooses it with ``engine: NAME``. Nothing outside this folder knows an engine by its name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from benchkit.errors import UserError
from benchkit.load.engines.hey import Hey
from benchkit.load.engines.sse import Sse
from benchkit.load.job import Job
from benchkit.model import AnswerForm, Request
from benchkit.settings import Settings

if TYPE_CHECKING:
    from benchkit.load.rows import Rows  # numpy takes a fifth of a second, and the monitor needs no rows

STDIN = "--stdin"
"""The last word of a program that reads its arguments from standard input, one in each line."""


class Engine(Protocol):
    """A program that sends requests and tells the latency of each.

    ``resolution_ms``: the step in which its rows tell a latency. ``closed_loop``: each worker waits for an answer
    before it sends the next request. ``cores``: how many cores one process can use; ``None``: all.
    ``answer``: what it waits for. Of an ``event`` it checks the type itself; of a ``body`` it checks only the status,
    so checkers read some of the bodies beside it. ``headers``: what it sends in addition to the request's own headers;
    the checkers send the same. ``script``: its program, where that is one of the toolkit's own.
    """

    name: str
    resolution_ms: float
    closed_loop: bool
    cores: int | None
    answer: AnswerForm
    headers: Mapping[str, str]
    script: Path | None

    def problem_with(self, request: Request) -> str:
        """Why it cannot send this request, in words; empty when it can."""

    def requests(self, requests: float, workers: int) -> int:
        """How many requests it sends when it is asked for so many with so many workers; at least 1."""

    def program(self, settings: Settings) -> list[str]:
        """The first words of its command, the first of them an absolute path.

        The arguments follow these words; where the last word is :data:`STDIN`, they come on standard input.

        Raises:
            UserError: the program is missing or of no use; the line says what to do.
        """

    def version(self, program: Sequence[str]) -> str:
        """The version of what :meth:`program` found; ``unknown`` where nothing tells it."""

    def arguments(self, job: Job) -> list[str]:
        """The arguments of one load process, the address last. Its rows go to standard output.

        Raises:
            UserError: it cannot send the job's request.
        """

    def rows(self, path: Path) -> Rows:
        """Read the rows that a process wrote.

        Raises:
            UserError: the file cannot be read or is damaged.
        """


_ENGINES: tuple[Engine, ...] = (
    Hey(),
    Sse(),
)

ENGINES: dict[str, Engine] = {engine.name: engine for engine in _ENGINES}
"""All engines by name."""

DEFAULT = _ENGINES[0].name
"""The engine of a case that names none."""


def engine_named(name: str) -> Engine:
    """The engine of this name.

    Raises:
        UserError: there is none.
    """
    if name not in ENGINES:
        raise UserError(f"there is no engine {name!r}; use one of: {', '.join(ENGINES)}")
    return ENGINES[name]


def programs(settings: Settings) -> dict[str, list[str]]:
    """The engines that the selected scenarios use, each with the first words of its command.

    Raises:
        UserError: a case names an engine that does not exist, or an engine's program is missing.
    """
    found = {}
    for scenario in settings.scenarios:
        for name, case in settings.config.scenarios[scenario].cases.items():
            try:
                engine = engine_named(case.engine or DEFAULT)
            except UserError as error:
                raise UserError(f"config.yaml: scenarios.{scenario}.cases.{name}.engine: {error}") from error
            found[engine.name] = engine
    return {name: engine.program(settings) for name, engine in found.items()}


def versions(found: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """The versions of the engines whose programs :func:`programs` found."""
    return {name: engine_named(name).version(program) for name, program in found.items()}
