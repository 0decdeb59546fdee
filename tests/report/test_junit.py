"""JUnit files as pytest writes them: within the schema, with the audit's figures."""

from __future__ import annotations

from pathlib import Path

import pytest
from lxml import etree

XUNIT2 = etree.XMLSchema(etree.parse(Path(__file__).with_name("xunit2.xsd")))
HOSTILE = "a \x1b[31m\x00\x01 <b> & ::error::x ##[error]y ]]> \u202e z"


def written(pytester, *arguments: str) -> etree._Element:
    pytester.runpytest_subprocess("--pm-audit", "--junitxml=out.xml", *arguments)
    return etree.parse(pytester.path / "out.xml").getroot()


def test_xunit2_files_are_valid(project, pytester):
    project("urls", "youre-right", "length", "broken-pm")
    root = written(pytester)
    XUNIT2.assertValid(root)
    suite = root.find("testsuite")
    found = {p.get("name"): p.get("value") for p in suite.find("properties")}
    assert found["pm_audit.urls/explained.outcome"] == "fail"
    assert found["pm_audit.urls/gap.gap_sigma"].startswith("-1.90 sigma")
    assert found["pm_audit.urls/gap.sufficiency"].startswith("43% [")
    assert found["pm_audit.urls/gap.transfer_closure"].startswith("24% [")
    assert found["pm_audit.urls/gap.features"] == "resid_6/812 resid_6/1790"
    assert (suite.get("failures"), suite.get("errors"), suite.get("skipped")) == ("5", "4", "2")


@pytest.mark.parametrize("logging", ["no", "all"])
def test_hostile_reasons_and_captured_output_stay_valid(project, pytester, record, logging):
    project("urls", "crash")
    checks = tuple(c.model_copy(update={"reason": HOSTILE}) for c in record.hypotheses[1].checks)
    hostile = record.hypotheses[1].model_copy(update={"claim": HOSTILE, "checks": checks})
    stored = record.model_copy(update={"hypotheses": (hostile,)})
    stored.write(pytester.path / "stored_record.json")
    root = written(pytester, "-o", f"junit_logging={logging}")
    XUNIT2.assertValid(root)
    (message,) = {failure.get("message") for failure in root.iter("failure")}
    assert r"a \x1b[31m\x00\x01 <b> & " in message
    assert r"]]> \u202e z" in message


def test_xunit1_carries_properties_on_each_case(project, pytester):
    project("urls")
    root = written(pytester, "-o", "junit_family=xunit1")
    assert not XUNIT2.validate(root)
    case = next(c for c in root.iter("testcase") if c.get("name") == "urls/gap")
    found = {p.get("name"): p.get("value") for p in case.find("properties")}
    assert found["pm_audit.check"] == "gap"
    assert found["pm_audit.outcome"] == "pass"


def test_two_workers_write_the_same_properties(project, pytester):
    project("urls", "length")
    root = written(pytester, "-p", "xdist", "-n", "2")
    XUNIT2.assertValid(root)
    names = [p.get("name") for p in root.iter("property")]
    assert len(names) == len(set(names))
    assert sum(name.endswith(".outcome") for name in names) == 8
