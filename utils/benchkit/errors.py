"""Exit codes, and the one error that a user can cause."""

from __future__ import annotations

import codecs
import errno
import io
import os
import re
import select
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterable
from enum import IntEnum
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

from benchkit.plain import plain_text

_LONGEST = 2000
"""Characters of an error's line."""


class ExitCode(IntEnum):
    """What a script or program of this toolkit ends with; ``make`` turns every failure into its own 2."""

    OK = 0
    REGRESSION = 1
    USAGE = 2
    """Usage, configuration, a service that is not there, or a bug of the toolkit."""
    INVALID = 3
    """At least one case's work did not happen."""
    INCONCLUSIVE = 4
    INTERRUPTED = 130
    TERMINATED = 143


_WORST_FIRST = (
    ExitCode.INTERRUPTED,
    ExitCode.TERMINATED,
    ExitCode.REGRESSION,
    ExitCode.USAGE,
    ExitCode.INVALID,
    ExitCode.INCONCLUSIVE,
    ExitCode.OK,
)


def severity(code: int) -> int:
    """Where a run with this exit code stands among several, 0 is the worst.

    An interrupt says that not all was measured. Then a regression: it is proven, and stays so whatever another run
    would have shown, so nothing may hide it. A run that could not be made is worse than one with invalid cases, for it
    has no figure at all. A code that is none of the toolkit's (137: killed) counts as such a run.
    """
    return _WORST_FIRST.index(ExitCode(code)) if code in set(ExitCode) else _WORST_FIRST.index(ExitCode.USAGE)


def worst_code(codes: Iterable[int]) -> ExitCode:
    """What several runs together end with: the worst of their codes, by :func:`severity`."""
    return _WORST_FIRST[min(map(severity, codes), default=severity(ExitCode.OK))]


class UserError(Exception):
    """Something a user can cause and mend.

    The message says what is wrong, where, and what to do; it is one line, made by :func:`plain_text`. Everything else
    that is raised is a bug of the toolkit and shows its traceback.
    """

    def __init__(self, message: str, exit_code: ExitCode = ExitCode.USAGE) -> None:
        super().__init__(plain_text(message, _LONGEST))
        self.exit_code = exit_code

    def within(self, directory: Path) -> str:
        """The message with paths that begin in a directory, without the place of that on this machine."""
        return str(self).replace(f"{directory}{os.sep}", "")


class ForbiddenError(UserError):
    """The target knows the user and refuses: a permission is missing. ``permission`` is its name, where it is told."""

    def __init__(self, message: str, permission: str = "") -> None:
        super().__init__(message)
        self.permission = permission

    @property
    def lacks(self) -> str:
        """What is missing, as the reason why a case is skipped."""
        return f"the token lacks the permission {self.permission or 'for it, which the gateway does not name'}"


def missing_permission(text: str) -> str:
    """The permission that an answer with HTTP 403 names (``Required: tools.execute``); empty where it names none."""
    found = re.search(r"(?i)\brequire[sd]?\b(?: permission)?:?\s*[\"'\[]*([a-z_]+[.:][a-z_.:]*[a-z_])", text)
    return found.group(1) if found else ""


def os_reason(error: OSError) -> str:
    """The operating system's words for an error (``No space left on device``), without number and path."""
    return error.strerror or str(error) or type(error).__name__


class _Output(io.RawIOBase):
    """A standard stream whose failure is noted, not raised: what a program finds does not depend on its reader."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor
        self.error: OSError | None = None

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return os.isatty(self._descriptor)

    def write(self, data: ReadableBuffer, /) -> int:
        """Write some of it; all of it is dropped after the first failure."""
        view = memoryview(data).cast("B")
        while self.error is None:
            try:
                return os.write(self._descriptor, view)
            except BlockingIOError:
                select.select([], [self._descriptor], [])
            except OSError as error:
                self.error = error
        return len(view)


def _shown(error: UnicodeError) -> tuple[str | bytes, int]:
    """Characters that the terminal does not have become escapes; the bytes of a file's name stay what they were."""
    try:
        return codecs.lookup_error("surrogateescape")(error)
    except UnicodeError:
        return codecs.backslashreplace_errors(error)


def _open_output(stream: TextIO | None, descriptor: int) -> tuple[TextIO, _Output]:
    """A stream for a standard one that takes every character and never fails; where that is closed, one to nowhere."""
    codecs.register_error("benchkit.shown", _shown)
    if stream is None:
        descriptor = os.open(os.devnull, os.O_WRONLY)
    raw = _Output(descriptor)
    if stream is not None and stream not in (sys.__stdout__, sys.__stderr__):
        return stream, raw  # somebody reads along within this process
    text = io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding="utf-8" if stream is None else stream.encoding,
        errors="benchkit.shown",
        line_buffering=stream.line_buffering if isinstance(stream, io.TextIOWrapper) else True,
    )
    return text, raw


class _EndedError(BaseException):
    """TERM or HUP came; not to be mistaken for an error on the way."""


def _end(_number: int, _frame: FrameType | None) -> None:
    raise _EndedError


def raise_again(exception: type[BaseException], signalled: Callable[[], None] = lambda: None) -> None:
    """See to it that the exception of a signal's handler is raised where it ends the program.

    Python prints and drops what a weak reference's callback or ``__del__`` raises, and a signal may come there. Then
    TERM is sent once more, a moment later.

    Args:
        exception: what the handler raises.
        signalled: called before TERM is sent again.
    """
    plain = sys.unraisablehook

    def hook(unraisable: sys.UnraisableHookArgs) -> None:
        if not isinstance(unraisable.exc_value, exception):
            plain(unraisable)
            return
        signalled()
        # Not from here: the handler would raise within this hook.
        threading.Timer(0.02, os.kill, (os.getpid(), signal.SIGTERM)).start()

    sys.unraisablehook = hook


def _end_in_order() -> None:
    """Let TERM and HUP (the terminal is gone) end a program as Ctrl-C does: it cleans up behind itself on its way."""
    raise_again(_EndedError)
    for number in (signal.SIGTERM, signal.SIGHUP):
        # nohup, or a shell that is cleaning up, decided that it is to be ignored.
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _end)


def run_program(main: Callable[[], int | ExitCode]) -> None:
    """Run a program's ``main`` and leave the process with its exit code.

    A :class:`UserError` becomes one line on stderr; an interrupt becomes 130, TERM and HUP 143. A reader that went away
    (``| head``) is no error, and neither it nor a terminal that cannot show a character hides one: the code that
    ``main`` answered stands. Only where that is 0 and what was printed could not be written does the process end with
    2. Any other exception is a bug of the toolkit: its traceback is shown, and the process ends with 2. Python's own 1
    would be read as a regression.
    """
    sys.stdout, output = _open_output(sys.stdout, 1)
    sys.stderr, _ = _open_output(sys.stderr, 2)
    code = 0
    try:
        _end_in_order()
        code = int(main())
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        code = int(error.exit_code)
    except KeyboardInterrupt:
        code = int(ExitCode.INTERRUPTED)
    except _EndedError:
        code = int(ExitCode.TERMINATED)
    except BrokenPipeError:
        pass
    except Exception as error:  # pylint: disable=broad-exception-caught # whatever it is, 1 means something else here
        traceback.print_exc()
        message = ": ".join(filter(None, (type(error).__name__, plain_text(str(error), _LONGEST))))
        program = Path(sys.argv[0]).name
        print(f"error: internal error in {program}: {message}; please report it with the lines above", file=sys.stderr)
        code = int(ExitCode.USAGE)
    sys.stdout.flush()
    if code == ExitCode.OK and output.error is not None and output.error.errno != errno.EPIPE:
        print(f"error: standard output could not be written: {os_reason(output.error)}", file=sys.stderr)
        code = int(ExitCode.USAGE)
    sys.stderr.flush()
    sys.exit(code)
