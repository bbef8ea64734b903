"""The texts of a profile: its main sentence, its hints, and a one-screen summary, for both page and terminal."""

from __future__ import annotations

from collections import Counter

from benchkit.model import RunStatus, Validity
from benchkit.model.cpu_profile import IDLE, LABELS, Category, CategoryTime, FrameName, Profile, Stall

_MOST_NAMED = 3
_STALLS_SHOWN = 8
_FUNCTIONS_SHOWN = 8
_OVER_SHOWN = 5
_GOOD_RATIO = 0.8
_HOT = 0.1

HINTS: dict[Category, str] = {
    Category.GC: (
        "Python's garbage collector walked through every object that it tracks, and all requests waited. Exclude "
        "permanent objects from that (gc.freeze() after the start), or collect less often (gc.set_threshold())."
    ),
    Category.DATABASE: "The event loop itself waited for the database, which blocks all requests.",
    Category.AUTH: "Hashing or checking secrets is CPU work, and it ran on the event loop.",
    Category.SERIALIZATION: "Large documents were converted to or from JSON on the event loop.",
    Category.LOGGING: "Log lines were written on the event loop.",
    Category.GIL: "Another thread held the interpreter.",
    Category.WAITING: "The gateway was idle: it waited for something outside of it.",
}
"""Explanation of a stall by its main category, if there is one."""


def sentence(profile: Profile) -> str:
    """Return where the time went, in one sentence."""
    if profile.validity is Validity.INVALID:
        return f"No profile can be shown: {profile.reason}."
    work = sorted((one for one in profile.categories if one.category not in IDLE), key=lambda one: -(one.share or 0.0))
    if not work:
        return "Nothing was sampled."
    parts = [f"{percent(one.share or 0.0)} {_went_to(one)}" for one in work[:_MOST_NAMED]]
    text = f"Of the gateway's working time {', '.join(parts[:-1])} and {parts[-1]}" if len(parts) > 1 else parts[0]
    return f"{text}; its busiest thread was busy {percent(profile.busiest_share)} of the time."


def _went_to(one: CategoryTime) -> str:
    return f"was {one.label}" if one.category in (Category.GC, Category.OTHER) else f"went to {_article(one.label)}"


def _article(label: str) -> str:
    return f"the {label}" if label in ("database", "cache", "gateway's own code", "event loop and HTTP") else label


def hot_sentence(profile: Profile) -> str:
    """Return the function that took a large part of the work, if there is one; the collector has its own text."""
    if not profile.functions:
        return ""
    first = max(profile.functions, key=lambda one: one.self_s)
    if first.frame.category is Category.GC or first.self_s < _HOT * profile.working_s:
        return ""
    return f"One function took {percent(first.self_s / profile.working_s)} by itself: {frame_words(first.frame)}."


def stall_sentence(profile: Profile) -> str:
    """Return what the slowest requests waited for, in one sentence; empty if unknown."""
    if profile.slow_from_ms is None:
        return ""
    slowest = (
        f"The slowest {profile.slow_requests} of {profile.sampled_requests} requests took "
        f"{milliseconds(profile.slow_from_ms)} or longer"
    )
    if not profile.stalls:
        return f"{slowest}; the gateway never stopped answering for unusually long."
    total, longest = len(profile.stalls), max(stall.ms for stall in profile.stalls)
    times = {1: "once", 2: "twice"}.get(total, f"{total} times")
    text = f"{slowest}. During slow requests, the gateway stopped answering {times}, for up to {milliseconds(longest)}"
    kinds = Counter(stall.category for stall in profile.stalls if not stall.mixed)
    if not kinds:
        return f"{text}; no single kind of work explains it."
    most, number = kinds.most_common(1)[0]
    which = "and it was" if total == 1 else "each time" if number == total else f"{number} of these times"
    return f"{text}, {which} mostly because of {LABELS[most][0]}."


def hints(profile: Profile) -> list[str]:
    """Return advice for developers about the stalls."""
    found = [HINTS[category] for category in dict.fromkeys(_by_frequency(profile.stalls)) if category in HINTS]
    frozen = [one for one in profile.stalls if one.category is not Category.GC and one.unchanged_ms >= 0.6 * one.ms]
    if frozen and not profile.gc_visible:
        found.append(
            f"In {len(frozen)} of the stalls the Python stack did not change while something worked below it. That may "
            "be garbage collection, which cannot be seen in these samples: the interpreter has no symbols, or compiled "
            "code was not sampled."
        )
    return found


def _by_frequency(stalls: list[Stall]) -> list[Category]:
    return [category for category, _ in Counter(stall.category for stall in stalls if not stall.mixed).most_common()]


def cost_sentence(profile: Profile) -> str:
    """Return how much the sampling slowed down the gateway."""
    sampler = profile.sampler
    if sampler is None:
        return ""
    how = f"{sampler.rate} times a second, {'with' if sampler.native else 'without'} the frames of compiled code"
    if sampler.rate_ratio is None:
        return f"Sampled {how}; what that cost was not measured."
    text = f"Sampled {how}: the throughput was {percent(sampler.rate_ratio)} of that without the sampler"
    if sampler.rate_ratio < _GOOD_RATIO:
        return f"{text}. Shares are still valid; times are longer than without the sampler."
    return f"{text}."


def stall_line(stall: Stall) -> str:
    """Return ``round 2, at 12.31 s, 310 ms: 290 ms garbage collection; 290 ms in gc_collect_main < … < …``."""
    what = f"{milliseconds(stall.category_ms)} {LABELS[stall.category][0]}"
    return f"round {stall.round}, at {stall.at_s:.2f} s, {milliseconds(stall.ms)}: {what}; {stall_path(stall)}"


def stall_path(stall: Stall) -> str:
    """Return the frames that most of a stall's stacks have in common."""
    if not stall.path:
        return "most of its stacks have nothing in common"
    return f"{milliseconds(stall.path_ms)} in {' < '.join(frame_words(frame) for frame in stall.path)}"


def frame_words(frame: FrameName) -> str:
    """Return ``function (package/file.py:12)``."""
    return f"{frame.function} ({frame_place(frame)})"


def frame_place(frame: FrameName) -> str:
    """Return ``package/file.py:12``; compiled code may have no line numbers."""
    return f"{frame.place}:{frame.line}" if frame.line else frame.place


def percent(share: float) -> str:
    """Return a share (0-1) in percent."""
    value = 100 * share
    return f"{value:.0f} %" if value >= 9.95 or value == 0 else f"{value:.1f} %"


def milliseconds(value: float) -> str:
    """Return a time like ``310 ms`` or ``9.4 ms``."""
    return f"{value:.0f} ms" if value >= 10 else f"{value:.1f} ms"


def state(profile: Profile) -> str:
    """Return a notice to read first; empty for a complete and valid profile."""
    if profile.status is RunStatus.INTERRUPTED:
        return f"Interrupted: only the samples until then are shown. {profile.reason}".strip()
    return ""


def summary(profile: Profile) -> list[str]:
    """Return the lines of a one-screen summary of the profile."""
    target = profile.environment.target
    release = target.release or "of unknown release"
    lines = [
        f"Where the time goes: {profile.case} on gateway {release}, {target.database or 'unknown database'}",
        *filter(None, [state(profile)]),
        "",
        sentence(profile),
    ]
    if not profile.categories:
        return lines
    lines += [*filter(None, [hot_sentence(profile), stall_sentence(profile), cost_sentence(profile)]), ""]
    for one in sorted(profile.categories, key=lambda each: -(each.share or 0.0)):
        if one.share is not None:
            lines.append(f"  {one.label:<22} {percent(one.share):>7}  {'#' * round(50 * one.share)}")
    lines += ["", f"  {'self':>7} {'total':>7}  function"]
    for function in profile.functions[:_FUNCTIONS_SHOWN]:
        own, total = (percent(value / profile.working_s) for value in (function.self_s, function.total_s))
        lines.append(f"  {own:>7} {total:>7}  {frame_words(function.frame)}")
    if profile.over:
        lines += ["", f"  {'slowest':>7} {'others':>7}  on the stack during the slowest requests"]
        for over in profile.over[:_OVER_SHOWN]:
            lines.append(f"  {percent(over.share_slow):>7} {percent(over.share_rest):>7}  {frame_words(over.frame)}")
    if profile.stalls:
        lines += ["", "  without any answer:"]
        longest = sorted(profile.stalls, key=lambda stall: -stall.ms)[:_STALLS_SHOWN]
        lines += [f"  {stall_line(stall)}" for stall in sorted(longest, key=lambda one: (one.round, one.at_s))]
    lines += [*(f"\n{hint}" for hint in hints(profile))]
    return lines
