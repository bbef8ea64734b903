"""Measure a large run's report: time, size, and loading in a browser: 30 cases, 10 iterations, 5000 requests each.

Creates the rows of such a run in hey's format and collects them with utils/collect_results.py; compares the run with a
baseline, so that every value has its interval; and adds one monitor sample per second for the duration of the run. Then
it runs utils/report_generator.py several times as a separate program, including start-up, and opens the report in
Chromium. The best time is used because other load on the machine can only make it slower.

  report        at most 3 s
  file          at most 3 MB
  interactive   at most 1 s from the start of the navigation until the charts of an opened case are drawn

Needs chromium and chromedriver. Exit code 0 if all limits are met, 1 if not.
"""

from __future__ import annotations

import argparse
import math
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import numpy as np
from run_directory import CHECKOUT, collect, rows_file, write_iteration, write_plan, write_rows
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

# pylint: disable=wrong-import-order  # run_directory makes it findable
from benchkit.model import Baseline, BaselineRun, ConnectionSeries, RawPart, Resources, ResourceSeries, Run
from benchkit.settings import load_settings
from benchkit.store import load, save
from benchkit.verdict.compare import compare
from benchkit.verdict.rules import case_figures

CASES, ITERATIONS, REQUESTS, CONCURRENCY = 30, 10, 5000, 200
MAX_SECONDS = 3.0
MAX_MEGABYTES = 3.0
MAX_INTERACTIVE_S = 1.0
PAUSE_S = 3.0

OPEN_A_CASE = """
const done = arguments[arguments.length - 1];
const navigation = performance.getEntriesByType("navigation")[0];
const first = document.querySelector("details.case");
first.querySelector("summary").click();
const look = () => {
  const all = [...first.querySelectorAll("canvas")];
  const visible = all.filter((one) => one.getBoundingClientRect().top < innerHeight);
  const drawn = visible.length && visible.every((one) => Chart.getChart(one));
  if (drawn) done([navigation.loadEventEnd, performance.now()]);
  else requestAnimationFrame(look);
};
first.scrollIntoView();
look();
"""
"""Returns the times, in ms from the start of the navigation, when the page was loaded and the charts were drawn."""


def main() -> int:
    """Create the run, write its report, open it, and check the limits."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=3, metavar="N", help="number of timings (3)")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="create the run in this directory, and keep it")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        run_dir = arguments.keep or Path(name) / "run"
        if not (run_dir / "comparison.json").exists():
            began = time.perf_counter()
            make_run(run_dir)
            print(
                f"{CASES * ITERATIONS * REQUESTS:,} requests made and collected in {time.perf_counter() - began:.0f} s"
            )
        return judge(run_dir, arguments.repeat)


def judge(run_dir: Path, repeat: int) -> int:
    """Time both ``repeat`` times, print the results, and return the exit code."""
    reports = [report_seconds(run_dir) for _ in range(repeat)]
    report = run_dir / "report.html"
    megabytes = report.stat().st_size / 1e6
    with chromium() as browser:
        opened = [interactive_seconds(browser, report) for _ in range(repeat)]
    for number, (written, (loaded, drawn)) in enumerate(zip(reports, opened, strict=True), start=1):
        print(f"{number}: written in {written:.2f} s   loaded after {loaded:.2f} s   a case drawn after {drawn:.2f} s")
    best, ready = min(reports), min(drawn for _, drawn in opened)
    passed = best <= MAX_SECONDS and megabytes <= MAX_MEGABYTES and ready <= MAX_INTERACTIVE_S
    print(
        f"{'pass' if passed else 'FAIL'}: report {best:.2f} s of {MAX_SECONDS:g} s, file {megabytes:.2f} MB of "
        f"{MAX_MEGABYTES:g} MB, interactive {ready:.2f} s of {MAX_INTERACTIVE_S:g} s"
    )
    return 0 if passed else 1


# ---------------------------------------------------------------------------------------------------------------------
# The run


def make_run(run_dir: Path) -> None:
    """Create a run directory with run.json and comparison.json."""
    names = [f"case_{number:02}" for number in range(1, CASES + 1)]
    write_plan(
        run_dir,
        url="http://127.0.0.1:1/",
        requests=REQUESTS,
        concurrency=CONCURRENCY,
        iterations=ITERATIONS,
        names=names,
    )
    random = np.random.default_rng(1)
    clock = datetime.now(UTC) + timedelta(seconds=PAUSE_S)
    for iteration in range(1, ITERATIONS + 1):
        for name in names:
            wall_s = write_load(run_dir, name, iteration, clock, random)
            clock += timedelta(seconds=wall_s + PAUSE_S)
    collect(run_dir)
    run = load(run_dir / "run.json", Run, "run")
    seconds = int((clock - run.started).total_seconds())
    save(run_dir / "run.json", run.model_copy(update={"resources": sampled(seconds, random)}))
    save(run_dir / "comparison.json", compare(run, baseline_of(run, random), load_settings().config.baselines))


def baseline_of(run: Run, random: np.random.Generator) -> Baseline:
    """Return a baseline of three runs that vary around this one by 3 %."""
    return Baseline(
        profile=run.profile,
        version=1,
        created=run.started,
        environment=run.environment,
        runs=[
            BaselineRun(
                run_id=f"{run.run_id}-{number}",
                finished=run.started,
                cases={
                    case.id: {name: value * random.normal(1, 0.03) for name, value in case_figures(case).items()}
                    for case in run.cases
                },
            )
            for number in range(3)
        ],
    )


def write_load(run_dir: Path, name: str, iteration: int, started: datetime, random: np.random.Generator) -> float:
    """Write one iteration of a case, log-normal, with a 300 ms stall every 400 requests; return its duration in s."""
    latency = random.lognormal(-1.6, 0.4, REQUESTS)
    latency[::400] += 0.3
    offset = np.cumsum(random.exponential(latency.mean() / CONCURRENCY, REQUESTS))
    write_rows(rows_file(run_dir, iteration, name), latency, offset)
    wall_s = float((offset + latency).max())
    part = RawPart(
        argv=["hey", "-n", str(REQUESTS), "-c", str(CONCURRENCY), "-o", "csv", "http://127.0.0.1:1/"],
        sent=REQUESTS,
        started=started,
        wall_s=wall_s,
        exit_status=0,
    )
    write_iteration(run_dir, iteration, part, name)
    return wall_s


def sampled(seconds: int, random: np.random.Generator) -> Resources:
    """Return so many seconds of monitor samples of a stack with ten servers and two databases."""

    def walk(low: float, high: float) -> list[float | None]:
        wave = (np.sin(np.arange(seconds) / 97.0) + 1) / 2
        return [round(value, 1) for value in (low + (high - low) * (wave + random.uniform(0, 0.2, seconds))).tolist()]

    def component(name: str, kind: Kind, cpu: float, memory: float) -> ResourceSeries:
        source: Literal["system", "process"] = "system" if kind == "machine" else "process"
        return ResourceSeries(
            name=name, kind=kind, source=source, cpu_percent=walk(0.1, cpu), memory_mib=walk(memory / 2, memory)
        )

    return Resources(
        interval_s=1.0,
        at_s=[float(second) for second in range(seconds)],
        series=[
            component("machine", "machine", 80, 6000),
            component("gateway", "gateway", 78, 400),
            *(component(f"time{number}", "server", 6, 80) for number in range(1, 11)),
            component("postgresql", "database", 15, 300),
            component("redis", "cache", 2, 20),
            component("hey", "generator", 20, 30),
            component("monitor", "monitor", 1.5, 35),
        ],
        connections=[
            ConnectionSeries(
                name=name,
                active=[math.floor(value or 0) for value in walk(0, 20)],
                idle=[math.floor(value or 0) for value in walk(5, 10)],
                limit=100,
            )
            for name in ("gateway", "time")
        ],
    )


Kind = Literal["machine", "gateway", "server", "database", "cache", "generator", "monitor"]


# ---------------------------------------------------------------------------------------------------------------------
# The programs


def run_quietly(program: str, *arguments: str) -> None:
    """Run one of the toolkit's programs with its stderr shown; raises if it fails."""
    command = [sys.executable, str(CHECKOUT / "utils" / program), *arguments]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def report_seconds(run_dir: Path) -> float:
    """Return the duration of the report program, in seconds."""
    began = time.perf_counter()
    run_quietly("report_generator.py", str(run_dir), "--no-open")
    return time.perf_counter() - began


@contextmanager
def chromium() -> Iterator[webdriver.Chrome]:
    """Start a headless browser."""
    binary, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not binary or not driver:
        sys.exit("chromium and chromedriver are needed (Debian: apt install chromium chromium-driver)")
    with tempfile.TemporaryDirectory() as profile:
        options = webdriver.ChromeOptions()
        options.binary_location = binary
        for flag in (
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            f"--user-data-dir={profile}",
            "--window-size=1280,900",
        ):
            options.add_argument(flag)
        browser = webdriver.Chrome(options=options, service=Service(driver))
        try:
            yield browser
        finally:
            browser.quit()


def interactive_seconds(browser: webdriver.Chrome, report: Path) -> tuple[float, float]:
    """Return when the page was loaded, and when the charts of a case that was opened at once were drawn, in seconds."""
    browser.get("about:blank")
    browser.get(report.resolve().as_uri())
    answer: Any = browser.execute_async_script(OPEN_A_CASE)
    loaded, drawn = (float(value) / 1000 for value in answer)
    return loaded, drawn


if __name__ == "__main__":
    sys.exit(main())
