"""Derive how a run ended, for the terminal, the report, the list of all runs, and CI.

Everything comes from the documents: ``run.json`` holds the measurements, ``comparison.json`` the comparison with
earlier runs or with another gateway.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from benchkit.errors import ExitCode, severity, worst_code
from benchkit.model import (
    AllRuns,
    Case,
    Comparison,
    ProfileState,
    Run,
    RunStatus,
    Tone,
    Validity,
    VariantStudy,
    Verdict,
)

_BY_CODE = {
    ExitCode.REGRESSION: Verdict.REGRESSION,
    ExitCode.INVALID: Verdict.INVALID,
    ExitCode.INCONCLUSIVE: Verdict.INCONCLUSIVE,
}
"""The verdict for an exit code if there is no comparison."""


@dataclass(frozen=True)
class Ended:
    """How a run ended.

    Attributes:
        word: the result in a word or two, with its ``tone``.
        reason: why, in one phrase.
        exit_code: the exit code of the program that made the run.
        verdict: the comparison's, or ``invalid``; ``None`` if the run was interrupted or not compared.
        valid: the number of valid cases among the measured ones.
        measured: the number of cases to measure, without those that the target does not have (skipped).
        skipped: the number of cases that the target does not have.
    """

    word: str
    tone: Tone
    reason: str
    exit_code: int
    verdict: Verdict | None
    valid: int
    measured: int
    skipped: int

    @property
    def line(self) -> str:
        """Return the word and the reason, as a program's last line shows them."""
        word = self.word[:1].lower() + self.word[1:]
        return self.reason if self.reason.startswith(word) else f"{word}: {self.reason}".rstrip(": ")


@dataclass(frozen=True)
class Tally:
    """Counts of the cases that are measured themselves: no aggregates of groups, no differences of two cases."""

    valid: int
    invalid: int
    measured: int
    skipped: int

    @property
    def invalid_words(self) -> str:
        """``3 of 30 cases are invalid``; empty if none is."""
        if not self.invalid:
            return ""
        return f"{self.invalid} of {self.measured} cases {'is' if self.invalid == 1 else 'are'} invalid"


def measured_cases(run: Run) -> list[Case]:
    """Return the cases to measure: those that are measured themselves and that the target has."""
    return [case for case in run.cases if case.kind == "measured" and case.validity is not Validity.SKIPPED]


def tally_of(runs: Iterable[Run]) -> Tally:
    """Count the cases of some runs, all together."""
    found = Counter(case.validity for run in runs for case in run.cases if case.kind == "measured")
    skipped = found[Validity.SKIPPED]
    return Tally(found[Validity.VALID], found[Validity.INVALID], found.total() - skipped, skipped)


def ended(run: Run, comparison: Comparison | None = None) -> Ended:
    """Return how a run ended, using its comparison if there is one."""
    return ended_together([run], comparison)


def ended_together(runs: Sequence[Run], comparison: Comparison | None = None) -> Ended:
    """Return how the runs of gateways that were measured side by side ended; also works for a single run.

    The first that applies wins: a regression, which is proven whatever else happened; an interrupt; no valid case; an
    invalid case; the comparison's verdict; the run's own status.

    Args:
        runs: at least one. If the comparison gives no reason, the first run with the worst exit code does.
        comparison: between these runs, or between the single run and its baseline.
    """
    tally = tally_of(runs)
    own = int(worst_code(run.exit_code for run in runs))
    code = (comparison.exit_code if comparison is not None else 0) or own
    worst_run = min(runs, key=lambda run: severity(run.exit_code))
    found = _overruled(runs, comparison, tally, worst_run.exit_reason)
    if found is None:
        found = _alone(own, worst_run.exit_reason, tally) if comparison is None else _compared(comparison, tally)
    return Ended(
        word=found.word,
        tone=found.tone,
        reason=found.reason.strip(),
        exit_code=own if found.is_cut else code,
        verdict=found.verdict,
        valid=tally.valid,
        measured=tally.measured,
        skipped=tally.skipped,
    )


class _Found(NamedTuple):
    """The result; ``is_cut``: the run was interrupted, so its own exit code counts."""

    word: str
    tone: Tone
    verdict: Verdict | None
    reason: str
    is_cut: bool = False


def _called(verdict: Verdict, reason: str) -> _Found:
    return _Found(verdict.row.headline, verdict.row.headline_tone, verdict, reason)


def _overruled(runs: Sequence[Run], comparison: Comparison | None, tally: Tally, said: str) -> _Found | None:
    """Return the result that overrides all others: a regression, an interrupt, or no value at all."""
    if comparison is not None and comparison.verdict.row.fails:
        return _called(comparison.verdict, comparison.reason)
    # A paired comparison knows which cases a gateway dropped, and judges the others.
    paired = comparison is not None and comparison.mode == "paired"
    if any(run.status is RunStatus.INTERRUPTED for run in runs) and not paired:
        reason = said or f"interrupted: {tally.valid} of {tally.measured} cases are valid"
        return _Found("Interrupted", Tone.WARN, None, reason, is_cut=True)
    if not tally.measured:
        reason = "no case was measured, so there is no value to report"
        return _Found("Nothing measured", Tone.BAD, Verdict.INVALID, reason)
    if not tally.valid:
        none = "the only case is not valid" if tally.measured == 1 else f"none of the {tally.measured} cases is valid"
        return _called(Verdict.INVALID, f"{none}, so there is no value to report")
    return None


def _compared(comparison: Comparison, tally: Tally) -> _Found:
    if tally.invalid:
        return _called(Verdict.INVALID, tally.invalid_words)
    undecided = comparison.exit_code == ExitCode.INCONCLUSIVE
    return _called(Verdict.INCONCLUSIVE if undecided else comparison.verdict, comparison.reason)


def _alone(code: int, said: str, tally: Tally) -> _Found:
    if tally.invalid:
        return _called(Verdict.INVALID, said if said and code == ExitCode.INVALID else tally.invalid_words)
    if code == ExitCode.OK:
        reason = said or "there is no baseline to compare this run with"
        return _Found("Measured", Tone.PLAIN, None, reason)
    if code in _BY_CODE:
        return _called(_BY_CODE[ExitCode(code)], said)
    return _Found("Failed", Tone.BAD, None, said)


def ended_study(document: VariantStudy, runs: Sequence[Run]) -> Ended:
    """Return how the runs of a release history or of a tuning ended.

    A case that is broken in some releases of a history is a result, as long as other cases can be compared.
    """
    end = ended_together(runs)
    if end.exit_code not in (ExitCode.OK, ExitCode.INVALID):
        return end
    row = Verdict.INVALID.row
    if not any(step.comparison.suite for step in document.steps):
        code = int(row.exit_code)
        return replace(
            end, word=row.headline, tone=row.headline_tone, reason="no case could be compared", exit_code=code
        )
    if document.kind == "history":
        reason = f"{len(document.variants)} releases were compared"
        return replace(end, word="Measured", tone=Tone.PLAIN, reason=reason, exit_code=int(ExitCode.OK), verdict=None)
    return end


def ended_sweep(document: AllRuns, profiles: Iterable[Ended]) -> Ended:
    """Return how a run over several profiles ended, or its progress; ``profiles``: the ends of the profiles' runs."""
    runs = list(profiles)
    reason, code = document.reason, document.exit_code
    verdict = None
    if code is None:
        left = ", ".join(one.profile for one in document.profiles if one.state is not ProfileState.DONE)
        word, tone, reason = "Running", Tone.PLAIN, f"still to be measured: {left}" if left else reason
    elif any(one.state is ProfileState.INTERRUPTED for one in document.profiles):
        word, tone = "Interrupted", Tone.WARN
    elif not document.is_complete:
        word, tone = "Not complete", Tone.WARN
    elif code in (ExitCode.OK, *_BY_CODE):
        verdict = _BY_CODE.get(ExitCode(code), Verdict.UNCHANGED)
        if verdict.row.fails and any(one.verdict is Verdict.CRITICAL for one in runs):
            verdict = Verdict.CRITICAL
        word, tone = verdict.row.headline, verdict.row.headline_tone
    else:
        word, tone = "Failed", Tone.BAD
    return Ended(
        word=word,
        tone=tone,
        reason=reason,
        exit_code=int(ExitCode.OK if code is None else code),
        verdict=verdict,
        valid=sum(one.valid for one in runs),
        measured=sum(one.measured for one in runs),
        skipped=sum(one.skipped for one in runs),
    )
