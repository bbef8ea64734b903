"""measure.py, the measuring side of a run: signals, and what may stand in an answer to the shell."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

import measure
from benchkit.errors import UserError
from benchkit.settings import ROOT

PROGRAM = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
import measure
signals = measure._Signals()
signals.install()
for number in (signal.SIGINT, signal.SIGHUP):
    os.kill(os.getpid(), number)
print("goes on", flush=True)
try:
    os.kill(os.getpid(), signal.SIGTERM)
except measure._TerminatedError:
    print("told to end", flush=True)
os.kill(os.getpid(), signal.SIGTERM)
print("ends in peace", flush=True)
"""


def test_only_term_ends_it_and_only_once() -> None:
    """Ctrl-C and the end of a terminal reach it as they reach the shell, and the shell decides."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(ROOT / "utils")], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "goes on\ntold to end\nends in peace\n", "")


DROPPED = """
import os, signal, sys, time, weakref
sys.path.insert(0, sys.argv[1])
import measure
measure._Signals().install()
class Thing: pass
thing = Thing()
kept = weakref.ref(thing, lambda _: os.kill(os.getpid(), signal.SIGTERM))
try:
    del thing
    time.sleep(5)
except measure._TerminatedError:
    print("told to end", flush=True)
"""


def test_term_is_heard_also_where_python_drops_exceptions() -> None:
    done = subprocess.run(
        [sys.executable, "-c", DROPPED, str(ROOT / "utils")], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "told to end\n", "")


def test_a_term_that_comes_when_all_is_done_is_not_heard() -> None:
    signals = measure._Signals()
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    try:
        signals.install()
        signals.is_ending = True
        os.kill(os.getpid(), signal.SIGTERM)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_no_answer_to_the_shell_holds_a_nul(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UserError, match="holds a NUL"):
        measure._reply(["ok", "a\0b"])
    assert capsys.readouterr().out == ""
