"""JUnit files as pytest writes them: within the schema, with the audit's figures."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

ALLOWED = {
    "testsuites": {"testsuite"},
    "testsuite": {"properties", "testcase", "system-out", "system-err"},
    "testcase": {"skipped", "error", "failure", "system-out", "system-err"},
    "properties": {"property"},
}
"""Children by element in the xunit2 schema."""

ATTRIBUTES = {
    "testcase": {"classname", "name", "time"},
    "property": {"name", "value"},
    "failure": {"message", "type"},
    "error": {"message", "type"},
    "skipped": {"message", "type"},
}


def written(pytester, *arguments: str) -> ElementTree.Element:
    pytester.runpytest_subprocess("--pm-audit", "--junitxml=out.xml", *arguments)
    return ElementTree.parse(pytester.path / "out.xml").getroot()


def test_xunit2_holds_only_what_its_schema_allows(project, pytester):
    project("urls", "youre-right", "length", "broken-pm")
    root = written(pytester)
    for element in root.iter():
        children = {child.tag for child in element}
        assert children <= ALLOWED.get(element.tag, set()), element.tag
        if element.tag in ATTRIBUTES:
            assert set(element.keys()) <= ATTRIBUTES[element.tag]
    suite = root.find("testsuite")
    found = {p.get("name"): p.get("value") for p in suite.find("properties")}
    assert found["pm_audit.urls/explained.outcome"] == "fail"
    assert found["pm_audit.urls/gap.gap_sigma"].startswith("-1.90 sigma")
    assert found["pm_audit.urls/gap.features"] == "resid_6/812 resid_6/1790"
    assert (suite.get("failures"), suite.get("errors"), suite.get("skipped")) == ("5", "4", "2")


def test_xunit1_carries_properties_on_each_case(project, pytester):
    project("urls")
    root = written(pytester, "-o", "junit_family=xunit1")
    case = next(c for c in root.iter("testcase") if c.get("name") == "urls/gap")
    found = {p.get("name"): p.get("value") for p in case.find("properties")}
    assert found["pm_audit.check"] == "gap"
    assert found["pm_audit.outcome"] == "pass"


def test_two_workers_write_the_same_properties(project, pytester):
    project("urls", "length")
    root = written(pytester, "-p", "xdist", "-n", "2")
    names = [p.get("name") for p in root.iter("property")]
    assert len(names) == len(set(names))
    assert sum(name.endswith(".outcome") for name in names) == 8
