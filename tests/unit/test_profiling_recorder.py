"""Starting and stopping the sampler, which is a stub here, and what a profiled run refuses."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest

from benchkit import store
from benchkit.errors import ExitCode, UserError
from benchkit.model.cpu_profile import Recording
from benchkit.profiling import recorder
from benchkit.profiling.recorder import Recorder
from benchkit.profiling.samples import read_trace
from benchkit.run import cpu_profile
from benchkit.run.options import parser_for
from benchkit.run.session import Shell
from benchkit.settings import load_settings

STUB = """
import json, os, signal, sys, time
arguments = sys.argv[1:]
if arguments == ["--version"]:
    print("py-spy 9.9")
    sys.exit()
fault = os.environ.get("FAULT", "")
if fault == "permission":
    print("Error: Permission Denied: Try running again with elevated permissions", file=sys.stderr)
    sys.exit(1)
if fault == "no python" or (fault == "native" and "--native" in arguments):
    print("Error: Failed to find python version from target process", file=sys.stderr)
    sys.exit(1)
if arguments[0] == "dump":
    sys.exit()
output = arguments[arguments.index("--output") + 1]
began = time.monotonic()
ended = []
signal.signal(signal.SIGINT, signal.SIG_IGN)
if fault == "silent":
    time.sleep(60)
print("py-spy> Sampling process 100 times a second. Press Control-C to exit.", flush=True)
print("py-spy> 1.2s behind in sampling, results may be inaccurate", flush=True)
if fault == "deaf":
    time.sleep(0.3)
signal.signal(signal.SIGINT, lambda *_: ended.append(1))
while not ended:
    time.sleep(0.005)
now = int((time.monotonic() - began) * 1e6)
frame = {"name": "f", "cat": "py-spy", "pid": 1, "tid": 1, "args": {"filename": "a/b.py", "line": 1}}
if fault != "nothing":
    json.dump([{**frame, "ph": "B", "ts": 10}, {**frame, "ph": "E", "ts": now}], open(output, "w"))
    print("py-spy> Wrote chrome trace. Samples: 12 Errors: 3", flush=True)
"""


@pytest.fixture
def program(tmp_path: Path) -> str:
    stub, path = tmp_path / "stub.py", tmp_path / "py-spy"
    stub.write_text(STUB, "utf-8")
    # Not by the stub's first line, which cannot name an interpreter in a path with a space.
    path.write_text(f"#!/bin/sh\nexec '{sys.executable}' '{stub}' \"$@\"\n", "utf-8")
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def sleeper() -> Iterator[int]:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as process:
        yield process.pid
        process.kill()


def children() -> list[psutil.Process]:
    """This process's that live; what other tests left to be waited for does not."""
    return [one for one in psutil.Process().children(recursive=True) if one.status() != psutil.STATUS_ZOMBIE]


# --- recording -------------------------------------------------------------------------------------------------------


def test_a_round_is_recorded(program: str, tmp_path: Path) -> None:
    record = tmp_path / "raw" / "tools" / "list.2.samples.json"
    one = Recorder(program, rate=25, native=True)
    before = datetime.now(UTC)
    one.start([11, 12], record, case="tools/list", number=2, longest_s=10)
    one.stop()
    found = store.load(record, Recording, "record")
    assert (found.case, found.round, found.rate, found.native, found.sampler) == (
        "tools/list",
        2,
        25,
        True,
        "py-spy 9.9",
    )
    assert [each.pid for each in found.processes] == [11, 12]
    for each in found.processes:
        assert (each.samples, each.errors, each.behind) == (12, 3, 1)
        assert before <= each.earliest <= each.latest
        # It began when it was started, so the span is narrower than the time that starting took.
        assert each.latest - each.earliest < timedelta(seconds=2)
        (thread,) = read_trace(record.with_name(each.file))
        assert thread.slices[0].stack[0].place == "a/b.py"
    assert sorted(path.name for path in record.parent.iterdir()) == sorted(
        [record.name, *(each.file for each in found.processes)]
    )


def test_what_is_asked_of_py_spy(program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []
    started = subprocess.Popen

    def popen(argv: list[str], **arguments: object) -> object:
        asked.append(argv)
        return started(argv, **arguments)  # type: ignore[call-overload]

    one = Recorder(program, rate=50, native=False)
    monkeypatch.setattr(subprocess, "Popen", popen)
    one.start([11], tmp_path / "x.samples.json", case="a/b", number=1, longest_s=9.5)
    one.stop()
    words = asked[0]
    assert words[1] == "record"
    assert words[words.index("--format") + 1] == "chrometrace", "the only format with moments"
    assert words[words.index("--duration") + 1] == "10", "it ends by itself, whatever happens to its parent"
    assert {"--idle", "--threads"} <= set(words)
    assert "--native" not in words


def test_stopping_twice_or_without_a_start_is_nothing(program: str, tmp_path: Path) -> None:
    one = Recorder(program, rate=25, native=True)
    one.stop()
    one.start([11], tmp_path / "x.samples.json", case="a/b", number=1, longest_s=10)
    one.stop()
    stamp = (tmp_path / "x.samples.json").stat().st_mtime_ns
    one.stop()
    assert (tmp_path / "x.samples.json").stat().st_mtime_ns == stamp


def test_a_sampler_that_leaves_nothing_is_a_record_without_processes(
    program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAULT", "nothing")
    one = Recorder(program, rate=25, native=True)
    one.start([11], tmp_path / "x.samples.json", case="a/b", number=1, longest_s=10)
    one.stop()
    assert store.load(tmp_path / "x.samples.json", Recording, "record").processes == []


def test_one_that_listens_late_is_asked_again(program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAULT", "deaf")
    one = Recorder(program, rate=25, native=True)
    one.start([11], tmp_path / "x.samples.json", case="a/b", number=1, longest_s=10)
    one.stop()
    assert len(store.load(tmp_path / "x.samples.json", Recording, "record").processes) == 1
    assert children() == []


class _StopError(Exception):
    """What a handler of TERM raises."""


def test_told_to_end_while_it_waits_for_the_first_sample(
    program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(_number: int, _frame: object) -> None:
        raise _StopError

    monkeypatch.setenv("FAULT", "silent")
    one = Recorder(program, rate=25, native=True)
    before = signal.signal(signal.SIGTERM, stop)
    alarm = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGTERM))
    alarm.start()
    try:
        with pytest.raises(_StopError):
            one.start([11], tmp_path / "x.samples.json", case="a/b", number=1, longest_s=10)
    finally:
        signal.signal(signal.SIGTERM, before)
        alarm.join()
    assert len(children()) == 1
    one.stop()
    assert children() == []


def test_told_to_end_while_it_starts_a_sampler(program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(_number: int, _frame: object) -> None:
        raise _StopError

    started = subprocess.Popen

    def popen(argv: list[str], **arguments: object) -> object:
        process = started(argv, **arguments)  # type: ignore[call-overload]
        os.kill(os.getpid(), signal.SIGTERM)
        return process

    one = Recorder(program, rate=25, native=True)
    before = signal.signal(signal.SIGTERM, stop)
    monkeypatch.setattr(subprocess, "Popen", popen)
    try:
        with pytest.raises(_StopError):
            one.start([11], tmp_path / "x.samples.json", case="a/b", number=1, longest_s=10)
    finally:
        signal.signal(signal.SIGTERM, before)
    one.stop()
    assert children() == []


def test_ctrl_c_of_the_terminal_does_not_reach_the_sampler(program: str, tmp_path: Path) -> None:
    one = Recorder(program, rate=25, native=True)
    one.start([11], tmp_path / "x.samples.json", case="a/b", number=1, longest_s=10)
    try:
        (sampler,) = children()
        assert os.getsid(sampler.pid) != os.getsid(0)
    finally:
        one.stop()
    assert children() == []


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("permission", "may not look into the gateway.*ptrace_scope=0"),
        ("no python", "cannot sample the gateway.*Failed to find python version"),
    ],
)
def test_a_refusal_is_one_line_that_says_what_to_do(
    program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str, words: str
) -> None:
    one = Recorder(program, rate=25, native=True)
    monkeypatch.setenv("FAULT", fault)
    with pytest.raises(UserError, match=words):
        one.start([11], tmp_path / "x.samples.json", case="a/b", number=1, longest_s=10)
    with pytest.raises(UserError, match=words) as refused:
        recorder.try_sampler(program, 11, native=True)
    assert refused.value.exit_code is ExitCode.USAGE
    assert children() == []
    assert list(tmp_path.glob("x.*")) == []


def test_without_compiled_code_where_it_cannot_be_seen(program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert recorder.try_sampler(program, 11, native=True)
    monkeypatch.setenv("FAULT", "native")
    assert not recorder.try_sampler(program, 11, native=True)
    assert not recorder.try_sampler(program, 11, native=False)


def test_the_processes_of_a_gateway(sleeper: int) -> None:
    assert recorder.python_processes(sleeper) == [sleeper]
    assert set(recorder.python_processes(os.getpid())) >= {os.getpid(), sleeper}
    with pytest.raises(UserError, match="is gone"):
        recorder.python_processes(2**22 + 1)


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("tools", "tools has no such case"),
        ("tools/none", "tools has no such case; it has list_limit_10"),
        ("none/x", "must be scenario/name, and the scenarios are tools"),
        ("gateway-core/call_direct", "goes straight to the MCP server"),
    ],
)
def test_a_case_that_cannot_be_profiled(case: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        cpu_profile.check_case(load_settings(environ={}), case)


def test_a_profiled_run_has_rounds_in_pairs_and_requests_of_its_own() -> None:
    load = cpu_profile.profile_settings(load_settings(environ={})).config.performance
    assert (load.iterations, load.default_requests) == (4, 500)
    given = load_settings(environ={}, flags={"--requests": "60", "--pairs": "1"})
    load = cpu_profile.profile_settings(given).config.performance
    assert (load.iterations, load.default_requests) == (2, 60)
    many = cpu_profile.profile_settings(load_settings(environ={"PERF_CONCURRENCY": "600", "PERF_REQUESTS": "600"}))
    assert many.config.performance.default_requests == 600


def test_a_gateway_that_is_not_the_local_stacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERF_STACK_DIR", str(tmp_path))
    with pytest.raises(UserError, match="is not the local stack's, so its process cannot be sampled"):
        cpu_profile.gateway_pid("http://127.0.0.1:4444")


def test_external_gateways_are_refused_before_anything_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY", "external")
    monkeypatch.setattr(cpu_profile, "find_sampler", lambda: "py-spy")
    options = parser_for("cpu-profile", "run-profile.sh").parse_args(["--case", "tools/list_limit_50"])
    with pytest.raises(UserError, match="only the local stack's gateway can be sampled"):
        cpu_profile.CpuProfileSession(options, Shell(1, tmp_path, None, "")).open()


def test_py_spy_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(UserError, match="run make setup"):
        recorder.find_sampler()
