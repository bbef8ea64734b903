"""The CI formats, each read by a parser that is not this toolkit's."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import junitparser
import pytest
import xmlschema
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from benchkit.model import (
    Case,
    CaseComparison,
    CiOutcome,
    MetricComparison,
    PairedReference,
    Run,
    RunStatus,
    Validity,
    Verdict,
)
from benchkit.settings import ROOT
from benchkit.verdict.ci.annotations import SHOWN_PER_KIND, annotation_lines
from benchkit.verdict.ci.junit import junit
from benchkit.verdict.ci.openmetrics import openmetrics
from benchkit.verdict.ci.results import RunResult, run_result
from benchkit.verdict.ci.summary import ci_summary, markdown
from builders.documents import HOSTILE_NAMES, case, comparison, difference_case, failed_case, run

SCHEMA = xmlschema.XMLSchema(str(ROOT / "tests" / "fixtures" / "junit" / "junit.xsd"))

HOSTILE = (
    *HOSTILE_NAMES,
    "line\n::error title=injected::oops",
    "return\r::set-output name=x::y",
    "%0A::error::encoded",
    "a::b,c=d:e%25",
    "##[error]old",
    "  ::stop-commands::token",
    'quote " and \\ backslash \\n',
    "nul \x00 bell \x07 escape \x1b[31m",
    "| pipe | `code` [link](javascript:1) ![x](y)",
    "🧨 café ٣",
)


def one(verdict: Verdict, identity: str = "tools/list", **changes: Any) -> CaseComparison:
    """A compared case whose p50 decided."""
    metric = MetricComparison(
        verdict=verdict, current=30.0, reference=20.0, change_percent=-50.0, threshold_percent=10.0, reason="q = 0.001"
    )
    return CaseComparison(**({"id": identity, "verdict": verdict, "metrics": {"p50_latency": metric}} | changes))


def held(document: Run, *cases: CaseComparison, **changes: Any) -> RunResult:
    """The run held against a baseline with these cases' verdicts."""
    return run_result(document, comparison(document, cases=list(cases), **changes))


def plain(*identities: str, **changes: Any) -> Run:
    return run([case(identity) for identity in identities], **changes)


def every_verdict() -> RunResult:
    """A run with one case of each verdict, two scenarios."""
    ids = {verdict: f"{'tools' if place % 2 else 'prompts'}/case_{place}" for place, verdict in enumerate(Verdict)}
    cases: list[Case] = []
    for verdict, identity in ids.items():
        if verdict is Verdict.INVALID:
            cases.append(failed_case(identity, "298 of 300 requests failed: http 429", errors={"http 429": 298}))
        elif verdict is not Verdict.MISSING:
            cases.append(case(identity))
    return held(
        run(cases),
        *(one(verdict, identity, reason="why") for verdict, identity in ids.items()),
        verdict=Verdict.CRITICAL,
        exit_code=1,
    )


def hostile() -> RunResult:
    """Every text of the documents is one that would do harm somewhere."""
    names = [f"tools/{name}" for name in HOSTILE]
    return held(
        run([case(name, description=name) for name in names], exit_reason=HOSTILE[7], warnings=list(HOSTILE)),
        *(one(Verdict.REGRESSION, name, reason=name) for name in names),
        verdict=Verdict.REGRESSION,
        reason="\n".join(HOSTILE),
        exit_code=1,
        warnings=list(HOSTILE),
    )


def only_invalid() -> RunResult:
    return run_result(run([failed_case("tools/list", "http 500", errors={"http 500": 300})]), None)


def interrupted() -> RunResult:
    cases = [case("tools/list"), failed_case("tools/call", "cut short", Validity.INTERRUPTED, sent=100)]
    return run_result(run(cases, status=RunStatus.INTERRUPTED, exit_code=130, exit_reason="interrupted"), None)


def paired() -> RunResult:
    document = plain("tools/list", "tools/call")
    suite = {
        "p50_latency": MetricComparison(verdict=Verdict.SLOWER, change_percent=-3.2, interval=(-4.0, -2.4)),
    }
    return held(
        document,
        one(Verdict.SLOWER),
        one(Verdict.UNCHANGED, "tools/call"),
        mode="paired",
        baseline=None,
        paired=PairedReference(run_id="base", base="1.0.6", head="./gateway"),
        suite=suite,
        verdict=Verdict.UNCHANGED,
        reason="no regression in 2 compared cases",
    )


def all_together() -> RunResult:
    """The cases together got worse, against the newest and against the oldest runs; none of them did alone."""
    worse = MetricComparison(verdict=Verdict.REGRESSION, change_percent=-21.0, interval=(-30.0, -12.5))
    cases = [case("tools/list"), failed_case("tools/call", "http 500", errors={"http 500": 300})]
    return held(
        run(cases, exit_code=3),
        one(Verdict.INCONCLUSIVE),
        CaseComparison(id="tools/call", verdict=Verdict.INVALID, reason="http 500"),
        suite={"p50_latency": worse},
        suite_since_oldest={"p50_latency": worse.model_copy(update={"change_percent": -35.0})},
        verdict=Verdict.REGRESSION,
        exit_code=1,
        reason="the cases together got worse (p50 21.0 % worse)",
    )


SHAPES = {
    "all together": all_together,
    "every verdict": every_verdict,
    "hostile": hostile,
    "first run": lambda: run_result(run(), None),
    "only invalid": only_invalid,
    "interrupted": interrupted,
    "paired": paired,
    "no cases": lambda: run_result(run([]), None),
    "no cases compared": lambda: held(run([]), exit_code=3, verdict=Verdict.INVALID, reason="no valid case"),
}

shapes = pytest.mark.parametrize("make", SHAPES.values(), ids=SHAPES.keys())


# ---------------------------------------------------------------------------------------------------------------------
# Annotations, read as GitHub's runner does


@dataclasses.dataclass(frozen=True)
class Command:
    name: str
    properties: dict[str, str]
    data: str


def read_by_the_runner(line: str) -> Command | None:
    """What the runner makes of a line of a step's output: ActionCommand.TryParseV2 of actions/runner, step by step.

    It trims, wants ``::``, splits at the next ``::``, takes the word before the first blank as the command, splits the
    rest at commas and each at its first ``=``, and undoes the escapes, ``%25`` last.
    """
    line = line.lstrip()
    if not line.startswith("::") or "::" not in line[2:]:
        return None
    head, _, data = line[2:].partition("::")
    name, _, rest = head.partition(" ")
    properties = {}
    for pair in filter(None, rest.strip().split(",")):
        key, _, value = pair.partition("=")
        for escape, character in (("%0D", "\r"), ("%0A", "\n"), ("%3A", ":"), ("%2C", ","), ("%25", "%")):
            value = value.replace(escape, character)
        properties[key] = value
    for escape, character in (("%0D", "\r"), ("%0A", "\n"), ("%25", "%")):
        data = data.replace(escape, character)
    return Command(name, properties, data)


def commands(result: RunResult) -> list[Command]:
    """All commands of the printed text, split into lines as the runner's reader does: CR, LF, and both."""
    text = "\n".join(annotation_lines(result))
    read = [read_by_the_runner(line) for line in text.replace("\r", "\n").split("\n")]
    assert None not in read
    return [command for command in read if command is not None]


@shapes
def test_every_line_is_one_annotation_of_a_known_kind(make) -> None:
    result = make()
    found = commands(result)
    assert {command.name for command in found} <= {"error", "warning", "notice"}
    assert all(set(command.properties) == {"title"} and command.data for command in found)
    assert sum(command.name == "notice" for command in found) >= 1


def test_annotations_say_what_fails_then_what_may_be_then_the_rest() -> None:
    found = [(command.name, command.properties["title"]) for command in commands(every_verdict())]
    ids = {verdict: f"{'tools' if place % 2 else 'prompts'}/case_{place}" for place, verdict in enumerate(Verdict)}

    def title(verdict: Verdict) -> str:
        return f"{verdict.value}: {ids[verdict]}"

    assert found == [
        ("error", title(Verdict.CRITICAL)),
        ("error", title(Verdict.REGRESSION)),
        ("error", title(Verdict.INVALID)),
        ("error", title(Verdict.MISSING)),
        ("error", title(Verdict.NOT_COMPARABLE)),
        ("warning", title(Verdict.INCONCLUSIVE)),
        ("warning", title(Verdict.SLOWER)),
        ("notice", "Critical regression"),
        ("notice", title(Verdict.IMPROVEMENT)),
        ("notice", title(Verdict.NEW)),
    ]


@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_begins_a_command_of_its_own_or_loses_a_character_that_prints(text: str) -> None:
    identity = f"tools/{text}"
    result = held(
        run([case(identity)]), one(Verdict.REGRESSION, identity, reason=text), verdict=Verdict.REGRESSION, exit_code=1
    )
    error, notice = commands(result)
    assert (error.name, notice.name) == ("error", "notice")
    shown = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    assert shown in error.properties["title"]
    assert shown in error.data


@given(st.text(max_size=60), st.text(max_size=60))
def test_any_text_is_one_error_and_one_notice(name: str, reason: str) -> None:
    identity = f"tools/{name}"
    result = held(
        run([case(identity)]), one(Verdict.REGRESSION, identity, reason=reason), verdict=Verdict.REGRESSION, exit_code=1
    )
    assert [command.name for command in commands(result)] == ["error", "notice"]


@pytest.mark.parametrize(("cases", "shown", "rest"), [(10, 10, None), (11, 10, "2 more of 11"), (37, 10, "28 more")])
def test_at_most_ten_of_a_kind_the_worst_first_and_the_last_counts_the_rest(
    cases: int, shown: int, rest: str | None
) -> None:
    ids = [f"tools/case_{number}" for number in range(cases)]
    changed = [
        one(
            Verdict.REGRESSION,
            identity,
            metrics={
                "p50_latency": MetricComparison(verdict=Verdict.REGRESSION, change_percent=-10.0 - number),
            },
        )
        for number, identity in enumerate(ids)
    ]
    errors = [
        command
        for command in commands(held(plain(*ids), *changed, verdict=Verdict.REGRESSION, exit_code=1))
        if command.name == "error"
    ]
    assert len(errors) == shown == SHOWN_PER_KIND
    assert errors[0].properties["title"] == f"regression: tools/case_{cases - 1}"
    assert (errors[-1].properties["title"] == "and more") is (rest is not None)
    assert rest is None or rest in errors[-1].data


def test_a_run_that_fails_without_a_failing_case_is_an_error_of_its_own() -> None:
    result = held(
        plain("tools/list"),
        one(Verdict.NOT_COMPARABLE, metrics={}),
        verdict=Verdict.NOT_COMPARABLE,
        reason="the load differs",
        exit_code=2,
    )
    first = commands(result)[0]
    assert (first.name, first.properties["title"]) == ("error", "Not comparable")
    assert "exit code 2: the load differs" in first.data
    assert [suite.name for suite in junitparser.JUnitXml.fromstring(junit(result).encode())] == ["tools", "run"]


# ---------------------------------------------------------------------------------------------------------------------
# JUnit XML


def read_junit(result: RunResult) -> junitparser.JUnitXml:
    text = junit(result)
    SCHEMA.validate(text)
    return junitparser.JUnitXml.fromstring(text.encode("utf-8"))


@shapes
def test_junit_fits_the_schema_and_counts_as_its_reader_does(make) -> None:
    result = make()
    document = read_junit(result)
    counted = dict.fromkeys(("tests", "failures", "errors", "skipped"), 0)
    for suite in document:
        stated = (suite.tests, suite.failures, suite.errors, suite.skipped)
        suite.update_statistics()
        assert stated == (suite.tests, suite.failures, suite.errors, suite.skipped)
        for name in counted:
            counted[name] += getattr(suite, name)
    assert counted["tests"] == len(result.cases) + (1 if result.problem else 0)
    assert (document.tests, document.failures, document.errors) == (
        counted["tests"],
        counted["failures"],
        counted["errors"],
    )


KINDS = {
    Verdict.CRITICAL: junitparser.Failure,
    Verdict.REGRESSION: junitparser.Failure,
    Verdict.INVALID: junitparser.Error,
    Verdict.MISSING: junitparser.Error,
    Verdict.INCONCLUSIVE: junitparser.Skipped,
    Verdict.NEW: junitparser.Skipped,
}


@pytest.mark.parametrize("verdict", list(Verdict))
def test_each_verdict_s_test_result(verdict: Verdict) -> None:
    cases = [] if verdict is Verdict.MISSING else [case("tools/list")]
    document = read_junit(held(run(cases), one(verdict, reason="why"), exit_code=0))
    (test,) = next(iter(document))
    assert (test.classname, test.name) == ("performance.tools", "list")
    expected = junitparser.Error if verdict is Verdict.NOT_COMPARABLE else KINDS.get(verdict)
    if expected is None:
        assert test.is_passed
        assert "p50 20.0 ms → 30.0 ms (-50.0 %): q = 0.001" in test.system_out
    else:
        (said,) = test.result
        assert type(said) is expected
        assert said.type == verdict.value
        assert "p50 20.0 ms → 30.0 ms (-50.0 %): q = 0.001; why" in said.message


def test_a_case_that_is_only_shown_is_skipped() -> None:
    metric = MetricComparison(verdict=Verdict.UNCHANGED, current=1.0, reference=1.0, change_percent=0.0, advisory=True)
    result = held(
        run([difference_case("core/overhead", 52.4, 71.9, 96.0, 0.147)]),
        one(Verdict.NOT_COMPARABLE, "core/overhead", metrics={"added_p50_latency": metric}, reason="shown only"),
        exit_code=0,
    )
    assert result.cases[0].outcome is CiOutcome.SKIPPED
    (test,) = next(iter(read_junit(result)))
    assert test.is_skipped


def test_a_case_s_time_is_its_load_and_its_figures_are_properties_with_units() -> None:
    document = plain("tools/list", "tools/call")
    measured = document.cases[0]
    seconds = sum((done.finished - done.started).total_seconds() for done in measured.iterations)
    suite = next(iter(read_junit(run_result(document, None))))
    tests = list(suite)
    assert tests[0].time == pytest.approx(seconds, abs=0.001)
    assert suite.time == pytest.approx(tests[0].time + tests[1].time, abs=0.002)
    properties = {found.name: found.value for found in suite.properties()}
    assert float(properties["list.p50_latency_ms"]) == measured.metrics["p50_latency"]
    assert float(properties["list.requests_per_sec"]) == measured.metrics["requests_per_sec"]
    assert properties["gateway"] == "1.0.7"


@given(st.text(max_size=40))
def test_any_name_and_reason_is_xml(text: str) -> None:
    result = held(
        run([case(f"tools/{text}")]),
        one(Verdict.REGRESSION, f"tools/{text}", reason=text),
        exit_code=1,
        verdict=Verdict.REGRESSION,
    )
    read_junit(result)


# ---------------------------------------------------------------------------------------------------------------------
# OpenMetrics


def samples(result: RunResult) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    text = openmetrics(result)
    assert text.endswith("# EOF\n")
    families = list(text_string_to_metric_families(text))
    for family in families:
        assert family.documentation
        assert not family.unit or family.name.endswith(f"_{family.unit}")
    found = [sample for family in families for sample in family.samples]
    read = {(sample.name, tuple(sorted(sample.labels.items()))): sample.value for sample in found}
    assert len(read) == len(found)
    return read


@shapes
def test_openmetrics_is_read_and_has_no_sample_of_what_was_not_measured(make) -> None:
    result = make()
    read = samples(result)
    measured = {(one.scenario, one.name) for one in result.cases if one.case and one.case.validity is Validity.VALID}
    figures = {
        (labels["scenario"], labels["case"])
        for (name, pairs) in read
        if (labels := dict(pairs)).get("case") is not None and "change" not in name
    }
    assert figures == {(scenario.replace("\r", " "), name.replace("\r", " ")) for scenario, name in measured}
    assert read[("mcp_gateway_benchmark_exit_code", ())] == result.exit_code
    assert all(math.isfinite(value) for value in read.values())


def test_figures_are_in_base_units_and_advisory_ones_are_left_out() -> None:
    document = plain("tools/list")
    measured = document.cases[0]
    assert "p99_latency" in measured.advisory
    read = samples(run_result(document, None))
    labels = (("case", "list"), ("scenario", "tools"))
    latency = {
        dict(pairs)["statistic"]: value
        for (name, pairs), value in read.items()
        if name == "mcp_gateway_benchmark_latency_seconds"
    }
    assert latency["p50"] == pytest.approx(measured.metrics["p50_latency"] / 1000)
    assert "p99" not in latency
    throughput = read[("mcp_gateway_benchmark_throughput_requests_per_second", labels)]
    assert throughput == pytest.approx(measured.metrics["requests_per_sec"])
    assert read[("mcp_gateway_benchmark_error_ratio", labels)] == 0.0


def test_changes_are_ratios() -> None:
    read = samples(held(plain("tools/list"), one(Verdict.REGRESSION), exit_code=1))
    labels = (("case", "list"), ("metric", "p50_latency"), ("scenario", "tools"))
    assert read[("mcp_gateway_benchmark_change_ratio", labels)] == -0.5


@given(st.text(max_size=40))
def test_any_name_is_a_label(text: str) -> None:
    samples(held(run([case(f"tools/{text}")]), one(Verdict.NEW, f"tools/{text}"), exit_code=0))


# ---------------------------------------------------------------------------------------------------------------------
# Summary


MARKDOWN = MarkdownIt("commonmark").enable("table")


@shapes
def test_markdown_holds_no_html_no_links_and_whole_tables(make) -> None:
    result = make()
    tokens = MARKDOWN.parse(markdown(result))
    inner = [token for parent in tokens for token in [parent, *(parent.children or [])]]
    assert not {token.type for token in inner} & {"html_block", "html_inline", "link_open", "image", "code_inline"}
    assert sum(token.type == "heading_open" for token in tokens) <= 3
    tables = [place for place, token in enumerate(tokens) if token.type == "table_open"]
    for start in tables:
        end = next(place for place in range(start, len(tokens)) if tokens[place].type == "table_close")
        rows = "".join(
            token.type[0:2] for token in tokens[start:end] if token.type in ("tr_open", "th_open", "td_open")
        )
        assert len({row.count("t") for row in rows.split("tr")[1:]}) == 1


def test_what_markdown_shows_of_a_hostile_name_is_the_name() -> None:
    result = hostile()
    cells = [token.children or [] for token in MARKDOWN.parse(markdown(result)) if token.type == "inline"]
    shown = {"".join(child.content for child in cell) for cell in cells}
    assert {
        " ".join("".join(c if c.isprintable() else " " for c in f"tools/{name}").split()) for name in HOSTILE
    } <= shown


def test_a_summary_that_does_not_fit_is_cut_between_lines_and_says_so() -> None:
    ids = [f"tools/case_{number}" for number in range(200)]
    result = held(plain(*ids), *(one(Verdict.REGRESSION, identity) for identity in ids), exit_code=1)
    whole, cut = markdown(result), markdown(result, 4000)
    assert len(whole.encode()) > 4000 >= len(cut.encode()) > 3000
    assert "The rest is left out" in cut
    kept = cut.partition("\n\n*The rest")[0]
    assert whole.startswith(f"{kept}\n")
    assert markdown(result, 0) == markdown(result, -5) == ""


@shapes
def test_the_summary_agrees_with_the_other_formats(make) -> None:
    result = make()
    summary = ci_summary(result)
    assert sum(summary.verdicts.values()) == sum(summary.outcomes.values()) == len(result.cases)
    assert summary.exit_code == result.exit_code
    ranked = [found.id for found in summary.cases]
    assert ranked == [found.id for found in result.worst_first if found.id in set(ranked)]


def test_the_summary_of_a_paired_run_names_both_variants_and_the_suite() -> None:
    summary = ci_summary(paired())
    assert (summary.mode, summary.against) == ("paired", "./gateway against 1.0.6, block by block")
    assert summary.suite["p50_latency"].interval == (-4.0, -2.4)
    text = markdown(paired())
    assert "| p50 | -3.2 % | -4.0 % to -2.4 % | slower |" in text
    assert [found.id for found in summary.cases] == ["tools/list"]


def test_what_only_all_cases_together_show_is_a_failure_beside_an_error() -> None:
    result = all_together()
    read = read_junit(result)
    assert (read.tests, read.failures, read.errors) == (3, 1, 1)
    errors = [line for line in annotation_lines(result) if line.startswith("::error")]
    assert "the cases together got worse" in errors[0]
    assert "tools/call" in errors[1]
    assert "| p50 since the oldest runs | -35.0 % | -30.0 % to -12.5 % | regression |" in markdown(result)


def test_an_interrupted_run_says_so_whatever_its_comparison_says() -> None:
    document = plain("tools/list", status=RunStatus.INTERRUPTED, exit_code=130, exit_reason="interrupted")
    result = held(document, one(Verdict.UNCHANGED), verdict=Verdict.INVALID, exit_code=3)
    summary = ci_summary(result)
    assert (summary.verdict, summary.exit_code, result.headline) == ("interrupted", 130, "Interrupted")
    assert read_junit(result).errors == 1


@pytest.mark.parametrize(
    ("mode", "verdict", "exit_code", "headline"),
    [
        ("paired", Verdict.CRITICAL, 1, "Critical regression"),
        ("paired", Verdict.INVALID, 3, "Invalid"),
        ("stored", Verdict.CRITICAL, 1, "Critical regression"),
        ("stored", Verdict.REGRESSION, 1, "Regression"),
    ],
)
def test_a_run_that_was_cut_short_hides_no_verdict_of_its_comparison(
    mode: str, verdict: Verdict, exit_code: int, headline: str
) -> None:
    """A variant is called interrupted as soon as one of its cases was dropped on one variant."""
    document = plain("tools/list", status=RunStatus.INTERRUPTED, exit_code=3, exit_reason="a case was dropped")
    variants: dict[str, Any] = (
        {"baseline": None, "paired": PairedReference(run_id="base", base="1.0.6", head="1.0.7")}
        if mode == "paired"
        else {}
    )
    result = held(
        document, one(verdict), verdict=verdict, exit_code=exit_code, reason="compared", mode=mode, **variants
    )
    summary = ci_summary(result)
    assert (summary.verdict, summary.exit_code, summary.reason) == (verdict, exit_code, "compared")
    assert result.headline == headline
    assert "::error " in "\n".join(annotation_lines(result))
    assert read_junit(result).failures == (1 if exit_code == 1 else 0)


def test_the_same_documents_give_the_same_bytes() -> None:
    for make in SHAPES.values():
        first, second = make(), make()
        for text in (junit, openmetrics, markdown, annotation_lines, ci_summary):
            assert text(first) == text(second)
