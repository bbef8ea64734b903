"""Gateways side by side: what the user names them by, where they lie, and in which order they are measured."""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from benchkit.errors import UserError
from benchkit.run.options import parser_for
from benchkit.run.paired import _paired_settings, _wanted, looks, order, with_group
from benchkit.run.variants import Variants, VariantSpec, resolve, servers_settings, variant_settings
from benchkit.settings import Config, Settings
from builders.driven import case


def settings(sources: dict[str, str] | None = None, **sections: Any) -> Settings:
    data = {"scenarios": {"s": {"cases": {"c": {"path": "/health"}}}}, **sections}
    return Settings(config=Config.model_validate(data), profile="light", scenarios=["s"], sources=sources or {})


def pair(base: str, head: str, *head_env: str) -> list[VariantSpec]:
    return [VariantSpec("base", base, (), "--base"), VariantSpec("head", head, head_env, "--head")]


def made(wanted: list[VariantSpec], taken: set[int] | None = None) -> Variants:
    return resolve(wanted, settings(), Path("/stacks"), is_free=lambda port: port not in (taken or set()))


def test_a_release_and_a_gateway_that_runs() -> None:
    base, head = made(pair("1.0.6", "http://127.0.0.1:4444/")).variants
    assert (base.kind, base.release, base.url, base.place) == (
        "release",
        "1.0.6",
        "http://127.0.0.1:4460",
        "/stacks/base",
    )
    assert (head.kind, head.release, head.url) == ("running", "", "http://127.0.0.1:4444")


def test_a_wheel_and_a_checkout(tmp_path: Path) -> None:
    wheel = tmp_path / "gateway-1.0.9.whl"
    wheel.touch()
    (tmp_path / "pyproject.toml").touch()
    base, head = made(pair(str(wheel), str(tmp_path))).variants
    assert (base.kind, base.source) == ("source", str(wheel))
    assert (head.kind, head.source) == ("source", str(tmp_path))


def test_ports_that_are_taken_are_passed_over() -> None:
    variants = made(pair("1.0.6", "1.0.7"), taken={4460, 4462, 9163})
    assert [variant.url for variant in variants.variants] == ["http://127.0.0.1:4463", "http://127.0.0.1:4464"]
    assert variants.first_server_port == 9164


def test_no_port_is_free() -> None:
    with pytest.raises(UserError, match=r"paired\.first_port = 4460: there are no 2 free ports in a row"):
        resolve(pair("1.0.6", "1.0.7"), settings(), Path("/stacks"), is_free=lambda _port: False)


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (pair("latest", "1.0.7"), r"--base 'latest': names no gateway; give a release \(1.0.6\), a wheel, a checkout"),
        (pair("1.0.6", "/nowhere/gateway.whl"), "--head /nowhere/gateway.whl: there is no such wheel"),
        (pair("1.0.6", "/"), "--head /: is no checkout of the gateway, it has no pyproject.toml"),
        (pair("1.0.6", "http://x:1", "LOG_LEVEL=INFO"), "--head-env LOG_LEVEL: http://x:1 runs already"),
        (pair("1.0.6", "1.0.7", "lower=1"), "--head-env: must be KEY=VALUE"),
        (pair("http://x:1", "http://x:1/"), "--head http://x:1: a running gateway cannot be compared with itself"),
        ([VariantSpec("a", "1.0.6"), VariantSpec("a", "1.0.7")], "--variant a: two variants have this label"),
        ([VariantSpec("../a", "1.0.6"), VariantSpec("b", "1.0.7")], "--variant ../a: not a label"),
    ],
)
def test_what_names_no_gateway(wanted: list[VariantSpec], words: str) -> None:
    with pytest.raises(UserError, match=words):
        made(wanted)


def test_each_variant_gets_its_own_release_settings_and_address() -> None:
    own = settings(stack={"gateway": {"settings": {"A": 1, "B": 2}}}, auth={"token": "another gateway's"})
    variants = resolve(pair("1.0.6", "1.0.7", "B=3", "C=4"), own, Path("/stacks"), is_free=lambda _port: True)
    base, head = (variant_settings(own, variant).config for variant in variants.variants)
    assert (base.stack.gateway.version, head.stack.gateway.version) == ("1.0.6", "1.0.7")
    assert base.stack.gateway.settings == {"A": 1, "B": 2}
    assert head.stack.gateway.settings == {"A": 1, "B": "3", "C": "4"}
    assert base.service.base_url != head.service.base_url
    assert base.auth.token == ""
    assert servers_settings(own, variants).config.stack.first_server_port == 9161


def test_a_gateway_that_runs_is_used_as_it_is() -> None:
    own = settings(auth={"token": "mine"})
    variant = made(pair("1.0.6", "http://127.0.0.1:4444")).variants[1]
    config = variant_settings(own, variant).config
    assert (config.service.mode, config.service.base_url, config.auth.token) == (
        "external",
        "http://127.0.0.1:4444",
        "mine",
    )


def test_two_variants_alternate_within_a_block_and_over_the_blocks() -> None:
    assert [order(2, block, 0) for block in range(5)] == [[0, 1], [1, 0], [1, 0], [0, 1], [0, 1]]
    assert [order(2, 0, case) for case in range(3)] == [[0, 1], [1, 0], [0, 1]]


@pytest.mark.parametrize("variants", [2, 3, 5, 8])
def test_no_variant_has_a_better_place(variants: int) -> None:
    places = Counter(
        (variant, place) for block in range(4 * variants) for place, variant in enumerate(order(variants, block, 0))
    )
    assert set(places.values()) == {4}
    assert all(sorted(order(variants, block, 1)) == list(range(variants)) for block in range(10))


def test_two_gateways_are_looked_at_early_and_late_and_more_of_them_once() -> None:
    assert looks(8, 2) == (5, 8, 16)
    assert looks(5, 2) == (5, 10)
    assert looks(8, 3) == (8,)


def test_a_case_goes_on_with_those_whose_load_runs_beside_it() -> None:
    cases = [
        case("alone", "http://x"),
        case("a", "http://x").model_copy(update={"group": "mixed"}),
        case("b", "http://x").model_copy(update={"group": "mixed"}),
        case("c", "http://x").model_copy(update={"group": "mixed", "skipped": "not there"}),
    ]
    assert with_group({"s/a"}, cases) == {"s/a", "s/b"}
    assert with_group({"s/alone"}, cases) == {"s/alone"}


@pytest.mark.parametrize(
    ("given", "requests"), [(frozenset(), 100), (frozenset({"performance.default_requests"}), 1000)]
)
def test_the_profiles_requests_are_not_those_of_pairs_but_a_flag_is_obeyed(
    given: frozenset[str], requests: int
) -> None:
    load = {"default_requests": 1000, "default_concurrency": 10}
    asked = settings(performance=load).model_copy(update={"given": given})
    found = _paired_settings(asked).config.performance
    assert found.default_requests == requests
    # A quarter of what a block's three rounds send.
    assert found.warmup_requests == 3 * requests // 4


def options(*words: str) -> argparse.Namespace:
    return parser_for("paired", "run-advanced.sh").parse_args(words)


def test_two_gateways_and_their_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIVEN_SECRET", "of the environment")
    words = ["--base", "1.0.6", "--head", "http://x/?a=b", "--head-env", "A=1=2\n3", "--head-env", "SECRET"]
    assert _wanted(options(*words), settings()) == [
        VariantSpec("base", "1.0.6", [], "--base"),
        VariantSpec("head", "http://x/?a=b", ["A=1=2\n3", "SECRET=of the environment"], "--head"),
    ]
    with pytest.raises(UserError, match="--base-env NOT_SET: there is no such environment variable"):
        _wanted(options("--base", "1", "--head", "2", "--base-env", "NOT_SET"), settings())


def test_releases_are_variants_in_their_order_and_a_path_is_named_by_its_end() -> None:
    specs = ["1.0.5", "dist/mcp_gateway-1.0.6-py3-none-any.whl", "../my gate+way/", "http://127.0.0.1:4444"]
    wanted = _wanted(options("--releases", ", ".join(specs).replace("my gate", "my-gate")), settings())
    assert [one.label for one in wanted] == ["1.0.5", "1.0.6", "my-gate-way", "127.0.0.1-4444"]
    assert [one.flag for one in wanted] == ["--releases"] * 4


def test_each_setting_that_is_tuned_is_a_variant_of_its_own() -> None:
    own = settings(paired={"tune": {"info": {"settings": {"LOG_LEVEL": "INFO"}}}})
    assert _wanted(options("--tune"), own) == [
        VariantSpec("base", "newest", (), "--tune"),
        VariantSpec("info", "newest", ["LOG_LEVEL=INFO"], "--tune"),
    ]
    with pytest.raises(UserError, match=r"paired\.tune of config\.yaml names no setting"):
        _wanted(options("--tune"), settings())
