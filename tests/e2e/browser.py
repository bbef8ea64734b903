"""The real browser of the tests: Debian's Chromium, led by its driver; what its pages wrote, loaded, and owe to axe."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from functools import partial
from importlib.resources import files
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By

Browser = webdriver.Chrome
PATIENCE_S = 20.0

AXE = files("axe_playwright_python") / "axe.min.js"

_VIOLATIONS = """
const done = arguments[arguments.length - 1];
axe.run(document, { resultTypes: ["violations"] }).then(({ violations }) =>
  done(violations.map(({ id, impact, nodes }) => [impact, id, nodes.map((node) => node.html.slice(0, 200))])),
);
"""


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    binary, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not binary or not driver:
        pytest.skip("no chromium and chromedriver on this machine (Debian: chromium and chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for flag in (
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        f"--user-data-dir={tmp_path_factory.mktemp('chromium')}",
        "--window-size=1280,900",
    ):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    chromium = webdriver.Chrome(options=options, service=Service(driver))
    yield chromium
    chromium.quit()


def visit(browser: Browser, page: str, *, width: int = 1280, scheme: str = "light") -> Browser:
    """Open an address in a window of this width, with nothing left on the console of the page before."""
    emulate(browser, scheme)
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.get("about:blank")
    console(browser)
    browser.get(page)
    return browser


def emulate(browser: Browser, scheme: str) -> None:
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


def wait_for(what: str, condition: Callable[[], Any]) -> Any:
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.05)
    raise AssertionError(f"{what}: not within {PATIENCE_S:.0f} s")


def draw_all(browser: Browser) -> None:
    """Bring every chart near the window, for it is drawn only then."""
    for canvas in browser.find_elements(By.TAG_NAME, "canvas"):
        browser.execute_script("arguments[0].scrollIntoView()", canvas)
        wait_for("a chart", partial(browser.execute_script, "return Boolean(Chart.getChart(arguments[0]))", canvas))


def console(browser: Browser) -> list[dict[str, Any]]:
    """What was written on the console since the last call."""
    entries: list[dict[str, Any]] = browser.get_log("browser")  # type: ignore[no-untyped-call]
    return entries


def assert_quiet(browser: Browser) -> None:
    """No word on the console (a violated policy is one), and no request."""
    assert console(browser) == []
    assert browser.execute_script("return performance.getEntriesByType('resource').map((one) => one.name)") == []


def violations(browser: Browser) -> list[Any]:
    """What axe finds on the page as it is shown now, of whatever impact."""
    browser.execute_script(AXE.read_text(encoding="utf-8"))
    found: list[Any] = browser.execute_async_script(_VIOLATIONS)
    return found
