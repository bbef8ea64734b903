"""The program ``utils/stack.py`` where no stack runs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchkit.settings import ROOT


def run(directory: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "PERF_STACK_DIR": str(directory / "st ack"), **variables}
    command = [sys.executable, str(ROOT / "utils" / "stack.py"), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--help"], 0, ""),
        ([], 2, "usage"),
        (["down"], 0, "nothing to stop"),
        (["down", "--owner-file", "/nonexistent"], 0, "nothing to stop"),
        (["status"], 2, "nothing runs"),
        (["logs"], 2, "error: there are no logs"),
    ],
)
def test_without_a_stack(tmp_path: Path, arguments: list[str], code: int, words: str) -> None:
    result = run(tmp_path, *arguments)
    assert result.returncode == code
    assert words in result.stderr
    assert not (tmp_path / "st ack").exists()


def test_logs(tmp_path: Path) -> None:
    logs = tmp_path / "st ack" / "logs"
    logs.mkdir(parents=True)
    (logs / "gateway.log").write_text("".join(f"line {number}\n" for number in range(1, 31)))
    (logs / "time1.log").write_text("hello\n")
    assert run(tmp_path, "logs", "gateway").stdout == "".join(f"line {number}\n" for number in range(11, 31))
    both = run(tmp_path, "logs").stdout
    assert "line 30" in both
    assert "hello" in both
    unknown = run(tmp_path, "logs", "nobody")
    assert unknown.returncode == 2
    assert "there are: gateway, time1" in unknown.stderr


def test_status_knows_a_stack_that_is_no_more(tmp_path: Path) -> None:
    directory = tmp_path / "st ack"
    directory.mkdir()
    (directory / "stack.json").write_text(
        """{"schema_version": 1, "created": "2025-01-01T00:00:00Z", "ready": true, "runtime_dir": "/nonexistent/x",
        "supervisor": {"pid": 1, "started": 12345.6, "socket": "/nonexistent/x/s"},
        "topology": {"gateway": {"version": "1", "installation": "1", "port": 1, "workers": 1, "database": "sqlite",
                                 "settings": {}},
                     "servers": [], "redis": false},
        "gateway": {"url": "u", "email": "e", "password": "p", "python": "p", "env_file": "f", "version": "1"},
        "servers": []}"""
    )
    result = run(tmp_path, "status")
    assert result.returncode == 2
    assert "the supervisor has ended" in result.stderr
    assert run(tmp_path, "down").returncode == 0
    assert not (directory / "stack.json").exists()


def test_an_interrupted_ensure_leaves_no_owner_file(tmp_path: Path) -> None:
    owner = tmp_path / "owner"
    result = run(tmp_path, "ensure", "--owner-file", str(owner), GATEWAY="external", GATEWAY_URL="http://127.0.0.1:1")
    assert result.returncode == 2
    assert "no gateway answers at http://127.0.0.1:1" in result.stderr
    assert result.stdout == ""
    assert not owner.exists()


@pytest.mark.parametrize(
    "command",
    [
        [sys.executable, "utils/stack.py", "up"],
        [sys.executable, "utils/stack.py", "ensure", "--owner-file", "/nonexistent"],
        ["utils/check-services.sh"],
        ["./run-configurable.sh", "--profile", "light"],
    ],
    ids=lambda command: Path(command[-1] if len(command) == 1 else command[1]).name,
)
def test_docker_is_refused_by_every_entry_in_one_line(tmp_path: Path, command: list[str]) -> None:
    environment = {"PATH": os.environ["PATH"], "GATEWAY": "docker", "PERF_PYTHON": sys.executable}
    environment |= {"PERF_STACK_DIR": str(tmp_path / "stack"), "RESULTS_DIR": str(tmp_path / "results")}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "error: environment variable GATEWAY: service.mode = 'docker': starting the stack in Docker comes with a later "
        "version; use local for a stack of processes, external for a gateway that runs already, or auto"
    ]
    assert list(tmp_path.iterdir()) == []
