"""The page of a CPU profile: where the gateway's time goes, what the slowest requests waited for, and a flame graph."""

from __future__ import annotations

from dataclasses import dataclass

from benchkit import number_format
from benchkit.clock import duration
from benchkit.model import Environment, RunStatus, Tone, Validity
from benchkit.model.cpu_profile import IDLE, LABELS, Category, FrameName, Profile, SampledRound, Stall
from benchkit.report import profile_text
from benchkit.report.chart_library import ChartLibrary
from benchkit.report.charts import Plots
from benchkit.report.frame import Frame, fill_page


@dataclass(frozen=True)
class Bar:
    """A category's section of the stacked bar, as a percentage of its width."""

    category: Category
    label: str
    start: float
    width: float


@dataclass(frozen=True)
class CategoryRow:
    """A category in the table; ``share`` is empty for categories that are not work."""

    category: Category
    label: str
    about: str
    share: str
    seconds: str


@dataclass(frozen=True)
class FunctionRow:
    """A function in a table, with two values."""

    function: str
    place: str
    category: Category
    label: str
    first: str
    second: str


@dataclass(frozen=True)
class StallRow:
    """A period without any answer."""

    at: str
    duration: str
    category: Category
    label: str
    spent: str
    path: list[tuple[str, str]]
    shared: str
    waited: str


@dataclass(frozen=True)
class View:  # pylint: disable=too-many-instance-attributes  # one for each part of the page
    """The text of the page below its head."""

    bars: list[Bar]
    categories: list[CategoryRow]
    hints: list[str]
    stalls: list[StallRow]
    over: list[FunctionRow]
    functions: list[FunctionRow]
    rounds: list[tuple[str, str, str, str, str, str]]
    environment: list[tuple[str, str]]
    limitations: list[str]


def profile_page(profile: Profile) -> str:
    """Return the HTML; raises :class:`~benchkit.errors.UserError` as :func:`benchkit.report.frame.fill_page`."""
    return fill_page(
        "profile.html",
        build_frame(profile),
        {"profile": profile, "view": build_view(profile)},
        Plots(ChartLibrary()),  # it draws its own charts, without Chart.js
        data=page_data(profile),
        scripts=["profile.js", "flame.js"],
        styles=["profile.css"],
    )


def build_frame(profile: Profile) -> Frame:
    """Return the head of the page: where the time goes, in a few sentences."""
    tone, word = _state(profile)
    sentences = [
        profile_text.sentence(profile),
        profile_text.hot_sentence(profile),
        profile_text.stall_sentence(profile),
        profile_text.cost_sentence(profile),
        profile_text.state(profile),
    ]
    first, *others = [one for one in sentences if one]
    started = f"{profile.started.astimezone():%Y-%m-%d %H:%M}"
    return Frame(
        title=profile.case,
        subject=started,
        target=_target(profile.environment),
        tone=tone,
        word=word,
        sentence=first,
        notes=others,
        started=started,
        started_iso=profile.started.isoformat(timespec="seconds"),
        facts=_facts(profile),
    )


def build_view(profile: Profile) -> View:
    """Return the profile as text."""
    return View(
        bars=_bars(profile),
        categories=[
            CategoryRow(
                one.category,
                one.label,
                one.about,
                "" if one.share is None else number_format.percent_of(one.share),
                f"{one.seconds:.2f}",
            )
            for one in profile.categories
        ],
        hints=profile_text.hints(profile),
        stalls=[_stall(one) for one in profile.stalls],
        over=[
            _function(one.frame, number_format.percent_of(one.share_slow), number_format.percent_of(one.share_rest))
            for one in profile.over
        ],
        functions=[
            _function(
                one.frame, *(number_format.percent_of(value / profile.working_s) for value in (one.self_s, one.total_s))
            )
            for one in profile.functions
        ],
        rounds=[
            (
                str(one.round),
                "with" if one.sampled else "without",
                f"{one.requests_per_sec:.1f}",
                f"{one.p50_ms:.1f}",
                f"{one.p95_ms:.1f}",
                f"{one.max_ms:.1f}",
            )
            for one in profile.rounds
        ],
        environment=_environment(profile),
        limitations=_limitations(profile),
    )


def page_data(profile: Profile) -> dict[str, object]:
    """Return the data for the page's scripts: the flame graph, and the sampled rounds over time."""
    flame = profile.flame
    return {
        "labels": {category.value: label for category, (label, _) in LABELS.items()},
        "flame": {
            "total": flame.total_ms,
            "frames": [[one.function, profile_text.frame_place(one), one.category.value] for one in flame.frames],
            "nodes": [[one.frame, one.depth, one.ms] for one in flame.nodes],
        }
        if flame is not None and flame.nodes
        else None,
        "rounds": [_round_data(one, profile.stalls) for one in profile.timeline],
    }


def _round_data(one: SampledRound, stalls: list[Stall]) -> dict[str, object]:
    order = [category for category in LABELS if category in one.shares]
    return {
        "round": one.round,
        "bucket": one.bucket_s,
        "shares": [[category.value, one.shares[category]] for category in order],
        "points": [[point.at_s, point.ms, int(point.slow)] for point in one.requests],
        "stalls": [[stall.at_s, stall.ms] for stall in stalls if stall.round == one.round],
    }


# ---------------------------------------------------------------------------------------------------------------------
# Parts


def _state(profile: Profile) -> tuple[Tone, str]:
    if profile.validity is Validity.INVALID:
        return Tone.BAD, "Invalid"
    if profile.status is RunStatus.INTERRUPTED:
        return Tone.WARN, "Interrupted"
    return Tone.PLAIN, "Where the time goes"


def _target(environment: Environment) -> str:
    target, load = environment.target, environment.load
    return (
        f"Gateway {target.release or 'of unknown release'} on {target.database or 'an unknown database'}, "
        f"{target.workers or 1} worker{'s' if (target.workers or 1) > 1 else ''}; profile {load.profile}, "
        f"{load.requests} requests a round at {load.concurrency} concurrent"
    )


def _facts(profile: Profile) -> list[tuple[str, str]]:
    facts = []
    for label, sampled in (("req/s without sampler", False), ("req/s with sampler", True)):
        rates = [one.requests_per_sec for one in profile.rounds if one.sampled is sampled]
        if rates:
            facts.append((label, f"{sum(rates) / len(rates):.1f}"))
    if profile.categories:
        facts.append(("busiest thread", f"{profile_text.percent(profile.busiest_share)} busy"))
        facts.append(("work sampled", duration(profile.working_s)))
    if profile.slow_from_ms is not None:
        facts.append(("slowest 1 % from", profile_text.milliseconds(profile.slow_from_ms)))
    return facts


def _bars(profile: Profile) -> list[Bar]:
    bars = []
    start = 0.0
    for one in profile.categories:
        if one.category not in IDLE and one.share:
            bars.append(Bar(one.category, one.label, round(100 * start, 3), round(100 * one.share, 3)))
            start += one.share
    return bars


def _function(frame: FrameName, first: str, second: str) -> FunctionRow:
    return FunctionRow(
        frame.function, profile_text.frame_place(frame), frame.category, LABELS[frame.category][0], first, second
    )


def _stall(stall: Stall) -> StallRow:
    return StallRow(
        at=f"round {stall.round}, {stall.at_s:.2f} s",
        duration=f"{stall.ms:.0f}",
        category=Category.OTHER if stall.mixed else stall.category,
        label=f"mixed, mostly {LABELS[stall.category][0]}" if stall.mixed else LABELS[stall.category][0],
        spent=f"{stall.category_ms:.0f}",
        path=[(frame.function, profile_text.frame_place(frame)) for frame in stall.path],
        shared=f"{stall.path_ms:.0f} ms" if stall.path else "",
        waited=str(stall.requests),
    )


def _environment(profile: Profile) -> list[tuple[str, str]]:
    machine, target = profile.environment.machine, profile.environment.target
    rows = [
        ("machine", f"{machine.cpu_model}, {machine.cores} cores, {number_format.count(machine.memory_mib)} MiB"),
        ("kernel", machine.kernel),
        ("gateway", f"{target.release or 'not told'} at {target.base_url}"),
        ("database", " ".join(filter(None, [target.database, target.database_version])) or "unknown"),
        ("cache", target.cache or "unknown"),
        ("toolkit", machine.toolkit),
        ("load generator", ", ".join(f"{name} {version}" for name, version in machine.engines.items())),
    ]
    sampler = profile.sampler
    if sampler is not None:
        rows.append(
            (
                "sampler",
                f"{sampler.program}, {sampler.rate} a second, {sampler.processes} process"
                f"{'es' if sampler.processes > 1 else ''}, {number_format.count(sampler.samples)} samples of a thread, "
                f"{number_format.count(sampler.errors)} not taken",
            )
        )
    if profile.alignment is not None:
        one = profile.alignment
        moved = f"; samples moved by up to {one.moved_ms:.0f} ms, to the first request" if one.moved_ms else ""
        rows.append(("clocks", f"sampler and load generator fit to {one.uncertainty_ms:.0f} ms{moved}"))
    return rows


def _limitations(profile: Profile) -> list[str]:
    found = [
        "The sampler stops the gateway for each sample, so everything takes longer than without it, the stalls too. "
        "The cost is shown above. Do not use times of this page as results; the run is not part of any baseline.",
        "A share comes from samples. Work that is shorter than the sampling interval is seen only by chance.",
        "A sample belongs to one category: that of its innermost frame that is in the table of categories.",
        "Compiled code has names only where its library kept them; “(no symbol)” is code of that library.",
    ]
    if not profile.gc_visible and profile.categories:
        found.insert(
            0,
            "Garbage collection cannot be seen in these samples: its time is counted for the code that happened to run "
            "when it began.",
        )
    return found
