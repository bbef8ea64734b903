"""How a run ended: one answer for the terminal, the report, the list of all runs, and CI."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchkit import store
from benchkit.ended import Ended, ended, ended_together
from benchkit.errors import UserError
from benchkit.model import (
    BaselineReference,
    CaseComparison,
    Comparison,
    PairedReference,
    Run,
    RunStatus,
    Tone,
    Validity,
    VariantOfRun,
    Verdict,
)
from benchkit.report.chart_library import ChartLibrary
from benchkit.report.headline import headline
from benchkit.report.view import build_page
from benchkit.run.last_word import last_word
from benchkit.run.results_index import read_listing
from benchkit.verdict.ci.results import run_result
from builders.documents import case, failed_case, run
from builders.judged import write_run
from builders.sweeps import ALL_ID, write_all

VALID = [case("tools/a")]
MIXED = [*VALID, failed_case("tools/b", "no"), failed_case("tools/c", "not there", Validity.SKIPPED, sent=0)]


def compared(document: Run, verdict: Verdict, exit_code: int | None = None, **changes: Any) -> Comparison:
    values: dict[str, Any] = {
        "run_id": document.run_id,
        "baseline": BaselineReference(profile="light", version=3, runs=["a"]),
        "verdict": verdict,
        "reason": f"it is {verdict}",
        "exit_code": int(verdict.row.exit_code) if exit_code is None else exit_code,
        "cases": [CaseComparison(id=one.id, verdict=verdict) for one in document.cases],
    }
    return Comparison(**(values | changes))


def said(end: Ended) -> tuple[str, int]:
    return end.word, end.exit_code


@pytest.mark.parametrize("verdict", [verdict for verdict in Verdict if verdict is not Verdict.INVALID])
def test_a_valid_run_ended_as_its_comparison_says(verdict: Verdict) -> None:
    document = run(VALID, exit_code=0)
    end = ended(document, compared(document, verdict))
    assert (end.word, end.tone, end.verdict) == (verdict.row.headline, verdict.row.headline_tone, verdict)
    assert (end.reason, end.exit_code) == (f"it is {verdict}", verdict.row.exit_code)


def test_undecided_is_a_failure_only_where_it_was_asked_for() -> None:
    document = run(VALID, exit_code=0)
    assert said(ended(document, compared(document, Verdict.INCONCLUSIVE))) == ("Inconclusive", 0)
    assert said(ended(document, compared(document, Verdict.UNCHANGED, exit_code=4))) == ("Inconclusive", 4)


@pytest.mark.parametrize(
    ("cases", "changes", "word", "exit_code"),
    [
        (VALID, {"exit_code": 0}, "Measured", 0),
        (MIXED, {"exit_code": 3}, "Invalid", 3),
        (MIXED[1:], {"exit_code": 3}, "Invalid", 3),
        (MIXED[2:], {"exit_code": 3}, "Nothing measured", 3),
        (VALID, {"exit_code": 143, "status": RunStatus.INTERRUPTED}, "Interrupted", 143),
        # What the shells of earlier releases put into run.json: the end of the whole run.
        (VALID, {"exit_code": 1}, "Regression", 1),
        (VALID, {"exit_code": 4}, "Inconclusive", 4),
        (VALID, {"exit_code": 2}, "Failed", 2),
    ],
)
def test_a_run_that_was_held_against_nothing(cases: Any, changes: dict[str, Any], word: str, exit_code: int) -> None:
    assert said(ended(run(cases, **changes))) == (word, exit_code)


def test_a_regression_stands_before_everything_else() -> None:
    document = run(MIXED, exit_code=3, status=RunStatus.INTERRUPTED, exit_reason="interrupted by Ctrl-C")
    assert said(ended(document, compared(document, Verdict.REGRESSION))) == ("Regression", 1)
    assert "Interrupted by Ctrl-C." in headline(document, compared(document, Verdict.REGRESSION)).notes


def test_skipped_cases_are_no_measured_ones() -> None:
    end = ended(run(MIXED, exit_code=3))
    assert (end.valid, end.measured, end.skipped) == (1, 2, 1)


def test_one_page_counts_its_cases_in_one_way() -> None:
    """It said "1 of 8 cases is invalid" above "Cases valid 7 of 9"."""
    document = run(MIXED, exit_code=3, exit_reason="")
    page = build_page(document, compared(document, Verdict.INVALID), [], ChartLibrary())
    assert page.frame.sentence == "1 of 2 cases is invalid."
    assert dict(page.frame.facts)["Cases valid"] == "1 of 2"


def test_two_gateways_end_with_the_worst_of_both_where_the_comparison_found_nothing() -> None:
    base, head = (
        run(VALID, exit_code=code, variant=VariantOfRun(label=label, spec=label, fresh=True, looks=1))
        for label, code in (("base", 3), ("head", 0))
    )
    paired = PairedReference(run_id=base.run_id, base="1", head="2")
    found = compared(head, Verdict.UNCHANGED, mode="paired", baseline=None, paired=paired)
    assert ended_together([base, head], found).exit_code == 3
    assert run_result(head, found, [base]).exit_code == 3


def test_terminal_report_and_ci_say_the_same() -> None:
    for verdict in Verdict:
        document = run(VALID, exit_code=0)
        found = compared(document, verdict)
        result = run_result(document, found)
        end = ended(document, found)
        assert headline(document, found).word == result.headline == end.word
        assert headline(document, found).tone == end.tone


# --- the last line of a runner ----------------------------------------------------------------------------------------


def last_line(directory: Path) -> tuple[int, str]:
    end = last_word(directory)
    return end.exit_code, end.line


def test_the_last_line_says_what_the_documents_say(tmp_path: Path) -> None:
    document = run(VALID, exit_code=0, exit_reason="1 of 1 cases are valid")
    directory = write_run(tmp_path / "run", document)
    assert last_line(directory) == (0, "measured: 1 of 1 cases are valid")
    store.save(directory / "comparison.json", compared(document, Verdict.REGRESSION))
    code, line = last_line(directory)
    assert code == 1
    assert line.startswith("regression: ")


def test_it_knows_an_interrupted_comparison_of_gateways_and_all_profiles(tmp_path: Path) -> None:
    interrupted = {"exit_code": 130, "status": RunStatus.INTERRUPTED, "exit_reason": "interrupted by Ctrl-C: none"}
    for label in ("base", "head"):
        variant = VariantOfRun(label=label, spec=label, fresh=True, looks=1)
        write_run(tmp_path / "paired_1" / label, run(VALID, variant=variant, **interrupted))
    assert last_line(tmp_path / "paired_1") == (130, "interrupted by Ctrl-C: none")
    write_all(tmp_path)
    code, line = last_line(tmp_path / ALL_ID)
    assert code == 1
    assert line.startswith("regression in medium; ")
    rows, _ = read_listing(tmp_path)
    assert {(row.name, row.word) for row in rows} >= {("paired_1", "Interrupted"), (ALL_ID, "Critical regression")}
    assert next(row.tone for row in rows if row.name == ALL_ID) is Tone.BAD


def test_a_directory_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError):
        last_line(tmp_path)
