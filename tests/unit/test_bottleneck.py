"""When the load generator was the limit, and when it was not; at the edges of the rule."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from benchkit.load.collect import collect
from benchkit.model import MonitorHeader, MonitorSample, PlannedCase, Run
from builders.monitored import GATEWAY, GENERATOR, MACHINE, write
from builders.raw_runs import START, RunDirectory, good, planned

# The factory starts the first iteration ten seconds after the run, and the second after twenty.
FIRST_S, SECOND_S = 10.0, 20.0
LENGTH_S = 5.0


def run_with(
    path: Path,
    *,
    cases: tuple[PlannedCase, ...] = (planned("a"),),
    length_s: float = LENGTH_S,
    cores: int = 2,
    usable: float | None = None,
    absent: tuple[str, ...] = (),
    **cpu: float,
) -> Run:
    """A run whose components used so much while load ran, and nothing else."""
    directory = RunDirectory(path)
    for case in cases:
        directory.add(case, *(good(wall_s=length_s) for _ in range(case.iterations)))
    directory.finish()
    names = {"machine": "machine", "generator": "load generator", "gateway": "gateway"}
    loaded = {names[name]: value for name, value in cpu.items() if names[name] not in absent}
    samples = []
    for at in range(30):
        within = any(begin < at <= begin + length_s for begin in (FIRST_S, SECOND_S))
        samples.append(
            MonitorSample(at_s=at, cpu_percent=loaded if within else dict.fromkeys(loaded, 0.0), memory_mib={})
        )
    write(
        path / "raw" / "monitor.jsonl",
        MonitorHeader(
            started=START,
            interval_s=1.0,
            cores=cores,
            usable_cores=cores if usable is None else usable,
            components=[MACHINE, GENERATOR, GATEWAY],
            notes=[],
        ),
        *samples,
    )
    return collect(path).run


def is_limit(run: Run) -> bool:
    notes = [note for note in run.cases[0].notes if "the load generator was the limit" in note]
    warnings = [warning for warning in run.warnings if "the load generator was the limit" in warning]
    assert warnings == [doubt for doubt in run.doubts if "the load generator was the limit" in doubt]
    assert len(notes) == len(warnings)
    return bool(notes)


@pytest.mark.parametrize(
    ("machine", "generator", "gateway", "limit"),
    [
        # What is ordinary on two cores: the gateway is what is busy.
        (200, 15, 100, False),
        (200, 60, 140, False),
        (197, 80, 115, False),
        # A gateway of one process that has all of its core, and a generator that has all the other.
        (200, 100, 100, False),
        (200, 99, 100, False),
        # The generator is most of what is busy, and nothing is left.
        (200, 120, 80, True),
        (190, 114, 70, True),
        (200, 119, 80, False),
        # As much, and there is something left: then it was not short of anything.
        (189, 120, 60, False),
        (150, 110, 40, False),
        # Nearly everything is the generator's, whatever the machine says.
        (185, 180, 5, True),
        (185, 179, 5, False),
        # Somebody else keeps the machine busy.
        (200, 20, 20, False),
    ],
)
def test_two_cores(tmp_path: Path, machine: float, generator: float, gateway: float, limit: bool) -> None:
    assert is_limit(run_with(tmp_path, machine=machine, generator=generator, gateway=gateway)) is limit


def test_one_core_of_many_is_the_limit_of_the_sse_client_and_not_of_hey(tmp_path: Path) -> None:
    used = {"machine": 200.0, "generator": 95.0, "gateway": 90.0}
    assert is_limit(run_with(tmp_path / "sse", cases=(planned("a", engine="sse"),), cores=8, **used))
    assert not is_limit(run_with(tmp_path / "hey", cores=8, **used))
    used["generator"] = 89.0
    assert not is_limit(run_with(tmp_path / "less", cases=(planned("a", engine="sse"),), cores=8, **used))


def test_in_a_container_with_a_limit_of_its_own_that_limit_counts(tmp_path: Path) -> None:
    # Two of 64 cores, and the machine is idle but for this run.
    used = {"machine": 210.0, "gateway": 60.0}
    assert is_limit(run_with(tmp_path / "a", cores=64, usable=2.0, generator=135.0, **used))
    assert not is_limit(run_with(tmp_path / "b", cores=64, usable=2.0, generator=90.0, **used))
    assert not is_limit(run_with(tmp_path / "c", cores=64, generator=135.0, **used))
    assert is_limit(run_with(tmp_path / "d", cores=64, usable=0.5, generator=46.0, **used))


def test_the_case_and_the_run_say_so(tmp_path: Path) -> None:
    cases = (planned("fast"), planned("slow", scenario="prompts"))
    run = run_with(tmp_path, cases=cases, machine=200.0, generator=150.0, gateway=40.0)
    assert run.cases[0].notes == [
        "the load generator was the limit: all cores were busy, and it used 150 % of one core, out of 200 % in total"
    ]
    assert run.warnings == [
        "the load generator was the limit in 2 of 2 cases (tools/fast, prompts/slow): their results depend on "
        "it as much as on the gateway; run it on another machine, or use more cores"
    ]
    assert run.exit_code == 0
    alone = run_with(tmp_path / "alone", machine=190.0, generator=184.0, gateway=5.0)
    assert alone.cases[0].notes == ["the load generator was the limit: it used 184 % of one core, 200 % are available"]


def test_all_cases_that_ran_together_have_the_note(tmp_path: Path) -> None:
    cases = (planned("a", group="mixed", scenario="mixed"), planned("b", group="mixed", scenario="mixed"))
    run = run_with(tmp_path, cases=cases, machine=200.0, generator=150.0, gateway=40.0)
    noted = [case.id for case in run.cases if any("was the limit" in note for note in case.notes)]
    assert noted == ["mixed/a", "mixed/b"]


@pytest.mark.parametrize(("length_s", "limit"), [(0.9, False), (1.0, True)])
def test_of_less_than_two_seconds_nothing_is_said(tmp_path: Path, length_s: float, limit: bool) -> None:
    # Two iterations: with one second each there are two seconds that lie within them.
    run = run_with(tmp_path, length_s=length_s, machine=200.0, generator=195.0, gateway=0.0)
    assert is_limit(run) is limit


def test_one_second_of_one_iteration_is_too_little(tmp_path: Path) -> None:
    once = (planned("a", iterations=1),)
    used = {"machine": 200.0, "generator": 195.0, "gateway": 0.0}
    assert not is_limit(run_with(tmp_path / "short", cases=once, length_s=1.0, **used))
    assert is_limit(run_with(tmp_path / "longer", cases=once, length_s=2.0, **used))


def test_what_was_used_beside_the_load_does_not_count(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path)
    directory.add(planned("a"), good(wall_s=LENGTH_S), good(wall_s=LENGTH_S))
    directory.finish()
    busy = {"machine": 200.0, "load generator": 200.0}
    idle = dict.fromkeys(busy, 0.0)
    within = [at for begin in (FIRST_S, SECOND_S) for at in range(int(begin) + 1, int(begin + LENGTH_S) + 1)]
    samples = [MonitorSample(at_s=at, cpu_percent=idle if at in within else busy, memory_mib={}) for at in range(30)]
    header = MonitorHeader(
        started=START, interval_s=1.0, cores=2, usable_cores=2.0, components=[MACHINE, GENERATOR], notes=[]
    )
    write(tmp_path / "raw" / "monitor.jsonl", header, *samples)
    assert not is_limit(collect(tmp_path).run)


@pytest.mark.parametrize(
    ("machine", "gateway", "other"),
    # hey has 10 % in all of them.
    [(110.0, 100.0, 0.0), (134.9, 100.0, 24.9), (135.0, 100.0, 25.0), (200.0, 100.0, 90.0), (105.0, 100.0, 0.0)],
)
def test_work_of_others_is_what_the_machine_did_beyond_all_that_is_sampled(
    tmp_path: Path, machine: float, gateway: float, other: float
) -> None:
    run = run_with(tmp_path, machine=machine, generator=10.0, gateway=gateway)
    assert run.resources is not None
    assert run.resources.other_cpu_percent == other
    said = [warning for warning in run.warnings if "other processes on this machine" in warning]
    assert len(said) == (other >= 25)


def test_the_work_of_a_gateway_that_is_not_seen_is_nobody_elses(tmp_path: Path) -> None:
    run = run_with(tmp_path, absent=("gateway",), machine=200.0, generator=10.0, gateway=100.0)
    assert run.resources is not None
    assert run.resources.other_cpu_percent is None


@pytest.mark.parametrize("absent", ["machine", "load generator"])
def test_without_figures_of_the_generator_or_the_machine_nothing_is_said(tmp_path: Path, absent: str) -> None:
    assert not is_limit(run_with(tmp_path, absent=(absent,), machine=200.0, generator=200.0, gateway=0.0))


def test_samples_on_another_clock_than_the_runs(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path)
    directory.add(planned("a"), good(wall_s=LENGTH_S), good(wall_s=LENGTH_S))
    directory.finish()
    header = MonitorHeader(
        started=START + timedelta(hours=1),
        interval_s=1.0,
        cores=2,
        usable_cores=2.0,
        components=[MACHINE, GENERATOR],
        notes=[],
    )
    samples = [
        MonitorSample(at_s=at, cpu_percent={"machine": 200.0, "load generator": 200.0}, memory_mib={})
        for at in range(30)
    ]
    write(tmp_path / "raw" / "monitor.jsonl", header, *samples)
    assert not is_limit(collect(tmp_path).run)
