"""The monitor's file on its way to run.json: damaged lines, several gateways, long runs."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchkit.load.collect import collect
from benchkit.load.resources import MAX_POINTS, Monitored, read_monitor, resources
from benchkit.model import (
    MonitoredComponent,
    MonitoredConnections,
    MonitorHeader,
    MonitorSample,
    Plan,
    Run,
    VariantOfRun,
)
from benchkit.store import dump, load
from builders.monitored import GATEWAY, MACHINE, write
from builders.raw_runs import START, RunDirectory, good, planned

POSTGRES = MonitoredComponent(name="postgres", kind="database", source="process")


def header(*components: MonitoredComponent, after_s: float = 2.0, notes: tuple[str, ...] = ()) -> MonitorHeader:
    return MonitorHeader(
        started=START + timedelta(seconds=after_s),
        interval_s=1.0,
        cores=2,
        usable_cores=2.0,
        components=list(components),
        notes=list(notes),
    )


def sample(at_s: float, **cpu: float) -> MonitorSample:
    return MonitorSample(at_s=at_s, cpu_percent=cpu, memory_mib=dict.fromkeys(cpu, 10.0))


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    directory = RunDirectory(tmp_path)
    directory.add(planned("a"), good(), good())
    return directory.finish()


def collected(run_dir: Path) -> Run:
    return collect(run_dir).run


def test_the_axis_counts_from_the_runs_start(run_dir: Path) -> None:
    write(
        run_dir / "raw" / "monitor.jsonl",
        header(MACHINE, GATEWAY, notes=("this",)),
        MonitorSample(at_s=0.0, cpu_percent={}, memory_mib={"machine": 7.0, "gateway": 5.0}),
        sample(1.0, machine=150.0, gateway=90.0),
        sample(2.5, machine=160.0).model_copy(update={"notes": ["that"]}),
    )
    used = collected(run_dir).resources
    assert used is not None
    assert used.at_s == [2.0, 3.0, 4.5]
    assert used.notes == ["this", "that"]
    machine, gateway = used.series
    assert (machine.name, machine.kind, machine.source) == ("machine", "machine", "system")
    assert machine.cpu_percent == [None, 150.0, 160.0]
    assert gateway.cpu_percent == [None, 90.0, None]
    assert gateway.memory_mib == [5.0, 10.0, None]


def test_connections_and_components_that_came_up_later(run_dir: Path) -> None:
    seen = MonitoredConnections(active=3, idle=20, limit=245)
    write(
        run_dir / "raw" / "monitor.jsonl",
        header(MACHINE),
        sample(1.0, machine=1.0),
        sample(2.0, machine=1.0, postgres=4.0).model_copy(
            update={"connections": {"postgres": seen}, "components": [POSTGRES]}
        ),
    )
    used = collected(run_dir).resources
    assert used is not None
    assert [one.name for one in used.series] == ["machine", "postgres"]
    (connections,) = used.connections
    assert (connections.active, connections.idle, connections.limit) == ([None, 3], [None, 20], 245)


def test_who_was_never_seen_has_no_series(run_dir: Path) -> None:
    write(run_dir / "raw" / "monitor.jsonl", header(MACHINE, GATEWAY), sample(1.0, machine=1.0))
    used = collected(run_dir).resources
    assert used is not None
    assert [one.name for one in used.series] == ["machine"]


@pytest.mark.parametrize(
    "text", [None, "", '{"schema_version":1,"star', header(MACHINE).model_dump_json(exclude_none=True) + "\n"]
)
def test_where_nothing_was_sampled_nothing_is_said(run_dir: Path, text: str | None) -> None:
    if text is not None:
        write(run_dir / "raw" / "monitor.jsonl", text)
    assert collected(run_dir).resources is None


def test_a_damaged_last_line_is_that_of_a_run_that_was_killed(run_dir: Path) -> None:
    write(run_dir / "raw" / "monitor.jsonl", header(MACHINE), sample(1.0, machine=1.0), '{"at_s":2.0,"cpu_per')
    used = collected(run_dir).resources
    assert used is not None
    assert (used.at_s, used.notes) == ([3.0], [])


@pytest.mark.parametrize("damage", ["\0\0\0\0\n", "\n", '{"at_s":1}\n', "[]\n", '{"at_s":"x","cpu_percent":{}}\n'])
def test_damaged_lines_in_between_are_left_out_and_told_of(run_dir: Path, damage: str) -> None:
    write(
        run_dir / "raw" / "monitor.jsonl",
        header(MACHINE),
        sample(1.0, machine=1.0),
        damage,
        sample(3.0, machine=3.0),
    )
    used = collected(run_dir).resources
    assert used is not None
    assert used.series[0].cpu_percent == [1.0, 3.0]
    assert used.notes == ["monitor.jsonl: 1 of 4 lines are damaged and left out"]


@pytest.mark.parametrize("first", ["\0\0\n", "{}\n", header(MACHINE).model_dump_json().replace(":2,", ":9,", 1) + "\n"])
def test_a_first_line_that_cannot_be_read_costs_the_samples_and_not_the_run(run_dir: Path, first: str) -> None:
    write(run_dir / "raw" / "monitor.jsonl", first, sample(1.0, machine=1.0))
    run = collected(run_dir)
    assert run.exit_code == 0
    assert run.resources is not None
    assert run.resources.series == []
    assert "first line is damaged" in run.resources.notes[0]


def test_one_of_several_gateways_has_its_own_components_and_the_shared_ones(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path / "base")
    directory.add(planned("a"), good(), good())
    path = directory.finish() / "plan.json"
    plan = load(path, Plan, "plan")
    variant = VariantOfRun(label="base", spec="1.0.6", fresh=True, looks=1)
    path.write_text(dump(plan.model_copy(update={"variant": variant})), encoding="utf-8")
    base, head = (GATEWAY.model_copy(update={"variant": label}) for label in ("base", "head"))
    write(
        tmp_path / "monitor.jsonl",
        header(MACHINE, base, head),
        sample(1.0, **{"machine": 1.0, "base/gateway": 2.0, "head/gateway": 3.0}),
    )
    used = collected(tmp_path / "base").resources
    assert used is not None
    assert [(one.name, one.cpu_percent) for one in used.series] == [("machine", [1.0]), ("gateway", [2.0])]


def long_run(run_dir: Path, values: list[float | None]) -> list[float | None]:
    """The machine's series after it went through the reduction."""
    samples = [
        sample(float(at), machine=value) if value is not None else sample(float(at)) for at, value in enumerate(values)
    ]
    write(run_dir / "raw" / "monitor.jsonl", header(MACHINE, after_s=0.0), *samples)
    monitored = read_monitor(run_dir, load(run_dir / "plan.json", Plan, "plan"))
    assert monitored is not None
    used = resources(monitored, START)
    assert len(used.series[0].cpu_percent) == len(used.at_s) <= MAX_POINTS + 2
    assert used.at_s == sorted(set(used.at_s))
    return used.series[0].cpu_percent


def test_up_to_so_many_samples_are_kept_as_they_are(run_dir: Path) -> None:
    values: list[float | None] = [float(number % 7) for number in range(MAX_POINTS)]
    assert long_run(run_dir, values) == values


def test_a_peak_and_a_gap_of_one_second_are_seen_after_eight_hours(run_dir: Path) -> None:
    values: list[float | None] = [50.0] * 28_800
    values[12_345], values[20_000] = 187.0, 1.0
    reduced = long_run(run_dir, values)
    assert (max(filter(None, reduced)), min(filter(None, reduced))) == (187.0, 1.0)
    used = collected(run_dir).resources
    assert used is not None
    assert used.notes == ["28800 samples were reduced to the smallest and the largest of each 96 in a row"]
    position = used.series[0].cpu_percent.index(187.0)
    assert used.at_s[position] == pytest.approx(12_345, abs=96)


def test_a_rise_stays_a_rise_and_what_was_not_seen_stays_so(run_dir: Path) -> None:
    values: list[float | None] = [float(number) for number in range(1200)]
    values[600:800] = [None] * 200
    reduced = long_run(run_dir, values)
    seen = [value for value in reduced if value is not None]
    assert seen == sorted(seen)
    assert 90 <= reduced.count(None) <= 102


def test_a_fall_stays_a_fall(run_dir: Path) -> None:
    reduced = long_run(run_dir, [float(number) for number in range(1200, 0, -1)])
    assert [value or 0.0 for value in reduced] == sorted((value or 0.0 for value in reduced), reverse=True)


@settings(deadline=None)  # as long as a busy machine makes it
@given(st.lists(st.one_of(st.none(), st.integers(0, 2000)), min_size=601, max_size=900))
def test_smallest_and_largest_survive_whatever_comes(ticks: list[int | None]) -> None:
    ticks[0] = 5
    values = [tick / 10 if tick is not None else None for tick in ticks]
    samples = [
        sample(float(at), machine=value) if value is not None else sample(float(at)) for at, value in enumerate(values)
    ]
    reduced = resources(Monitored(header(MACHINE), samples, [MACHINE], []), START).series[0].cpu_percent
    seen = [value for value in values if value is not None]
    kept = [value for value in reduced if value is not None]
    assert (min(kept), max(kept)) == (min(seen), max(seen))
    assert set(kept) <= set(seen)
