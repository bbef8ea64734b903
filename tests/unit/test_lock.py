"""The machine's lock, and that of a directory."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from benchkit import lock
from benchkit.errors import UserError
from benchkit.settings import ROOT

NOBODY = 65534
TAKE = """
import sys
from benchkit.errors import run_program
from benchkit.lock import take_machine
run_program(lambda: take_machine() or 0)
"""


def take(place: Path, then: str = "true", **environ: str) -> subprocess.CompletedProcess[str]:
    """A shell that opens the lock as runner.sh does, lets Python take it, and goes on."""
    script = '. "$1/utils/lib/runner.sh"; runner::open_lock; "$2" -c "$3" || exit $?; eval "$4"'
    return subprocess.run(
        ["bash", "-c", script, "run-test.sh", ROOT, sys.executable, TAKE, then],
        env={**os.environ, "PYTHONPATH": str(ROOT / "utils"), "PERF_LOCK": str(place), **environ},
        capture_output=True,
        text=True,
        check=False,
    )


@contextmanager
def held(place: Path, *, only_child: bool = False) -> Iterator[subprocess.Popen[str]]:
    """Another process that has the lock; with ``only_child`` it is load whose shell was killed."""
    hold = "import fcntl, time; fcntl.flock(5, fcntl.LOCK_EX); print('held', flush=True); time.sleep(60)"
    script = 'exec 5<"$1"; "$2" -c "$3" & echo $!; ' + ("kill -9 $$" if only_child else "wait")
    with subprocess.Popen(
        ["bash", "-c", script, "-", place, sys.executable, hold],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            os.kill(child, 9)
            process.kill()


def test_it_is_the_same_for_every_tmpdir_and_every_user() -> None:
    """No file is made, so there is none that a link could replace or another user could own."""
    shell = (ROOT / "utils" / "lib" / "runner.sh").read_text(encoding="utf-8")
    assert re.findall(r"exec 5<\S*", shell) == ['exec 5<"${PERF_LOCK:-/}"']
    assert lock.machine() == Path(os.environ.get("PERF_LOCK") or "/")


def test_what_is_locked_is_as_it_was(tmp_path: Path) -> None:
    place = tmp_path / "precious"
    place.write_text("mine")
    assert take(place).returncode == 0
    assert place.read_text() == "mine"


@pytest.mark.skipif(not Path("/proc/locks").exists(), reason="only Linux tells who has a lock")
def test_the_second_is_refused_and_hears_who_has_it(tmp_path: Path) -> None:
    with held(tmp_path) as other:
        done = take(tmp_path, TMPDIR=str(tmp_path), PERF_IGNORE_LOCK=str(other.pid))
    assert done.returncode == 2
    assert re.fullmatch(
        rf"error: another run measures on this machine \(pid {other.pid}, .*\): wait for it, or stop it\n", done.stderr
    )
    assert take(tmp_path).returncode == 0  # it ended with its process


def test_load_keeps_the_lock_of_a_shell_that_was_killed(tmp_path: Path) -> None:
    with held(tmp_path, only_child=True) as shell:
        shell.wait(10)
        done = take(tmp_path)
    assert done.returncode == 2
    assert "another run measures on this machine (pid " in done.stderr or not Path("/proc/locks").exists()


def test_the_load_inherits_the_lock_and_the_monitor_does_not() -> None:
    """The line that starts a load closes the conversation's descriptors and not the lock's."""
    shell = (ROOT / "utils" / "lib" / "runner.sh").read_text(encoding="utf-8")
    (start,) = re.findall(r"^.*2>>\"\$RUNNER_DIR/load.err\".*$", shell, re.MULTILINE)
    assert "5>&-" not in start
    (monitor,) = re.findall(r"^.*monitor\.err\" 3>&-.*$", shell, re.MULTILINE)
    assert "5>&-" in monitor


@pytest.mark.skipif(os.geteuid() != 0 or not Path("/proc/locks").exists(), reason="needs a second user, and Linux")
def test_another_users_lock_is_named_and_does_not_block_for_ever() -> None:
    place = Path("/var/tmp")
    script = 'exec 5<"$1"; flock 5; echo held; exec sleep 60'
    command = ["bash", "-c", script, "-", str(place)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, user=NOBODY, extra_groups=[]) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        done = take(place)
        assert done.returncode == 2
        assert f"(pid {other.pid} of user nobody, " in done.stderr
        assert f"PERF_IGNORE_LOCK={other.pid} measures nevertheless" in done.stderr
        assert take(place, PERF_IGNORE_LOCK=str(other.pid)).returncode == 0
        assert take(place, PERF_IGNORE_LOCK="1").returncode == 2
        other.kill()


def test_a_descriptor_that_is_not_the_lock_says_who_opens_it(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", TAKE],
        env={**os.environ, "PYTHONPATH": str(ROOT / "utils"), "PERF_LOCK": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "start this through run-configurable.sh" in done.stderr
    assert take(tmp_path, RUNNER_LOCKED="true").returncode == 2  # said to be inherited, and is not


def test_a_lock_that_cannot_be_opened_is_no_regression(tmp_path: Path) -> None:
    done = take(tmp_path / "nothing")
    assert done.returncode == 2


# ---------------------------------------------------------------------------------------------------------------------
# A directory's lock


def hold(path: Path, timeout_s: float = 0.2) -> None:
    with lock.locked_file(path, "another test", timeout_s=timeout_s):
        pass


def test_a_directorys_lock_is_private_and_holds_the_pid(tmp_path: Path) -> None:
    hold(tmp_path / "lock")
    assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"
    assert (tmp_path / "lock").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("kind", ["symlink", "dangling", "hard link", "fifo", "directory"])
def test_what_is_no_lock_of_ours_is_neither_followed_nor_truncated(tmp_path: Path, kind: str) -> None:
    precious, path = tmp_path / "precious", tmp_path / "lock"
    precious.write_text("mine")
    match kind:
        case "symlink":
            path.symlink_to(precious)
        case "dangling":
            path.symlink_to(tmp_path / "new")
        case "hard link":
            path.hardlink_to(precious)
        case "fifo":
            os.mkfifo(path)
        case _:
            path.mkdir()
    began = time.monotonic()
    with pytest.raises(UserError) as caught:
        hold(path)
    assert time.monotonic() - began < 5
    assert str(path) in str(caught.value)
    assert precious.read_text() == "mine"
    assert not (tmp_path / "new").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a second user")
def test_another_users_lock_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text("mine")
    os.chown(tmp_path / "lock", NOBODY, NOBODY)
    with pytest.raises(UserError, match="it belongs to user nobody"):
        hold(tmp_path / "lock")
    assert (tmp_path / "lock").read_text() == "mine"


def test_who_has_a_directorys_lock_is_waited_for_and_named(tmp_path: Path) -> None:
    with (
        lock.locked_file(tmp_path / "lock", "another test", timeout_s=1),
        pytest.raises(UserError, match=rf"another test \(pid {os.getpid()}\) did not end within 0.2 s"),
    ):
        hold(tmp_path / "lock")
    hold(tmp_path / "lock")
