"""The locks of a measuring machine."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchkit.errors import UserError
from benchkit.lock import ALL_PROFILES, MEASURING, Lock
from benchkit.settings import ROOT

HOLD = """
import fcntl, os, sys
fcntl.flock(9, fcntl.LOCK_EX)
os.pwrite(9, sys.argv[1].encode(), 0)
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def lock(tmp_path: Path) -> Iterator[Lock]:
    descriptor = os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT)
    yield Lock(descriptor, "another one is there", "its-program.sh")
    os.close(descriptor)


def test_a_lock_that_is_free_is_taken_and_names_its_owner(lock: Lock, tmp_path: Path) -> None:
    (tmp_path / "lock").write_text("12345678\n")  # an earlier owner's, longer than the new one
    lock.take(4711)
    assert (tmp_path / "lock").read_text() == "4711\n"
    lock.take(4711)  # what is one's own is no hindrance


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("4711\n", "another one is there (pid 4711): wait for it, or stop it"),
        ("", "another one is there: wait for it, or stop it"),
        ("no number", "another one is there: wait for it, or stop it"),
    ],
)
def test_a_lock_of_another_process_is_refused(lock: Lock, tmp_path: Path, content: str, words: str) -> None:
    command = ["bash", "-c", 'exec 9<>"$1"; exec "$2" -c "$3" "$4"', "-", tmp_path / "lock", sys.executable, HOLD]
    with subprocess.Popen([*command, content], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(UserError) as caught:
            lock.take(1)
        other.communicate("")
    assert str(caught.value) == words
    assert (tmp_path / "lock").read_text() == content
    lock.take(1)  # it ended with its process


def test_a_descriptor_that_is_not_open_says_who_opens_it() -> None:
    with pytest.raises(UserError) as caught:
        Lock(987, "refused", "run-all.sh").take(1)
    assert str(caught.value) == "the lock of descriptor 987 cannot be taken: start this through run-all.sh"


@pytest.mark.parametrize(("lock", "opens"), [(MEASURING, "utils/lib/load.sh"), (ALL_PROFILES, "run-all.sh")])
def test_the_shell_opens_the_file_on_the_descriptor_of_its_lock(lock: Lock, opens: str) -> None:
    (descriptor,) = re.findall(r"exec (\d)<>", (ROOT / opens).read_text(encoding="utf-8"))
    assert int(descriptor) == lock.descriptor
    assert (ROOT / lock.opened_by).exists()
