"""Settings: one precedence, and a line for every mistake."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from benchkit.errors import UserError
from benchkit.settings import ENVIRONMENT, FLAGS, ROOT, Settings, load_settings, read_profile

PROFILES = ROOT / "profiles"


def settings(**environ: str) -> Settings:
    return load_settings(environ=environ)


@pytest.fixture
def config_with(tmp_path: Path):
    """Write a copy of config.yaml with one key changed; answers its path."""

    def write(key: str, value: object) -> Path:
        data = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
        *sections, last = key.split(".")
        inner = data
        for section in sections:
            inner = inner[section]
        inner[last] = value
        path = tmp_path / "config.yaml"
        path.write_text(yaml.safe_dump(data), encoding="utf-8")
        return path

    return write


def test_the_specifications_profiles() -> None:
    loads = {name: settings(PROFILE=name).config.performance for name in ("light", "medium", "heavy")}
    assert {name: (load.default_requests, load.default_concurrency) for name, load in loads.items()} == {
        "light": (100, 10),
        "medium": (1000, 50),
        "heavy": (5000, 200),
    }
    assert loads["heavy"].default_timeout == 60


def test_light_is_the_default_profile() -> None:
    assert settings().profile == "light"


def test_profile_wins_over_config_environment_over_profile_flag_over_environment() -> None:
    assert load_settings(environ={}).config.performance.default_requests == 100
    assert settings(PERF_REQUESTS="200").config.performance.default_requests == 200
    flags = {"--requests": "300"}
    assert load_settings(environ={"PERF_REQUESTS": "200"}, flags=flags).config.performance.default_requests == 300


def test_an_empty_variable_counts_as_not_set() -> None:
    assert settings(PERF_REQUESTS="", GATEWAY_URL="").config.performance.default_requests == 100


def test_no_source_can_be_asked_for_although_the_configuration_has_one(config_with) -> None:
    config_file = config_with("stack.gateway.source", "../checkout")
    assert load_settings(environ={}, config_file=config_file).config.stack.gateway.source == "../checkout"
    environ = {"GATEWAY_SOURCE": "none"}
    assert load_settings(environ=environ, config_file=config_file).config.stack.gateway.source == ""


def test_a_flag_or_the_environment_gives_a_value_a_profile_does_not() -> None:
    found = settings(PERF_REQUESTS="200", PERF_TIMEOUT="")
    assert found.is_given("performance.default_requests")
    assert not found.is_given("performance.default_concurrency")
    assert not found.is_given("performance.default_timeout")
    assert load_settings(flags={"--timeout": "9"}, environ={}).is_given("performance.default_timeout")


def test_sources_name_who_decided() -> None:
    sources = settings(PERF_REQUESTS="200").sources
    assert sources["performance.default_requests"] == "environment variable PERF_REQUESTS"
    assert sources["performance.default_concurrency"].startswith("profiles/light.env:")


def test_scenarios_keep_the_order_of_the_configuration_whatever_order_was_typed() -> None:
    assert settings(SCENARIOS="prompts, tools").scenarios == ["tools", "prompts"]
    assert settings(SCENARIOS="tools", PERF_SCENARIOS="prompts").scenarios == ["tools"]
    assert settings(SCENARIOS="all").scenarios == list(settings().config.scenarios)


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"PROFILE": "nope"}, ["profile 'nope'", "profiles/nope.env", "heavy, light, medium"]),
        ({"PROFILE": "../config"}, ["'../config'", "not a profile's name"]),
        ({"PERF_REQUESTS": "many"}, ["PERF_REQUESTS='many'", "performance.default_requests", "a whole number"]),
        ({"PERF_REQUESTS": "0"}, ["PERF_REQUESTS", "= 0", "greater than or equal to 1"]),
        ({"PERF_REQUESTS": "5"}, ["PERF_REQUESTS", "profiles/light.env", "(5) is below", "(10)"]),
        ({"PERF_WARMUP": "maybe"}, ["PERF_WARMUP='maybe'", "true or false"]),
        ({"PERF_REGRESSION_THRESHOLD": "ten"}, ["PERF_REGRESSION_THRESHOLD='ten'", "a number"]),
        ({"GATEWAY_URL": "localhost"}, ["GATEWAY_URL", "'localhost'", "http://"]),
        ({"GATEWAY": "cloud"}, ["GATEWAY", "'cloud'", "auto"]),
        ({"SCENARIOS": "tools,fools"}, ["SCENARIOS", "no scenario 'fools'", "tools, resources"]),
        ({"SCENARIOS": " , "}, ["SCENARIOS", "names no scenario"]),
        ({"PERF_DB_BACKEND": "oracle"}, ["PERF_DB_BACKEND", "'oracle'", "'sqlite' or 'postgresql'"]),
        ({"PERF_SERVERS_COUNT": "101"}, ["PERF_SERVERS_COUNT", "101", "100"]),
        ({"PERF_CONFIG": "/nowhere/config.yaml"}, ["/nowhere/config.yaml", "no such file"]),
    ],
)
def test_a_mistake_is_one_line_with_source_value_and_what_is_right(environ: dict[str, str], words: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        load_settings(environ=environ)
    message = str(caught.value)
    assert "\n" not in message
    assert [word for word in words if word not in message] == []
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("service.base_ulr", "http://x", ["service.base_ulr", "there is no such key", "base_url"]),
        ("performance.iterations", "three", ["performance.iterations", "'three'", "integer"]),
        ("baselines.metrics", ["p50"], ["baselines.metrics", "no metric 'p50'", "p50_latency"]),
        ("baselines.gate", ["p99_latency", "mean_latency"], ["gate names 'mean_latency'"]),
        ("scenarios.tools.cases", {}, ["scenarios.tools.cases"]),
        ("scenarios.tools.cases.bad", {"route": "rpc"}, ["scenarios.tools.cases.bad", "needs a payload"]),
        ("scenarios.tools.cases.bad", {"path": "tools"}, ["scenarios.tools.cases.bad", "starts with /"]),
        ("scenarios.prompts.differences.x", {"of": "list", "minus": "nope"}, ["names the case 'nope'"]),
        ("scenarios.mixed.cases.aggregate", {"path": "/x"}, ["cases.aggregate", "a concurrent scenario together"]),
        ("scenarios.mixed.differences", {"aggregate": {"of": "tools_call", "minus": "prompts_get"}}, ["aggregate"]),
        ("scenarios.prompts.differences.list", {"of": "list", "minus": "list"}, ["has the name of a case"]),
        ("scenarios.tools.cases", {"case.1": {"path": "/x"}}, ["scenarios.tools.cases", "case.1"]),
        ("scenarios.tools.cases", {"a/b": {"path": "/x"}}, ["scenarios.tools.cases", "a/b"]),
        ("scenarios.tools.cases", {"a b": {"path": "/x"}}, ["scenarios.tools.cases", "a b"]),
        ("scenarios.tools.cases", {"List": {"path": "/x"}}, ["scenarios.tools.cases", "List"]),
        ("scenarios.tools.cases", {"..": {"path": "/x"}}, ["scenarios.tools.cases", ".."]),
        ("scenarios.tools.cases", {"list\n": {"path": "/x"}}, ["scenarios.tools.cases"]),
        ("scenarios.tools.cases", {1: {"path": "/x"}}, ["scenarios.tools.cases", "1"]),
        ("service", 3, ["service", "3"]),
    ],
)
def test_a_mistake_in_the_configuration(config_with, key: str, value: object, words: list[str]) -> None:
    path = config_with(key, value)
    with pytest.raises(UserError) as caught:
        load_settings(environ={}, config_file=path)
    message = str(caught.value)
    assert [word for word in [str(path), *words] if word not in message] == []
    assert "\n" not in message


def test_a_scenario_whose_cases_run_one_by_one_may_have_a_case_of_any_name(config_with) -> None:
    path = config_with("scenarios.tools.cases.aggregate", {"path": "/x"})
    assert "aggregate" in load_settings(environ={}, config_file=path).config.scenarios["tools"].cases


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("service: [", ["not YAML", ":"]),
        ("- a\n- b\n", ["must hold sections"]),
        ("service: {base_url: 'http://a', base_url: 'http://b'}\n", ["duplicate key 'base_url'"]),
    ],
)
def test_a_file_that_is_no_configuration(tmp_path: Path, text: str, words: list[str]) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as caught:
        load_settings(environ={}, config_file=path)
    assert [word for word in words if word not in str(caught.value)] == []


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("export PERF_REQESTS=1", ["bad.env:2", "PERF_REQESTS", "no such variable", "PERF_REQUESTS"]),
        ("export GATEWAY_URL=http://x", ["GATEWAY_URL", "a profile may set"]),
        ("export PERF_HEY=/somewhere/hey", ["bad.env:2", "PERF_HEY cannot be set by a profile"]),
        ("PERF_REQUESTS=$(rm -rf /)", ["bad.env:2", "is not a value"]),
        ("export PERF_REQUESTS=1 2", ["bad.env:2", "is not a value"]),
        ('export PERF_REQUESTS="1', ["bad.env:2", "not closed"]),
        ("echo hello", ["bad.env:2", "is not a value"]),
    ],
)
def test_a_profile_holds_values_only(tmp_path: Path, line: str, words: list[str]) -> None:
    (tmp_path / "bad.env").write_text(f"# a profile\n{line}\n", encoding="utf-8")
    with pytest.raises(UserError) as caught:
        read_profile("bad", tmp_path)
    assert [word for word in words if word not in str(caught.value)] == []


def test_a_profile_may_quote_and_comment(tmp_path: Path) -> None:
    (tmp_path / "own.env").write_text('PERF_SCENARIOS="tools, mixed"  # both\n\nexport PERF_REQUESTS=7\n', "utf-8")
    values = {name: value for name, (value, _) in read_profile("own", tmp_path).items()}
    assert values == {"PERF_SCENARIOS": "tools, mixed", "PERF_REQUESTS": "7"}


def test_secrets_are_not_quoted(config_with) -> None:
    with pytest.raises(UserError) as caught:
        load_settings(environ={}, config_file=config_with("auth.password", 4711))
    assert "4711" not in str(caught.value)


def test_every_variable_and_flag_sets_a_key_that_exists() -> None:
    known = settings().config
    for key in {*ENVIRONMENT.values(), *FLAGS.values()}:
        value: object = known
        for part in key.split("."):
            value = getattr(value, part)


def test_the_error_rate_has_a_threshold_of_its_own() -> None:
    baselines = settings().config.baselines
    assert baselines.threshold("p50_latency") == 10.0
    assert baselines.threshold("error_rate") == 0.1


@pytest.mark.parametrize("variable", ["PERF_HEY", "PERF_TOKEN_CACHE"])
def test_a_profile_names_neither_the_program_nor_where_the_token_is_kept(tmp_path: Path, variable: str) -> None:
    (tmp_path / "mine.env").write_text(f"{variable}=/x/y\n", encoding="utf-8")
    with pytest.raises(UserError, match=rf"mine\.env:1: {variable} cannot be set by a profile"):
        load_settings(environ={}, profile="mine", profiles_dir=tmp_path)
    (tmp_path / "mine.env").write_text("PERF_X=1\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"a profile may set (?!.*PERF_HEY)"):
        load_settings(environ={}, profile="mine", profiles_dir=tmp_path)
    assert load_settings(environ={variable: "/x/y"}).sources


def test_a_limit_that_is_no_number_of_rows_is_refused(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    for limit in ("five", "0", "-1", "1.5"):
        config.write_text(
            f"scenarios: {{s: {{cases: {{c: {{path: /tools, lists: tools, query: {{limit: {limit!r}}}}}}}}}}}\n"
        )
        with pytest.raises(UserError, match="is not a number of rows"):
            load_settings(environ={}, config_file=config)
