"""JUnit XML, for GitLab, Jenkins and other tools that show test results.

There is one ``testsuite`` per scenario and one ``testcase`` per case. Only elements and attributes are used that GitLab
("Unit test reports") and Jenkins' xUnit plugin (``junit-10.xsd``) both support, so the values are properties of the
suite, which every reader accepts, and text of the case (``system-out``). A case's ``time`` is the duration of its load,
in seconds.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Sequence
from datetime import UTC

from benchkit.clock import seconds_between
from benchkit.model import METRICS, CiOutcome
from benchkit.verdict.ci.results import CaseResult, RunResult

_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 (section 2.2) cannot represent, not even escaped."""

_ELEMENTS = {CiOutcome.FAILED: "failure", CiOutcome.ERROR: "error", CiOutcome.SKIPPED: "skipped"}


def junit(result: RunResult) -> str:
    """Return the whole document. A problem of the run that no case shows becomes case ``outcome`` of suite ``run``."""
    root = ET.Element("testsuites", {"name": _text(f"MCP Gateway performance, {result.run.run_id}")})
    suites = [_suite(result, name, cases) for name, cases in _by_scenario(result.cases)]
    if result.problem:
        suites.append(_problem(result))
    root.extend(suites)
    for name in ("tests", "failures", "errors"):
        root.set(name, str(sum(int(suite.attrib[name]) for suite in suites)))
    root.set("time", f"{sum(map(load_seconds, result.cases)):.3f}")
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def load_seconds(result: CaseResult) -> float:
    """Return the duration of a case's measured load over all iterations; 0 if nothing was sent."""
    iterations = result.case.iterations if result.case is not None else []
    return sum(seconds_between(one.started, one.finished) for one in iterations if one.sent)


def _by_scenario(cases: Iterable[CaseResult]) -> list[tuple[str, list[CaseResult]]]:
    scenarios: dict[str, list[CaseResult]] = {}
    for case in cases:
        scenarios.setdefault(case.scenario, []).append(case)
    return list(scenarios.items())


def _suite(result: RunResult, scenario: str, cases: Sequence[CaseResult]) -> ET.Element:
    suite = _empty_suite(result, scenario)
    properties = ET.SubElement(suite, "properties")
    for name, value in (*_about(result), *(pair for case in cases for pair in _figures(case))):
        ET.SubElement(properties, "property", {"name": _text(name), "value": _text(value)})
    suite.extend(_testcase(case) for case in cases)
    count = {outcome: sum(case.outcome is outcome for case in cases) for outcome in CiOutcome}
    _count(suite, len(cases), count[CiOutcome.FAILED], count[CiOutcome.ERROR], count[CiOutcome.SKIPPED])
    suite.set("time", f"{sum(map(load_seconds, cases)):.3f}")
    return suite


def _empty_suite(result: RunResult, name: str) -> ET.Element:
    started = result.run.started.astimezone(UTC)
    return ET.Element("testsuite", {"name": _text(name), "timestamp": f"{started:%Y-%m-%dT%H:%M:%S}"})


def _count(suite: ET.Element, tests: int, failures: int, errors: int, skipped: int) -> None:
    for name, value in (("tests", tests), ("failures", failures), ("errors", errors), ("skipped", skipped)):
        suite.set(name, str(value))


def _testcase(result: CaseResult) -> ET.Element:
    case = ET.Element(
        "testcase",
        {
            "classname": _text(f"performance.{result.scenario}"),
            "name": _text(result.name),
            "time": f"{load_seconds(result):.3f}",
        },
    )
    details = _text("\n".join(result.details))
    if result.outcome in _ELEMENTS:
        said = ET.SubElement(
            case, _ELEMENTS[result.outcome], {"type": _text(result.verdict), "message": _text(result.summary)}
        )
        said.text = details or None
    elif details:
        ET.SubElement(case, "system-out").text = details
    return case


def _problem(result: RunResult) -> ET.Element:
    suite = _empty_suite(result, "run")
    case = ET.SubElement(suite, "testcase", {"classname": "performance.run", "name": "outcome", "time": "0.000"})
    element = _ELEMENTS[CiOutcome.FAILED if result.is_regression else CiOutcome.ERROR]
    ET.SubElement(case, element, {"type": _text(result.verdict), "message": _text(result.problem)})
    _count(suite, tests=1, failures=int(result.is_regression), errors=int(not result.is_regression), skipped=0)
    suite.set("time", "0.000")
    return suite


def _about(result: RunResult) -> list[tuple[str, str]]:
    target, load = result.run.environment.target, result.run.environment.load
    return [
        ("run", result.run.run_id),
        ("compared", result.against),
        ("gateway", target.release or "unknown"),
        ("load", f"{load.iterations} x {load.requests} requests, {load.concurrency} concurrent"),
    ]


def _figures(result: CaseResult) -> list[tuple[str, str]]:
    """Return pairs like ``list_limit_50.p50_latency_ms`` and value. Properties have no unit, so the name has it."""
    if result.case is None:
        return []
    units = {"1/s": "", "share": ""}
    return [
        (f"{result.name}.{name}{units.get(METRICS[name].unit, '_' + METRICS[name].unit)}", repr(value))
        for name, value in result.case.metrics.items()
    ]


def _text(text: str) -> str:
    return _NOT_XML.sub("\ufffd", text)
