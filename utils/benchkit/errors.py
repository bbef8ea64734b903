"""Exit codes, and the one error that a user can cause."""

from __future__ import annotations

import os
import re
import sys
import traceback
from collections.abc import Callable, Iterable
from enum import IntEnum
from pathlib import Path


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

    The message is one line that says what is wrong, where, and what to do. Everything else that is raised is a bug of
    the toolkit and shows its traceback.
    """

    def __init__(self, message: str, exit_code: ExitCode = ExitCode.USAGE) -> None:
        super().__init__(" ".join(message.split()))
        self.exit_code = exit_code


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


def run_program(main: Callable[[], int | ExitCode]) -> None:
    """Run a program's ``main`` and leave the process with its exit code.

    A :class:`UserError` becomes one line on stderr; an interrupt becomes 130. A reader that went away (``| head``) is
    no error, and does not hide one: the code that ``main`` answered stands. Any other exception is a bug of the
    toolkit: its traceback is shown, and the process ends with 2. Python's own 1 would be read as a regression.
    """
    code = 0
    try:
        code = int(main())
        sys.stdout.flush()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        code = int(error.exit_code)
    except KeyboardInterrupt:
        code = int(ExitCode.INTERRUPTED)
    except BrokenPipeError:
        # Whatever is still buffered has no reader; without this the interpreter complains about it while it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Exception as error:  # pylint: disable=broad-exception-caught # whatever it is, 1 means something else here
        traceback.print_exc()
        message = ": ".join(filter(None, (type(error).__name__, " ".join(str(error).split()))))
        program = Path(sys.argv[0]).name
        print(f"error: internal error in {program}: {message}; please report it with the lines above", file=sys.stderr)
        code = int(ExitCode.USAGE)
    sys.exit(code)
