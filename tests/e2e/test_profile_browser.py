"""The page of a profile in a real browser: drawn, quiet, reached by keyboard, names inert, small windows, paper."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from selenium.webdriver.common.actions.action_builder import ActionBuilder
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

from benchkit.model.cpu_profile import Category, Flame, FlameNode, FrameName, Profile
from benchkit.report.profile_page import profile_page
from benchkit.run.profile_report import profile_of
from browser import Browser, assert_quiet, emulate, violations, visit, wait_for
from builders.cpu_profiles import recorded

pytestmark = pytest.mark.e2e

PIXELS = """
const canvas = arguments[0];
const copy = Object.assign(document.createElement("canvas"), { width: canvas.width, height: canvas.height });
const context = copy.getContext("2d", { willReadFrequently: true });
context.drawImage(canvas, 0, 0);
const { data } = context.getImageData(0, 0, copy.width, copy.height);
const seen = new Set();
for (let at = 0; at < data.length; at += 4) seen.add((data[at] << 16) | (data[at + 1] << 8) | data[at + 2]);
const style = getComputedStyle(document.documentElement);
const of = (name) => parseInt(style.getPropertyValue(name).trim().slice(1), 16);
return arguments[1].map((name) => seen.has(of(name)));
"""
"""Of a canvas: whether each of these colours is on it."""


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory) -> Profile:
    return profile_of(recorded(tmp_path_factory.mktemp("profile")))


@pytest.fixture
def show(browser: Browser, tmp_path: Path) -> Iterator[Callable[..., Browser]]:
    """Write the page and open it."""

    def call(profile: Profile, *, width: int = 1280, scheme: str = "light") -> Browser:
        (tmp_path / "profile.html").write_text(profile_page(profile), "utf-8")
        visit(browser, (tmp_path / "profile.html").as_uri(), width=width, scheme=scheme)
        wait_for("the charts", lambda: all(one.get_attribute("data-drawn") for one in canvases(browser)))
        return browser

    yield call
    emulate(browser, "light")


def canvases(page: Browser) -> list[WebElement]:
    return page.find_elements(By.TAG_NAME, "canvas")


def flame(page: Browser) -> WebElement:
    return page.find_element(By.CSS_SELECTOR, "canvas[data-flame]")


def told(page: Browser) -> str:
    return page.find_element(By.CSS_SELECTOR, "[data-flame-detail]").text


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everything_is_drawn_and_nothing_is_loaded(show: Callable[..., Browser], profile: Profile, scheme: str) -> None:
    page = show(profile, scheme=scheme)
    course, graph = canvases(page)
    assert int(course.get_attribute("data-drawn") or 0) == profile.sampled_requests
    assert page.execute_script(PIXELS, course, ["--c-gc", "--c-database", "--failed", "--warn-back"]) == [True] * 4
    assert page.execute_script(PIXELS, graph, ["--c-gc", "--c-database", "--c-middleware"]) == [True] * 3
    assert_quiet(page)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(show: Callable[..., Browser], profile: Profile, scheme: str) -> None:
    assert violations(show(profile, scheme=scheme)) == []


def test_the_flame_graph_by_keyboard(show: Callable[..., Browser], profile: Profile) -> None:
    page = show(profile)
    graph = flame(page)
    assert told(page).startswith("all work: 100.0 %")
    graph.send_keys(Keys.ARROW_DOWN)
    first = told(page)
    assert profile.flame is not None
    largest = profile.flame.frames[profile.flame.nodes[0].frame]
    assert first.startswith(f"{largest.function} (")
    graph.send_keys(Keys.ARROW_RIGHT)
    second = told(page)
    assert second != first
    graph.send_keys(Keys.ARROW_LEFT)
    assert told(page) == first
    graph.send_keys(Keys.ENTER)
    assert graph.get_attribute("data-zoom") == largest.function
    graph.send_keys(Keys.ARROW_DOWN, Keys.ARROW_DOWN, Keys.ENTER)
    assert graph.get_attribute("data-zoom") != largest.function
    graph.send_keys(Keys.ESCAPE, Keys.ESCAPE)
    assert graph.get_attribute("data-zoom") == largest.function
    graph.send_keys(Keys.ESCAPE)
    assert graph.get_attribute("data-zoom") == "all work"
    assert_quiet(page)


def test_the_flame_graph_by_pointer(show: Callable[..., Browser], profile: Profile) -> None:
    page = show(profile)
    graph = flame(page)
    page.execute_script("arguments[0].scrollIntoView({ block: 'start' })", graph)
    left, top = page.execute_script(
        "const box = arguments[0].getBoundingClientRect(); return [box.left + 20, box.top + 19 + 8]", graph
    )
    mouse = ActionBuilder(page)
    mouse.pointer_action.move_to_location(int(left), int(top))  # type: ignore[no-untyped-call]
    mouse.perform()
    assert profile.flame is not None
    largest = profile.flame.frames[profile.flame.nodes[0].frame].function
    assert (graph.get_attribute("title") or "").startswith(largest)
    mouse.pointer_action.click()  # type: ignore[no-untyped-call]
    mouse.perform()
    assert graph.get_attribute("data-zoom") == largest
    page.find_element(By.CSS_SELECTOR, "[data-flame-reset]").click()
    assert graph.get_attribute("data-zoom") == "all work"


def test_search_says_how_much_is_found(show: Callable[..., Browser], profile: Profile) -> None:
    page = show(profile)
    page.find_element(By.CSS_SELECTOR, "[data-flame-search]").send_keys("GC_COLLECT")
    share = next(one.share for one in profile.categories if one.category is Category.GC)
    assert share is not None
    found = page.find_element(By.CSS_SELECTOR, "[data-flame-found]").text
    # What is folded is not found.
    assert float(found.split()[4]) == pytest.approx(100 * share, abs=2)
    page.find_element(By.CSS_SELECTOR, "[data-flame-search]").send_keys(Keys.CONTROL, "a")
    page.find_element(By.CSS_SELECTOR, "[data-flame-search]").send_keys(Keys.BACKSPACE)
    assert page.find_element(By.CSS_SELECTOR, "[data-flame-found]").text == ""


def test_names_are_inert(show: Callable[..., Browser], profile: Profile) -> None:
    name = "<img src=x onerror=\"document.title='run'\">😀'\""
    frame = FrameName(function=name, place="</script><b>x", line=1, category=Category.GATEWAY)
    stall = profile.stalls[0].model_copy(update={"path": [frame]})
    function = profile.functions[0].model_copy(update={"frame": frame})
    page = show(
        profile.model_copy(
            update={
                "stalls": [stall],
                "functions": [function],
                "flame": Flame(total_ms=9.0, frames=[frame], nodes=[FlameNode(frame=0, depth=0, ms=9.0)]),
            }
        )
    )
    assert page.title.startswith("Where the time goes")
    assert page.find_elements(By.CSS_SELECTOR, "main img, main b") == []
    assert name in page.find_element(By.CSS_SELECTOR, "#functions-table tbody th").text
    flame(page).send_keys(Keys.ARROW_DOWN)
    assert name in told(page)
    assert_quiet(page)


def test_every_chart_has_its_words(show: Callable[..., Browser], profile: Profile) -> None:
    page = show(profile)
    for canvas in canvases(page):
        assert len(canvas.get_attribute("aria-label") or "") > 40
    rows = page.find_elements(By.CSS_SELECTOR, "#stalls-table tbody tr")
    assert len(rows) == len(profile.stalls)
    assert all("garbage collection" in row.text and "gc_collect_main" in row.text for row in rows)
    scrolling = page.find_elements(By.CSS_SELECTOR, ".scroll")
    assert all(one.get_attribute("tabindex") == "0" and one.get_attribute("aria-label") for one in scrolling)


def test_a_phone(show: Callable[..., Browser], profile: Profile) -> None:
    page = show(profile, width=390)
    assert page.execute_script("return document.documentElement.scrollWidth") <= 390
    assert all(canvas.size["width"] <= 390 for canvas in canvases(page))
    assert_quiet(page)


def test_paper(show: Callable[..., Browser], profile: Profile) -> None:
    page = show(profile)
    printed = page.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})
    pages = base64.b64decode(printed["data"]).count(b"/Type /Page\n")
    assert 2 <= pages <= 14
    assert_quiet(page)


def test_without_anything_sampled(show: Callable[..., Browser], profile: Profile) -> None:
    bare = profile.model_copy(
        update={"categories": [], "functions": [], "flame": None, "stalls": [], "over": [], "timeline": []}
    )
    page = show(bare)
    assert canvases(page) == []
    assert "Nothing was sampled" in page.find_element(By.CSS_SELECTOR, ".verdict").text
    assert_quiet(page)
