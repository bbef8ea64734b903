"""The report in a real browser: charts drawn, nothing loaded, names inert, small windows, paper, open to everyone."""

from __future__ import annotations

import base64
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from benchkit import store
from benchkit.model import Comparison, ResourceSeries, Run
from benchkit.settings import ROOT
from browser import Browser, assert_quiet, console, emulate, violations, visit, wait_for
from builders import documents

pytestmark = pytest.mark.e2e

DRAWN = """
const canvas = arguments[0];
const chart = window.Chart && Chart.getChart(canvas);
if (!chart) return null;
const inks = ["bar", "failed", "component-gateway", "database-0"].map((name) => {
  const style = getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  return [1, 3, 5].map((start) => parseInt(style.slice(start, start + 2), 16));
});
// Read from a copy: the browser warns of canvases that are read again and again.
const copy = Object.assign(document.createElement("canvas"), { width: canvas.width, height: canvas.height });
const context = copy.getContext("2d", { willReadFrequently: true });
context.drawImage(canvas, 0, 0);
const { data } = context.getImageData(0, 0, copy.width, copy.height);
let ink = 0;
for (let at = 0; at < data.length; at += 4) {
  ink += inks.some((colour) => colour.every((value, part) => data[at + part] === value));
}
return {
  chart: canvas.dataset.chart, sets: chart.data.datasets.map((set) => set.data.length), ink, width: canvas.clientWidth,
};
"""
"""Of a canvas: points in each series, pixels in a colour that only figures have, and width; null before it is drawn."""


@pytest.fixture
def show(browser: Browser, tmp_path: Path) -> Callable[..., Browser]:
    """Write a run's report with the program and open it."""

    def call(run: Run, comparison: Comparison | None = None, *, width: int = 1280) -> Browser:
        store.save(tmp_path / "run.json", run)
        if comparison:
            store.save(tmp_path / "comparison.json", comparison)
        program = [sys.executable, str(ROOT / "utils" / "report_generator.py"), str(tmp_path), "--no-open"]
        done = subprocess.run(program, check=True, capture_output=True, text=True)
        assert done.stderr == "", "Chart.js is needed here: utils/setup.sh chartjs"
        return visit(browser, (tmp_path / "report.html").as_uri(), width=width)

    return call


def open_all(browser: Browser) -> None:
    browser.find_element(By.CSS_SELECTOR, "button[data-open=all]").click()


def draw_all(browser: Browser) -> list[dict[str, Any]]:
    """Scroll to every canvas, and return what each holds when it is drawn."""
    found = []
    for canvas in browser.find_elements(By.TAG_NAME, "canvas"):
        browser.execute_script("arguments[0].scrollIntoView()", canvas)
        found.append(wait_for("a chart", partial(browser.execute_script, DRAWN, canvas)))
    return found


def component(name: str) -> ResourceSeries:
    return ResourceSeries(name=name, kind="gateway", source="process", cpu_percent=[5.0] * 192, memory_mib=[50.0] * 192)


def realistic() -> tuple[Run, Comparison]:
    run = documents.run(resources=documents.sampled())
    return run, documents.comparison(run, {"tools/list_limit_50": -14.2})


def test_every_chart_is_drawn_with_data(show: Callable[..., Browser]) -> None:
    page = show(*realistic())
    open_all(page)
    found = draw_all(page)
    # Eight valid cases with details, of which one has failures, and an invalid one that has nothing else.
    assert Counter(chart["chart"] for chart in found) == {
        "distribution": 8,
        "curve": 8,
        "rounds": 8,
        "course": 8 * 3,
        "errors": 2,
        "differences": 1,
        "load": 1,
        "cpu": 1,
        "memory": 1,
        "connections": 1,
    }
    for chart in found:
        assert chart["chart"] == "errors" or min(chart["sets"]) >= 2, chart
        assert chart["ink"] > 100, chart
        assert chart["width"] > 150, chart
    assert_quiet(page)


def test_the_systems_charts_share_the_axis_of_the_load(show: Callable[..., Browser]) -> None:
    page = show(*realistic())
    open_all(page)
    draw_all(page)
    axes = page.execute_script(
        """
        return ["load", "cpu", "memory", "connections"].map((name) => {
          const { x } = Chart.getChart(document.querySelector(`[data-chart=${name}]`)).scales;
          return [x.min, x.max, Math.round(x.left), Math.round(x.right)];
        });
        """
    )
    assert axes == [axes[0]] * 4
    top = page.execute_script("return Chart.getChart(document.querySelector('[data-chart=cpu]')).scales.y.max")
    assert top == 200  # both cores


def test_a_stall_shows_over_time(show: Callable[..., Browser]) -> None:
    page = show(documents.run([documents.case()]))
    open_all(page)
    draw_all(page)
    slowest = page.execute_script(
        "return Chart.getChart(document.querySelector('[data-chart=course]')).data.datasets.at(-1)"
    )
    assert slowest["label"] == "slowest answer, ms"
    assert max(slowest["data"]) > 300


def test_charts_of_closed_cases_are_not_drawn(show: Callable[..., Browser]) -> None:
    page = show(documents.run([documents.case(f"tools/case_{number}", seed=number) for number in range(40)]))
    time.sleep(0.5)
    assert page.execute_script("return Object.keys(Chart.instances).length") == 0
    summary = page.find_element(By.CSS_SELECTOR, "details.case summary")
    summary.send_keys(Keys.ENTER)
    wait_for("the first charts", lambda: page.execute_script("return Object.keys(Chart.instances).length"))
    assert page.execute_script("return Object.keys(Chart.instances).length") <= 8


def test_one_sample_and_absent_latencies_are_drawn(show: Callable[..., Browser]) -> None:
    page = show(documents.run([documents.case(requests=1, iterations=1)]))
    open_all(page)
    assert [min(chart["sets"]) for chart in draw_all(page)] == [1, 1]
    assert all(chart["ink"] > 100 for chart in draw_all(page))
    assert_quiet(page)


def test_hostile_names_are_shown_and_run_nothing(show: Callable[..., Browser]) -> None:
    names = documents.HOSTILE_NAMES
    cases = [
        documents.case(f"tools/{number}", id=name, scenario=name, name=name, description=name, notes=[name])
        for number, name in enumerate(names)
    ]
    cases += [documents.failed_case(f"x/{name}", name, errors={name: 3}) for name in names]
    cases += [documents.difference_case(f"y/{name}", 1.0, 2.0, 3.0, 0.5) for name in names]
    resources = documents.sampled(series=[component(name) for name in names], notes=list(names))
    run = documents.run(cases, warnings=list(names), commands=list(names), resources=resources)
    page = show(run, documents.comparison(run, reason=names[0], warnings=list(names)))
    open_all(page)
    assert all(chart["ink"] > 100 for chart in draw_all(page))
    titles = page.execute_script(
        "return [...document.querySelectorAll('.case summary .title')].map((one) => one.textContent)"
    )
    shown = [re.sub("[\u202e\u2028\u2029]", " ", name) for name in names]  # nothing turns the writing around
    assert titles[: len(names)] == shown
    labels = page.execute_script(
        "return Chart.getChart(document.querySelector('[data-chart=differences]')).data.labels"
    )
    assert labels == shown
    assert page.execute_script("return window.hurt") is None
    assert page.execute_script("return document.querySelectorAll('img, svg, b').length") == 0
    assert_quiet(page)


def test_policy_stops_what_escaping_would_let_through(show: Callable[..., Browser]) -> None:
    page = show(documents.run([documents.case()]))
    page.execute_script(
        """
        document.body.insertAdjacentHTML("beforeend", "<img src='https://gateway.invalid/x' onerror='window.hurt=1'>");
        const script = document.createElement("script");
        script.textContent = "window.hurt = 2";
        document.body.append(script);
        """
    )
    said = wait_for("the policy", lambda: console(page))
    assert any("Content Security Policy" in entry["message"] for entry in said)
    assert page.execute_script("return window.hurt") is None


def test_small_window_never_scrolls_sideways(show: Callable[..., Browser]) -> None:
    page = show(*realistic(), width=390)
    open_all(page)
    draw_all(page)
    assert page.execute_script("return document.documentElement.scrollWidth") == 390
    assert_quiet(page)


def test_charts_follow_the_colour_scheme(show: Callable[..., Browser]) -> None:
    page = show(*realistic())
    colour = (
        "return Chart.getChart(document.querySelector('[data-chart=differences]')).data.datasets[1].backgroundColor"
    )
    page.execute_script("document.querySelector('canvas').scrollIntoView()")
    wait_for("the chart", lambda: page.execute_script("return Object.keys(Chart.instances).length"))
    light = page.execute_script(colour)
    back = page.execute_script("return getComputedStyle(document.body).backgroundColor")
    emulate(page, "dark")
    wait_for("the dark chart", lambda: page.execute_script(colour) != light)
    assert page.execute_script("return getComputedStyle(document.body).backgroundColor") != back
    assert_quiet(page)


def test_paper_gets_every_case_and_chart_and_the_window_its_state_back(show: Callable[..., Browser]) -> None:
    page = show(*realistic())
    emulate(page, "dark")
    page.execute_script("dispatchEvent(new Event('beforeprint'))")
    canvases = page.find_elements(By.TAG_NAME, "canvas")
    assert all(page.execute_script(DRAWN, canvas)["ink"] > 100 for canvas in canvases)
    assert page.execute_script("return document.querySelectorAll('details:not([open])').length") == 0
    page.execute_script("dispatchEvent(new Event('afterprint'))")
    assert page.execute_script("return document.querySelectorAll('details[open]').length") == 0
    assert_quiet(page)


def test_paper_is_as_wide_as_the_page_and_has_every_case(show: Callable[..., Browser]) -> None:
    """A page that is too wide would be made smaller, down to what nobody reads."""
    page = show(*realistic())
    a4 = {"paperWidth": 8.27, "paperHeight": 11.69}
    document = base64.b64decode(page.execute_cdp_cmd("Page.printToPDF", a4)["data"])
    assert len(document) > 100_000
    assert 5 < len(re.findall(rb"/Type\s*/Page\b", document)) < 30
    page.execute_script("dispatchEvent(new Event('beforeprint'))")
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    size = {"width": 703, "height": 1000, "deviceScaleFactor": 1, "mobile": False}  # A4 less its margins
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        assert page.execute_script("return document.documentElement.scrollWidth") <= 703
    finally:
        page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_axe_finds_nothing_that_keeps_people_out(show: Callable[..., Browser], scheme: str, width: int) -> None:
    page = show(*realistic(), width=width)
    emulate(page, scheme)
    open_all(page)
    page.execute_script("document.querySelector('details.part').open = true")
    draw_all(page)
    assert violations(page) == []


@pytest.mark.parametrize("make", ["invalid", "paired", "one sample"])
def test_axe_finds_nothing_in_unusual_reports(show: Callable[..., Browser], make: str) -> None:
    reports = {
        "invalid": (documents.run([documents.failed_case("tools/a", "Tool not found", errors={"rpc": 9})]), None),
        "paired": documents.paired(documents.run(documents.gateway_cases())),
        "one sample": (documents.run([documents.case(requests=1, iterations=1)]), None),
    }
    page = show(*reports[make])
    open_all(page)
    draw_all(page)
    assert violations(page) == []
    assert_quiet(page)


def test_the_keyboard_reaches_everything(show: Callable[..., Browser]) -> None:
    page = show(*realistic())
    wanted = page.execute_script(
        """
        const found = [...document.querySelectorAll("a[href], button, input, select, summary, [tabindex='0']")];
        const reachable = found.filter(
          (one) => !one.closest("[hidden]") && (one.matches("summary") || !one.closest("details:not([open])")),
        );
        reachable.forEach((one, place) => (one.dataset.place = place));
        return reachable.length;
        """
    )
    reached = []
    for _ in range(wanted):
        ActionChains(page).send_keys(Keys.TAB).perform()
        reached.append(page.execute_script("return document.activeElement.dataset.place"))
    assert reached == [str(place) for place in range(wanted)]
    outline = page.execute_script("return getComputedStyle(document.activeElement).outlineStyle")
    assert outline != "none"


def test_nothing_is_asked_of_any_network(show: Callable[..., Browser]) -> None:
    """Not even by what is opened and printed later: what the browser's own log of requests says."""
    page = show(*realistic())
    page.execute_cdp_cmd("Network.enable", {})
    page.get_log("performance")
    page.refresh()
    open_all(page)
    draw_all(page)
    page.execute_cdp_cmd("Page.printToPDF", {})
    asked = re.findall(r'"method":"Network.requestWillBeSent".*?"url":"(.*?)"', str(page.get_log("performance")))
    assert {url.split(":")[0] for url in asked} <= {"file", "data"}
    assert len([url for url in asked if url.startswith("file:")]) == 1


def test_link_to_a_case_opens_it(show: Callable[..., Browser]) -> None:
    page = show(*realistic())
    page.find_element(By.CSS_SELECTOR, "table.cases a").click()
    assert page.current_url.endswith("#tools/list_limit_50")
    wait_for("the case", lambda: page.execute_script("return document.querySelector('details.case').open"))
    assert_quiet(page)
