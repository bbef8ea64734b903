"""The file that passes a load process's arguments from Python to the shell, one argument per line.

The shell starts the process (``runner::start_load`` in ``utils/lib/runner.sh``). The file contains no program name, and
its only path to write to is derived from names of ``config.yaml``::

    ENGINE                     selects the program; the answer to ``open`` gave the shell its path
    raw/tools/call.1.csv       file for the standard output, relative to the run's directory; or: none
    -n                         the arguments; files of the run are relative to the run's directory
    …
    http://127.0.0.1:4444/rpc  the address is last

The token is among the arguments, so the file has mode 0600, and the shell deletes it before it starts the process.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchkit.errors import UserError, os_reason
from benchkit.model import forbidden_character, http_address

DIRECTORY = ".load"
"""Below the run's directory. The leading dot keeps it apart from cases and variants."""

NO_OUTPUT = "none"

_OUTPUT = re.compile(r"([A-Za-z0-9_][A-Za-z0-9._-]*/)?raw/[a-z0-9][a-z0-9_-]*/[a-z0-9][a-z0-9._-]*\.csv")


@dataclass(frozen=True)
class LoadProcess:
    """A process that the shell must start.

    ``arguments`` are the engine's, without the program name, with the address last. ``output`` receives the standard
    output; ``None``: it is discarded.
    """

    engine: str
    arguments: list[str]
    output: Path | None


def write_arguments(run_dir: Path, processes: Sequence[LoadProcess]) -> None:
    """Write ``.load/1.args``, ``.load/2.args`` … of the next processes to start.

    All are checked before the first is written, so that either all processes can be started or none.

    Raises:
        UserError: an argument contains a control character, the last one is no http(s) address, the output is no file
            of the run, or the files cannot be written.
    """
    texts = [_text(run_dir, process) for process in processes]
    directory = run_dir / DIRECTORY
    try:
        directory.mkdir(mode=0o700, exist_ok=True)
        for number, text in enumerate(texts, start=1):
            _write_new(directory / f"{number}.args", text)
    except OSError as error:
        raise UserError(f"{directory}: the load's arguments cannot be written: {os_reason(error)}") from error


def remove_arguments(run_dir: Path) -> None:
    """Remove files of processes that were never started, because they contain a token."""
    shutil.rmtree(run_dir / DIRECTORY, ignore_errors=True)


def _text(run_dir: Path, process: LoadProcess) -> str:
    arguments = [argument.removeprefix(f"{run_dir}/") for argument in process.arguments]
    for number, argument in enumerate(arguments, start=1):
        found = forbidden_character(argument)
        if found:
            # The argument is not quoted, because it may be the token.
            raise UserError(
                f"argument {number} of {process.engine} holds a {found}: nothing was started; what the "
                "gateway answers, or a token or setting of this run, is damaged"
            )
    try:
        http_address(arguments[-1] if arguments else "")
    except ValueError as error:
        raise UserError(f"the last argument of {process.engine} must be an address: {error}") from error
    return "".join(f"{line}\n" for line in (process.engine, _output(run_dir, process.output), *arguments))


def _output(run_dir: Path, output: Path | None) -> str:
    if output is None:
        return NO_OUTPUT
    name = str(output).removeprefix(f"{run_dir}/")
    if not _OUTPUT.fullmatch(name) or ".." in name:
        raise UserError(f"{name!a}: no name of a case's rows; the load may write only below {run_dir}/raw")
    return name


def _write_new(path: Path, text: str) -> None:
    """Write a file that only its owner can read; replace one that an interrupted step left."""
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(text)
