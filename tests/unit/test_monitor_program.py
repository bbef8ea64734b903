"""The monitor as a program: what it writes, and that it is gone when it should be, however that comes about."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from benchkit.errors import UserError
from benchkit.model import MonitorHeader, MonitorSample
from benchkit.monitor.feed import Feed, Feeds
from benchkit.monitor.record import Recorder
from benchkit.monitor.sampler import usable_cores

ROOT = Path(__file__).parents[2]
PROGRAM = ROOT / "utils" / "monitor.py"

# A shell that starts the monitor as runner.sh does, then some load with a token among its arguments.
SHELL = """
"$1" "$2" --shell $$ "${@:4}" "$3" &
monitor=$!
echo $monitor
while [ ! -s "$3" ] && kill -0 $monitor 2>/dev/null; do sleep 0.05; done
"$1" -c 'import sys; sys.stdin.read()' -H 'Authorization: Bearer THE-TOKEN' <&0 &
wait $monitor
"""


class Started:
    """A shell and its monitor."""

    def __init__(self, directory: Path, *flags: str, **environ: str) -> None:
        self.file = directory / "monitor.jsonl"
        words = ["bash", "-c", SHELL, "shell", sys.executable, str(PROGRAM), str(self.file), *flags]
        self.shell = subprocess.Popen(
            words,
            env={**os.environ, "GATEWAY_URL": "http://127.0.0.1:1", "PERF_STACK_DIR": str(directory / "none")}
            | environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            # Whoever started the tests may ignore it (nohup), and so would the monitor.
            preexec_fn=partial(signal.signal, signal.SIGHUP, signal.SIG_DFL),
        )
        assert self.shell.stdout is not None
        self.monitor = psutil.Process(int(self.shell.stdout.readline()))

    def lines(self) -> list[str]:
        return self.file.read_text(encoding="utf-8").splitlines() if self.file.exists() else []

    def end(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.shell.pid, signal.SIGKILL)
        self.shell.wait()
        for stream in (self.shell.stdin, self.shell.stdout, self.shell.stderr):
            if stream is not None:
                stream.close()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Started]]:
    made: list[Started] = []

    def begin(*flags: str, **environ: str) -> Started:
        made.append(Started(tmp_path, *flags, **environ))
        return made[-1]

    yield begin
    for one in made:
        one.end()


def until(condition: Callable[[], Any], within_s: float = 15.0) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.02)


def ended(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def test_a_header_and_a_line_a_second(start: Callable[..., Started]) -> None:
    run = start()
    until(lambda: len(run.lines()) >= 4)
    first, *lines = run.lines()
    header = MonitorHeader.model_validate_json(first)
    assert [(component.name, component.kind, component.source) for component in header.components] == [
        ("machine", "machine", "system"),
        ("load generator", "generator", "process"),
        ("monitor", "monitor", "process"),
    ]
    assert header.cores == psutil.cpu_count()
    assert 0 < header.usable_cores <= header.cores
    assert any("the gateway is not sampled" in note for note in header.notes)
    samples = [MonitorSample.model_validate_json(line) for line in lines]
    assert samples[0].cpu_percent == {}
    assert [round(sample.at_s) for sample in samples[:3]] == [0, 1, 2]
    assert set(samples[2].cpu_percent) == {"machine", "load generator", "monitor"}
    assert all(value > 0 for value in samples[2].memory_mib.values())


def test_no_token_gets_in(start: Callable[..., Started]) -> None:
    run = start(GATEWAY_TOKEN="ANOTHER-TOKEN", GATEWAY_PASSWORD="A-PASSWORD")
    until(lambda: len(run.lines()) >= 4)
    text = run.file.read_text(encoding="utf-8")
    assert json.loads(run.lines()[-1])["memory_mib"]["load generator"] > 1  # the load with the token was seen
    assert not re.search(r"TOKEN|PASSWORD|Bearer|Authorization", text)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_told_to_end_it_is_gone_at_once_with_whole_lines(start: Callable[..., Started], number: signal.Signals) -> None:
    run = start()
    until(lambda: len(run.lines()) >= 2)
    run.monitor.send_signal(number)
    assert run.shell.wait(1.0) == 0  # it passes on the monitor's code
    assert run.file.read_text(encoding="utf-8").endswith("}\n")


def test_ctrl_c_is_the_shells_business(start: Callable[..., Started]) -> None:
    run = start()
    until(lambda: len(run.lines()) >= 2)
    run.monitor.send_signal(signal.SIGINT)
    count = len(run.lines())
    until(lambda: len(run.lines()) > count)


def test_it_does_not_outlive_a_shell_that_was_killed(start: Callable[..., Started]) -> None:
    run = start()
    until(lambda: len(run.lines()) >= 2)
    run.shell.kill()
    until(lambda: ended(run.monitor), within_s=1.0)


def test_switched_off(start: Callable[..., Started]) -> None:
    run = start(PERF_MONITOR="false")
    assert run.shell.wait(15) == 0
    assert not run.file.exists()


def test_a_file_that_cannot_be_written_is_one_line(start: Callable[..., Started], tmp_path: Path) -> None:
    (tmp_path / "monitor.jsonl").mkdir()
    run = start()
    _, err = run.shell.communicate(timeout=15)
    assert run.shell.returncode == 2
    assert err == f"error: {tmp_path}/monitor.jsonl: cannot be written: File exists\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_one_line(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "x")
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, recorder.descriptor)
    os.close(full)
    with pytest.raises(UserError, match="No space left on device"):
        recorder.write(MonitorSample(at_s=0.0, cpu_percent={}, memory_mib={}))


def test_a_shell_that_is_not_there() -> None:
    words = [sys.executable, str(PROGRAM), "--shell", str(2**22), "/nowhere/file"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=20)
    # Whatever is first seen of it: it is not the parent, or it is no process.
    assert done.returncode in (0, 2)
    assert "Traceback" not in done.stderr


def test_the_cost_is_below_two_per_cent_of_one_core() -> None:
    words = [sys.executable, str(ROOT / "benchmarks" / "monitor_cost.py"), "--seconds", "5"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr


# What may block


def test_a_source_that_fails_is_told_of_once_and_begun_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchkit.monitor.feed._RETRY_S", 0.01)
    begun = []

    def values() -> Iterator[int]:
        begun.append(1)
        if len(begun) < 3:
            raise OSError("it is away\nand more")
        yield 7
        time.sleep(5)

    told: list[str] = []
    feeds: Feeds[int] = Feeds(told.append)
    feeds.begin("db", "1", values)
    assert feeds.stale
    until(lambda: feeds.latest() == {"db": 7})
    assert not feeds.stale
    assert told == ["db: it is away"]
    feeds.begin("db", "1", values)
    assert len(begun) == 3
    feeds.begin("db", "2", values)
    until(lambda: len(begun) == 4)


def test_one_that_hangs_has_no_value_and_keeps_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchkit.monitor.feed.FRESH_S", 0.1)

    def values() -> Iterator[int]:
        yield 1
        time.sleep(60)

    feed = Feed(values, pytest.fail)
    feed.start()
    until(lambda: feed.latest() == 1)
    until(lambda: feed.latest() is None)
    feed.stop()


# Cores


@pytest.mark.parametrize(
    ("files", "limit"),
    [
        ({"cpu.max": "150000 100000\n"}, 1.5),
        ({"cpu.max": "max 100000\n"}, None),
        ({"cpu/cpu.cfs_quota_us": "50000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 0.5),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
        ({"cpu.max": "\n"}, None),
        ({}, None),
    ],
)
def test_the_limit_of_a_container(tmp_path: Path, files: dict[str, str], limit: float | None) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 64
    assert usable_cores(64, tmp_path) == min(allowed, limit or 64)
