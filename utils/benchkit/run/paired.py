"""Several gateways measured side by side, block by block.

In a block every case is measured on every gateway, back to back, before the next case; who comes first alternates from
case to case and, for one case, over the blocks (ABBA), so that a drift hits all alike. Before each block the gateways
that the toolkit can start are started anew, each with a fresh database: what a start decides (and it decides a few
percent) then is part of the noise that the blocks show, and not of one variant. The first requests after a start, a
quarter of a block's, are not counted.

After some of the blocks (:func:`looks`) the figures are held against each other. Cases whose verdict is clear are not
measured any more; what is undecided after the planned blocks gets up to as many again. Each look may err, so the
verdict divides its error among all of them (``VariantOfRun.looks``).
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from benchkit.errors import ExitCode, UserError
from benchkit.gateway.counters import ServerCounters
from benchkit.load.arguments_file import remove_arguments
from benchkit.load.collect import collect
from benchkit.load.driver import WARM_UP, Driver, write_bodies
from benchkit.load.driver import Step as LoadStep
from benchkit.load.engines import programs, versions
from benchkit.load.job import http_request
from benchkit.load.plan import plan_cases
from benchkit.load.progress import Estimate, Progress, span
from benchkit.machine import describe_machine
from benchkit.model import Plan, PlannedCase, Run, VariantOfRun
from benchkit.run.killed_runs import point_latest
from benchkit.run.owner import write_owner
from benchkit.run.session import (
    MAX_TOKEN_NEED_S,
    Shell,
    check_start,
    end_of_comparison,
    make_plan,
    new_run_dir,
    say,
    setting_flags,
    wants_report,
)
from benchkit.run.steps import End, Load, Program, SetUp, StartMonitor, Step, Steps, StopMonitor, code_of, succeed
from benchkit.run.target import ConnectedTarget, connect
from benchkit.run.variants import Variant, Variants, VariantSpec, resolve, variant_settings
from benchkit.settings import Settings, from_arguments
from benchkit.stack.processes import port_is_free
from benchkit.stack.state import StackPaths, default_paths
from benchkit.stack.topology import text_of
from benchkit.store import save
from benchkit.verdict.compare import compare_paired, undecided

FIRST_LOOK = 5
"""Blocks before the first look: fewer can't be certain of anything."""

_ABBA = (False, True, True, False)
"""Over the blocks of one case: whether the order of the variants is reversed."""

_RESTART_S = (5.0, 11.0)
"""What starting the gateways anew takes, in seconds for each, least and most: for the estimate of the time only."""


def looks(blocks: int, variants: int) -> tuple[int, ...]:
    """After how many blocks the figures are looked at.

    Two gateways: early, after the planned blocks, and after twice as many. More of them are measured to the end, for
    what is clear between two of them need not be so between others.
    """
    return tuple(sorted({min(FIRST_LOOK, blocks), blocks, 2 * blocks})) if variants == 2 else (blocks,)


def order(variants: int, block: int, case: int) -> list[int]:
    """The order of the variants for a case of a block; both count from 0.

    Two variants: AB or BA. More: every variant comes first equally often, and the order is turned round as for two.
    """
    first = (block // 2) % variants if variants > 2 else 0
    row = [(first + number) % variants for number in range(variants)]
    return row[::-1] if _ABBA[block % 4] != (case % 2 == 1) else row


def with_group(ids: set[str], cases: Sequence[PlannedCase]) -> set[str]:
    """These cases, and those whose load runs together with theirs: without them it would be another load."""
    groups = {case.group for case in cases if case.id in ids and case.group}
    return ids | {case.id for case in cases if case.group in groups and not case.skipped}


_ONLY_VARIANT: dict[str, object] = {"skipped": "no other variant can measure it", "only_variant": True}
"""What becomes of a case on the only one of several gateways that has it."""


@dataclass
class _Gateway:
    """One variant under way. ``blocks``: case id to how many blocks of it are planned so far.

    ``measured``: case id to how many iterations of it there are. ``failed``: cases that turned out not to be measurable
    here.
    """

    variant: Variant
    settings: Settings
    place: StackPaths
    dir: Path
    connection: ConnectedTarget
    plan: Plan
    driver: Driver
    estimate: Estimate
    blocks: dict[str, int] = field(default_factory=dict)
    measured: dict[str, int] = field(default_factory=dict)
    failed: set[str] = field(default_factory=set)

    def cases(self, ids: set[str]) -> list[PlannedCase]:
        """The plan's cases among these that are measured."""
        return [case for case in self.plan.cases if self.has(case.id) and case.id in ids]

    def has(self, case_id: str) -> bool:
        """Whether a case can be measured here."""
        return case_id not in self.failed and any(case.id == case_id and not case.skipped for case in self.plan.cases)


class PairedSession:
    """Several gateways against each other: two (``--base``, ``--head``), releases, or settings (``--tune``)."""

    def __init__(self, options: argparse.Namespace, shell: Shell) -> None:
        self._options = options
        self._shell = shell
        self._settings: Settings | None = None
        self._variants: Variants | None = None
        self._gateways: list[_Gateway] = []
        self._to_close: list[ConnectedTarget] = []
        self._dir = Path()
        self._looks: tuple[int, ...] = ()
        self._block = 0
        self._undecided: set[str] = set()
        self._queue: list[tuple[int, LoadStep]] = []
        self._progress: Progress | None = None

    def open(self) -> Settings:
        """Check everything that can be checked before anything is started."""
        settings = self._settings = _paired_settings(from_arguments(self._options))
        check_start(settings)
        root = default_paths().variants
        self._variants = resolve(_wanted(self._options, settings), settings, root, is_free=port_is_free)
        save(self._variants_file, self._variants, mode=0o600)
        self._looks = looks(settings.config.paired.blocks, len(self._variants.variants))
        return settings

    def steps(self) -> Steps:
        """Install and start the gateways, measure them block by block, and compare them."""
        assert self._variants is not None, "steps before open"
        for release, source in dict.fromkeys((variant.release, variant.source) for variant in self._variants.own):
            yield from succeed(SetUp(release, source))
        yield from succeed(self._start("servers"))
        yield from succeed(self._start("restart"))
        self._plan()
        monitor = [self._dir / "monitor.jsonl", "--shell", self._shell.pid, "--variants-file", self._variants_file]
        yield StartMonitor([*monitor, *setting_flags(self._options)])
        yield from self._measure()
        yield StopMonitor()
        self.restore()
        return (yield from self._judge())

    def restore(self) -> None:
        """Remove from gateways that go on running what was made on them; the others are stopped anyway."""
        self._progress_end()
        if self._dir != Path():
            remove_arguments(self._dir)
        while self._to_close:
            with contextlib.suppress(UserError):
                self._to_close.pop().close()

    # -----------------------------------------------------------------------------------------------------------------

    @property
    def _kind(self) -> str:
        """How the run's directory begins."""
        if self._options.releases is not None:
            return "history"
        return "paired" if self._options.tune is None else "tune"

    @property
    def _variants_file(self) -> Path:
        return self._shell.tmp / "variants.json"

    def _start(self, *words: str) -> Program:
        """Start the shared servers (``servers``), or the gateways anew (``restart``)."""
        command, *more = words
        given = setting_flags(self._options)
        return Program(
            ["variants.py", command, self._variants_file, "--owner", self._shell.pid, *more, *given], output="err"
        )

    def _plan(self) -> None:
        """Resolve the cases on every variant, write each one's plan.json, and say how long it will take."""
        settings, variants = self._settings, self._variants
        assert settings is not None, "plan before open"
        assert variants is not None
        self._dir = new_run_dir(settings, self._kind)
        (self._dir / "raw").rmdir()
        write_owner(self._dir, self._shell.pid, os.getpid())
        self._shell.tell_dir(self._dir)
        for variant in variants.variants:
            (self._dir / variant.label / "raw").mkdir(parents=True)
        connections = [self._connect(settings, variant) for variant in variants.variants]
        machine = describe_machine(versions(programs(settings)))
        for variant, connection in zip(variants.variants, connections, strict=True):
            own = variant_settings(settings, variant)
            directory = self._dir / variant.label
            plan = make_plan(
                own,
                connection,
                self._chosen(own, connection),
                machine,
                run_id=f"{self._dir.name}/{variant.label}",
                command=self._shell.command,
            )
            plan = plan.model_copy(
                update={
                    "differences": [],
                    "variant": VariantOfRun(
                        label=variant.label,
                        spec=variant.spec,
                        fresh=variant.kind != "running",
                        looks=len(self._looks) * self._comparisons(),
                        rounds=settings.config.paired.rounds,
                    ),
                }
            )
            plan = write_bodies(plan, directory)
            driver = self._driver(own, connection, plan, directory)
            failed: set[str] = set()
            estimate = Estimate(plan, driver.first_probes(), failed)
            place = StackPaths(Path(variant.place))
            self._gateways.append(
                _Gateway(variant, own, place, directory, connection, plan, driver, estimate, failed=failed)
            )
        self._undecided = self._comparable()
        if not self._undecided:
            raise UserError("nothing can be compared: no case of the scenarios can be measured on two of the variants")
        self._plan_blocks(self._looks[0])
        self._announce()

    def _measure(self) -> Generator[Step, list[int], None]:
        """All blocks."""
        self._begin_block()
        while True:
            while self._queue:
                yield from self._turn(*self._queue.pop(0))
            self._progress_end()
            if self._block in self._looks:
                self._look()
            if not self._undecided:
                return
            if any(gateway.variant.kind != "running" for gateway in self._gateways):
                yield from succeed(self._start("restart", "--again"))
                self._find_cases_again()
            self._begin_block()

    def _turn(self, number: int, step: LoadStep) -> Generator[Step, list[int], None]:
        """One step on one gateway; it is put back into the queue when something interrupted it."""
        gateway = self._gateways[number]
        longest = gateway.estimate.of(step)[1]
        assert self._progress is not None
        self._progress.begin(step, longest, span(*self._left()), who=gateway.variant.label)
        processes = gateway.driver.begin(step, min(2 * longest + 60, MAX_TOKEN_NEED_S))
        if not processes:
            gateway.driver.end([])
            self._drop_failed(gateway)
            return
        started = time.monotonic()
        codes = yield Load(self._dir, processes)
        gateway.estimate.learn(step, time.monotonic() - started)
        self._progress_end()
        if interruption := gateway.driver.end(codes):
            say(f"interrupted: {interruption}; this turn is measured again")
            self._queue.insert(0, (number, step))
            return
        if step.round != WARM_UP:
            gateway.measured |= {case.id: step.round for case in step.cases if case.id not in gateway.driver.failed}
        self._drop_failed(gateway)

    def _find_cases_again(self) -> None:
        """The gateways were started anew: log in again and find the same cases, whose ids are others now."""
        for gateway in self._gateways:
            if gateway.variant.kind == "running":
                continue
            gateway.connection = connection = connect(gateway.settings, gateway.place)
            found = {case.id: case for case in self._chosen(gateway.settings, connection)}
            cases = [
                found[case.id].model_copy(update={"iterations": case.iterations}) if case.id in found else case
                for case in gateway.plan.cases
            ]
            # On paper the run keeps the plan of its first block; only ids within addresses and bodies differ.
            written = write_bodies(gateway.plan.model_copy(update={"cases": cases}), gateway.dir)
            gateway.plan = written
            gateway.driver = self._driver(gateway.settings, connection, written, gateway.dir)
            gateway.driver.failed |= gateway.failed

    def _judge(self) -> Generator[Step, list[int], End]:
        """Every variant's raw/ to its run.json, then what changed between them."""
        code = 0
        for directory in sorted(self._dir / variant.label for variant in self._all):
            code = max(code, (yield from code_of(Program(["collect_results.py", directory], output="none"))))
        if code not in (ExitCode.OK, ExitCode.INVALID):
            return End(code, "the run could not be collected")
        point_latest(self._dir)
        comparison = self._dir / "comparison.json"
        if self._kind == "history":
            # A case that is broken in some of the releases is a result; the program says 3 where it is none.
            judged = yield from code_of(Program(["history_report.py", self._dir]))
            return end_of_comparison(judged, ExitCode.OK, self._dir)
        if self._kind == "tune":
            env_file = ["--env-file", self._options.env_file] if self._options.env_file else []
            judged = yield from code_of(Program(["tune_report.py", self._dir, *env_file]))
            return end_of_comparison(judged, code, self._dir)
        words = ["compare_results.py", self._dir / "head", "--against", self._dir / "base", "--output-dir", self._dir]
        strict = ["--fail-on-inconclusive"] if self._options.fail_on_inconclusive else []
        judged = yield from code_of(Program([*words, *strict]))
        assert self._settings is not None
        if comparison.exists() and wants_report(self._settings, self._options):
            report = ["report_generator.py", self._dir / "head", "--comparison", comparison]
            if (yield from code_of(Program([*report, "--output", self._dir / "report.html"]))) != ExitCode.OK:
                say("warning: the report could not be written")
        return end_of_comparison(judged, code, self._dir)

    @property
    def _all(self) -> list[Variant]:
        assert self._variants is not None
        return self._variants.variants

    def _connect(self, settings: Settings, variant: Variant) -> ConnectedTarget:
        connection = connect(
            variant_settings(settings, variant), StackPaths(Path(variant.place)), self._dir / variant.label
        )
        if variant.kind == "running":
            self._to_close.append(connection)
        return connection

    @staticmethod
    def _driver(settings: Settings, connection: ConnectedTarget, plan: Plan, directory: Path) -> Driver:
        return Driver(
            plan,
            directory,
            programs=programs(settings),
            token=connection.token,
            counters=ServerCounters(),
            gateway_answers=connection.answers,
        )

    def _chosen(self, settings: Settings, connection: ConnectedTarget) -> list[PlannedCase]:
        """The wanted cases of a gateway: not those that go to an MCP server directly, the same on all variants."""
        base_url = connection.routes.base_url
        patterns = [text for text in (self._options.cases or "*").split(",") if text]
        found = [
            case
            for case in plan_cases(settings, connection.routes, connection.catalogue)
            if any(fnmatchcase(case.id, pattern) for pattern in patterns)
            and (case.skipped or any(http_request(case, part).url.startswith(base_url) for part in case.parts))
        ]
        if not found:
            raise UserError(
                f"--cases {self._options.cases}: no case of {', '.join(settings.scenarios)} has such a name"
            )
        return found

    def _comparable(self) -> set[str]:
        """Cases that at least two variants can measure."""
        ids = dict.fromkeys(case.id for gateway in self._gateways for case in gateway.plan.cases)
        return {case for case in ids if sum(gateway.has(case) for gateway in self._gateways) > 1}

    def _plan_blocks(self, blocks: int) -> None:
        """Note in every plan how many blocks its cases get; those that are decided keep what they have."""
        for gateway in self._gateways:
            gateway.blocks |= dict.fromkeys(self._undecided, blocks)
            cases = []
            for case in gateway.plan.cases:
                if case.skipped:
                    cases.append(case)
                elif case.id in gateway.blocks:
                    cases.append(case.model_copy(update={"iterations": gateway.blocks[case.id] * self._rounds}))
                else:
                    cases.append(case.model_copy(update=_ONLY_VARIANT))
            self._save_plan(gateway, cases)

    @staticmethod
    def _save_plan(gateway: _Gateway, cases: list[PlannedCase]) -> None:
        gateway.plan = gateway.plan.model_copy(update={"cases": cases})
        save(gateway.dir / "plan.json", gateway.plan)

    @property
    def _rounds(self) -> int:
        assert self._settings is not None
        return self._settings.config.paired.rounds

    def _comparisons(self) -> int:
        """How many pairs of variants are held against each other: a history's first and last as well."""
        assert self._variants is not None
        count = len(self._variants.variants)
        return count if self._kind == "history" and count > 2 else count - 1

    def _begin_block(self) -> None:
        self._block += 1
        block = self._block
        per_variant = [self._groups(gateway) for gateway in self._gateways]
        keys = list(dict.fromkeys(key for groups in per_variant for key in groups))
        self._queue = [
            (number, LoadStep(WARM_UP, groups[key]))
            for key in keys
            for number, groups in enumerate(per_variant)
            if key in groups
        ]
        for number_of_round in range(self._rounds):
            iteration = (block - 1) * self._rounds + number_of_round + 1
            for index, key in enumerate(keys):
                for number in order(len(per_variant), block - 1, index + number_of_round):
                    if key in per_variant[number]:
                        self._queue.append((number, LoadStep(iteration, per_variant[number][key])))
        planned = next(count for count in self._looks if count >= block)
        self._progress = Progress(
            len(self._queue), planned * self._rounds, word="block" if self._rounds == 1 else "round"
        )

    def _groups(self, gateway: _Gateway) -> dict[str, tuple[PlannedCase, ...]]:
        """What is loaded at the same time, by its name."""
        groups: dict[str, tuple[PlannedCase, ...]] = {}
        for case in gateway.cases(self._undecided):
            key = case.group or case.id
            groups[key] = (
                *groups.get(key, ()),
                case.model_copy(update={"iterations": self._block * self._rounds}),
            )
        return groups

    def _look(self) -> None:
        """Hold the variants against each other, and find out which cases need more blocks."""
        settings = self._settings
        assert settings is not None
        later = [count for count in self._looks if count > self._block]
        if not later:
            self._undecided = set()
            return
        base, head = (self._run(gateway) for gateway in self._gateways)
        open_cases = with_group(
            undecided(compare_paired(base, head, settings.config.baselines)) & self._undecided,
            self._gateways[0].plan.cases,
        )
        decided = len(self._undecided) - len(open_cases)
        self._undecided = open_cases
        if open_cases:
            say(f"after {self._block} blocks: {decided} cases decided, {len(open_cases)} go on to {later[0]} blocks")
            self._plan_blocks(later[0])
        else:
            say(f"after {self._block} blocks: everything is decided")

    @staticmethod
    def _run(gateway: _Gateway) -> Run:
        return collect(gateway.dir).run

    def _drop_failed(self, gateway: _Gateway) -> None:
        """A case that can't be measured on one variant is over there; and everywhere, unless two variants are left."""
        new = gateway.driver.failed - gateway.failed
        gateway.failed |= new
        over = {case for case in new & self._undecided if sum(one.has(case) for one in self._gateways) < 2}
        self._undecided -= over
        for one in self._gateways:
            # What was measured of it elsewhere is whole: nothing more was planned there.
            if over - one.failed:
                self._save_plan(
                    one, [_ended(case, one) if case.id in over - one.failed else case for case in one.plan.cases]
                )
        self._queue = [(number, step) for number, step in self._queue if not any(one.id in over for one in step.cases)]

    def _left(self) -> tuple[float, float]:
        """Seconds to the next look but at least to the planned blocks, least and most."""
        assert self._settings is not None
        now = [self._gateways[number].estimate.expected(step) for number, step in self._queue]
        block = [
            gateway.estimate.expected(LoadStep(round_number, (case,)))
            for gateway in self._gateways
            for case in gateway.cases(self._undecided)
            for round_number in (WARM_UP, *([1] * self._rounds))
        ]
        until = max(self._settings.config.paired.blocks, next((one for one in self._looks if one >= self._block), 0))
        blocks = until - self._block
        started = sum(gateway.variant.kind != "running" for gateway in self._gateways)
        least = sum(low for low, _ in now) + blocks * (started * _RESTART_S[0] + sum(low for low, _ in block))
        most = sum(high for _, high in now) + blocks * (started * _RESTART_S[1] + sum(high for _, high in block))
        return least, most

    def _progress_end(self) -> None:
        if self._progress is not None:
            self._progress.end()

    def _announce(self) -> None:
        assert self._settings is not None
        load = self._settings.config.performance
        who = ", ".join(f"{one.variant.label} {one.variant.spec}" for one in self._gateways)
        say(
            f"{self._dir.name}: {who}; {len(self._undecided)} cases x {self._settings.config.paired.blocks} blocks, "
            f"{self._rounds} times {load.default_requests} requests at {load.default_concurrency} concurrent on each"
        )
        for gateway in self._gateways:
            for case in gateway.plan.cases:
                if case.skipped:
                    say(f"skipped: {gateway.variant.label}: {case.id}: {case.skipped}")
            for warning in gateway.plan.warnings:
                say(f"warning: {gateway.variant.label}: {warning}")
            if gateway.variant.kind == "running":
                say(f"warning: {gateway.variant.label} runs already: its age is part of what is compared")
        say(f"this will take {span(*self._left())}")


def _ended(case: PlannedCase, gateway: _Gateway) -> PlannedCase:
    """A case that was dropped because another variant cannot measure it, as far as it was measured on this one."""
    done = gateway.measured.get(case.id, 0)
    return case.model_copy(update={"iterations": done} if done else _ONLY_VARIANT)


def _paired_settings(settings: Settings) -> Settings:
    """The load of a paired comparison: its own number of requests, unless a flag or the environment gives one."""
    config = settings.config
    load, paired = config.performance, config.paired
    is_given = settings.is_given("performance.default_requests")
    requests = load.default_requests if is_given else max(paired.requests, load.default_concurrency)
    performance = load.model_copy(
        update={
            "default_requests": requests,
            "iterations": paired.blocks,
            "warmup": True,
            "warmup_requests": max(load.warmup_requests, requests * paired.rounds // 4),
        }
    )
    return settings.model_copy(update={"config": config.model_copy(update={"performance": performance})})


def _wanted(options: argparse.Namespace, settings: Settings) -> list[VariantSpec]:
    if options.tune is not None:
        return _variants(options.tune, settings)
    if options.releases is not None:
        return [
            VariantSpec(_label(spec), spec, (), "--releases") for spec in options.releases.replace(",", " ").split()
        ]
    # Who typed --base 1.0.6 shall read of --base.
    return [
        VariantSpec("base", options.base, _variables(options.base_env, "--base-env"), "--base"),
        VariantSpec("head", options.head, _variables(options.head_env, "--head-env"), "--head"),
    ]


def _variables(texts: Sequence[str], flag: str) -> list[str]:
    """``KEY=VALUE`` for each text. Of a KEY alone, the environment of the runner has the value, as GIVEN_KEY here."""
    found = []
    for text in texts:
        if re.fullmatch("[A-Z][A-Z0-9_]*", text):
            if (value := os.environ.get(f"GIVEN_{text}")) is None:
                raise UserError(f"{flag} {text}: there is no such environment variable; set it, or give {text}=VALUE")
            found.append(f"{text}={value}")
        else:
            found.append(text)
    return found


def _label(spec: str) -> str:
    """A release is its own label; of a wheel it is the release, of a path or an address the last part."""
    path = Path.cwd() if spec.rstrip("/") == "." else Path(spec.rstrip("/"))
    name = path.name
    if name.endswith(".whl") and name.count("-") > 1:  # NAME-VERSION-TAGS.whl
        name = name.split("-")[1]
    return re.sub("[^A-Za-z0-9._-]", "-", name)[:40]


def _variants(spec: str, settings: Settings) -> list[VariantSpec]:
    """The gateway as the toolkit starts it, and once more with each setting of ``paired.tune``."""
    gateway = settings.config.stack.gateway
    spec = spec or gateway.source or gateway.version
    variants = [
        VariantSpec(name, spec, [f"{key}={text_of(value)}" for key, value in variant.settings.items()], "--tune")
        for name, variant in settings.config.paired.tune.items()
    ]
    if not variants:
        raise UserError("paired.tune of config.yaml names no setting that could be measured")
    return [VariantSpec("base", spec, (), "--tune"), *variants]
