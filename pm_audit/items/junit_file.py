"""What JUnit files get of a check: the xunit2 schema has no properties on a test case."""

from __future__ import annotations

import pytest
from _pytest.junitxml import LogXML

from pm_audit.report import junit


def keep_to_schema(config: pytest.Config, report: pytest.TestReport) -> None:
    """Move the properties of a check to the suite, where the file that is written asks for it."""
    writer = next((p for p in config.pluginmanager.get_plugins() if isinstance(p, LogXML)), None)
    properties = {name: str(value) for name, value in report.user_properties}
    if writer is None or not properties or writer.family == "xunit1":
        return
    report.user_properties = []
    for name, value in properties.items() if report.when == "call" else ():
        writer.add_global_property(junit.suite_name(name, properties), value)
