"""The page in headless Chromium, where that is installed: typed, submitted and read by keyboard."""

from __future__ import annotations

import threading

import pytest

from tests.server.conftest import running

HOSTILE = (
    "<script>document.title='ran'</script><img src=x onerror=\"document.title='ran'\">\u202e 👩‍🚀"
)


@pytest.fixture
def page(browser, service):
    browser.get_log("browser")
    browser.get(service.address)
    return browser


def wait_for(page, holds) -> None:
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(page, 60).until(lambda _: holds())


def focused(page) -> str:
    return page.switch_to.active_element.get_attribute("id")


def press(page, *keys: str) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    ActionChains(page).send_keys(*keys).perform()


def outlined(page) -> bool:
    return page.execute_script(
        "const style = getComputedStyle(document.activeElement);"
        "return style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2"
    )


def lead(page) -> str:
    found = page.find_elements("id", "lead")
    return found[0].text if found else ""


def test_the_keyboard_alone_types_submits_and_reads(page):
    from selenium.webdriver.common.keys import Keys

    # each stop of the Tab key shows where it is
    for stop, text in (("prompt", "Where?"), ("completion_a", "by;^"), ("completion_b", "by!;")):
        assert focused(page) == stop
        assert outlined(page)
        press(page, text, Keys.TAB)
    assert focused(page) == "space"
    assert outlined(page)
    press(page, Keys.TAB)
    assert focused(page) == "explain"
    assert outlined(page)
    press(page, Keys.ENTER)
    wait_for(page, lambda: "The PM prefers B" in lead(page))
    # the form stays, and a screen reader is told of the result where the focus is
    assert focused(page) == "explain"
    status = page.find_element("id", "status")
    assert status.text == lead(page)
    assert (status.get_attribute("role"), status.get_attribute("aria-live")) == ("status", "polite")
    assert page.find_element("id", "prompt").get_attribute("value") == "Where?"
    press(page, Keys.TAB)
    assert page.execute_script("return document.activeElement.className") == "scroll"
    summaries = page.find_elements("css selector", "details.change > summary")
    for _ in range(5):
        press(page, Keys.TAB)
        if page.switch_to.active_element == summaries[0]:
            break
    assert page.switch_to.active_element == summaries[0]
    assert outlined(page)
    press(page, Keys.ENTER)
    assert not page.execute_script("return arguments[0].parentElement.open", summaries[0])
    assert page.get_log("browser") == []


def test_control_and_enter_submit_from_a_text(page):
    from selenium.webdriver.common.keys import Keys

    page.find_element("id", "prompt").send_keys("Where?")
    page.find_element("id", "completion_b").send_keys("by!;", Keys.CONTROL, Keys.ENTER)
    wait_for(page, lambda: "The PM prefers B" in lead(page))


def test_every_control_has_its_label(page):
    unlabelled = page.execute_script(
        "return [...document.querySelectorAll('textarea, input')]"
        ".filter(one => !one.labels.length || !one.labels[0].textContent.trim()).length"
    )
    assert unlabelled == 0
    assert page.execute_script("return document.documentElement.lang") == "en"


def test_heatmaps_mark_the_tokens(page):
    submit(page, "Where?", "by;^", "by!;")
    marks = page.execute_script(
        "const card = document.querySelector('details.change');"
        "return [...card.querySelectorAll('mark')].map(m => [m.className, m.textContent])"
    )
    assert marks == [["h9", "!"]]
    colour = page.execute_script(
        "return getComputedStyle(document.querySelector('mark.h9')).backgroundColor"
    )
    assert colour not in ("rgba(0, 0, 0, 0)", "")


def submit(page, *texts: str) -> None:
    # typed by script: the driver's keyboard has no characters beyond the BMP
    for name, text in zip(("prompt", "completion_a", "completion_b"), texts, strict=True):
        page.execute_script(
            "document.getElementById(arguments[0]).value = arguments[1]", name, text
        )
    page.find_element("id", "explain").click()
    wait_for(page, lambda: lead(page) and "Reading" not in page.find_element("id", "status").text)


@pytest.mark.parametrize("script", [True, False], ids=["script", "no-script"])
def test_hostile_texts_are_text_and_nothing_runs(browser, service, script):
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": not script})
    try:
        browser.get_log("browser")
        browser.get(service.address)
        if script:
            submit(browser, HOSTILE, HOSTILE, f"{HOSTILE}!")
        else:
            typed = HOSTILE.replace("👩‍🚀", "")
            for name in ("prompt", "completion_a", "completion_b"):
                browser.find_element("id", name).send_keys(typed)
            browser.find_element("id", "completion_b").send_keys("!")
            browser.find_element("id", "explain").click()
            wait_for(browser, lambda: lead(browser))
            assert browser.find_element("id", "prompt").get_attribute("value") == typed
            assert browser.current_url == f"{service.address}#result"
        assert "The PM prefers B" in lead(browser)
        assert browser.title == "Explain an edit with planted <PM>"
        found = browser.find_elements("css selector", "img, svg, main script, [onerror]")
        assert found == []
        assert [entry for entry in browser.get_log("browser") if "Content" in str(entry)] == []
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def test_an_error_is_announced_and_the_texts_stay(page):
    submit(page, "Where?", "a" * 30_000, "b")
    assert "this page reads at most 400" in lead(page)
    assert page.find_element("id", "status").text == lead(page)
    assert page.title.startswith("Error: ")
    assert len(page.find_element("id", "completion_a").get_attribute("value")) == 30_000
    submit(page, "Where?", "x" * 300_000, "b")
    assert "262,144 bytes" in lead(page)


def test_waiting_is_said_and_the_button_waits_too(browser, box_of, explainer):
    go_on, asked = threading.Event(), []

    def explain(*texts: str):
        asked.append(texts)
        assert go_on.wait(60)
        return explainer(*texts)

    with running(box_of(explain)) as service:
        browser.get(service.address)
        browser.find_element("id", "prompt").send_keys("Where?")
        button = browser.find_element("id", "explain")
        button.click()
        wait_for(browser, lambda: asked)
        assert "ablating" in browser.find_element("id", "status").text
        assert button.get_attribute("aria-disabled") == "true"
        button.click()
        go_on.set()
        wait_for(browser, lambda: lead(browser))
        assert button.get_attribute("aria-disabled") is None
        assert len(asked) == 1


def test_a_server_that_ended_is_said_to_have_ended(page):
    submit(page, "Where?", "by;^", "by!;")
    offline = {"latency": 0, "downloadThroughput": 0, "uploadThroughput": 0}
    page.execute_cdp_cmd("Network.enable", {})
    page.execute_cdp_cmd("Network.emulateNetworkConditions", offline | {"offline": True})
    try:
        page.find_element("id", "explain").click()
        wait_for(page, lambda: "still running" in page.find_element("id", "status").text)
    finally:
        page.execute_cdp_cmd("Network.disable", {})
    assert lead(page) == ""
    submit(page, "Where?", "by;^", "by!;")
    assert "The PM prefers B" in lead(page)


def test_a_page_of_another_site_reaches_nothing(browser, service, box_of, explainer, tmp_path):
    asked = []

    def explain(*texts: str):
        asked.append(texts)
        return explainer(*texts)

    with running(box_of(explain)) as own:
        other = tmp_path / "other.html"
        other.write_text(
            f"<form method=post action='{own.address}'><input name=prompt value=a>"
            "<input name=completion_a value=b><input name=completion_b value=c></form>"
            f"<iframe src='{own.address}'></iframe>",
            encoding="utf-8",
        )
        browser.get(other.as_uri())
        # a page on another port of this machine is another site too
        for place in (other.as_uri(), service.address):
            browser.get(place)
            answer = browser.execute_async_script(
                "const [address, done] = arguments;"
                "fetch(address).then(r => done(r.status)).catch(() => done('refused'))",
                own.address,
            )
            assert answer == "refused"
        browser.get(other.as_uri())
        browser.switch_to.frame(0)
        assert browser.find_elements("id", "edit") == []
        browser.switch_to.default_content()
        browser.execute_script("document.forms[0].submit()")
        wait_for(browser, lambda: browser.current_url.startswith("http"))
        assert browser.find_elements("id", "edit") == []
    assert asked == []


@pytest.mark.parametrize("width", [1280, 400])
def test_nothing_overflows_at_two_widths(browser, service, width):
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        browser.get(service.address)
        submit(browser, "Where?", "b" * 150 + " <" * 20, "b" * 100 + "!")
        over = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert browser.execute_script(over) <= 0
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
