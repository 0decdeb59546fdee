"""The history in headless Chromium, where that is installed: quick, inert, and every link leads."""

from __future__ import annotations

import functools
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from pm_audit.records import AuditRecord
from pm_audit.release.history import read_history
from pm_audit.report.html import history as history_page
from pm_audit.report.over_time.notes import Note
from pm_audit.report.over_time.site import write_site

HOSTILE = "<script>document.title='ran'</script>\"><img src=x onerror=\"document.title='ran'\">"


@pytest.fixture(scope="module")
def site(judged_record_path, tmp_path_factory):
    """Return the folder of a site of three releases."""
    record = AuditRecord.read(judged_record_path)
    folder = tmp_path_factory.mktemp("hosted")
    paths = []
    for month in (1, 2, 3):
        paths.append(folder / f"v{month}.json")
        created = f"2026-0{month}-01T00:00:00+00:00"
        record.model_copy(update={"created": created}).sealed().write(paths[-1])
    list(write_site(read_history(paths), folder / "site"))
    return folder / "site"


class Quiet(SimpleHTTPRequestHandler):
    """A plain server of a folder."""

    def log_message(self, *arguments):
        pass


@pytest.fixture
def hosted(site):
    """Return the address of a plain HTTP server that holds the site."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(site)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()
    thread.join()


def links_of(browser) -> dict[str, bool]:
    """Return the address of every link of the page, and whether its target is on the page."""
    return dict(
        browser.execute_script(
            "return [...document.querySelectorAll('a[href]')].map(a =>"
            " [a.href, !a.hash || !!document.getElementById(decodeURIComponent(a.hash.slice(1)))])"
        )
    )


@pytest.mark.parametrize("door", ["file", "http"])
def test_every_link_of_the_site_leads_somewhere(browser, site, hosted, door):
    start = hosted if door == "http" else (site / "index.html").as_uri()
    browser.get_log("browser")
    left, walked = [start], set()
    while left:
        address = left.pop()
        walked.add(address)
        browser.get(address)
        assert browser.title.startswith(("3 releases of default", "Audit of default")), address
        for link, found in links_of(browser).items():
            page = link.partition("#")[0]
            assert found, link
            assert page.startswith(start.removesuffix("index.html")), link
            if page not in walked and page not in left:
                left.append(page)
    names = {address.rpartition("/")[2] for address in walked}
    assert {path.name for path in site.rglob("*.html")} <= names
    assert len([name for name in names if name.startswith("2026-")]) == 3
    if door == "file":
        assert browser.get_log("browser") == []


@pytest.fixture
def opened(browser, tmp_path):
    def open_page(text: str):
        path = tmp_path / "history.html"
        path.write_text(text, encoding="utf-8")
        browser.get_log("browser")
        browser.get(path.as_uri())
        return browser

    return open_page


def test_twenty_releases_open_within_a_second(opened, browser, twenty_releases):
    page = history_page.render(twenty_releases)
    browser.get("about:blank")
    # time of the page's own thread: what the browser needs, however busy the machine is
    browser.execute_cdp_cmd("Performance.enable", {"timeDomain": "threadTicks"})
    opened(page)
    assert browser.execute_script("return document.readyState") == "complete"
    found = browser.execute_cdp_cmd("Performance.getMetrics", {})["metrics"]
    seconds = {one["name"]: one["value"] for one in found}
    browser.execute_cdp_cmd("Performance.disable", {})
    assert 0.001 < seconds["TaskDuration"] < 1


def test_it_folds_filters_and_fits_at_two_widths(opened, browser, twenty_releases):
    page = opened(history_page.render(twenty_releases))
    page.find_element("id", "unfold").click()
    drawn = page.execute_script(
        "return [...document.querySelectorAll('svg.wide')].map(e => e.clientWidth)"
    )
    assert len(drawn) >= 15
    assert min(drawn) > 300
    over = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
    for width in (1280, 400):
        metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        assert page.execute_script(over) <= 0, width
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    page.find_element("id", "fold").click()
    page.find_element("id", "attention").click()
    rows = page.find_elements("css selector", "details.series")
    attention = [row.get_attribute("data-attention") == "yes" for row in rows]
    assert [row.is_displayed() for row in rows] == attention
    assert any(attention)
    assert page.get_log("browser") == []


def test_hostile_texts_are_text_and_nothing_runs(opened, record, history_of):
    hypotheses = tuple(one.model_copy(update={"claim": HOSTILE}) for one in record.hypotheses)
    hostile = record.model_copy(
        update={
            "hypotheses": hypotheses,
            "subject": record.subject.model_copy(update={"pm": HOSTILE}),
        }
    )
    note = Note(note=HOSTILE, author=HOSTILE, day="2026-01-01")
    page = opened(history_page.render(history_of([record, hostile], [note])))
    assert page.title.startswith("2 releases of default and <script>")
    said = page.execute_script("return document.querySelector('.said').textContent")
    assert said == HOSTILE
    assert page.execute_script("return document.querySelectorAll('img').length") == 0
    assert page.execute_script("return document.scripts.length") == 1
    assert page.get_log("browser") == []
