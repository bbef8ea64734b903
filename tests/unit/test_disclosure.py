"""No secret in what is shown: settings of a gateway, addresses, and errors that quote what was given."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from benchkit.disclosure import HIDDEN, address_problem, redacted, shown_setting, shown_settings
from benchkit.settings import ROOT

SECRET = "hunter2-TOP"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LOG_LEVEL", "INFO"),
        ("WEB_CONCURRENCY", "2"),
        ("AUTH_CACHE_ENABLED", "false"),
        ("OBSERVABILITY_SAMPLE_RATE", "0.1"),
        ("CACHE_TYPE", "redis"),
    ],
)
def test_a_known_setting_is_shown(name: str, value: str) -> None:
    assert shown_setting(name, value) == value


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LANGFUSE_OTEL_AUTH", SECRET),
        ("OTEL_EXPORTER_OTLP_HEADERS", f"authorization=Bearer {SECRET}"),
        ("BASIC_AUTH_USER", "admin"),
        ("SMTP_USER", "admin"),
        ("SOME_PLUGIN_PIN", "123456"),
        ("LOG_LEVEL", f"https://u:{SECRET}@h/"),
        ("CACHE_TYPE", f"redis://:{SECRET}@h"),
        ("LOG_FORMAT", "sk-abcdefghijklmnopqrstuvwx"),
        ("REDIS_MAX_CONNECTIONS", "a b"),
    ],
)
def test_anything_else_is_hidden(name: str, value: str) -> None:
    assert shown_settings({name: value}) == {name: HIDDEN}


@pytest.mark.parametrize("url", ["http://127.0.0.1:4444", "https://h/base/path", "HTTP://h", "http://[::1]:4444/mcp"])
def test_an_address(url: str) -> None:
    assert address_problem(url) == ""


@pytest.mark.parametrize(
    "url",
    [
        f"http://user:{SECRET}@127.0.0.1:4444",
        f"http://{SECRET}@h",
        f"http://user:a/b{SECRET}@h/",
        f"http://h/?token={SECRET}",
        f"http://h/#{SECRET}",
        f"http://h:{SECRET}",
        f"http://[{SECRET}",
        f"http://h\\@{SECRET}",
        f"http://h/ {SECRET}",
        f"http://h/\x00{SECRET}",
        f"ftp://u:{SECRET}@h",
        "http://",
    ],
)
def test_what_is_no_address_is_refused_without_repeating_it(url: str) -> None:
    problem = address_problem(url)
    assert problem
    assert SECRET not in problem


def test_addresses_within_a_text_are_cleaned() -> None:
    text = f"see http://u:{SECRET}@h/a?token={SECRET} and redis://:p@{SECRET}@r/0, not http://h/b"
    assert redacted(text) == f"see http://{HIDDEN}@h/a?{HIDDEN} and redis://{HIDDEN}@r/0, not http://h/b"


def run(*words: str, tmp_path: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "RESULTS_DIR": str(tmp_path), **variables}
    return subprocess.run([*words], cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("address", [f"http://user:{SECRET}@127.0.0.1:1", f"http://127.0.0.1:1/?token={SECRET}"])
@pytest.mark.parametrize("way", ["GATEWAY_URL", "--url", "config.yaml"])
def test_a_password_in_the_gateways_address_is_refused_and_never_shown(tmp_path: Path, way: str, address: str) -> None:
    program = [sys.executable, "utils/gateway.py", "info"]
    variables = {}
    if way == "--url":
        program += ["--url", address]
    elif way == "GATEWAY_URL":
        variables[way] = address
    else:
        data = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
        data["service"]["base_url"] = address
        (tmp_path / "config.yaml").write_text(yaml.safe_dump(data), encoding="utf-8")
        variables["PERF_CONFIG"] = str(tmp_path / "config.yaml")
    done = run(*program, tmp_path=tmp_path, **variables)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert SECRET not in done.stderr
    assert way in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ["--base", f"http://user:{SECRET}@h", "--head", "1.0.7"],
        ["--base", "1.0.7", "--head", f"user:{SECRET}@h"],
        ["--releases", f"http://u:{SECRET}@h 1.0.7"],
    ],
)
def test_a_password_in_a_variants_address_is_refused_and_nothing_is_written(tmp_path: Path, words: list[str]) -> None:
    (tmp_path / "hey").write_text("#!/bin/sh\n", encoding="utf-8")
    (tmp_path / "hey").chmod(0o755)
    results = tmp_path / "results"
    done = subprocess.run(
        # As the shell does: the lock lies on its file descriptor 5.
        [
            *("bash", "-c", 'exec 5<>"$0" && exec "$@"', str(tmp_path / "lock")),
            *(sys.executable, "utils/measure.py", "paired", "--program", "run-advanced.sh", "--shell", "1"),
            *("--tmp", str(tmp_path), "--", *words),
        ],
        cwd=ROOT,
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}", "RESULTS_DIR": str(results)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert SECRET not in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "variants.json").exists()


def test_registering_an_address_with_a_password_is_refused(tmp_path: Path) -> None:
    for server in (f"a=http://u:{SECRET}@h/mcp", f"http://u:{SECRET}@h/mcp", f"a=http://h/mcp?key={SECRET}"):
        done = run(sys.executable, "utils/gateway.py", "register", "--servers", server, tmp_path=tmp_path)
        assert done.returncode == 2
        assert SECRET not in done.stdout + done.stderr


def test_make_settings_hides_what_the_gateways_settings_may_hold(tmp_path: Path) -> None:
    data = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    data["stack"]["gateway"]["settings"] = {"LANGFUSE_OTEL_AUTH": SECRET, "LOG_LEVEL": "INFO"}
    data["paired"]["tune"]["mine"] = {"settings": {"OTEL_EXPORTER_OTLP_HEADERS": SECRET}}
    data["auth"] |= {"password": SECRET, "token": SECRET}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(data), encoding="utf-8")
    done = run(sys.executable, "utils/show_settings.py", tmp_path=tmp_path, PERF_CONFIG=str(tmp_path / "config.yaml"))
    assert done.returncode == 0, done.stderr
    assert SECRET not in done.stdout
    assert "stack.gateway.settings.LANGFUSE_OTEL_AUTH" in done.stdout
    assert [line.split()[1] for line in done.stdout.splitlines() if ".settings.LOG_LEVEL" in line][:1] == ["INFO"]


@pytest.mark.parametrize(
    "change",
    [
        {"stack": {"gateway": {"settings": {"LANGFUSE_OTEL_AUTH": [SECRET]}}}},
        {"stack": {"gateway": {"settings": {"lower": SECRET, "ANOTHER": None}}}},
        {"auth": {"token": [SECRET]}},
        {"auth": {"email": [SECRET]}},
    ],
)
def test_a_mistake_in_a_secret_setting_is_not_quoted(tmp_path: Path, change: dict[str, dict[str, object]]) -> None:
    data = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    for section, values in change.items():
        data[section] |= values
    (tmp_path / "config.yaml").write_text(json.dumps(data), encoding="utf-8")
    done = run(sys.executable, "utils/show_settings.py", tmp_path=tmp_path, PERF_CONFIG=str(tmp_path / "config.yaml"))
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert SECRET not in done.stderr
