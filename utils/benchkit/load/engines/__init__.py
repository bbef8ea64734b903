"""Engines: the programs that generate load, one file each; :data:`ENGINES` lists them.

To add one, write a class with the members of :class:`Engine` in its own file, and add it to :data:`ENGINES`. A case of
``config.yaml`` selects it with ``engine: NAME``. No code outside this folder refers to an engine by name.
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
    from benchkit.load.rows import Rows  # importing numpy takes 0.2 s, and the monitor needs no rows

STDIN = "--stdin"
"""The last word of a program that reads its arguments from standard input, one per line."""


class Engine(Protocol):
    """A program that sends requests and reports the latency of each.

    ``resolution_ms``: the resolution of its latencies. ``closed_loop``: each worker waits for an answer before it sends
    the next request. ``cores``: how many cores one process can use; ``None``: all. ``answer``: what it waits for. For
    an ``event`` it checks the type itself; for a ``body`` it checks only the status, so checkers read some of the
    bodies. ``headers``: headers that it adds to those of the request; the checkers add the same. ``script``: its
    program, if it is one of the toolkit's own.
    """

    name: str
    resolution_ms: float
    closed_loop: bool
    cores: int | None
    answer: AnswerForm
    headers: Mapping[str, str]
    script: Path | None

    def problem_with(self, request: Request) -> str:
        """Return why it cannot send this request; empty if it can."""

    def requests(self, requests: float, workers: int) -> int:
        """Return how many requests it sends when asked for so many with so many workers.

        A multiple of ``workers``, at least one for each: :func:`~benchkit.load.job.same_for_each_worker`.
        """

    def program(self, settings: Settings) -> list[str]:
        """Return the first words of its command, beginning with an absolute path.

        The arguments follow these words. If the last word is :data:`STDIN`, they are passed on standard input instead.

        Raises:
            UserError: the program is missing or unusable; the message says what to do.
        """

    def version(self, program: Sequence[str]) -> str:
        """Return the version of the program that :meth:`program` found; ``unknown`` if it cannot be found out."""

    def arguments(self, job: Job) -> list[str]:
        """Return the arguments of one load process, the address last; its rows go to standard output.

        The request's headers with the token are among them (``job.http.headers_with(job.token)``). It is called in the
        middle of a run, so :meth:`program` refuses what can be missing.

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
"""The engine of a case that does not name one."""


def engine_named(name: str) -> Engine:
    """Return the engine with this name.

    Raises:
        UserError: there is none.
    """
    if name not in ENGINES:
        raise UserError(f"there is no engine {name!r}; use one of: {', '.join(ENGINES)}")
    return ENGINES[name]


def programs(settings: Settings) -> dict[str, list[str]]:
    """Return the engines that the selected scenarios use, each with the first words of its command.

    Raises:
        UserError: a case names an unknown engine, or an engine's program is missing.
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
    """Return the versions of the engines whose programs :func:`programs` found."""
    return {name: engine_named(name).version(program) for name, program in found.items()}
