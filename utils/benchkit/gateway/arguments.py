"""Validate the arguments of a tool call against the tool's input schema before any load is sent.

The schema comes from the gateway, so it may be anything: it may refer to other addresses (nothing is fetched) or to
itself, or contain a regular expression that takes forever.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn

from jsonschema.exceptions import SchemaError, ValidationError, best_match
from jsonschema.validators import Draft202012Validator, validator_for
from referencing import Registry
from referencing.exceptions import Unresolvable

from benchkit.plain import plain_text

TIMEOUT_S = 2.0
"""Time limit of one validation; normally it takes milliseconds."""

_LONGEST = 300


def problem_of(schema: dict[str, Any], arguments: Mapping[str, Any]) -> str:
    """Return why a schema rejects arguments: argument and rule; empty if it accepts them.

    The time is limited only in the main thread, because only there a signal can stop a regular expression.
    """
    try:
        with _limited(TIMEOUT_S):
            return plain_text(_problem(schema, arguments), _LONGEST)
    except _TooLongError:
        return f"the tool's own input schema takes more than {TIMEOUT_S:g} s to check"
    except Unresolvable as error:
        place = plain_text(str(error.ref), 100)
        return f"the tool's own input schema refers to {place}, which it does not hold; nothing is fetched"
    except RecursionError:
        return "the tool's own input schema refers to itself without an end, or is nested too deeply"
    except Exception as error:  # pylint: disable=broad-exception-caught # an unchecked schema may break it
        return f"the tool's own input schema cannot be used ({plain_text(f'{type(error).__name__}: {error}', 100)})"


def _problem(schema: dict[str, Any], arguments: Mapping[str, Any]) -> str:
    validator = validator_for(schema, default=Draft202012Validator)
    try:
        validator.check_schema(schema)
    except SchemaError as error:
        return f"the tool's own input schema is wrong: {error.message}"
    # An empty registry cannot fetch referenced schemas.
    problem = best_match(validator(schema, registry=Registry()).iter_errors(arguments))
    return "" if problem is None else _words(problem)


def _words(error: ValidationError) -> str:
    where = ".".join(str(part) for part in error.absolute_path)
    return f"{where + ': ' if where else ''}{error.message} (rule: {error.validator})"


class _TooLongError(BaseException):
    """The time limit is exceeded. Not an :class:`Exception`, so that no code in between handles it."""


@contextmanager
def _limited(seconds: float) -> Iterator[None]:
    """Stop the ``with`` block after this many seconds with a :class:`_TooLongError`."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(_signal: int, _frame: FrameType | None) -> NoReturn:
        raise _TooLongError

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
