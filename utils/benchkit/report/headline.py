"""The verdict in one sentence, and the limitations of this kind of measurement."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from urllib.parse import urlsplit

from benchkit.ended import ended, tally_of
from benchkit.model import METRICS, Comparison, Run, RunStatus, Tone, Validity, samples_for


@dataclass(frozen=True)
class Headline:
    """The verdict: a word with its tone, one sentence, and notes that a reader must see."""

    tone: Tone
    word: str
    sentence: str
    notes: list[str]


def headline(run: Run, comparison: Comparison | None) -> Headline:
    """Return the verdict and the notes that a reader must not miss, each once."""
    end = ended(run, comparison)
    text = sentence(end.reason)
    notes = [*map(sentence, run.doubts), sentence(tally_of([run]).invalid_words if end.valid else "")]
    if comparison is None or run.status is RunStatus.INTERRUPTED or not end.measured:
        notes.append(sentence(run.exit_reason))
    if comparison is not None:
        notes += [sentence(comparison.reason), *map(sentence, comparison.warnings)]
    notes.append(_scarce(run))
    return Headline(end.tone, end.word, text, [note for note in dict.fromkeys(notes) if note and note != text])


def _scarce(run: Run) -> str:
    """Return a warning if no case has enough samples for a median; empty if one has, or if there are no values."""
    samples = [
        sum(one.ok for one in case.iterations)
        for case in run.cases
        if case.kind == "measured" and case.validity is Validity.VALID
    ]
    needed = samples_for(50)
    if not samples or max(samples) >= needed:
        return ""
    if max(samples) == 1:
        return "Every case has a single sample, so all of its percentiles are that one latency."
    return (
        f"No case has more than {max(samples)} samples; a median needs {needed}, so every percentile here is advisory."
    )


def reference_name(comparison: Comparison) -> str:
    """Return what the run was compared with, in words."""
    if comparison.paired is not None:
        return (
            f"base “{comparison.paired.base}”, block by block; the values are those of head “{comparison.paired.head}”"
        )
    baseline = comparison.baseline
    if baseline is None:
        return "an unnamed reference"
    runs = f"{len(baseline.runs)} run{'' if len(baseline.runs) == 1 else 's'}"
    return f"baseline “{baseline.profile}”, version {baseline.version}, {runs}"


def sentence(text: str) -> str:
    """Make a phrase a sentence: add a full stop, and a capital unless it starts with a name."""
    text = text.strip()
    if not text:
        return ""
    first = text.split()[0]
    start = text[0].upper() if first.rstrip(",.:;").isalpha() else text[0]
    return start + text[1:] + ("" if text[-1] in ".!?" else ".")


def limitations(run: Run) -> list[str]:
    """List what the values of this run cannot show, the most important first."""
    load, target, variant = run.environment.load, run.environment.target, run.variant
    found = []
    if any(case.closed_loop for case in run.cases):
        found.append(
            f"The load is a closed loop: each of {load.concurrency} workers waits for its answer before it sends the "
            "next request. A gateway that stalls gets fewer requests meanwhile, so the latencies are lower than those "
            "that clients with a fixed arrival rate would see."
        )
    found.append(
        "This is one run. The same gateway measured again on the same machine commonly differs by several percent, and "
        "more in p95 and p99; more runs average that out, more iterations do not."
        if variant is None
        else "Two gateways were measured in turns on one machine and compared block by block, so a slower machine "
        "slows both. Trust their difference: the values themselves come from one run, and commonly differ by "
        "several percent from those of another run."
    )
    valid = [case for case in run.cases if case.kind != "difference" and case.validity is Validity.VALID]
    advisory = Counter(name for case in valid for name in case.advisory)
    scarce = [f"{METRICS[name].label} in {number} of {len(valid)}" for name, number in advisory.items()]
    if scarce:
        found.append(
            f"Few samples ({', '.join(scarce)} cases): a percentile with fewer than 10 successes beyond it varies from "
            "run to run; it is marked ~ and does not affect the verdict."
        )
    if _is_here(target.base_url):
        found.append(
            "The load generator runs on the same machine as the gateway and shares its "
            f"{run.environment.machine.cores} cores: the gateway would be faster on its own machine, and no "
            "value includes a network."
        )
    else:
        found.append(
            "The gateway runs on another machine: every value includes the network between it and the load generator, "
            "and the other load on that machine is unknown."
        )
    found.append(
        "Under load, an answer counts as a success by its HTTP status. Bodies are checked before and after each load, "
        "and the servers and the gateway count the calls as well where possible."
    )
    if run.resources is None:
        found.append(
            "The CPU and memory use of gateway, servers and load generator was not sampled, so this report cannot show "
            "which of them was the bottleneck."
        )
    else:
        found.append(
            f"CPU and memory were sampled every {run.resources.interval_s:g} s, so the charts do not show shorter "
            "peaks. The monitor uses CPU too; it is shown with the other components."
        )
    if target.uptime_s is None:
        found.append("The gateway does not report its uptime; one that has run for long is slower than a fresh one.")
    if step_ms := max((case.resolution_ms for case in run.cases), default=0.0):
        found.append(f"Latencies have a resolution of {step_ms:g} ms.")
    return found


def _is_here(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    return host in ("localhost", "::1") or host.startswith("127.")
