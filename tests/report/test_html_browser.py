"""The page in headless Chromium, where that is installed: it opens, folds, sorts and is inert."""

from __future__ import annotations

import re

import pytest

from pm_audit.report import html

HOSTILE = [
    "<script>document.title='ran'</script>",
    '"><img src=x onerror="document.title=\'ran\'">',
    "</style></script><svg onload=\"document.title='ran'\">",
    "\x1b[31mred \u202eevil ::error::x ##[error]y",
    "line one\nline two\ttab",
    "&lt;b&gt; &amp; {{ 7 * 7 }}",
    "日本 👩‍🚀 é",
]


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
        "return [...document.querySelectorAll('.completion')].map(e => e.title)"
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
    wait_for(page, lambda: is_open() == [True, False, False, False, False])
    page.execute_script("window.scrollTo(0, 0)")
    page.execute_script("location.hash = '#h-i-dont-know-f-resid_6-812'")
    wait_for(page, lambda: is_open()[1])
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


@pytest.fixture
def resized(browser):
    """Set the page's width, which a window's least width would not allow."""

    def resize(width: int) -> None:
        metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    yield resize
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


UNFOLD = "document.querySelectorAll('details').forEach(one => { one.open = true; })"
OVER = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"


def test_nothing_overflows_at_two_widths(opened, record, resized):
    for width in (1280, 400):
        resized(width)
        page = opened(html.render(record))
        assert page.execute_script("return innerWidth") == width
        page.execute_script(UNFOLD)
        assert page.execute_script(OVER) <= 0, width


def test_charts_fit_or_scroll_at_400_pixels(opened, record, resized):
    resized(400)
    page = opened(html.render(record))
    page.execute_script(UNFOLD)
    outside = page.execute_script(
        "return [...document.querySelectorAll('svg')].filter(one => {"
        "  const box = one.getBoundingClientRect();"
        "  return box.width > 0 && (box.left < 0 || box.right > innerWidth)"
        "    && !one.closest('.scroll'); }).length"
    )
    assert outside == 0
    strips = page.execute_script(
        "return [...document.querySelectorAll('svg.finding')]"
        ".map(one => [one.clientWidth, one.clientHeight])"
    )
    assert all(width > 300 and height >= 24 for width, height in strips)
    # text of an axis keeps its size, however narrow the screen
    sizes = page.execute_script(
        "return [...document.querySelectorAll('svg.axis text')]"
        ".map(one => one.getBoundingClientRect().height).filter(height => height > 0)"
    )
    assert sizes
    assert min(sizes) >= 10
    # a table that is wider says so: its own bar scrolls it
    scrolled = page.execute_script(
        "return [...document.querySelectorAll('.scroll')].every(one =>"
        " one.scrollWidth <= one.clientWidth || getComputedStyle(one).overflowX === 'auto')"
    )
    assert scrolled


def test_the_plot_has_lines_and_a_labelled_axis(opened, record):
    page = opened(html.render(record))
    strip = page.find_element("css selector", "svg.finding")
    assert "gap -1.90 sigma" in strip.get_attribute("aria-label")
    labels = page.execute_script(
        "return [...document.querySelectorAll('.findings > .axis-row text')]"
        ".map(one => one.textContent)"
    )
    assert "0.0" in labels or "0" in labels
    assert "gap in sigma" in page.find_element("css selector", ".axis-name").text
    stroke = page.execute_script(
        "return getComputedStyle(document.querySelector('#g-gaps .zero')).stroke"
    )
    assert stroke not in ("none", "")


def test_a_term_explains_itself_by_keyboard_click_and_hover(opened, record):
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    page = opened(html.render(record))
    term = page.find_element("css selector", "button.term[popovertarget='t-sigma']")
    tip = page.find_element("id", "t-sigma")
    assert not tip.is_displayed()
    for key in (Keys.ENTER, Keys.SPACE):
        term.send_keys(key)
        assert tip.is_displayed()
        assert "spread of the PM's rewards" in tip.text
        page.switch_to.active_element.send_keys(Keys.ESCAPE)
        assert not tip.is_displayed()
        assert page.switch_to.active_element == term
    term.click()
    assert tip.is_displayed()
    inside = page.execute_script(
        "const box = arguments[0].getBoundingClientRect();"
        "return box.left >= 0 && box.right <= innerWidth && box.top >= 0"
        " && box.bottom <= innerHeight",
        tip,
    )
    assert inside
    page.find_element("css selector", "h1").click()
    assert not tip.is_displayed()
    ActionChains(page).move_to_element(term).perform()
    wait_for(page, tip.is_displayed)
    ActionChains(page).move_to_element(page.find_element("css selector", "h1")).perform()
    wait_for(page, lambda: not tip.is_displayed())
    assert page.get_log("browser") == []


def test_without_its_script_a_term_still_explains_itself(opened, record):
    page = opened(re.sub(r"<script>.*?</script>", "", html.render(record), flags=re.DOTALL))
    page.find_element("css selector", "button.term[popovertarget='t-gap']").click()
    assert page.find_element("id", "t-gap").is_displayed()


def contrast(first: str, second: str) -> float:
    """Return the WCAG contrast of two CSS colours."""

    def luminance(colour: str) -> float:
        channels = [int(n) / 255 for n in re.findall(r"\d+", colour)[:3]]
        linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(first), luminance(second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_both_themes_can_be_read(opened, browser, record, theme):
    feature = {"name": "prefers-color-scheme", "value": theme}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    page = opened(html.render(record))
    body = page.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert (contrast(body, "rgb(0, 0, 0)") > contrast(body, "rgb(255, 255, 255)")) == (
        theme == "light"
    )
    pairs = page.execute_script(
        "const opaque = (e) => { for (; e; e = e.parentElement) {"
        "  const c = getComputedStyle(e).backgroundColor;"
        "  if (!c.startsWith('rgba')) return c; } return 'rgb(255, 255, 255)'; };"
        "return [...document.querySelectorAll('h3, .found, .why, .facts span, .mark, .caveat,"
        " .legend, .axis-name span, .banner')].map(e => [e.className + e.tagName,"
        " getComputedStyle(e).color, opaque(e)])"
    )
    for name, colour, behind in pairs:
        assert contrast(colour, behind) >= 4.5, (theme, name, colour, behind)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


@pytest.mark.parametrize("which", ["twenty", "shipped_twenty"])
def test_twenty_hypotheses_open_within_a_second(opened, request, which):
    page = opened(html.render(request.getfixturevalue(which)))
    timing = "performance.getEntriesByType('navigation')[0]"
    assert page.execute_script(f"return {timing}.loadEventEnd - {timing}.startTime") < 1000
