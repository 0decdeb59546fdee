"""The drawing holds a mark for each share, where the share puts it."""

from xml.etree import ElementTree as ET

from recipes.calibrate.plot import draw
from recipes.calibrate.result import Calibration

SVG = "{http://www.w3.org/2000/svg}"


def test_every_share_has_its_mark(calibration: Calibration) -> None:
    families = {
        group.get("class"): group for group in ET.fromstring(draw(calibration)).iter(f"{SVG}g")
    }
    assert set(families) == {"matched", "unmatched"}
    marks = [
        circle
        for circle in families["matched"].iter(f"{SVG}circle")
        if circle.find(f"{SVG}title") is not None
    ]
    # negative controls first, then by size; all found stands at the top, none at the bottom of 20
    # to 320
    assert [mark.find(f"{SVG}title").text.split(":")[0] for mark in marks] == [
        "negative controls",
        "weak",
        "strong",
    ]
    assert [float(mark.get("cy")) for mark in marks] == [
        320 - 300 * share for share in (0.05, 0.4, 1)
    ]
    assert float(marks[1].get("cx")) < float(marks[2].get("cx"))


def test_nothing_that_was_run_is_an_empty_frame() -> None:
    drawing = ET.fromstring(draw(Calibration(planted=(), simulated=())))
    assert not list(drawing.iter(f"{SVG}g"))
