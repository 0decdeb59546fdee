"""The documentation's examples work: YAML loads, Python runs, commands exist."""

from __future__ import annotations

import json
import re
import runpy
import shlex
import shutil
import tomllib
from pathlib import Path

import click
import pytest
import yaml

from pm_audit.cli import main
from pm_audit.cli.starter import write_starter
from pm_audit.pytest_plugin import plugin
from pm_audit.records import AuditRecord
from pm_audit.report.over_time.notes import read_notes
from pm_audit.spec import Settings, load_hypotheses
from pm_audit.spec.labels import read_labels

ROOT = Path(__file__).parents[2]
PAGES = [*sorted((ROOT / "docs").rglob("*.md")), ROOT / "reports" / "README.md"]
BLOCK = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def write_data(folder: Path) -> None:
    """Write the preference sets that pages show."""
    for page in PAGES:
        for kind, title, text in BLOCK.findall(page.read_text("utf-8")):
            if kind == "jsonl":
                path = folder / re.search('"(.+)"', title)[1]
                path.parent.mkdir(exist_ok=True)
                path.write_text(text, encoding="utf-8")
    rows = (
        {"prompt": f"Name fact {n}.", "chosen": f"Fact {n}! Yes!", "rejected": f"Fact {n}. So."}
        for n in range(24)
    )
    (folder / "preferences.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")


def copy_shipped(folder: Path) -> None:
    """Copy what examples name of the shipped probes and phrases."""
    for name in ("probes/trivia.yaml", "hypotheses/phrases/praise.txt"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)


def blocks(language: str) -> list:
    return [
        pytest.param(title, text, id=f"{page.name}-{number}")
        for page in PAGES
        for number, (kind, title, text) in enumerate(BLOCK.findall(page.read_text("utf-8")))
        if kind == language
    ]


@pytest.mark.parametrize(("title", "text"), blocks("yaml"))
def test_hypotheses_and_labels_load(title, text, tmp_path):
    if "labels.yaml" in title:
        (tmp_path / "labels.yaml").write_text(text, encoding="utf-8")
        assert read_labels(None, tmp_path).of
        return
    if "notes.yaml" in title:
        (tmp_path / "baseline.notes.yaml").write_text(text, encoding="utf-8")
        baseline = AuditRecord.read(ROOT / "reports" / "baseline.json")
        assert read_notes(tmp_path / "baseline.json", baseline)
        return
    if "workflows" in title:
        (workflow,) = (ROOT / "pm_audit" / "cli" / "starter_files").glob("*.yml")
        # BaseLoader, for YAML 1.1 reads the key `on` as true
        jobs = yaml.load(workflow.read_text("utf-8") + text, Loader=yaml.BaseLoader)["jobs"]
        assert jobs.keys() == {"audit", "comment"}
        uploaded = jobs["audit"]["steps"][-1]["with"]
        assert jobs["comment"]["steps"][0]["with"]["name"] == uploaded["name"]
        assert "--pm-audit-comment=reports/comment.md" in workflow.read_text("utf-8")
        return
    list(write_starter(tmp_path, pm="default"))
    write_data(tmp_path)
    copy_shipped(tmp_path)
    path = tmp_path / "hypotheses" / "first.yaml"
    if "part of a hypothesis" in title:
        keys = {line.split(":")[0] for line in text.splitlines() if re.match(r"[a-z_]+:", line)}
        written = path.read_text(encoding="utf-8")
        for key in keys:
            written = re.sub(rf"^{key}:.*\n((  | *#).*\n)*", "", written, flags=re.MULTILINE)
        path.write_text(written + text, encoding="utf-8")
    else:
        (tmp_path / "hypotheses" / "example.yaml").write_text(text, encoding="utf-8")
    assert load_hypotheses([tmp_path / "hypotheses"], tmp_path)


@pytest.mark.parametrize(("title", "text"), blocks("toml"))
def test_settings_and_entry_points_are_known(title, text):
    tables = tomllib.loads(text)
    if "project" in tables:
        groups = tables["project"]["entry-points"]
        code = "".join(path.read_text("utf-8") for path in (ROOT / "pm_audit").rglob("*.py"))
        assert [group for group in groups if f'"{group}"' not in code] == []
        return
    table = tables["tool"]["pm_audit"]
    named = Settings.merged(project=table).model_fields_set
    assert table.keys() == {"judge" if name.startswith("judge_") else name for name in named}


def known_options() -> set[str]:
    parser = pytest.Parser(_ispytest=True)
    plugin.pytest_addoption(parser)
    found = {name for group in parser._groups for o in group.options for name in o.names()}
    return found | {"-v", "-n", "--junitxml"}


@pytest.mark.parametrize(("title", "text"), blocks("console"))
def test_commands_and_their_options_exist(title, text):
    for line in text.splitlines():
        program, *words = shlex.split(line.removeprefix("$ "))
        flags = [word.split("=")[0] for word in words if word.startswith("-")]
        if program == "pytest":
            assert set(flags) <= known_options(), line
        elif program == "pm-audit":
            command: click.Command = main
            while isinstance(command, click.Group):
                command = command.get_command(click.Context(command), words.pop(0))
                assert command is not None, line
            options = {name for p in command.params for name in p.opts}
            assert set(flags) <= options, line
        else:
            assert (program, words[0]) in {("git", "add"), ("make", "audit"), ("ray", "start")}, (
                line
            )


def test_the_notebook_runs_and_its_page_shows_what_its_cells_give(
    stored_record_path, tmp_path, monkeypatch
):
    execute = runpy.run_path(str(ROOT / "docs" / "execute.py"))
    page = execute["page"](record=stored_record_path)
    assert page.count("<table>") == 3
    assert page.count("<svg") == 2
    assert "<td>-0.27</td>" in page  # the residual of the first hypothesis
    assert "[&#x27;hypotheses.csv&#x27;, &#x27;record.json&#x27;, &#x27;rewards.parquet" in page
    notebook = json.loads((ROOT / "docs/how-to/explore_a_record.ipynb").read_text("utf-8"))
    code = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert all(not cell["outputs"] for cell in notebook["cells"] if cell["cell_type"] == "code")
    names: dict = {}
    with execute["_project"](stored_record_path):
        for text in code:
            execute["run"](text, names)
    means = names["rewards"].groupby(["hypothesis", "role"])["before"].mean()
    assert means["urls", "example"] == pytest.approx(-3.03, abs=0.01)
    assert means["urls", "counter_example"] == pytest.approx(0, abs=1e-9)


SMALL = """
[tool.pm_audit]
prompts = 3
candidates = 4
max_features = 2
null_sets = 1
ig_steps = 1
bootstrap_resamples = 100
"""


def test_the_python_of_each_page_runs_from_top_to_bottom(tmp_path, monkeypatch):
    list(write_starter(tmp_path, pm="default"))
    (tmp_path / "pyproject.toml").write_text(SMALL, encoding="utf-8")
    (tmp_path / "reports").mkdir(exist_ok=True)
    write_data(tmp_path)
    for shipped in ("hypotheses/hedging.yaml", "probes/trivia.yaml"):
        shutil.copy(ROOT / shipped, tmp_path / shipped)
    monkeypatch.chdir(tmp_path)
    for page in (*PAGES, ROOT / "README.md"):
        names: dict = {"__name__": page.stem}
        for kind, _, text in BLOCK.findall(page.read_text("utf-8")):
            if kind == "python":
                exec(compile(text, page.name, "exec"), names)
    assert (tmp_path / "reports" / "first.html").is_file()


def test_what_a_cell_gives_is_escaped(tmp_path):
    run = runpy.run_path(str(ROOT / "docs" / "execute.py"))["run"]
    given = run("print('<b>')\nimport pandas as pd\npd.DataFrame({'a': ['<script>']})", {})
    assert given[0] == "<pre>&lt;b&gt;\n</pre>"
    assert "<td>&lt;script&gt;</td>" in given[1]
    assert run("x = 1", {}) == []
    assert run("'<i>'", {}) == ["<pre>&#x27;&lt;i&gt;&#x27;</pre>"]


def test_generated_parts_are_all_known_and_filled():
    generate = runpy.run_path(str(ROOT / "docs" / "generate.py"))
    for page in PAGES:
        text = page.read_text("utf-8")
        filled = generate["on_page_markdown"](text)
        assert "<!-- generated" not in filled
        assert len(filled) >= len(text) - 40
    assert "kappa = 1 - G_S / G" in generate["figures"]()
    for name in ("verify", "doctor", "glossary", "train sae"):
        assert f"## pm-audit {name}\n" in generate["command_line"]()
    assert generate["command_line"]().count("Example:\n  pm-audit ") == 25
