"""Engines: what each has to offer, which is chosen, and that a further one is one file and its registration."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from benchkit.errors import UserError
from benchkit.load import engines
from benchkit.load.collect import collect
from benchkit.load.engines import DEFAULT, ENGINES, STDIN, Engine, engine_named
from benchkit.load.engines.hey import Hey
from benchkit.load.engines.sse import Sse
from benchkit.load.job import Job, http_request
from benchkit.load.rows import Rows
from benchkit.model import (
    AnswerForm,
    HttpRequest,
    Part,
    Plan,
    Request,
    SqlStatement,
    Validity,
)
from benchkit.settings import ROOT, Settings, load_settings
from benchkit.store import save
from builders.engines import measure, planned_with, settings_with
from builders.gateway_stub import Reply, serving
from builders.raw_runs import ENVIRONMENT, START, http_part, planned

RECORDED = "\n".join(f"{20.0 + number} 200 {number * 30.0}" for number in range(20))
"""Latency in ms, status and start in ms of each request."""


class Replay:
    """An engine that sends nothing: it prints the rows of a file that was recorded earlier, whatever the address."""

    name = "replay"
    resolution_ms = 1.0
    closed_loop = False
    cores: int | None = 1
    answer: AnswerForm = "body"
    headers: Mapping[str, str] = {}
    script: Path | None = None

    def __init__(self, recorded: Path) -> None:
        self._recorded = recorded

    def problem_with(self, request: Request) -> str:
        return "" if request.kind == "http" else "it replays only http requests"

    def requests(self, requests: float, workers: int) -> int:
        return 20

    def program(self, settings: Settings) -> list[str]:
        return ["/bin/sh", "-c", 'cat "$1"', "sh"]

    def version(self, program: Sequence[str]) -> str:
        return "1"

    def arguments(self, job: Job) -> list[str]:
        return [str(self._recorded), job.http.url]

    def rows(self, path: Path) -> Rows:
        table = np.loadtxt(path, ndmin=2)
        return Rows(table[:, 0], table[:, 1].astype(np.int16), table[:, 2] / 1000)


@pytest.fixture
def replay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Replay:
    """The third engine, in the list of all."""
    recorded = tmp_path / "recorded.txt"
    recorded.write_text(RECORDED)
    engine = Replay(recorded)
    monkeypatch.setitem(ENGINES, engine.name, engine)
    return engine


def test_a_third_engine_plans_measures_and_is_collected(tmp_path: Path, replay: Replay) -> None:
    settings = settings_with(tmp_path, "        engine: replay\n        expect: {min_bytes: 0}\n")
    programs = engines.programs(settings)
    assert list(programs) == ["replay"]
    assert engines.versions(programs) == {"replay": "1"}
    run_dir = tmp_path / "run"
    (run_dir / "raw").mkdir(parents=True)
    with serving(lambda request: Reply(body={})) as stub:
        [case] = planned_with(settings, stub.url)
        assert (case.engine, case.resolution_ms, case.closed_loop) == ("replay", 1.0, False)
        plan = Plan(
            run_id="light_2025-10-10-143000",
            created=START,
            environment=ENVIRONMENT,
            scenarios=["s"],
            command="x",
            max_error_rate=1.0,
            cases=[case],
        )
        save(run_dir / "plan.json", plan)
        measure(plan, run_dir, programs)
    [found] = collect(run_dir).run.cases
    assert (found.validity, found.reason) == (Validity.VALID, "")
    assert found.metrics["p50_latency"] == 29.5
    assert found.metrics["max_latency"] == 39.0
    assert (found.resolution_ms, found.closed_loop) == (1.0, False)
    assert found.histogram is not None
    assert all(edge == int(edge) for edge in found.histogram.edges_ms)


@pytest.mark.parametrize("engine", ENGINES.values(), ids=ENGINES)
def test_every_engine_has_what_the_others_rely_on(engine: Engine) -> None:
    program = engine.program(load_settings(environ={}))
    assert Path(program[0]).is_absolute()
    assert engine.version(program)
    assert engine.resolution_ms > 0
    assert engine.requests(1, 3) == 3
    assert engine.script is None or engine.script.is_file()
    request = HttpRequest(url="http://127.0.0.1:1/x", headers={"Accept": "x"}, answer=engine.answer)
    assert engine.problem_with(request) == ""
    assert "http" in engine.problem_with(SqlStatement(database="d", statement="select 1"))
    case = planned("a").model_copy(update={"parts": [Part(request=request, requests=4, concurrency=2)]})
    job = Job(case, case.parts[0], 4, Path("/run"))
    assert engine.arguments(job)[-1] == "http://127.0.0.1:1/x"
    assert not any("Bearer" in word for word in engine.arguments(job))
    with_token = engine.arguments(Job(case, case.parts[0], 4, Path("/run"), "t0k3n"))
    assert "Authorization: Bearer t0k3n" in with_token


def test_a_case_that_names_none_has_the_default_one(tmp_path: Path) -> None:
    [case] = planned_with(settings_with(tmp_path, ""))
    assert case.engine == DEFAULT == "hey"


def test_an_engine_that_does_not_exist_is_refused_before_anything_runs(tmp_path: Path) -> None:
    settings = settings_with(tmp_path, "        engine: warp\n")
    with pytest.raises(UserError, match=r"scenarios\.s\.cases\.c\.engine: there is no engine 'warp'; use one of: hey"):
        engines.programs(settings)


def test_an_engine_as_a_route_is_told_where_it_belongs(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"scenarios\.s\.cases\.c\.route = 'sse'.* engine: sse"):
        settings_with(tmp_path, "        route: sse\n")


def test_a_case_whose_engine_cannot_send_its_request_is_refused(
    tmp_path: Path, replay: Replay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay, "problem_with", lambda request: "it sends only sql requests")
    settings = settings_with(tmp_path, "        engine: replay\n")
    with pytest.raises(UserError, match=r"s/c: the engine replay cannot send its request: it sends only sql requests"):
        planned_with(settings)


def test_a_request_that_is_not_http_is_refused_where_only_http_is_known() -> None:
    part = Part(request=SqlStatement(database="d", statement="select 1"), requests=1, concurrency=1)
    with pytest.raises(UserError, match="tools/a: sends sql requests; only http requests can be measured so far"):
        http_request(planned("a"), part)
    assert Sse().problem_with(http_part("http://x/", method="POST").request)


def test_the_event_engine_reads_its_arguments_from_standard_input() -> None:
    program = Sse().program(load_settings(environ={}))
    assert program == [sys.executable, "-Es", str(ROOT / "utils" / "sse_load.py"), STDIN]


def test_hey_without_a_file_has_no_version() -> None:
    assert Hey().version(["/nowhere/hey"]) == "unknown"


def test_an_engine_that_is_gone_is_told() -> None:
    with pytest.raises(UserError, match="there is no engine 'gone'"):
        engine_named("gone")


def test_nothing_outside_the_folder_names_an_engine() -> None:
    library = ROOT / "utils" / "benchkit"
    allowed = {library / "settings.py": {"hey"}}  # its key performance.hey_binary, and PERF_HEY
    naming = re.compile(rf"\b({'|'.join(ENGINES)})\b", re.IGNORECASE)
    found = {
        str(path.relative_to(library)): words
        for path in library.rglob("*")
        if path.suffix in (".py", ".html", ".js", ".css")
        and library / "load" / "engines" not in path.parents
        and (words := {word.lower() for word in naming.findall(path.read_text("utf-8"))} - allowed.get(path, set()))
    }
    assert found == {}
