"""The driver: rounds, probes around each load, counters, and what is written when something is not there."""

from __future__ import annotations

import http.server
import json
import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from benchkit import store
from benchkit.errors import UserError
from benchkit.load import driver as driver_module
from benchkit.load.arguments_file import LoadProcess
from benchkit.load.driver import WARM_UP, Driver, steps, write_bodies
from benchkit.load.engines import programs
from benchkit.model import (
    Expectation,
    Plan,
    RawIteration,
    ServerCounter,
)
from benchkit.settings import load_settings
from builders.driven import Counters, case, plan_of

TOKEN = "s3cret-t0ken"

PROGRAMS = programs(load_settings(environ={}))
HEY = PROGRAMS["hey"][0]
"""The real one, on PATH or where the set-up put it."""


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers /ok and /echo well, /error with a JSON-RPC error and status 200, /shrinks shorter after ten requests."""

    protocol_version = "HTTP/1.1"
    requests: int = 0
    content_types: ClassVar[set[str]] = set()
    wbufsize = 65536  # one packet an answer: two would wait for a delayed acknowledgement

    def do_GET(self) -> None:
        type(self).requests += 1
        length = int(self.headers.get("content-length") or 0)
        body = self.rfile.read(length)
        if length:
            type(self).content_types.add(self.headers["content-type"])
        if self.path == "/error":
            answer = b'{"jsonrpc": "2.0", "id": 1, "error": {"code": -32601, "message": "Tool not found: x"}}'
        elif self.path == "/shrinks":
            answer = b"x" * (1000 if type(self).requests < 10 else 10)
        elif self.path == "/echo":
            answer = body
        else:
            answer = b'{"jsonrpc": "2.0", "id": 1, "result": {"fine": true}}'
        self.send_response(200)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)
        self.wfile.flush()

    do_POST = do_GET  # noqa: N815

    def log_message(self, *args: object) -> None:
        """Tests are quiet."""


@pytest.fixture
def base_url() -> Iterator[str]:
    Handler.requests = 0
    Handler.content_types = set()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def driver_of(plan: Plan, run_dir: Path, counters: Counters | None = None, *, gateway_answers: bool = True) -> Driver:
    return Driver(
        plan,
        run_dir,
        programs=PROGRAMS,
        token=lambda _: TOKEN,
        counters=counters or Counters(),
        gateway_answers=lambda: gateway_answers,
    )


def drive(plan: Plan, run_dir: Path, counters: Counters | None = None, *, gateway_answers: bool = True) -> Driver:
    """Run a whole plan with the real hey, as the shell does."""
    driver = driver_of(plan, run_dir, counters, gateway_answers=gateway_answers)
    for step in steps(plan):
        driver.end([start(process) for process in driver.begin(step, 1.0)])
    return driver


def start(process: LoadProcess) -> int:
    with (process.output or Path(os.devnull)).open("wb") as output:
        return subprocess.run([HEY, *process.arguments], stdout=output, check=False).returncode


def raw(run_dir: Path, name: str) -> RawIteration:
    return store.load(run_dir / "raw" / "s" / name, RawIteration, "raw")


def test_every_case_is_measured_once_before_any_is_measured_again() -> None:
    plan = plan_of(case("a", "http://x"), case("b", "http://x"), case("c", "http://x", skipped="no"))
    assert [(step.round, step.cases[0].name) for step in steps(plan)] == [
        (WARM_UP, "a"),
        (WARM_UP, "b"),
        (1, "a"),
        (1, "b"),
        (2, "a"),
        (2, "b"),
    ]


def test_a_group_runs_at_the_same_time() -> None:
    plan = plan_of(case("a", "http://x", group="g"), case("b", "http://x"), case("c", "http://x", group="g"))
    assert [[one.name for one in step.cases] for step in steps(plan)][:2] == [["a", "c"], ["b"]]


def test_rows_documents_probes_and_counters_of_a_good_case(base_url: str, tmp_path: Path) -> None:
    counter = ServerCounter(url="http://x", key="k")
    plan = plan_of(
        case("good", f"{base_url}/ok", expect=Expectation(rpc=True), server_counter=counter, gateway_kind="tools")
    )
    driver = drive(plan, tmp_path)
    assert sorted(path.name for path in (tmp_path / "raw" / "s").iterdir()) == [
        "good.1.csv",
        "good.1.json",
        "good.2.csv",
        "good.2.json",
    ]
    first = raw(tmp_path, "good.1.json")
    assert [one.problem for one in first.probes] == ["", ""]
    assert [one.when for one in first.probes] == ["before", "after"]
    assert (first.parts[0].sent, first.parts[0].exit_status) == (10, 0)
    assert (first.parts[0].server_calls, first.parts[0].server_failures) == (10, 0)
    # 4 of the warm-up, 2 x 10 measured, and a probe before each load (3) and after each measured one (2).
    assert Handler.requests == 29
    assert driver.sent["tools"].succeeded == 29
    assert len((tmp_path / "raw" / "s" / "good.1.csv").read_text("utf-8").splitlines()) == 11


def test_the_token_reaches_hey_and_no_file(base_url: str, tmp_path: Path) -> None:
    plan = plan_of(case("good", f"{base_url}/ok"))
    driver = Driver(
        plan, tmp_path, programs=PROGRAMS, token=lambda _: TOKEN, counters=Counters(), gateway_answers=lambda: True
    )
    process = driver.begin(next(iter(steps(plan))), 1.0)[0]
    assert f"Authorization: Bearer {TOKEN}" in process.arguments
    drive(plan, tmp_path)
    assert [path for path in tmp_path.rglob("*") if path.is_file() and TOKEN.encode() in path.read_bytes()] == []


def test_a_body_is_sent_from_its_file_with_its_type(base_url: str, tmp_path: Path) -> None:
    run_dir = tmp_path / "a run with spaces"
    run_dir.mkdir()
    body = json.dumps({"text": "größer 100%"})
    headers = {"Content-Type": "application/json"}
    plan = plan_of(
        case(
            "post", f"{base_url}/echo", method="POST", body=body, headers=headers, expect=Expectation(contains=["100%"])
        )
    )
    drive(write_bodies(plan, run_dir), run_dir)
    assert raw(run_dir, "post.2.json").probes[1].problem == ""
    assert Handler.content_types == {"application/json"}
    assert raw(run_dir, "post.1.json").parts[0].exit_status == 0


def test_a_case_whose_probe_fails_is_not_loaded_and_not_tried_again(base_url: str, tmp_path: Path) -> None:
    plan = plan_of(case("bad", f"{base_url}/error", expect=Expectation(rpc=True), warmup_requests=0))
    drive(plan, tmp_path)
    assert "Tool not found" in raw(tmp_path, "bad.1.json").probes[0].problem
    assert raw(tmp_path, "bad.1.json").parts == []
    assert not (tmp_path / "raw" / "s" / "bad.1.csv").exists()
    assert Handler.requests == 3  # the probe asks three times whether a right answer can be had


def test_an_answer_that_shrank_under_load_is_noticed(base_url: str, tmp_path: Path) -> None:
    drive(plan_of(case("shrinks", f"{base_url}/shrinks", warmup_requests=0, iterations=1)), tmp_path)
    assert (
        raw(tmp_path, "shrinks.1.json").probes[1].problem == "the body had 1000 bytes before the load and 10 after it"
    )


@pytest.mark.parametrize(
    ("counters", "words"),
    [(Counters(restart=True), "was restarted during the load"), (Counters(answers=False), "did not answer when")],
)
def test_calls_that_cannot_be_counted_are_said(base_url: str, tmp_path: Path, counters: Counters, words: str) -> None:
    counter = ServerCounter(url="http://x", key="k")
    drive(plan_of(case("good", f"{base_url}/ok", server_counter=counter)), tmp_path, counters)
    part = raw(tmp_path, "good.1.json").parts[0]
    assert part.server_calls is None
    assert words in part.server_problem


def test_a_gateway_that_is_gone_does_not_cost_a_timeout_for_every_case(tmp_path: Path) -> None:
    nowhere = "http://127.0.0.1:1/"
    plan = plan_of(*(case(name, nowhere, warmup_requests=0) for name in "abcde"))
    drive(plan, tmp_path, gateway_answers=False)
    assert "Connection refused" in raw(tmp_path, "a.1.json").probes[0].problem
    assert raw(tmp_path, "e.1.json").probes[0].problem == "not run: the gateway stopped answering before s/c, round 1"


def test_a_full_disk_is_a_clear_line(base_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plan_of(case("good", f"{base_url}/ok"))
    driver = Driver(
        plan, tmp_path, programs=PROGRAMS, token=lambda _: TOKEN, counters=Counters(), gateway_answers=lambda: True
    )
    monkeypatch.setattr(driver_module, "_MIN_FREE_BYTES", 2**80)
    with pytest.raises(UserError, match="the disk is full"):
        driver.begin(next(iter(steps(plan))), 1.0)
