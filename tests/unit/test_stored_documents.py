"""Stored documents that somebody edited, copied or made up: refused in one line, and nothing is touched."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchkit import store
from benchkit.errors import UserError
from benchkit.load.plan import read_payload
from benchkit.model import MOST_VERSION, Comparison, NoiseRecord, Run
from benchkit.settings import ROOT
from benchkit.verdict.baseline_archive import _digest, export_baseline, import_baseline
from benchkit.verdict.baselines import load_baseline, read_baseline, save_baseline
from builders.judged import measured, run_of

Change = Callable[[dict[str, Any]], object]


def save(directory: Path, number: int, *, p50: float = 20.0) -> None:
    save_baseline(
        run_of(measured("tools/list", rounds=(p50,)), number=number), directory, profile="light", keep_runs=10
    )


def figures(**values: float) -> Change:
    return lambda data: data["runs"][0]["cases"]["tools/list"].update(values)


def repeated(data: dict[str, Any]) -> None:
    data["runs"] = data["runs"][:1] * 10


def hold_back(data: dict[str, Any]) -> None:
    data["runs"][0]["held_back"] = {"tools/list": {"p50_latency": -1.0}}


CHANGES: dict[str, tuple[Change, str]] = {
    "negative latency": (figures(p50_latency=-5.0), "p50_latency = -5, which is impossible"),
    "no latency": (figures(p95_latency=0.0), "p95_latency = 0, which no value can be compared with"),
    "no throughput": (figures(requests_per_sec=0.0), "requests_per_sec = 0, which no value can be compared with"),
    "more errors than requests": (figures(error_rate=1.5), "error_rate = 1.5, which is more than 1 (all requests)"),
    "unknown metric": (figures(p42_latency=1.0), "there is no metric 'p42_latency'"),
    "held back": (hold_back, "p50_latency = -1, which is impossible"),
    "version 0": (lambda data: data.update(version=0), "0 is not a version"),
    "version -3": (lambda data: data.update(version=-3), "-3 is not a version"),
    "version too high": (lambda data: data.update(version=10**18), "1000000000000000000 is not a version"),
    "the same run ten times": (repeated, "run light_run1 is listed 10 times"),
    "the same oldest run": (lambda data: data.update(oldest=data["runs"][:1] * 2), "run light_run1 is listed 2 times"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_an_impossible_baseline_is_refused_on_disk(tmp_path: Path, name: str) -> None:
    save(tmp_path, 1)
    path = tmp_path / "baseline_light.json"
    change, words = CHANGES[name]
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))
    before = path.read_bytes()
    for read in (lambda: read_baseline(path), lambda: load_baseline(tmp_path, "light"), lambda: save(tmp_path, 2)):
        with pytest.raises(UserError) as caught:
            read()
        assert words in str(caught.value)
        assert str(path) in str(caught.value)
    assert path.read_bytes() == before


@pytest.mark.parametrize("name", CHANGES)
def test_an_impossible_baseline_is_not_imported(tmp_path: Path, name: str) -> None:
    (tmp_path / "here").mkdir()
    save(tmp_path / "here", 1)
    archive = tmp_path / "light.json"
    data = json.loads(export_baseline(tmp_path / "here", "light").text)
    change, words = CHANGES[name]
    change(data["versions"][0])
    data["current"] = data["versions"][0]["version"]
    data["sha256"] = _digest("light", data["current"], None, data["versions"])
    archive.write_text(json.dumps(data))
    there = tmp_path / "there"
    there.mkdir()
    with pytest.raises(UserError) as caught:
        import_baseline(archive, there)
    assert words in str(caught.value)
    assert not list(there.glob("baseline*"))


def test_no_version_follows_the_last(tmp_path: Path) -> None:
    save(tmp_path, 1)
    path = tmp_path / "baseline_light.json"
    data = json.loads(path.read_text()) | {"version": MOST_VERSION}
    path.write_text(json.dumps(data))
    with pytest.raises(UserError, match="is the last that there can be"):
        save(tmp_path, 2)
    assert json.loads(path.read_text())["version"] == MOST_VERSION


HOSTILE = {
    "deep": "[" * 200_000,
    "deep and complete": '{"a":' * 150 + "1" + "}" * 150,
    "infinite": '{"schema_version": 2, "version": 1e999}',
    "long integer": '{"schema_version": 2, "version": ' + "1" * 5000 + "}",
    "not a number": '{"schema_version": NaN}',
    "twice": '{"schema_version": 1, "schema_version": 2}',
    "schema version of ninety digits": '{"schema_version": ' + "1" * 90 + "}",
    "schema version that is a list": '{"schema_version": [1]}',
}


@pytest.mark.parametrize("name", HOSTILE)
def test_every_reader_refuses_what_is_no_document(tmp_path: Path, name: str) -> None:
    path = tmp_path / "document.json"
    path.write_text(HOSTILE[name])
    for read in (
        lambda: read_baseline(path),
        lambda: import_baseline(path, tmp_path),
        lambda: store.load(path, Run, "run"),
        lambda: store.load(path, Comparison, "comparison"),
        lambda: store.load(path, NoiseRecord, "noise record"),
        lambda: read_payload(path),
    ):
        with pytest.raises(UserError) as caught:
            read()
        assert str(caught.value).startswith(str(path))
        assert len(str(caught.value)) < 400


PROGRAMS: dict[str, list[str]] = {
    "baseline_manager.py": ["list"],
    "results_index.py": [],
    "collect_results.py": ["RUN"],
    "compare_results.py": ["RUN"],
    "report_generator.py": ["RUN"],
    "ci_report.py": ["RUN"],
    "stack.py": ["status"],
}


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("name", ["deep", "infinite", "long integer"])
def test_no_program_answers_a_hostile_document_with_a_traceback(tmp_path: Path, program: str, name: str) -> None:
    run = tmp_path / "results" / "light_2026-01-02-030405"
    run.mkdir(parents=True)
    (tmp_path / "stack").mkdir(mode=0o700)
    (tmp_path / "baselines").mkdir()
    for path in (run / "run.json", run / "plan.json", run / "comparison.json", tmp_path / "stack" / "stack.json"):
        path.write_text(HOSTILE[name])
    (tmp_path / "baselines" / "baseline_light.json").write_text(HOSTILE[name])
    done = subprocess.run(
        [
            sys.executable,
            str(ROOT / "utils" / program),
            *(str(run) if one == "RUN" else one for one in PROGRAMS[program]),
        ],
        env={
            "PATH": "/usr/bin:/bin",
            "RESULTS_DIR": str(tmp_path / "results"),
            "BASELINES_DIR": str(tmp_path / "baselines"),
            "PERF_STACK_DIR": str(tmp_path / "stack"),
        },
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode in (0, 2)
    assert "Traceback" not in done.stderr
    assert "internal error" not in done.stderr


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    with path.open("wb") as stream:
        stream.truncate(store.MOST_BYTES + 1)
    with pytest.raises(UserError, match=r"run\.json: the run has more than 268,435,456 bytes"):
        store.load(path, Run, "run")
    with pytest.raises(UserError, match="has more than 10 bytes"):
        store.read_json(path, "payload", most_bytes=10)


def test_control_characters_of_a_document_reach_nobody(tmp_path: Path) -> None:
    save(tmp_path, 1)
    path = tmp_path / "baseline_light.json"
    data = json.loads(path.read_text()) | {"reason": "\x1b]0;x\x07 \u202e \x9b31m \ud800 a\nb"}
    path.write_text(json.dumps(data))
    reason = load_baseline(tmp_path, "light").reason
    assert reason.replace("\n", "").isprintable()
    assert reason.endswith("a\nb")
