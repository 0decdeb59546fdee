"""What a conftest can do to a run of a refuted check, and that none of it passes.

Each attack is the conftest of a project of its own.  The runs are forked from one process that
has imported everything, because there are many of them.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

from pm_audit.records import AuditRecord, Check, Departure

# pytester unloads what a run inside this process imports first, and numpy loads only once
import_module("pm_audit.pytest_plugin.run")

FORK = """
import json, os, sys
import pytest
import pm_audit.pytest_plugin.run, pm_audit.judging, pm_audit.report.html  # once, before forking

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

ATTACKS = tomllib.loads(Path(__file__).with_name("attacks.toml").read_text(encoding="utf-8"))

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
    others = names[16:] + names[:16]
    pairs = [
        (one, other)
        for one, other in zip(names, others, strict=True)
        if "collect_ignore_glob" not in ATTACKS[other]
    ]
    found = statuses({f"{one} + {other}": (both(one, other), ()) for one, other in pairs})
    assert {name for name, code in found.items() if code == 0} == set()
    assert len(found) > 40


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


def test_a_listing_without_a_baseline_is_no_failure(statuses):
    flags = ("--collect-only", "--fixtures", "--fixtures-per-test", "--markers", "--help")
    found = statuses({flag: ("", (flag,)) for flag in flags})
    assert found == dict.fromkeys(flags, 0)


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
