"""The pages about several runs in a real browser: charts drawn, tables that sort, filter and copy, nothing loaded."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

from benchkit.model import Case, Run
from benchkit.plain import without_controls
from benchkit.report.chart_library import ChartLibrary, chart_library
from benchkit.report.variants_page import variants_page
from benchkit.run.pages import page_of, page_of_trend
from benchkit.settings import Reporting
from benchkit.store import write_text
from benchkit.verdict.stored_runs import read_history
from benchkit.verdict.trend import trend_of
from benchkit.verdict.variant_study import history, tune
from browser import Browser, assert_quiet, emulate, violations, visit, wait_for
from builders import documents
from builders.judged import LIMITS, run_of
from builders.studies import CASES, figured, on_databases, ordinary, scaled, spoilt, written
from builders.trends import LEVELS, released, store_runs
from builders.variants import TUNED, measured

pytestmark = pytest.mark.e2e

Show = Callable[..., Browser]
"""Write a page's HTML and open it; returns the browser."""

PAINTED = """
const canvas = arguments[0];
const chart = window.Chart && Chart.getChart(canvas);
if (!chart) return null;
// Read from a copy: the browser warns of canvases that are read again and again.
const copy = Object.assign(document.createElement("canvas"), { width: canvas.width, height: canvas.height });
const context = copy.getContext("2d", { willReadFrequently: true });
context.drawImage(canvas, 0, 0);
const { data } = context.getImageData(0, 0, copy.width, copy.height);
const colours = chart.data.datasets
  .filter((set) => set.data.some((one) => one !== null))
  .map((set) => [1, 3, 5].map((start) => parseInt(set.backgroundColor.slice(start, start + 2), 16)));
const found = colours.map(() => 0);
for (let at = 0; at < data.length; at += 4) {
  colours.forEach((colour, set) => { found[set] += colour.every((value, part) => data[at + part] === value); });
}
return { painted: found, width: canvas.clientWidth, height: canvas.clientHeight };
"""
"""Of a canvas: for each series that has a value the pixels in its colour, and its size; null before it is drawn."""


@pytest.fixture
def show(browser: Browser, tmp_path: Path) -> Show:
    def call(html: str, *, width: int = 1280, fragment: str = "", before: str = "") -> Browser:
        path = tmp_path / "page.html"
        write_text(path, html)
        added = browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": before})
        visit(browser, path.as_uri() + fragment, width=width)
        browser.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", added)
        return browser

    return call


@pytest.fixture(scope="module")
def library() -> ChartLibrary:
    charts = chart_library(Reporting())
    assert charts.source, "Chart.js is needed here: utils/setup.sh chartjs"
    return charts


def compared(path: Path, charts: Any, runs: Sequence[Run] = ()) -> str:
    three = [ordinary(1), ordinary(2, 1.12), spoilt(ordinary(3, 0.9))]
    return page_of("compare", written(path / "compared", list(runs) or many(three)), 1, charts)


def many(runs: Sequence[Run]) -> list[Run]:
    """The runs with four cases more each, so that there is something to sort and to filter."""
    return [
        run.model_copy(
            update={"cases": [*run.cases, *(figured(f"mixed/case_{n}", float(10 * n + 1)) for n in range(4))]}
        )
        for run in runs
    ]


def trend_html(path: Path, charts: Any) -> str:
    store_runs(path, 40, LEVELS, surroundings=released)
    found = trend_of(read_history(path), "light", cases="*", metrics=("p50_latency", "requests_per_sec"), last=200)
    return page_of_trend(found, charts)


PAGES: dict[str, Callable[[Path, Any], str]] = {
    "compare": compared,
    "scalability": lambda path, charts: page_of(
        "scalability", written(path, scaled([1, 5, 10, 20, 50, 100, 200], repeats=2, noise=0.02)), 1, charts
    ),
    "database": lambda path, charts: page_of("database", written(path, on_databases()), 1, charts),
    "trend": trend_html,
    "history": lambda path, charts: variants_page(history(measured(path / "h"), LIMITS), charts),
    "tune": lambda path, charts: variants_page(tune(measured(path / "t", TUNED), LIMITS), charts),
}
every_page = pytest.mark.parametrize("name", PAGES)


def draw_all(page: Browser) -> list[dict[str, Any]]:
    for details in page.find_elements(By.TAG_NAME, "details"):
        page.execute_script("arguments[0].open = true", details)
    found = []
    for canvas in page.find_elements(By.TAG_NAME, "canvas"):
        page.execute_script("arguments[0].scrollIntoView()", canvas)
        found.append(wait_for("a chart", partial(page.execute_script, PAINTED, canvas)))
    return found


# --- every page -------------------------------------------------------------------------------------------------------


@every_page
def test_every_chart_is_drawn_with_its_data(name: str, show: Show, tmp_path: Path, library: Any) -> None:
    page = show(PAGES[name](tmp_path, library))
    found = draw_all(page)
    assert found
    for chart in found:
        assert min(chart["painted"]) > 5
        assert chart["width"] > 150
        assert chart["height"] > 80
    assert_quiet(page)


@every_page
def test_a_small_window_never_scrolls_sideways(name: str, show: Show, tmp_path: Path, library: Any) -> None:
    page = show(PAGES[name](tmp_path, library), width=390)
    draw_all(page)
    assert page.execute_script("return document.documentElement.scrollWidth") == 390
    assert_quiet(page)


@every_page
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(name: str, scheme: str, show: Show, tmp_path: Path, library: Any) -> None:
    page = show(PAGES[name](tmp_path, library))
    emulate(page, scheme)
    draw_all(page)
    assert violations(page) == []


@every_page
def test_charts_follow_the_colour_scheme(name: str, show: Show, tmp_path: Path, library: Any) -> None:
    page = show(PAGES[name](tmp_path, library))
    draw_all(page)
    colours = "return Object.values(Chart.instances).map((one) => one.options.scales.y.ticks.color)"
    light = set(page.execute_script(colours))
    emulate(page, "dark")
    wait_for("the dark charts", lambda: not light & set(page.execute_script(colours)))
    assert all(min(chart["painted"]) > 5 for chart in draw_all(page))
    assert_quiet(page)


@every_page
def test_paper_has_every_chart_and_no_tools(name: str, show: Show, tmp_path: Path, library: Any) -> None:
    page = show(PAGES[name](tmp_path, library))
    opened = len(page.find_elements(By.CSS_SELECTOR, "details[open]"))
    page.execute_script("dispatchEvent(new Event('beforeprint'))")
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    canvases = page.find_elements(By.TAG_NAME, "canvas")
    assert all(page.execute_script(PAINTED, canvas) for canvas in canvases)
    assert not any(tools.is_displayed() for tools in page.find_elements(By.CSS_SELECTOR, ".tools, button[data-open]"))
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    page.execute_script("dispatchEvent(new Event('afterprint'))")
    assert len(page.find_elements(By.CSS_SELECTOR, "details[open]")) == opened
    assert_quiet(page)


def test_hostile_names_are_shown_and_run_nothing(show: Show, tmp_path: Path, library: Any) -> None:
    def named(name: str) -> Case:
        return figured("x/y", 10.0).model_copy(update={"id": name, "scenario": name, "name": name})

    runs = [run_of(*map(named, documents.HOSTILE_NAMES), number=number) for number in (1, 2)]
    page = show(compared(tmp_path, library, runs))
    draw_all(page)
    shown = page.execute_script(
        "return [...document.querySelectorAll('#cases tr:not(.group) a')].map((a) => a.textContent)"
    )
    assert shown == without_controls(list(documents.HOSTILE_NAMES))
    header(page, "req/s").click()
    copy(page, "Markdown")
    assert page.execute_script("return window.hurt") is None
    assert page.execute_script("return document.querySelectorAll('img, svg, b').length") == 0
    assert_quiet(page)


# --- tables -----------------------------------------------------------------------------------------------------------


def names(page: Browser, table: str = "cases") -> list[str]:
    """The cases that a table shows, in their order."""
    found: list[str] = page.execute_script(
        "return [...document.querySelectorAll(`#${arguments[0]} tbody tr:not(.group)`)]"
        ".filter((row) => row.offsetParent).map((row) => row.cells[0].innerText.trim())",
        table,
    )
    return found


def header(page: Browser, text: str, place: int = 0) -> WebElement:
    """The button of the column with this name; several runs have one each."""
    buttons = page.find_elements(By.CSS_SELECTOR, "#cases thead button.sort")
    return [button for button in buttons if button.text == text][place]


def sorting(page: Browser) -> list[str]:
    found = page.find_elements(By.CSS_SELECTOR, "#cases th[aria-sort]")
    return [one.get_attribute("aria-sort") or "" for one in found if one.get_attribute("aria-sort") != "none"]


def tools(page: Browser) -> WebElement:
    """The tools of the table of all cases."""
    return page.find_element(
        By.XPATH, "//*[@id='cases']/ancestor::*[contains(@class, 'scroll')]/preceding-sibling::*[1]"
    )


def copy(page: Browser, what: str) -> str:
    """Press a copy button, and return what it copied."""
    page.execute_script(
        "window.copied = null; document.addEventListener('copy', () => {"
        " window.copied = document.activeElement.value.slice(); }, { once: true });"
        "navigator.clipboard && (navigator.clipboard.writeText = async (text) => { window.copied = text; });"
    )
    tools(page).find_element(By.XPATH, f".//button[text()='Copy as {what}']").click()
    text: str = wait_for("the copy", lambda: page.execute_script("return window.copied"))
    return text


IN_ORDER = [
    "list_limit_50",
    "call_get_system_time",
    "read_world_times",
    "get_validated",
    *(f"case_{n}" for n in range(4)),
]


def by_rate() -> list[str]:
    """The cases of the first run, the lowest throughput first."""
    medians = CASES | {f"mixed/case_{n}": 10.0 * n + 1 for n in range(4)}
    return sorted(medians, key=lambda name: -medians[name])


@pytest.mark.parametrize("press", ["mouse", "keyboard"])
def test_columns_sort_up_down_and_back_by_mouse_and_keyboard(
    press: str, show: Show, tmp_path: Path, library: Any
) -> None:
    page = show(compared(tmp_path, library))
    assert names(page) == IN_ORDER
    assert len(page.find_elements(By.CSS_SELECTOR, "#cases tr.group:not(.away)")) == 4

    def again() -> None:
        button = header(page, "req/s")
        if press == "mouse":
            button.click()
        else:
            button.send_keys(Keys.ENTER)

    again()
    assert (names(page), sorting(page)) == (by_rate(), ["ascending"])
    assert page.find_elements(By.CSS_SELECTOR, "#cases tr.group:not(.away)") == []
    again()
    assert (names(page), sorting(page)) == (by_rate()[::-1], ["descending"])
    again()
    assert (names(page), sorting(page)) == (IN_ORDER, [])
    assert len(page.find_elements(By.CSS_SELECTOR, "#cases tr.group:not(.away)")) == 4
    assert_quiet(page)


def test_absent_values_come_last_in_both_directions(show: Show, tmp_path: Path, library: Any) -> None:
    page = show(compared(tmp_path, library))
    absent = {
        "tools/list_limit_50",
        "tools/call_get_system_time",
        "resources/read_world_times",
        "prompts/get_validated",
    }
    for _ in range(2):
        header(page, "p50 ms", place=2).click()
        assert set(names(page)[4:]) == absent
        # Equal ones keep the order of the page.
        assert names(page)[4:] == ["tools/list_limit_50", "tools/call_get_system_time", *names(page)[6:]]
    assert_quiet(page)


def test_words_are_sorted_as_words(show: Show, tmp_path: Path, library: Any) -> None:
    page = show(compared(tmp_path, library))
    header(page, "Case").click()
    assert names(page) == sorted(by_rate(), key=lambda name: name.partition("/")[2])


def test_the_filter_counts_and_is_part_of_the_address(show: Show, tmp_path: Path, library: Any) -> None:
    page = show(compared(tmp_path, library))
    status = tools(page).find_element(By.CSS_SELECTOR, "[role=status][aria-live=polite]")
    assert status.text == "8 of 8 shown"
    box = tools(page).find_element(By.TAG_NAME, "input")
    box.send_keys("TOOLS call")
    assert names(page) == ["call_get_system_time"]
    assert status.text == "1 of 8 shown"
    assert len(page.find_elements(By.CSS_SELECTOR, "#cases tr.group:not(.away)")) == 1
    assert page.current_url.endswith("#?cases.q=TOOLS+call")
    page.refresh()
    assert names(page) == ["call_get_system_time"]
    tools(page).find_element(By.XPATH, ".//button[text()='Show all']").click()
    assert names(page) == IN_ORDER
    assert "#" not in page.current_url
    assert_quiet(page)


def test_a_choice_takes_a_state_of_any_run(show: Show, tmp_path: Path, library: Any) -> None:
    page = show(compared(tmp_path, library))
    choice = tools(page).find_element(By.XPATH, ".//label[span='validity']/select")
    assert [one.text for one in choice.find_elements(By.TAG_NAME, "option")] == [
        "any",
        "interrupted",
        "invalid",
        "not measured",
        "skipped",
        "valid",
    ]
    choice.send_keys("inv")
    assert names(page) == ["list_limit_50"]
    header(page, "req/s").click()
    assert names(page) == ["tools/list_limit_50"]
    assert "cases.validity=invalid" in page.current_url
    assert "cases.sort=1" in page.current_url
    assert_quiet(page)


def test_a_link_to_a_case_wins_over_the_filter(show: Show, tmp_path: Path, library: Any) -> None:
    page = show(compared(tmp_path, library), fragment="#?cases.q=prompts")
    assert names(page) == ["get_validated"]
    page.execute_script("location.hash = '#tools/list_limit_50'")
    wait_for("the case", lambda: "list_limit_50" in names(page))
    assert page.current_url.endswith("#tools/list_limit_50")
    top = "return document.getElementById('tools/list_limit_50').getBoundingClientRect().top"
    assert 0 <= page.execute_script(top) < 900
    assert_quiet(page)


def test_a_link_opens_the_case_of_a_trend(show: Show, tmp_path: Path, library: Any) -> None:
    page = show(trend_html(tmp_path, library), fragment="#tools/steady")
    wait_for("the case", lambda: page.execute_script("return document.getElementById('tools/steady').open"))
    assert_quiet(page)


def test_what_is_shown_is_copied_as_sorted(show: Show, tmp_path: Path, library: Any) -> None:
    page = show(compared(tmp_path, library))
    header(page, "req/s").click()
    tools(page).find_element(By.TAG_NAME, "input").send_keys("tools")
    lines = copy(page, "Markdown").splitlines()
    assert len(lines) == 4
    assert lines[0].startswith("| Case | light\\_run1 · req/s | light\\_run1 · p50 ms |")
    assert lines[1].startswith("| --- | ---: | ---: |")
    assert lines[2].startswith(
        "| tools/call\\_get\\_system\\_time | 111 | 90.0 | 180 | ~360 | 100 | valid | 99.2 ≈ 10.7 % lower |"
    )
    rows = list(csv.DictReader(io.StringIO(copy(page, "CSV"))))
    assert [row["Case"] for row in rows] == ["tools/call_get_system_time", "tools/list_limit_50"]
    assert rows[0]["light_run2 · p50 ms"] == "100.8"
    assert rows[0]["light_run2 · p50 ms note"] == "≈ 12.0 % higher"
    assert rows[0]["light_run1 · p99 ms note"] == "advisory"
    assert rows[0]["light_run3 · p50 ms"] == ""
    assert rows[0]["light_run3 · validity"] == "interrupted"
    assert rows[0]["light_run2 · verdict"] == "not judged"
    assert "2 of 8 copied as CSV" in tools(page).text
    assert_quiet(page)


def test_cells_cannot_break_out_of_csv_or_markdown(show: Show, tmp_path: Path, library: Any) -> None:
    names_ = ("=HYPERLINK(1)", "+1+2", "@SUM", "-1", 'quoted "a", b', "a|b `c`")
    cases = [figured("x/y", 10.0).model_copy(update={"id": name, "name": name}) for name in names_]
    page = show(compared(tmp_path, library, [run_of(*cases, number=number) for number in (1, 2)]))
    text = copy(page, "CSV")
    assert "\r\n" in text
    rows = list(csv.reader(io.StringIO(text)))[1:]
    assert [row[0] for row in rows] == [f"x/{name}" for name in names_]
    assert "a\\|b \\`c\\`" in copy(page, "Markdown")
    assert_quiet(page)


UNGROUPED = """<!doctype html><meta charset="utf-8"><title>t</title>
<div class="scroll" aria-label="Plain"><table id="cases" data-tools>
<thead><tr><th>Case</th><th>n</th></tr></thead><tbody>
<tr><td>=1+1</td><td>10</td></tr><tr><td>+cmd</td><td>9</td></tr><tr><td>@x</td><td data-value="100">1</td></tr>
<tr><td>-5</td><td><span class="absent">none</span></td></tr></tbody></table></div><script>"""


def test_a_formula_is_made_text_and_a_number_stays_one(show: Show) -> None:
    parts = Path(__file__).parents[2] / "utils/benchkit/report/templates"
    page = show(f"{UNGROUPED}{(parts / 'tools.js').read_text('utf-8')}</script>")
    assert copy(page, "CSV") == "Case,n\r\n'=1+1,10\r\n'+cmd,9\r\n'@x,100\r\n-5,\r\n"
    header(page, "n").click()
    assert names(page) == ["+cmd", "=1+1", "@x", "-5"]
    assert copy(page, "Markdown").splitlines()[1:3] == ["| --- | ---: |", "| +cmd | 9 |"]


def test_without_a_clipboard_a_selection_is_copied(show: Show, tmp_path: Path, library: Any) -> None:
    gone = "Object.defineProperty(Navigator.prototype, 'clipboard', { get: () => undefined });"
    page = show(compared(tmp_path, library), before=gone)
    assert page.execute_script("return navigator.clipboard === undefined")
    assert copy(page, "Markdown").count("\n") == 10
    wait_for("the area's end", lambda: not page.find_elements(By.TAG_NAME, "textarea"))
    page.execute_script("document.execCommand = () => false")
    tools(page).find_element(By.XPATH, ".//button[text()='Copy as CSV']").click()
    area = wait_for("the area", lambda: page.find_elements(By.TAG_NAME, "textarea"))[0]
    assert (area.get_property("value") or "").startswith("Case,")
    assert "Ctrl+C" in tools(page).text
    assert_quiet(page)


def test_without_javascript_the_table_is_simply_there(show: Show, tmp_path: Path, library: Any) -> None:
    html = compared(tmp_path, library)
    page = show(html)
    page.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        page.refresh()
        assert page.find_elements(By.CSS_SELECTOR, ".tools, button") == []
        assert page.find_element(By.ID, "tools/list_limit_50").is_displayed()
    finally:
        page.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def test_every_tool_is_reached_by_the_keyboard(show: Show, tmp_path: Path, library: Any) -> None:
    page = show(compared(tmp_path, library))
    tools(page).find_element(By.TAG_NAME, "input").click()
    reached = []
    for _ in range(5):
        page.switch_to.active_element.send_keys(Keys.TAB)
        reached.append(page.switch_to.active_element.text.split("\n")[0])
    assert reached[2:4] == ["Copy as Markdown", "Copy as CSV"]
