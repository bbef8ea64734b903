"""Whatever happens to a writer at whichever call of the system: the baseline can be read, and no version is lost.

Each operation runs in a forked child whose audit hook ends it (kill -9), or fails the call, at one step after another,
until it comes to its end.
"""

from __future__ import annotations

import errno
import os
import shutil
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from benchkit import store
from benchkit.errors import UserError
from benchkit.verdict.baseline_archive import export_baseline, import_baseline
from benchkit.verdict.baseline_files import read_baseline
from benchkit.verdict.baseline_history import read_history
from benchkit.verdict.baselines import delete_baseline, join_baseline, load_baseline, roll_back, save_baseline
from builders.judged import measured, run_of

DONE, REFUSED, BUG = 0, 2, 99
RUN = run_of(measured(rounds=(10.0,)), number=5)

OPERATIONS: dict[str, Callable[[Path], object]] = {
    "save": lambda place: save_baseline(RUN, place / "b", profile="light", keep_runs=10),
    "join": lambda place: join_baseline(
        RUN, place / "b", profile="light", keep_runs=10, improved=frozenset(), sustained_runs=3
    ),
    "delete": lambda place: delete_baseline(place / "b", "light"),
    "roll back": lambda place: roll_back(place / "b", "light", 1),
    "import": lambda place: import_baseline(place / "archive.json", place / "b"),
}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Two versions of a baseline, and an exported one of another history."""
    for number in (1, 2):
        save_baseline(run_of(measured(), number=number), tmp_path / "b", profile="light", keep_runs=10)
    for number in (3, 4):
        save_baseline(run_of(measured(), number=number), tmp_path / "other", profile="light", keep_runs=10)
    (tmp_path / "archive.json").write_text(export_baseline(tmp_path / "other", "light").text)
    return tmp_path


def versions(place: Path) -> set[bytes]:
    """The content of every version that can be read, current or not."""
    found = set()
    for path in [place / "b" / "baseline_light.json", *(place / "b" / "history").glob("*.json")]:
        if path.exists():
            read_baseline(path)
            found.add(path.read_bytes())
    return found


def perform(operation: Callable[[Path], object], place: Path, step: int, fault: Callable[[], None] | None) -> int:
    """Run the operation in a child that meets the fault at its ``step``-th call on a file; the child's wait status.

    Without a fault its exit code is the number of calls.
    """
    child = os.fork()
    if child == 0:
        calls = 0

        def hook(event: str, arguments: tuple[object, ...]) -> None:
            nonlocal calls
            if event in WATCHED and any(str(place) in str(one) for one in arguments):
                calls += 1
                if calls == step and fault:
                    fault()

        code = BUG
        try:
            sys.addaudithook(hook)
            operation(place)
            code = DONE if fault else calls
        except UserError as error:
            code = REFUSED if "\n" not in str(error) else BUG
        except BaseException:  # a child of pytest must not become a second one
            traceback.print_exc()
        finally:
            os._exit(code)
    return os.waitpid(child, 0)[1]


WATCHED = {"open", "os.rename", "os.mkdir", "os.remove", "os.chmod", "os.listdir", "os.scandir", "os.truncate"}


def killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def full() -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def forbidden() -> None:
    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS.keys())
def test_kill_9_at_each_step_loses_nothing(place, operation):
    before = versions(place)
    numbers = {one.version for one in read_history(place / "b", "light").versions}
    shutil.copytree(place / "b", place / "fresh")
    for step in range(1, 200):
        status = perform(operation, place, step, killed)
        if os.WIFEXITED(status):
            assert os.WEXITSTATUS(status) == DONE
            break
        assert os.WTERMSIG(status) == signal.SIGKILL
        assert before <= versions(place)
        # The next writer is not stopped by what was left, and cleans it up.
        save_baseline(run_of(measured(), number=9), place / "b", profile="light", keep_runs=10)
        assert before <= versions(place)
        assert load_baseline(place / "b", "light").version > max(numbers)
        assert list((place / "b").rglob("*.tmp")) == []
        shutil.rmtree(place / "b")
        shutil.copytree(place / "fresh", place / "b")
    assert step > 5


@pytest.mark.parametrize("fault", [full, forbidden])
@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS.keys())
def test_a_call_that_fails_is_one_line_and_the_current_version_stays(place, operation, fault):
    before = versions(place)
    current = (place / "b" / "baseline_light.json").read_bytes()
    shutil.copytree(place / "b", place / "fresh")
    refused = 0
    calls = os.WEXITSTATUS(perform(operation, place, 0, None))
    assert 5 < calls < BUG
    for step in range(1, calls + 1):
        shutil.rmtree(place / "b")
        shutil.copytree(place / "fresh", place / "b")
        status = perform(operation, place, step, fault)
        assert os.WIFEXITED(status)
        assert os.WEXITSTATUS(status) in (DONE, REFUSED)
        assert before <= versions(place)
        if os.WEXITSTATUS(status) == REFUSED:
            refused += 1
            assert (place / "b" / "baseline_light.json").read_bytes() == current
    assert refused >= 2


def test_a_half_written_temporary_file_is_no_baseline(place):
    """What a writer leaves that was ended in the middle of the write itself."""
    left = place / "b" / ".baseline_light.json.abc.tmp"
    left.write_bytes(store.dump(load_baseline(place / "b", "light")).encode()[:100])
    assert load_baseline(place / "b", "light").version == 2
    save_baseline(RUN, place / "b", profile="light", keep_runs=10)
    assert not left.exists()
