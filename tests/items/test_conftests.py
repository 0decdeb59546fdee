"""What a conftest can do to a run of a refuted check, and that none of it passes.

Each attack is the conftest of a project of its own.  The runs are forked from one process that
has imported everything, because there are many of them.
"""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import import_module

import pytest

from pm_audit.records import AuditRecord, Check, Departure

# pytester unloads what a run inside this process imports first, and numpy loads only once
import_module("pm_audit.items.run")

FORK = """
import json, os, sys
import pytest
import pm_audit.items.run, pm_audit.verdict, pm_audit.report.html  # once, before forking

status = {}
for folder, arguments in json.load(open(sys.argv[1])):
    child = os.fork()
    if child == 0:
        os.chdir(folder)
        out = os.open("out.txt", os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
        os.dup2(out, 1), os.dup2(out, 2)
        code = 99
        try:
            code = int(pytest.main(["--pm-audit", "-p", "no:cacheprovider", *arguments]))
        finally:
            sys.stdout.flush()
            os._exit(code)
    status[folder + " ".join(arguments)] = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
json.dump(status, open(sys.argv[2], "w"))
"""

ATTACKS = {
    "skip by marker": """
def pytest_collection_modifyitems(items):
    for item in items:
        item.add_marker(pytest.mark.skip(reason="not today"))
""",
    "skip as collected": """
def pytest_itemcollected(item):
    item.add_marker(pytest.mark.skip)
""",
    "expect failures": """
def pytest_collection_modifyitems(items):
    for item in items:
        item.add_marker(pytest.mark.xfail(reason="known", strict=False))
""",
    "drop every item": """
def pytest_collection_modifyitems(items):
    items.clear()
""",
    "drop the refuted item": """
def pytest_collection_modifyitems(items):
    items[:] = [item for item in items if "explained" not in item.name]
""",
    "repeat a passing item": """
def pytest_collection_modifyitems(items):
    items[:] = [item for item in items if "gap" in item.name] * 4
""",
    "deselect politely": """
def pytest_collection_modifyitems(config, items):
    config.hook.pytest_deselected(items=[i for i in items if "explained" in i.name])
    items[:] = [item for item in items if "explained" not in item.name]
""",
    "report passed": """
@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport():
    report = yield
    report.outcome, report.longrepr = "passed", None
    return report
""",
    "report an expected failure": """
@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport():
    report = yield
    if report.failed:
        report.outcome, report.wasxfail = "skipped", "known"
    return report
""",
    "make the report oneself": """
@pytest.hookimpl(tryfirst=True)
def pytest_runtest_makereport(item, call):
    return pytest.TestReport(item.nodeid, item.location, {}, "passed", None, call.when)
""",
    "forget the error": """
@pytest.hookimpl(tryfirst=True)
def pytest_runtest_makereport(call):
    call.excinfo = None
""",
    "rewrite the log": """
@pytest.hookimpl(tryfirst=True)
def pytest_runtest_logreport(report):
    report.outcome, report.longrepr = "passed", None
""",
    "strip the log": """
@pytest.hookimpl(tryfirst=True)
def pytest_runtest_logreport(report):
    report.user_properties = []
""",
    "set the exit status": """
@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session):
    session.exitstatus = 0
""",
    "set the exit status last": """
@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session):
    yield
    session.exitstatus = 0
""",
    "exit before the record": """
@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish():
    pytest.exit("done", returncode=0)
""",
    "leave before the record": """
@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish():
    raise SystemExit(0)
""",
    "exit at the start": """
def pytest_sessionstart():
    pytest.exit("done", returncode=0)
""",
    "exit in a check": """
def pytest_runtest_setup(item):
    pytest.exit("done", returncode=0)
""",
    "call it passed": """
def pytest_report_teststatus(report):
    return "passed", ".", "PASSED"
""",
    "run nothing of an item": """
def pytest_runtest_protocol(item):
    return True
""",
    "replace runtest": """
def pytest_collection_modifyitems(items):
    for item in items:
        item.runtest = lambda: None
""",
    "replace setup": """
def pytest_collection_modifyitems(items):
    for item in items:
        item.setup = lambda: None
""",
    "skip in setup": """
def pytest_runtest_setup(item):
    pytest.skip("not today")
""",
    "skip in the call": """
@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call(item):
    pytest.skip("not today")
""",
    "expect failure in the call": """
@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call(item):
    pytest.xfail("known")
""",
    "swallow the call": """
@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    try:
        yield
    except BaseException:
        pass
""",
    "run no loop": """
@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop():
    return True
""",
    "stop early": """
def pytest_runtest_logreport(report):
    STOPPED.append(report)
STOPPED = []
@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item):
    result = yield
    item.session.shouldstop = "enough"
    return result
""",
    "collect nothing": """
@pytest.hookimpl(tryfirst=True)
def pytest_collection(session):
    session.items, session.testscollected = [], 0
    return True
""",
    "ignore YAML": """
def pytest_ignore_collect(collection_path):
    return True if collection_path.suffix == ".yaml" else None
""",
    "ignore by glob": """
collect_ignore_glob = ["*.yaml", "hypotheses/*"]
""",
    "drop collectors": """
@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collect_file():
    yield
    return []
""",
    "answer for pytest": """
@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main():
    return 0
""",
    "answer around pytest": """
@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_cmdline_main():
    yield
    return 0
""",
    "leave around pytest": """
@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_cmdline_main():
    yield
    raise SystemExit(0)
""",
    "leave at the end": """
def pytest_unconfigure():
    raise SystemExit(0)
""",
    "turn the audit off": """
@pytest.hookimpl(tryfirst=True)
def pytest_configure(config):
    config.option.pm_audit = False
""",
    "allow part of it": """
@pytest.hookimpl(tryfirst=True)
def pytest_configure(config):
    config.option.pm_audit_allow_partial = True
def pytest_deselected(items): pass
""",
    "audit another file": """
@pytest.hookimpl(tryfirst=True)
def pytest_configure(config):
    config.args[:] = ["hypotheses/i_dont_know.yaml"]
    config.args_source = pytest.Config.ArgsSource.ARGS
""",
    "only list": """
@pytest.hookimpl(tryfirst=True)
def pytest_configure(config):
    config.option.collectonly = True
""",
    "select by word": """
@pytest.hookimpl(tryfirst=True)
def pytest_configure(config):
    config.option.keyword = "gap"
""",
    "unregister the run at the start": """
@pytest.hookimpl(trylast=True)
def pytest_sessionstart(session):
    session.config.pluginmanager.unregister(name="pm_audit.run")
""",
    "unregister the run at the end": """
@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session):
    session.config.pluginmanager.unregister(name="pm_audit.run")
""",
    "unregister whatever is ours": """
def pytest_collection_finish(session):
    manager = session.config.pluginmanager
    for plugin in list(manager.get_plugins()):
        if "pm_audit" in type(plugin).__module__ + str(plugin):
            manager.unregister(plugin)
""",
}

OPTIONS = [
    ("-k", "gap"),
    ("-k", "nothing"),
    ("-m", "nothing"),
    ("--deselect", "hypotheses/urls.yaml::urls/explained"),
    ("--ignore", "hypotheses/urls.yaml"),
    ("--ignore-glob", "*"),
    ("hypotheses/urls.yaml::urls/gap",),
    ("-p", "no:pm_audit.run"),
    ("--setup-only",),
    ("--setup-plan",),
    ("--pm-audit-allow-partial",),
    ("--pm-audit-inconclusive=pass",),
    ("-k", "nothing", "--pm-audit-allow-partial"),
    *(
        (flag, "--pm-audit-baseline=reports/base.json")
        for flag in (
            *("--collect-only", "--fixtures", "--fixtures-per-test", "--markers", "--help"),
            *("--cache-show=*", "--setup-plan", "--setup-only"),
        )
    ),
]


@pytest.fixture
def statuses(project, pytester, tmp_path):
    """Return what runs projects with these conftests and arguments, and gives exit statuses."""
    project("i-dont-know", "urls")
    stand_in = (pytester.path / "conftest.py").read_text()

    def run(cases: dict[str, tuple[str, tuple[str, ...]]]) -> dict[str, int]:
        jobs, folders = [], {}
        for number, (name, (attack, arguments)) in enumerate(cases.items()):
            folder = pytester.path / f"case{number}"
            (folder / "hypotheses").mkdir(parents=True)
            for file in ("i_dont_know.yaml", "urls.yaml"):
                (folder / "hypotheses" / file).hardlink_to(pytester.path / "hypotheses" / file)
            for file in ("stored_record.json", "tox.ini"):
                (folder / file).hardlink_to(pytester.path / file)
            (folder / "conftest.py").write_text(f"import pytest\n{stand_in}\n{attack}")
            jobs.append((str(folder), arguments))
            folders[str(folder) + " ".join(arguments)] = name
        script, asked, found = (pytester.path / name for name in ("fork.py", "in", "out"))
        script.write_text(FORK)
        asked.write_text(json.dumps(jobs))
        subprocess.run([sys.executable, script, asked, found], check=True)
        return {folders[key]: code for key, code in json.loads(found.read_text()).items()}

    return run


def record_of(folder) -> AuditRecord:
    return AuditRecord.read(folder / "reports" / "record.json")


def test_no_conftest_turns_a_refuted_check_green(statuses, pytester):
    cases = {name: (attack, ()) for name, attack in ATTACKS.items()}
    found = statuses({"none": ("", ()), **cases})
    assert found.pop("none") == 1
    assert {name for name, code in found.items() if code == 0} == set()
    assert len(found) >= 40


def test_no_pair_of_conftests_does(statuses):
    # hooks of one name in one file replace each other, so the second is a plug-in of its own
    def both(one: str, other: str) -> str:
        second = f"class Second:\n{_as_methods(ATTACKS[other])}"
        return (
            f"{ATTACKS[one]}\n{second}\n"
            "def pytest_plugin_registered(plugin, manager):\n"
            "    if plugin.__class__.__name__ == 'Config' or manager.has_plugin('second'):\n"
            "        return\n"
            "    if manager.get_plugin('pytestconfig') is not None:\n"
            "        manager.register(Second(), 'second')\n"
        )

    names = sorted(ATTACKS)
    pairs = [
        (one, names[(index + step) % len(names)])
        for step in (1, 16)
        for index, one in enumerate(names)
        if "collect_ignore_glob" not in ATTACKS[names[(index + step) % len(names)]]
    ]
    found = statuses({f"{one} + {other}": (both(one, other), ()) for one, other in pairs})
    assert {name for name, code in found.items() if code == 0} == set()
    assert len(found) > 80


def _as_methods(attack: str) -> str:
    """Return module-level hooks as the static methods of a class."""
    lines = []
    for line in attack.strip().splitlines():
        if line.startswith("def "):
            lines.append("    @staticmethod")
        lines.append(f"    {line}")
    return "\n".join(lines)


def test_no_option_does(statuses):
    found = statuses({" ".join(options): ("", options) for options in OPTIONS})
    assert {name for name, code in found.items() if code == 0} == set()


@pytest.mark.parametrize(
    ("attack", "departure"),
    [
        ("skip by marker", Departure.SKIPPED),
        ("skip in setup", Departure.SKIPPED),
        ("run nothing of an item", Departure.NOT_RUN),
        ("replace setup", Departure.ERROR),
        ("drop the refuted item", Departure.NOT_SELECTED),
        ("report passed", Departure.REPORTED_OTHERWISE),
        ("expect failures", Departure.REPORTED_OTHERWISE),
        ("replace runtest", Departure.REPORTED_OTHERWISE),
    ],
)
def test_the_record_names_what_was_not_judged_as_planned(project, pytester, attack, departure):
    project("i-dont-know", "urls")
    stand_in = (pytester.path / "conftest.py").read_text()
    only = ATTACKS[attack].replace("for item in items:", "for item in items[-3:-2]:")
    only = only.replace("(item):", "(item):\n    if item.name != 'urls/explained': return")
    only = only.replace(
        "    report.outcome, ", "    if 'explained' in report.nodeid: report.outcome, "
    )
    only = only.replace('"explained" not in', '"urls/explained" not in')
    pytester.makeconftest(f"import pytest\n{stand_in}\n{only}")
    result = pytester.runpytest_inprocess("--pm-audit")
    assert result.ret == 1
    record = record_of(pytester.path)
    named = {(one.name, one.check): one.departure for one in record.not_as_planned}
    assert named == {("urls", Check.EXPLAINED): departure}
    assert record.intact
    if departure is not Departure.NOT_SELECTED:
        result.stdout.fnmatch_lines([f"not as planned: urls/explained: {departure}*"])


def test_under_xdist_too(project, pytester):
    project("i-dont-know", "urls")
    stand_in = (pytester.path / "conftest.py").read_text()
    attacks = ATTACKS["report passed"] + ATTACKS["set the exit status last"]
    pytester.makeconftest(f"import pytest\n{stand_in}\n{attacks}")
    result = pytester.runpytest_subprocess("--pm-audit", "-p", "xdist", "-n", "2")
    assert result.ret == 1
    result.stderr.fnmatch_lines(["pm_audit: exit status 1: not passed: urls/explained"])
    result.stdout.fnmatch_lines(["not as planned: urls/explained: reported otherwise*"])
