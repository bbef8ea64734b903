"""Answers are read and checked while the load runs: a real hey, real sockets, and servers that lie now and then."""

from __future__ import annotations

import gzip
import http.server as http_server
import itertools
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchkit import http
from benchkit.load.chance import is_above, least_percent
from benchkit.load.checker import Checkers, plan_checks
from benchkit.load.collect import collect
from benchkit.load.driver import Driver, LoadProcess, steps
from benchkit.load.engines import programs
from benchkit.load.interruptions import Watch, silent_gap
from benchkit.load.rows import Rows
from benchkit.model import Case, Checks, Expectation, Plan, PlannedCase, RawIteration, Validity
from benchkit.settings import ROOT, load_settings
from benchkit.store import load, save
from builders.raw_runs import ENVIRONMENT, http_part

PROGRAMS = programs(load_settings(environ={}))
HEY = PROGRAMS["hey"][0]
GOOD = b'{"jsonrpc": "2.0", "id": 1, "result": {"fine": true}}'
BAD = b'{"jsonrpc": "2.0", "id": 1, "error": {"code": -32603, "message": "Internal error"}}'
TOKEN = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJzdHViIn0.c2lnbmF0dXJl"

Respond = Callable[[http_server.BaseHTTPRequestHandler, int], None]


def answer(handler: http_server.BaseHTTPRequestHandler, body: bytes, status: int = 200, **headers: str) -> None:
    """Send a whole answer in one packet."""
    handler.send_response(status)
    for name, value in ({"content-length": str(len(body))} | headers).items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body)
    handler.wfile.flush()


@contextmanager
def serve(respond: Respond) -> Iterator[str]:
    """A server whose n-th request, counted from 1, is answered by ``respond(handler, n)``."""
    numbers = itertools.count(1)

    class Handler(http_server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 65536

        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("content-length") or 0))
            respond(self, next(numbers))

        do_POST = do_GET  # noqa: N815

        def log_message(self, *args: object) -> None:
            """Tests are quiet."""

    class Server(http_server.ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 256

    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def plan_for(url: str, *, requests: int = 100, concurrency: int = 10, iterations: int = 3, **fields: Any) -> Plan:
    checks, left = plan_checks(requests, concurrency, iterations)
    request = {key: fields.pop(key) for key in ("method", "headers") if key in fields}
    values = {"expect": Expectation(rpc=True), "timeout_s": 5, **fields}
    case = PlannedCase(
        id="s/a",
        scenario="s",
        name="a",
        iterations=iterations,
        warmup_requests=0,
        checks=checks,
        engine="hey",
        resolution_ms=0.1,
        parts=[http_part(url, requests=requests // concurrency * left, concurrency=left, **request)],
        **values,
    )
    return Plan(
        run_id="light_x",
        created=datetime.now(UTC),
        environment=ENVIRONMENT,
        scenarios=["s"],
        command="x",
        max_error_rate=1.0,
        cases=[case],
    )


class NoCounters:
    def read(self, counter: object) -> None:
        raise AssertionError(f"nothing is counted here: {counter}")


def driver_for(plan: Plan, run_dir: Path) -> Driver:
    return Driver(
        plan, run_dir, programs=PROGRAMS, token=lambda _: TOKEN, counters=NoCounters(), gateway_answers=lambda: True
    )


def run_load(processes: list[LoadProcess]) -> list[int]:
    running = []
    for process in processes:
        assert process.output is not None
        with process.output.open("wb") as output:
            running.append(subprocess.Popen([HEY, *process.arguments], stdout=output))
    return [process.wait() for process in running]


def measure(plan: Plan, run_dir: Path) -> Case:
    """Measure a plan of one case as the shell does, and collect it."""
    run_dir.mkdir(exist_ok=True)
    save(run_dir / "plan.json", plan)
    driver = driver_for(plan, run_dir)
    for step in steps(plan):
        driver.end(run_load(driver.begin(step, 1.0)))
    return collect(run_dir).run.cases[0]


def first_raw(run_dir: Path) -> RawIteration:
    return load(run_dir / "raw" / "s" / "a.1.json", RawIteration, "raw")


def checks_of(run_dir: Path) -> Checks:
    checks = first_raw(run_dir).parts[0].checks
    assert checks is not None
    return checks


# ---------------------------------------------------------------------------------------------------------------------
# What is checked


def test_checkers_read_answers_during_the_whole_round(tmp_path: Path) -> None:
    def respond(handler: http_server.BaseHTTPRequestHandler, _number: int) -> None:
        time.sleep(0.02)
        answer(handler, GOOD)

    with serve(respond) as url:
        case = measure(plan_for(url), tmp_path)
    assert case.validity is Validity.VALID, case.reason
    raw = first_raw(tmp_path)
    checks = checks_of(tmp_path)
    assert (checks.wrong, checks.failed, checks.extra_sent) == (0, {}, 0)
    assert checks.sent == len(checks.right_s)
    assert raw.parts[0].sent == 80
    assert 15 <= checks.sent <= 24
    # Spread over the round, not bunched at one end of it: some in each third.
    thirds = np.histogram(checks.right_s, bins=3, range=(0, raw.parts[0].wall_s))[0]
    assert all(thirds >= 2), checks.right_s
    assert case.counts is not None
    assert case.counts.checked is not None
    assert case.counts.checked >= 45
    assert case.counts.sent == case.counts.ok == 240 + case.counts.checked


def test_throughput_counts_the_checked_answers_and_latency_is_the_generators(tmp_path: Path) -> None:
    def respond(handler: http_server.BaseHTTPRequestHandler, _number: int) -> None:
        time.sleep(0.05)
        answer(handler, GOOD)

    with serve(respond) as url:
        case = measure(plan_for(url, iterations=1), tmp_path)
    rows = (tmp_path / "raw" / "s" / "a.1.csv").read_text("utf-8").splitlines()[1:]
    assert len(rows) == 80
    # Ten workers of which each answer takes 50 ms and a little: nearly 200 a second. The generator's own are 160.
    assert 165 <= case.metrics["requests_per_sec"] <= 200
    assert case.histogram is not None
    assert sum(case.histogram.counts) == 80


def test_the_checkers_cannot_be_told_from_hey(tmp_path: Path) -> None:
    seen: set[tuple[tuple[str, str], ...]] = set()

    def respond(handler: http_server.BaseHTTPRequestHandler, _number: int) -> None:
        if "hey" in handler.headers["user-agent"]:
            seen.add(tuple(handler.headers.items()))
        answer(handler, GOOD)

    with serve(respond) as url:
        plan = plan_for(url, method="POST", headers={"Content-Type": "application/json", "Accept": "application/json"})
        body = tmp_path / "body.json"
        body.write_text("{}", encoding="utf-8")
        part = plan.cases[0].parts[0]
        request = part.request.model_copy(update={"body": "{}", "body_file": "body.json"})
        part = part.model_copy(update={"request": request})
        case = plan.cases[0].model_copy(update={"parts": [part]})
        measure(plan.model_copy(update={"cases": [case]}), tmp_path)
    assert {tuple(sorted(headers)) for headers in seen} == {tuple(sorted(next(iter(seen))))}


def test_a_compressed_answer_is_read(tmp_path: Path) -> None:
    def respond(handler: http_server.BaseHTTPRequestHandler, _number: int) -> None:
        answer(handler, gzip.compress(GOOD), content_encoding="gzip")

    with serve(respond) as url:
        assert measure(plan_for(url, iterations=1), tmp_path).validity is Validity.VALID


@pytest.mark.parametrize("concurrency", [1, 2, 3])
def test_small_concurrency_is_checked_too(tmp_path: Path, concurrency: int) -> None:
    def respond(handler: http_server.BaseHTTPRequestHandler, _number: int) -> None:
        time.sleep(0.002)
        answer(handler, GOOD)

    with serve(respond) as url:
        case = measure(plan_for(url, requests=90, concurrency=concurrency), tmp_path)
    assert case.validity is Validity.VALID, case.reason
    assert case.counts is not None
    assert case.counts.checked is not None
    assert case.counts.checked >= 10


# ---------------------------------------------------------------------------------------------------------------------
# What is found


@pytest.mark.parametrize("pattern", ["every tenth", "by chance"])
def test_one_wrong_answer_of_ten_under_load_is_invalid_each_time(tmp_path: Path, pattern: str) -> None:
    for turn in range(4):
        dice = random.Random(turn)

        def respond(handler: http_server.BaseHTTPRequestHandler, number: int, dice: random.Random = dice) -> None:
            is_bad = number % 10 == 0 if pattern == "every tenth" else dice.random() < 0.1
            time.sleep(0.002)
            answer(handler, BAD if is_bad else GOOD)

        with serve(respond) as url:
            case = measure(plan_for(url), tmp_path / str(turn))
        assert case.validity is Validity.INVALID
        assert "JSON-RPC error -32603: Internal error" in case.reason
        assert "answers checked during the load were wrong" in case.reason
        assert case.metrics == {}


def test_answers_that_are_wrong_for_hey_alone_are_found(tmp_path: Path) -> None:
    """A filter in front of a gateway that knows hey by its name."""

    def respond(handler: http_server.BaseHTTPRequestHandler, _number: int) -> None:
        answer(handler, BAD if "hey" in handler.headers["user-agent"] else GOOD)

    with serve(respond) as url:
        case = measure(plan_for(url), tmp_path)
    assert case.validity is Validity.INVALID
    assert "-32603" in case.reason


def test_one_wrong_answer_is_told_and_condemns_nothing(tmp_path: Path) -> None:
    wrong = threading.Event()

    def respond(handler: http_server.BaseHTTPRequestHandler, number: int) -> None:
        # The first checker's answer after some time: a request on a connection of its own is hard to pick otherwise.
        is_bad = number == 61 and not wrong.is_set()
        time.sleep(0.002)
        if is_bad:
            wrong.set()
        answer(handler, BAD if is_bad else GOOD)

    with serve(respond) as url:
        case = measure(plan_for(url), tmp_path)
    assert case.validity is Validity.VALID, case.reason
    assert case.metrics["p50_latency"] > 0


def test_a_wrong_answer_to_a_probe_leads_to_more_checks(tmp_path: Path) -> None:
    def respond(handler: http_server.BaseHTTPRequestHandler, number: int) -> None:
        answer(handler, BAD if number == 1 else GOOD)

    with serve(respond) as url:
        case = measure(plan_for(url), tmp_path)
    checks = checks_of(tmp_path)
    assert (checks.wrong, checks.extra_sent, checks.extra_wrong) == (0, 100, 0)
    assert case.validity is Validity.VALID, case.reason
    assert any("1 of " in note and "-32603" in note for note in case.notes)


def test_what_the_driver_calls_wrong_the_collector_calls_invalid(tmp_path: Path) -> None:
    """Both count the same answers, so that a case which is not measured any more has its reason."""
    for turn in range(6):
        dice = random.Random(turn)

        def respond(handler: http_server.BaseHTTPRequestHandler, _number: int, dice: random.Random = dice) -> None:
            answer(handler, BAD if dice.random() < 0.03 else GOOD)

        with serve(respond) as url:
            case = measure(plan_for(url), tmp_path / str(turn))
        assert case.validity in (Validity.VALID, Validity.INVALID), case.reason


def test_a_few_wrong_answers_are_in_the_notes(tmp_path: Path) -> None:
    def respond(handler: http_server.BaseHTTPRequestHandler, _number: int) -> None:
        answer(handler, GOOD)

    with serve(respond) as url:
        plan = plan_for(url, iterations=1)
        measure(plan, tmp_path)
    raw = first_raw(tmp_path)
    checks = checks_of(tmp_path).model_copy(
        update={"wrong": 1, "first_wrong": "JSON-RPC error -1: no", "extra_sent": 100}
    )
    save(
        tmp_path / "raw" / "s" / "a.1.json",
        raw.model_copy(update={"parts": [raw.parts[0].model_copy(update={"checks": checks})]}),
    )
    case = collect(tmp_path).run.cases[0]
    assert case.validity is Validity.VALID
    assert any("1 of " in note and "was wrong" in note and "JSON-RPC error -1: no" in note for note in case.notes)


def test_a_quoted_answer_shows_no_secret(tmp_path: Path) -> None:
    other = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbm90aGVyIn0.aaaaaaaaaa"

    def respond(handler: http_server.BaseHTTPRequestHandler, _number: int) -> None:
        text = f'{{"jsonrpc": "2.0", "id": 1, "error": {{"code": -1, "message": "bad {TOKEN} {other}"}}}}'.encode()
        answer(handler, text if "hey" in handler.headers["user-agent"] else GOOD)

    with serve(respond) as url:
        case = measure(plan_for(url, iterations=1), tmp_path)
    assert "bad [hidden] [hidden]" in case.reason
    assert TOKEN not in "".join(path.read_text("utf-8") for path in tmp_path.rglob("*.json"))


@pytest.mark.parametrize("body", [b'{"jsonrpc": "2.0", "id": 1', b"<html>sorry</html>", b""])
def test_answers_that_are_cut_or_of_another_kind_are_wrong(tmp_path: Path, body: bytes) -> None:
    def respond(handler: http_server.BaseHTTPRequestHandler, _number: int) -> None:
        answer(handler, body if "hey" in handler.headers["user-agent"] else GOOD)

    with serve(respond) as url:
        case = measure(plan_for(url, iterations=1), tmp_path)
    assert case.validity is Validity.INVALID


def test_redirects_under_load_are_failures_and_are_not_followed(tmp_path: Path) -> None:
    elsewhere = itertools.count()

    def sink(handler: http_server.BaseHTTPRequestHandler, _number: int) -> None:
        next(elsewhere)
        answer(handler, GOOD)

    with serve(sink) as other:

        def respond(handler: http_server.BaseHTTPRequestHandler, _number: int) -> None:
            if "hey" in handler.headers["user-agent"]:
                answer(handler, b"", 302, location=f"{other}/sorry")
            else:
                answer(handler, GOOD)

        with serve(respond) as url:
            case = measure(plan_for(url, iterations=1), tmp_path)
    assert case.validity is Validity.INVALID
    assert "HTTP 302" in case.reason
    assert next(elsewhere) == 0


def test_a_body_without_end_ends_at_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http.Session.send, "__kwdefaults__", {"headers": None, "body": None, "most_bytes": 100_000})

    def respond(handler: http_server.BaseHTTPRequestHandler, _number: int) -> None:
        large = b"x" * 200_000
        answer(handler, large if "hey" in handler.headers["user-agent"] else GOOD)

    with serve(respond) as url:
        case = measure(plan_for(url, iterations=1), tmp_path)
    assert "more than" in case.reason


def test_a_bomb_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http.Session.send, "__kwdefaults__", {"headers": None, "body": None, "most_bytes": 100_000})
    bomb = gzip.compress(b"x" * 3_000_000)

    def respond(handler: http_server.BaseHTTPRequestHandler, _number: int) -> None:
        if "hey" in handler.headers["user-agent"]:
            answer(handler, bomb, content_encoding="gzip")
        else:
            answer(handler, GOOD)

    with serve(respond) as url:
        case = measure(plan_for(url, iterations=1), tmp_path)
    assert "more than" in case.reason


def test_an_answer_that_drips_does_not_hold_the_run(tmp_path: Path) -> None:
    """hey's own timeout ends its requests; a checker must not wait longer than that."""

    def respond(handler: http_server.BaseHTTPRequestHandler, _number: int) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
        with_end = time.monotonic() + 30
        try:
            while time.monotonic() < with_end:
                handler.wfile.write(b"x")
                handler.wfile.flush()
                time.sleep(0.1)
        except OSError:
            handler.close_connection = True

    with serve(respond) as url:
        plan = plan_for(url, iterations=1, requests=20, timeout_s=1)
        case = plan.cases[0]
        output = tmp_path / "rows.csv"
        output.touch()
        checkers = Checkers([(case, case.parts[0], output)])
        begun = time.monotonic()
        checkers.start()
        time.sleep(0.2)
        checkers.stop()
    assert time.monotonic() - begun < 4
    assert checkers.results(begun)[0].failed


# ---------------------------------------------------------------------------------------------------------------------
# Caches


@pytest.mark.parametrize(
    ("headers", "quoted"),
    [
        ({"x_cache": "HIT from edge1"}, "X-Cache: HIT from edge1"),
        ({"cf_cache_status": "HIT"}, "Cf-Cache-Status: HIT"),
        ({"age": "17", "via": "1.1 varnish"}, "Age: 17, Via: 1.1 varnish"),
        ({"cache_status": "nginx; hit; ttl=60"}, "Cache-Status: nginx; hit"),
        ({"x_cache": "TCP_HIT"}, "X-Cache: TCP_HIT"),
    ],
)
def test_a_cache_in_front_of_the_gateway_is_named(tmp_path: Path, headers: dict[str, str], quoted: str) -> None:
    with serve(lambda handler, _number: answer(handler, GOOD, **headers)) as url:
        case = measure(plan_for(url, iterations=1), tmp_path)
    assert any("a cache in front of the gateway served" in note and quoted in note for note in case.notes), case.notes
    warnings = collect(tmp_path).run.warnings
    assert "a cache in front of the gateway answered in 1 case (the first: s/a): measure without it" in warnings


@pytest.mark.parametrize("headers", [{"x_cache": "MISS"}, {"via": "1.1 proxy"}, {"age": "0"}, {"age": "x"}])
def test_a_proxy_that_asks_the_gateway_is_no_cache(tmp_path: Path, headers: dict[str, str]) -> None:
    with serve(lambda handler, _number: answer(handler, GOOD, **headers)) as url:
        case = measure(plan_for(url, iterations=1), tmp_path)
    assert not [note for note in case.notes if "cache" in note]


# ---------------------------------------------------------------------------------------------------------------------
# Interruptions


def stop_for(pid: int, seconds: float) -> None:
    os.kill(pid, signal.SIGSTOP)
    time.sleep(seconds)
    os.kill(pid, signal.SIGCONT)


def test_a_generator_that_was_stopped_measures_its_round_again(tmp_path: Path) -> None:
    def respond(handler: http_server.BaseHTTPRequestHandler, _number: int) -> None:
        time.sleep(0.02)
        answer(handler, GOOD)

    with serve(respond) as url:
        plan = plan_for(url, iterations=1, requests=400)
        save(tmp_path / "plan.json", plan)
        driver = driver_for(plan, tmp_path)
        step = next(iter(steps(plan)))
        [process] = driver.begin(step, 1.0)
        assert process.output is not None
        command = [HEY, *process.arguments]
        with process.output.open("wb") as output, subprocess.Popen(command, stdout=output) as running:
            time.sleep(0.3)
            stop_for(running.pid, 2.5)
            code = running.wait()
        why = driver.end([code])
        assert "no answer came for 2." in why
        assert not (tmp_path / "raw" / "s" / "a.1.json").exists()
        assert driver.end(run_load(driver.begin(step, 1.0))) == ""
    case = collect(tmp_path).run.cases[0]
    assert case.validity is Validity.VALID
    assert any("iteration 1 was measured again: no answer came for" in note for note in case.notes)
    assert case.metrics["max_latency"] < 1000


def test_a_gap_that_comes_again_is_the_gateways_own(tmp_path: Path) -> None:
    begun = time.monotonic()
    alone = threading.Lock()

    def respond(handler: http_server.BaseHTTPRequestHandler, number: int) -> None:
        with alone:  # whoever meets the stall, all wait for its end
            time.sleep(2.3 if number % 200 == 100 else 0.005)
        answer(handler, GOOD)

    with serve(respond) as url:
        plan = plan_for(url, iterations=1, requests=200, concurrency=1)
        save(tmp_path / "plan.json", plan)
        driver = driver_for(plan, tmp_path)
        step = next(iter(steps(plan)))
        assert driver.end(run_load(driver.begin(step, 1.0)))
        assert driver.end(run_load(driver.begin(step, 1.0))) == ""
    assert time.monotonic() - begun > 4
    case = collect(tmp_path).run.cases[0]
    assert case.validity is Validity.VALID


STOPPED = """
import sys, time
sys.path.insert(0, sys.argv[1])
from benchkit.load.interruptions import Watch
watch = Watch()
print("watches", flush=True)
sys.stdin.readline()
print(watch.stop(), flush=True)
"""


def test_a_toolkit_that_was_stopped_knows_it() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", STOPPED, str(ROOT / "utils")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "watches\n"
        process.send_signal(signal.SIGSTOP)
        time.sleep(2.5)
        process.send_signal(signal.SIGCONT)
        process.stdin.write("\n")
        process.stdin.flush()
        said = process.stdout.readline()
    assert re.fullmatch(r"the toolkit was stopped for \d\.\d s\n", said), said


def test_a_clock_that_was_set_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    watch = Watch()
    moved = time.time() - 45
    monkeypatch.setattr(time, "time", lambda: moved)
    assert "the clock was set by -45" in watch.stop()


def test_a_quiet_moment_is_no_interruption() -> None:
    watch = Watch()
    time.sleep(0.3)
    assert watch.stop() == ""


def rows(*answers: tuple[float, float]) -> Rows:
    """Rows of (start, latency), both in seconds."""
    offset, latency = np.array(answers).T
    return Rows(latency * 1000, np.full(len(answers), 200, np.int16), offset)


def test_a_slow_gateway_has_no_gap() -> None:
    assert silent_gap(rows(*[(3.0 * number, 3.0) for number in range(20)])) == 0
    assert silent_gap(rows((0.0, 8.0))) == 0


def test_a_gap_is_found_behind_and_before_answers() -> None:
    before = [(0.01 * number, 0.01) for number in range(20)]
    after = [(8.3 + 0.01 * number, 0.01) for number in range(20)]
    assert silent_gap(rows(*before, (0.2, 8.1), *after)) == pytest.approx(8.1, abs=0.01)


# ---------------------------------------------------------------------------------------------------------------------
# Chance


@pytest.mark.parametrize(("failures", "total"), [(1, 30), (1, 60), (1, 300), (2, 30), (8, 300), (0, 10)])
def test_few_failures_prove_nothing(failures: int, total: int) -> None:
    assert not is_above(failures, total, 1.0)


@pytest.mark.parametrize(("failures", "total"), [(3, 30), (9, 300), (30, 300), (10, 10)])
def test_many_failures_do(failures: int, total: int) -> None:
    assert is_above(failures, total, 1.0)


def test_where_none_may_fail_one_is_too_many() -> None:
    assert is_above(1, 1000, 0.0)
    assert not is_above(0, 1000, 0.0)


def test_the_lower_bound_is_the_tests_own() -> None:
    """The limit at which the test just turns: both are the same probability."""
    bound = least_percent(9, 300)
    assert is_above(9, 300, bound - 0.01)
    assert not is_above(9, 300, bound + 0.01)
