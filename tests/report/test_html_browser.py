"""The page in headless Chromium, where that is installed: it opens, folds, sorts and is inert."""

from __future__ import annotations

import shutil

import pytest

from pm_audit.report import html

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
DRIVER = shutil.which("chromedriver")

pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="Chromium and its driver are not installed"
)

HOSTILE = [
    "<script>document.title='ran'</script>",
    '"><img src=x onerror="document.title=\'ran\'">',
    "</style></script><svg onload=\"document.title='ran'\">",
    "\x1b[31mred \u202eevil ::error::x ##[error]y",
    "line one\nline two\ttab",
    "&lt;b&gt; &amp; {{ 7 * 7 }}",
    "日本 👩‍🚀 é",
]


@pytest.fixture(scope="module")
def browser():
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--force-prefers-reduced-motion",
        "--window-size=1200,900",
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture
def opened(browser, tmp_path):
    def open_page(text: str):
        path = tmp_path / "report.html"
        path.write_text(text, encoding="utf-8")
        browser.get_log("browser")
        browser.get(path.as_uri())
        return browser

    return open_page


def test_hostile_texts_are_text_and_nothing_runs(opened, with_texts):
    page = opened(html.render(with_texts(HOSTILE)))
    shown = page.execute_script(
        "return [...document.querySelectorAll('.completion')].map(e => e.textContent)"
    )
    assert set(shown) <= set(HOSTILE)
    assert len(set(shown)) == len(HOSTILE)
    assert page.title == "Audit of default"
    assert page.execute_script("return document.querySelectorAll('img, svg svg').length") == 0
    assert page.execute_script("return document.scripts.length") == 1
    assert page.get_log("browser") == []
    requests = page.execute_script("return performance.getEntriesByType('resource').length")
    assert requests == 0


def wait_for(page, holds) -> None:
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(page, 10).until(lambda _: holds())


def test_folding_sorting_filtering_and_links(opened, record):
    page = opened(html.render(record))

    def is_open() -> list[bool]:
        return page.execute_script(
            "return [...document.querySelectorAll('details.hypothesis')].map(d => d.open)"
        )

    page.find_element("id", "unfold").click()
    assert all(is_open())
    page.find_element("id", "fold").click()
    assert not any(is_open())

    # the page opens a section when the browser tells it of the new address, a moment later
    page.find_element("css selector", "#hypotheses a[href='#h-urls']").click()
    wait_for(page, lambda: is_open() == [False, True, False, False, False])
    page.execute_script("window.scrollTo(0, 0)")
    page.find_element("css selector", "a.card[href='#h-i-dont-know-f-resid_6-812']").click()
    wait_for(page, lambda: is_open()[0])
    top = page.execute_script(
        "return document.getElementById('h-i-dont-know-f-resid_6-812').getBoundingClientRect().top"
    )
    assert -5 < top < 900

    def column(number: int) -> list[str]:
        return page.execute_script(
            "return [...document.querySelectorAll('#hypotheses tbody tr')]"
            f".map(r => r.cells[{number}].dataset.value)"
        )

    page.execute_script("window.scrollTo(0, 0)")
    header = page.find_elements("css selector", "#hypotheses th button")[1]
    header.click()
    values = [float(value) for value in column(1)]
    assert values == sorted(values)
    header.click()
    assert [float(value) for value in column(1)] == sorted(values, reverse=True)

    page.find_element("id", "attention").click()
    rows = page.find_elements("css selector", "#hypotheses tbody tr")
    assert sum(row.is_displayed() for row in rows) == 4


def test_the_keyboard_unfolds_and_the_theme_turns(opened, record):
    from selenium.webdriver.common.keys import Keys

    page = opened(html.render(record))
    summary = page.find_elements("css selector", "details.hypothesis > summary")[1]
    before = page.execute_script("return arguments[0].parentElement.open", summary)
    summary.send_keys(Keys.ENTER)
    assert page.execute_script("return arguments[0].parentElement.open", summary) is not before
    colours = "return getComputedStyle(document.body).backgroundColor"
    light = page.execute_script(colours)
    page.find_element("id", "theme").click()
    assert page.execute_script(colours) != light


def test_nothing_overflows_at_two_widths(opened, record, browser):
    for width in (1200, 400):
        browser.set_window_size(width, 900)
        page = opened(html.render(record))
        page.find_element("id", "unfold").click()
        over = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert page.execute_script(over) <= 0, width


def test_twenty_hypotheses_open_within_a_second(opened, twenty):
    page = opened(html.render(twenty))
    timing = "performance.getEntriesByType('navigation')[0]"
    assert page.execute_script(f"return {timing}.loadEventEnd - {timing}.startTime") < 1000
