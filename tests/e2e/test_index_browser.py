"""The report over several profiles and the list of all runs in a real browser: drawn, quiet, small windows, paper."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from benchkit import store
from benchkit.model import Run, Tone
from benchkit.plain import without_controls
from benchkit.report.index_page import SHOWN, Damaged, IndexRow, index_page
from benchkit.settings import ROOT
from browser import Browser, assert_quiet, draw_all, emulate, violations, visit, wait_for
from builders import documents, sweeps

pytestmark = pytest.mark.e2e

DRAWN = """
return [...document.querySelectorAll("canvas")].map((canvas) => {
  const chart = window.Chart && Chart.getChart(canvas);
  if (!chart) return null;
  // Read from a copy: the browser warns of canvases that are read again and again.
  const copy = Object.assign(document.createElement("canvas"), { width: canvas.width, height: canvas.height });
  const context = copy.getContext("2d", { willReadFrequently: true });
  context.drawImage(canvas, 0, 0);
  const { data } = context.getImageData(0, 0, copy.width, copy.height);
  let coloured = 0;
  for (let at = 0; at < data.length; at += 4) {
    const parts = data.subarray(at, at + 3);
    coloured += data[at + 3] > 200 && Math.max(...parts) - Math.min(...parts) > 60;
  }
  return { points: chart.data.datasets.map((set) => set.data), coloured, width: canvas.clientWidth };
});
"""
"""Of each canvas: the values of its lines, how many of its pixels are coloured (which only lines are), its width."""


def write(program: str, *arguments: object) -> None:
    command = [sys.executable, str(ROOT / "utils" / program), *map(str, arguments)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert done.stderr == "", "Chart.js is needed here: utils/setup.sh chartjs"


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Three profiles, one of them with a report that opens."""
    place = tmp_path / "the results"
    place.mkdir()
    directory = sweeps.write_all(place)
    write("report_generator.py", place / "medium_2026-03-02-093000", "--no-open")
    write("profile_sweep_report.py", directory, "--no-open")
    write("results_index.py", "--results-dir", place)
    return place


def report_of(results: Path) -> str:
    return (results / sweeps.ALL_ID / "report.html").as_uri()


# --- the report over several profiles --------------------------------------------------------------------------------


def test_every_chart_is_drawn_and_what_is_invalid_is_a_gap(browser: Browser, results: Path) -> None:
    page = visit(browser, report_of(results))
    draw_all(page)
    charts = page.execute_script(DRAWN)
    assert len(charts) == 4, "two scenarios, throughput and latency"
    for chart in charts:
        assert chart["coloured"] > 200
        assert chart["width"] > 300
        # Three profiles; the last came to no run.
        assert all(len(points) == 3 and points[2] is None for points in chart["points"])
    assert charts[0]["points"][2][1] is None, "invalid under medium"
    assert all(value != 0 for chart in charts for points in chart["points"] for value in points)
    assert_quiet(page)


def test_a_link_leads_to_the_case_in_its_profiles_report(browser: Browser, results: Path) -> None:
    page = visit(browser, report_of(results))
    page.find_element(By.CSS_SELECTOR, "[aria-labelledby=worse] tbody a").click()
    assert page.current_url.endswith("/medium_2026-03-02-093000/report.html#gateway-core/call_rpc")
    wait_for("the case", lambda: page.execute_script("return document.querySelector('details.case[open]') !== null"))
    assert_quiet(page)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_small_windows_never_scroll_sideways(browser: Browser, results: Path, scheme: str) -> None:
    for address in (report_of(results), (results / "index.html").as_uri()):
        page = visit(browser, address, width=390, scheme=scheme)
        assert page.execute_script("return document.documentElement.scrollWidth") == 390
        assert_quiet(page)


def test_charts_follow_the_colour_scheme(browser: Browser, results: Path) -> None:
    page = visit(browser, report_of(results))
    draw_all(page)
    colour = "return Chart.getChart(document.querySelector('canvas')).data.datasets[0].borderColor"
    light = page.execute_script(colour)
    back = page.execute_script("return getComputedStyle(document.body).backgroundColor")
    emulate(page, "dark")
    wait_for("the dark chart", lambda: page.execute_script(colour) != light)
    assert page.execute_script("return getComputedStyle(document.body).backgroundColor") != back
    page.execute_script("dispatchEvent(new Event('beforeprint'))")
    assert page.execute_script(colour) == light, "paper is light"
    page.execute_script("dispatchEvent(new Event('afterprint'))")
    assert page.execute_script(colour) != light
    assert len(page.execute_cdp_cmd("Page.printToPDF", {})["data"]) > 20_000
    assert_quiet(page)


def test_hostile_names_are_shown_and_run_nothing(browser: Browser, tmp_path: Path) -> None:
    names = documents.HOSTILE_NAMES
    cases = [documents.case(f"tools/{n}", id=name, scenario=name, name=name) for n, name in enumerate(names)]
    cases += [documents.failed_case(f"x/{name}", name) for name in names]
    run: Run = sweeps.run_of_profile("light").model_copy(update={"cases": cases})
    sweeps.write_profile(tmp_path, run, dict.fromkeys(names, -40.0))
    directory = tmp_path / sweeps.ALL_ID
    directory.mkdir()
    whole = sweeps.document_of(sweeps.entry("light", 1), exit_code=1, reason=names[0])
    store.save(directory / "all.json", whole)
    write("profile_sweep_report.py", directory, "--no-open")
    page = visit(browser, (directory / "report.html").as_uri())
    draw_all(page)
    heads = page.execute_script("return [...document.querySelectorAll('h3')].map((one) => one.textContent)")
    assert heads[: len(names)] == without_controls(list(names))
    assert all(chart["coloured"] > 50 for chart in page.execute_script(DRAWN)[: 2 * len(names)])
    assert page.execute_script("return window.hurt") is None
    assert page.execute_script("return document.querySelectorAll('img, svg, b').length") == 0
    assert_quiet(page)


# --- the list of all runs --------------------------------------------------------------------------------------------


def rows_of(count: int, **changes: Any) -> list[IndexRow]:
    """Runs of an hour each; their durations and requests reach every form that a number has."""
    durations = [0.05, 0.9, 8.44, 59.96, 60.0, 182.45, 3599.6, 3600.0, 7525.0]
    rows = []
    for number in range(count):
        values: dict[str, Any] = {
            "name": f"light_2026-01-01-{number:06}",
            "report": "report.html" if number % 3 else "",
            "started": documents.STARTED + timedelta(hours=number),
            "profile": "light",
            "kind": "run",
            "release": "1.0.7",
            "word": "Passed",
            "tone": Tone.GOOD,
            "valid": 36,
            "measured": 37 if number % 4 else None,
            "sent": 7 * 11 ** (number % 8) if number % 5 else 0,
            "seconds": durations[number % len(durations)] if number % 7 else None,
            "exit_code": 0 if number % 4 else None,
        }
        rows.append(IndexRow(**(values | changes)))
    return rows


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(browser: Browser, results: Path, scheme: str) -> None:
    for address in (report_of(results), (results / "index.html").as_uri()):
        assert violations(visit(browser, address, scheme=scheme)) == []


def test_older_rows_look_like_the_newest(browser: Browser, tmp_path: Path) -> None:
    """The template and the script make the same of a row: the whole table as one page, and with older ones added."""
    texts = (
        "return [...document.querySelectorAll('#list tbody tr')]"
        r".map((row) => row.outerHTML.replace(/\s+/g, ' ').replace(/\.0\"/g, '\"'))"
    )
    rows = rows_of(SHOWN)
    (tmp_path / "plain.html").write_text(index_page(rows, []), "utf-8")
    expected = visit(browser, (tmp_path / "plain.html").as_uri()).execute_script(texts)
    newer = rows_of(SHOWN, started=documents.STARTED + timedelta(days=400))
    (tmp_path / "older.html").write_text(index_page([*rows, *newer], []), "utf-8")
    page = visit(browser, (tmp_path / "older.html").as_uri())
    page.find_element(By.CSS_SELECTOR, "button[data-older='all']").send_keys(Keys.ENTER)
    made = page.execute_script(texts)
    assert len(made) == 2 * SHOWN
    assert made[SHOWN:] == expected
    assert page.find_element(By.ID, "shown").text == "All"
    assert_quiet(page)


def test_older_runs_come_when_they_are_asked_for(browser: Browser, tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text(index_page(rows_of(2 * SHOWN + 5), [Damaged("broken", "why")]), "utf-8")
    page = visit(browser, (tmp_path / "index.html").as_uri())
    count = "return document.querySelectorAll('#list tbody tr').length"
    assert page.execute_script(count) == SHOWN
    button = page.find_element(By.CSS_SELECTOR, "button[data-older]")
    button.click()
    assert page.execute_script(count) == 2 * SHOWN
    assert page.find_element(By.ID, "shown").text == f"The newest {2 * SHOWN} of {2 * SHOWN + 5}"
    button.click()
    assert page.execute_script(count) == 2 * SHOWN + 5
    assert not button.is_displayed()
    assert_quiet(page)


def test_older_runs_come_into_the_order_and_the_filter_that_are_set(browser: Browser, tmp_path: Path) -> None:
    rows = [replace(row, word="Invalid" if number == 3 else row.word) for number, row in enumerate(rows_of(SHOWN + 40))]
    (tmp_path / "index.html").write_text(index_page(rows, []), "utf-8")
    page = visit(browser, (tmp_path / "index.html").as_uri())
    names = "return [...document.querySelectorAll('#list tbody tr:not([hidden]) th')].map((one) => one.textContent)"
    page.find_element(By.XPATH, "//table[@id='list']//button[text()='Run']").click()
    page.find_element(By.CSS_SELECTOR, "button[data-older='all']").click()
    assert page.execute_script(names) == [row.name for row in rows]
    page.find_element(By.XPATH, "//select[option='Invalid']").send_keys("Invalid")
    assert page.execute_script(names) == [rows[3].name]
    assert_quiet(page)


def test_ten_thousand_runs_stay_usable(browser: Browser, tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text(index_page(rows_of(10_000), []), "utf-8")
    page = visit(browser, (tmp_path / "index.html").as_uri())
    ready = page.execute_script("return performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd")
    assert ready < 2000
    took = page.execute_script(
        "const began = performance.now(); document.querySelector(\"button[data-older='all']\").click();"
        "document.body.offsetHeight; return performance.now() - began"
    )
    assert took < 10_000
    assert page.execute_script("return document.querySelectorAll('#list tbody tr').length") == 10_000
    assert_quiet(page)


def test_a_name_leads_to_the_report(browser: Browser, results: Path) -> None:
    page = visit(browser, (results / "index.html").as_uri())
    page.find_element(By.PARTIAL_LINK_TEXT, "all_").click()
    assert page.current_url == report_of(results)
    page.find_element(By.LINK_TEXT, "All runs").click()
    assert page.current_url == (results / "index.html").as_uri()
