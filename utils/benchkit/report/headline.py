"""The verdict in one sentence, and what this kind of measurement cannot tell."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from urllib.parse import urlsplit

from benchkit.errors import ExitCode
from benchkit.model import METRICS, Comparison, Run, RunStatus, Validity, Verdict, samples_for


class Tone(StrEnum):
    """The colour of a state; its word always stands beside it."""

    GOOD = "good"
    BAD = "bad"
    WARN = "warn"
    PLAIN = "plain"


VERDICT_TONES = {
    Verdict.REGRESSION: Tone.BAD,
    Verdict.CRITICAL: Tone.BAD,
    Verdict.SLOWER: Tone.WARN,
    Verdict.IMPROVEMENT: Tone.GOOD,
    Verdict.UNCHANGED: Tone.PLAIN,
    Verdict.INCONCLUSIVE: Tone.WARN,
    Verdict.MISSING: Tone.WARN,
    Verdict.NEW: Tone.PLAIN,
    Verdict.INVALID: Tone.BAD,
    Verdict.NOT_COMPARABLE: Tone.WARN,
}

VALIDITY_TONES = {
    Validity.VALID: Tone.GOOD,
    Validity.INVALID: Tone.BAD,
    Validity.INTERRUPTED: Tone.WARN,
    Validity.SKIPPED: Tone.PLAIN,
}

_COMPARED = {
    Verdict.REGRESSION: ("Regression", Tone.BAD),
    Verdict.CRITICAL: ("Critical regression", Tone.BAD),
    Verdict.SLOWER: ("Slower, within limits", Tone.WARN),
    Verdict.IMPROVEMENT: ("Improved", Tone.GOOD),
    Verdict.UNCHANGED: ("Passed", Tone.GOOD),
    Verdict.INCONCLUSIVE: ("Inconclusive", Tone.WARN),
    Verdict.MISSING: ("Cases are missing", Tone.WARN),
    Verdict.NEW: ("Measured", Tone.PLAIN),
    Verdict.INVALID: ("Invalid", Tone.BAD),
    Verdict.NOT_COMPARABLE: ("Not comparable", Tone.WARN),
}

_ENDED: dict[int, tuple[str, Tone]] = {
    ExitCode.OK: ("Measured", Tone.PLAIN),
    ExitCode.REGRESSION: ("Regression", Tone.BAD),
    ExitCode.INVALID: ("Invalid", Tone.BAD),
    ExitCode.INCONCLUSIVE: ("Inconclusive", Tone.WARN),
}


@dataclass(frozen=True)
class Headline:
    """The verdict: a word with its tone, one sentence, and what has to be known beside it."""

    tone: Tone
    word: str
    sentence: str
    notes: list[str]


def headline(run: Run, comparison: Comparison | None) -> Headline:
    """What came out, in the order of what a reader must not overlook.

    An interrupted run, then one without any valid case, a regression, invalid cases, and only then what a comparison
    or the run's own end says. Only cases that were measured themselves are counted.
    """
    tally = Counter(case.validity for case in run.cases if case.kind == "measured")
    measured = tally.total() - tally[Validity.SKIPPED]
    if run.status is RunStatus.INTERRUPTED or not tally[Validity.VALID]:
        found = _without_result(run, comparison, tally, measured)
    else:
        invalid = _invalid_sentence(tally[Validity.INVALID], measured)
        found = _against(comparison, invalid) if comparison else _alone(run, invalid)
    return replace(found, notes=_notes(found.sentence, [*other_limits(run), *found.notes, _scarce(run)]))


_DOUBTFUL = ("load generator", "something else on this machine")
"""Words of the warnings after which a run's figures are not the gateway's alone: the generator was itself the
bottleneck, or the machine had other work."""


def other_limits(run: Run) -> list[str]:
    """What the run says of other limits than the gateway's."""
    return [sentence(text) for text in run.warnings if any(words in text.casefold() for words in _DOUBTFUL)]


def _scarce(run: Run) -> str:
    """Said where not even a median has the samples that it needs; empty where one has, or where there is no figure."""
    samples = [
        sum(one.ok for one in case.iterations)
        for case in run.cases
        if case.kind == "measured" and case.validity is Validity.VALID
    ]
    needed = samples_for(50)
    if not samples or max(samples) >= needed:
        return ""
    if max(samples) == 1:
        return (
            "Every case has a single sample: its figures are that one answer, and a percentile of it is the same again."
        )
    return (
        f"No case has more than {max(samples)} samples; a median needs {needed}, so every percentile here is advisory."
    )


def outcome(
    status: RunStatus, tally: Mapping[Validity, int], verdict: Verdict | None, exit_code: int
) -> tuple[str, Tone]:
    """The word of a :func:`headline` and its tone, from what a list knows of a run.

    ``tally``: the cases that were measured themselves, by validity.
    """
    if status is RunStatus.INTERRUPTED:
        return "Interrupted", Tone.WARN
    if not sum(tally.values()) - tally.get(Validity.SKIPPED, 0):
        return "Nothing measured", Tone.BAD
    if not tally.get(Validity.VALID):
        return "Invalid", Tone.BAD
    if tally.get(Validity.INVALID) and verdict not in (Verdict.REGRESSION, Verdict.CRITICAL):
        return "Invalid", Tone.BAD
    return _COMPARED[verdict] if verdict else _ENDED.get(exit_code, ("Failed", Tone.BAD))


def _without_result(run: Run, comparison: Comparison | None, tally: Counter[Validity], measured: int) -> Headline:
    """An interrupted run, or one in which no case is valid."""
    said = sentence(run.exit_reason)
    warnings = _warnings(comparison)
    if run.status is RunStatus.INTERRUPTED:
        text = said or f"The run was interrupted; {tally[Validity.VALID]} of {measured} cases are valid."
        invalid = _invalid_sentence(tally[Validity.INVALID], measured)
        return Headline(Tone.WARN, "Interrupted", text, _notes(text, [invalid, *warnings]))
    if not measured:
        text = "No case was measured, so there is no figure to report."
        return Headline(Tone.BAD, "Nothing measured", text, _notes(text, [said, *warnings]))
    text = "The only case is not valid" if measured == 1 else f"None of the {measured} cases is valid"
    return Headline(Tone.BAD, "Invalid", f"{text}, so there is no figure to report.", warnings)


def _against(comparison: Comparison, invalid: str) -> Headline:
    """A run that was held against a baseline; only a regression stands before invalid cases."""
    word, tone = _COMPARED[comparison.verdict]
    text = sentence(comparison.reason) or f"Held against {reference_name(comparison)}."
    if invalid and comparison.verdict not in (Verdict.REGRESSION, Verdict.CRITICAL):
        return Headline(Tone.BAD, "Invalid", invalid, _notes(invalid, [text, *_warnings(comparison)]))
    return Headline(tone, word, text, _notes(text, [invalid, *_warnings(comparison)]))


def _alone(run: Run, invalid: str) -> Headline:
    """A run without comparison: what it says of its own end."""
    said = sentence(run.exit_reason)
    if invalid:
        if run.exit_code == ExitCode.INVALID and said:
            return Headline(Tone.BAD, "Invalid", said, [])
        return Headline(Tone.BAD, "Invalid", invalid, _notes(invalid, [said]))
    word, tone = _ENDED.get(run.exit_code, ("Failed", Tone.BAD))
    return Headline(tone, word, said or "There is no baseline to hold this run against.", [])


def reference_name(comparison: Comparison) -> str:
    """What the run was held against, in words."""
    if comparison.paired is not None:
        return (
            f"base “{comparison.paired.base}”, block by block; the figures are those of head “{comparison.paired.head}”"
        )
    baseline = comparison.baseline
    if baseline is None:
        return "a reference that the comparison does not name"
    runs = f"{len(baseline.runs)} run{'' if len(baseline.runs) == 1 else 's'}"
    return f"baseline “{baseline.profile}”, version {baseline.version}, {runs}"


def sentence(text: str) -> str:
    """A phrase as a sentence: a capital at its start, unless a name stands there, and a full stop at its end."""
    text = text.strip()
    if not text:
        return ""
    first = text.split()[0]
    start = text[0].upper() if first.rstrip(",.:;").isalpha() else text[0]
    return start + text[1:] + ("" if text[-1] in ".!?" else ".")


def limitations(run: Run) -> list[str]:
    """What the figures of this run cannot tell, the largest first."""
    load, target, variant = run.environment.load, run.environment.target, run.variant
    found = []
    if any(case.closed_loop for case in run.cases):
        found.append(
            f"The load is a closed loop: each of {load.concurrency} workers waits for its answer before it asks again. "
            "A gateway that stalls is asked less meanwhile, so the latencies are those of patient clients, and not "
            "those that a fixed rate of arrivals would see."
        )
    found.append(
        "This is one run. The same gateway measured again on the same machine commonly differs by several percent, and "
        "more in p95 and p99; more iterations do not remove that, more runs do."
        if variant is None
        else "Two gateways were measured in turns on one machine, and held against each other block by block: what "
        "slows the machine slows both. Their difference is what can be trusted; the figures themselves are those of "
        "one run, and differ by several percent from those of another."
    )
    valid = [case for case in run.cases if case.kind != "difference" and case.validity is Validity.VALID]
    advisory = Counter(name for case in valid for name in case.advisory)
    scarce = [f"{METRICS[name].label} in {number} of {len(valid)}" for name, number in advisory.items()]
    if scarce:
        found.append(
            f"Few samples ({', '.join(scarce)} cases): a percentile with fewer than 10 successes beyond it moves from "
            "run to run; it is marked ~ and decides nothing."
        )
    if _is_here(target.base_url):
        found.append(
            "The load generator runs on the same machine as the gateway and shares its "
            f"{run.environment.machine.cores} cores: the gateway would do better on a machine of its own, and no "
            "network is part of a figure."
        )
    else:
        found.append(
            "The gateway runs on another machine: the network between it and the load generator is part of every "
            "figure, and what else that machine did meanwhile is not known."
        )
    found.append(
        "Answers under load are judged by their HTTP status; bodies are checked before and after each load, and calls "
        "are counted again by the servers and the gateway where they can be."
    )
    if run.resources is None:
        found.append(
            "What gateway, servers and load generator used meanwhile was not sampled, so nobody can tell from this "
            "report which of them was the bottleneck."
        )
    else:
        found.append(
            f"Processor and memory were sampled every {run.resources.interval_s:g} s: what is shorter than that shows "
            "in no curve of them. The monitor takes its share of the machine too; it is shown with the others."
        )
    if target.uptime_s is None:
        found.append("The gateway does not say how long it has been running; one that aged is slower than a fresh one.")
    if step_ms := max((case.resolution_ms for case in run.cases), default=0.0):
        found.append(f"Latencies have a resolution of {step_ms:g} ms.")
    return found


def _invalid_sentence(invalid: int, measured: int) -> str:
    """``3 of 30 cases are invalid.``; empty when there are none."""
    if not invalid:
        return ""
    return f"{invalid} of {measured} cases {'is' if invalid == 1 else 'are'} invalid."


def _warnings(comparison: Comparison | None) -> list[str]:
    return [sentence(text) for text in comparison.warnings] if comparison else []


def _notes(text: str, candidates: list[str]) -> list[str]:
    """What is there to add, each once, and not the sentence itself again."""
    return [note for note in dict.fromkeys(candidates) if note and note != text]


def _is_here(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    return host in ("localhost", "::1") or host.startswith("127.")
