"""Documents as earlier versions of the toolkit wrote them: they are read as today's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchkit.errors import UserError
from benchkit.model import Baseline, HttpRequest, NoiseRecord, Plan, Run
from benchkit.store import load

ENVIRONMENT = """{
  "machine": {"cpu_model": "Example CPU @ 2.60GHz", "cores": 2, "memory_mib": 7940, "kernel": "Linux 6.1.0",
              "python": "3.11.2", "hey": "0.1.4", "toolkit": "0.1.0", "control_score": 41.8},
  "target": {"base_url": "http://127.0.0.1:4444", "prefix": "/v1", "origin": "local", "servers": 4, "tools": 96,
             "resources": 8, "prompts": 4, "settings": {}},
  "load": {"profile": "light", "requests": 100, "concurrency": 10, "timeout_s": 30, "iterations": 1,
           "warmup_requests": 10}
}"""

RUN_1 = f"""{{
  "schema_version": 1, "run_id": "paired_2026-01-02-030405/base", "profile": "light", "status": "complete",
  "started": "2026-01-02T03:04:05Z", "finished": "2026-01-02T03:05:05Z", "exit_code": 0, "exit_reason": "measured",
  "environment": {ENVIRONMENT}, "scenarios": ["tools"], "commands": ["./run-advanced.sh"],
  "cases": [{{"id": "tools/list", "scenario": "tools", "name": "list", "description": "", "kind": "measured",
    "validity": "valid", "reason": "", "metrics": {{"p50_latency": 12.5}}, "advisory": [], "notes": [],
    "iterations": []}}],
  "gateway_counts": [], "load_seconds": 1.5, "warnings": [],
  "side": {{"label": "base", "spec": "1.0.6", "fresh": true, "looks": 3, "rounds": 3}}
}}"""

PLAN_1 = f"""{{
  "schema_version": 1, "run_id": "light_2026-01-02-030405", "created": "2026-01-02T03:04:05Z",
  "environment": {ENVIRONMENT}, "scenarios": ["tools", "gateway-core"], "command": "./run-configurable.sh",
  "max_error_rate": 1.0, "differences": [], "warnings": [],
  "cases": [
    {{"id": "tools/call", "scenario": "tools", "name": "call", "description": "", "tool": "hey", "method": "POST",
      "headers": {{"Accept": "application/json", "Content-Type": "application/json"}}, "authenticated": false,
      "expect": {{"status": 200, "rows_at": "", "rpc": true, "rpc_error": false, "contains": [], "min_bytes": 1}},
      "timeout_s": 30, "iterations": 1, "warmup_requests": 10, "group": "", "gateway_kind": "tools",
      "gateway_fails": false, "cached": false, "notes": [], "skipped": "",
      "parts": [{{"url": "http://127.0.0.1:4444/rpc", "body": "{{}}", "body_file": "bodies/tools/call.1.json",
        "requests": 90, "concurrency": 9, "server": "time1",
        "server_counter": {{"url": "http://127.0.0.1:9101/counters", "key": "tools/call:x"}}}}]}},
    {{"id": "gateway-core/sse", "scenario": "gateway-core", "name": "sse", "description": "", "tool": "sse",
      "method": "GET", "headers": {{"Accept": "text/event-stream"}}, "authenticated": true,
      "expect": {{"status": 200, "rows_at": "", "rpc": false, "rpc_error": false, "contains": ["endpoint"],
        "min_bytes": 1}},
      "timeout_s": 30, "iterations": 1, "warmup_requests": 10, "group": "", "gateway_fails": false, "cached": false,
      "notes": [], "skipped": "",
      "parts": [{{"url": "http://127.0.0.1:4444/sse", "requests": 50, "concurrency": 10, "server": ""}}]}}
  ]
}}"""

BASELINE = f"""{{
  "schema_version": VERSION, "profile": "light", "version": 3, "created": "2026-01-02T03:04:05Z",
  "environment": {ENVIRONMENT},
  "runs": [{{"run_id": "light_2026-01-02-030405", "finished": "2026-01-02T03:05:05Z",
    "cases": {{"tools/list": {{"p50_latency": 12.5}}}}}}]
}}"""

NOISE_1 = f"""{{
  "schema_version": 1, "profile": "light", "created": "2026-01-02T03:04:05Z", "environment": {ENVIRONMENT},
  "runs": ["light_2026-01-02-030405"], "deviation": {{"tools/list": {{"p50_latency": 0.02}}}}, "own": {{}}
}}"""


def stored(directory: Path, text: str) -> Path:
    path = directory / "document.json"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_run_of_version_1(tmp_path: Path) -> None:
    run = load(stored(tmp_path, RUN_1), Run, "run")
    assert run.schema_version == 2
    assert run.environment.machine.engines == {"hey": "0.1.4"}
    assert run.environment.machine.control_score == 41.8
    assert run.variant is not None
    assert run.variant.label == "base"
    assert (run.cases[0].resolution_ms, run.cases[0].closed_loop) == (0.1, True)


def test_a_plan_of_version_1(tmp_path: Path) -> None:
    plan = load(stored(tmp_path, PLAN_1), Plan, "plan")
    assert plan.environment.machine.engines == {"hey": "0.1.4"}
    call, events = plan.cases
    assert [(case.engine, case.resolution_ms) for case in plan.cases] == [("hey", 0.1), ("sse", 0.1)]
    assert call.parts[0].request == HttpRequest(
        method="POST",
        url="http://127.0.0.1:4444/rpc",
        headers={"Accept": "application/json", "Content-Type": "application/json"},
        body="{}",
        body_file="bodies/tools/call.1.json",
        authenticated=False,
    )
    assert (call.parts[0].requests, call.parts[0].server) == (90, "time1")
    assert events.parts[0].request == HttpRequest(
        url="http://127.0.0.1:4444/sse", headers={"Accept": "text/event-stream"}, answer="event"
    )


def test_baselines_of_versions_1_and_2(tmp_path: Path) -> None:
    for version in (1, 2):
        baseline = load(stored(tmp_path, BASELINE.replace("VERSION", str(version))), Baseline, "baseline")
        assert baseline.schema_version == 3
        assert baseline.environment.machine.engines == {"hey": "0.1.4"}
        assert len(baseline.oldest) == (1 if version == 1 else 0)


def test_a_noise_record_of_version_1(tmp_path: Path) -> None:
    noise = load(stored(tmp_path, NOISE_1), NoiseRecord, "noise record")
    assert noise.environment.machine.engines == {"hey": "0.1.4"}


def test_what_is_damaged_in_an_older_document_is_told_and_raises_nothing_else(tmp_path: Path) -> None:
    for change in ({"cases": 5}, {"cases": [5]}, {"environment": 5}, {"environment": {"machine": 5}}):
        for text, model in ((RUN_1, Run), (PLAN_1, Plan)):
            data: dict[str, Any] = json.loads(text) | change
            with pytest.raises(UserError, match="the document is damaged"):
                load(stored(tmp_path, json.dumps(data)), model, "document")
