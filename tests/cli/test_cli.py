from __future__ import annotations

import importlib.metadata
import json
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest
import torch
from click.testing import CliRunner

from pm_audit import __version__
from pm_audit.cli import main
from pm_audit.judging import settle
from pm_audit.loading.default.pm import FOLDER
from pm_audit.records import AuditRecord
from pm_audit.spec import Settings


@pytest.fixture
def invoke():
    return lambda *arguments: CliRunner().invoke(main, [str(a) for a in arguments])


@pytest.mark.parametrize("group", [(), ("train",)])
def test_a_group_alone_prints_its_help(invoke, group):
    assert invoke(*group).output.strip() == invoke(*group, "--help").output.strip()


def test_show_prints_the_summary(invoke, stored_record_path):
    result = invoke("show", stored_record_path)
    assert result.exit_code == 0
    assert "5 hypotheses: 12 pass, 2 fail" in result.output
    assert "How far it holds" in invoke("show", "-v", stored_record_path).output


def test_the_version_needs_no_installed_package(invoke, monkeypatch):
    monkeypatch.setattr(importlib.metadata.Distribution, "from_name", None)
    assert invoke("--version").output.split()[-1] == __version__


def test_a_missing_or_torn_record_is_one_message(invoke, tmp_path):
    result = invoke("show", tmp_path / "none.json")
    assert result.exit_code == 2
    assert result.output.startswith("error: ")
    assert "no such record" in result.output
    (tmp_path / "torn.json").write_text("{")
    result = invoke("show", tmp_path / "torn.json")
    assert result.exit_code == 2
    assert "Traceback" not in result.output


def test_report_writes_what_the_suffix_says(invoke, stored_record_path, tmp_path):
    for suffix in (".html", ".md", ".csv"):
        result = invoke("report", stored_record_path, "-o", tmp_path / f"out{suffix}")
        assert result.exit_code == 0, result.output
        assert (tmp_path / f"out{suffix}").stat().st_size > 500
    assert invoke("report", stored_record_path, "-o", tmp_path / "out.doc").exit_code == 2


def test_compare_prints_renders_and_exits_as_the_gate(invoke, judged_record_path, tmp_path):
    record = AuditRecord.read(judged_record_path)
    whole = tmp_path / "whole.json"
    record.write(whole)
    same = invoke("compare", whole, whole)
    assert same.exit_code == 0, same.output
    assert "no regression" in same.output
    fewer = record.model_copy(
        update={"hypotheses": settle(record.hypotheses[1:]), "manifest": record.manifest[1:]}
    )
    fewer.sealed().write(tmp_path / "fewer.json")
    page = tmp_path / "page.html"
    gone = invoke("compare", whole, tmp_path / "fewer.json", "-o", page)
    assert gone.exit_code == 1
    assert "! i-dont-know: hypothesis gone" in gone.output
    assert "hypothesis gone" in page.read_text(encoding="utf-8")
    # a record that was doctored decides nothing, on either side
    fewer.write(tmp_path / "fewer.json")
    for pair in ((whole, tmp_path / "fewer.json"), (tmp_path / "fewer.json", whole)):
        refused = invoke("compare", *pair)
        assert refused.exit_code == 2
        assert "was changed after the record was written" in refused.output


def test_compare_holds_a_new_hypothesis_to_the_baseline_or_to_itself(
    invoke, judged_record_path, tmp_path
):
    record = AuditRecord.read(judged_record_path)
    fewer = {"hypotheses": settle(record.hypotheses[1:]), "manifest": record.manifest[1:]}
    record.model_copy(update=fewer).sealed().write(tmp_path / "fewer.json")
    pair = ("compare", tmp_path / "fewer.json", judged_record_path)
    assert invoke(*pair).exit_code == 1
    passed = invoke(*pair, "--gate", "regressions")
    assert passed.exit_code == 0
    assert "i-dont-know: no baseline: the baseline does not hold it, so it must" in passed.output


def test_views_say_that_a_record_was_changed_by_hand(invoke, judged_record_path, tmp_path):
    text = judged_record_path.read_text(encoding="utf-8")
    changed = tmp_path / "changed.json"
    changed.write_text(text.replace("A made-up link lowers", "A made-up link raises", 1))
    assert changed.read_text() != text
    for record, notices in ((judged_record_path, 0), (changed, 1)):
        shown = invoke("show", record)
        assert shown.exit_code == 0
        assert shown.output.count("NOTICE: This record is not what this version") == notices
        for suffix in (".html", ".md", ".csv"):
            written = invoke("report", record, "-o", tmp_path / f"out{suffix}")
            assert written.exit_code == 0
            assert written.output.count("NOTICE: This record is not what") == notices
            page = (tmp_path / f"out{suffix}").read_text(encoding="utf-8")
            assert page.count("This record is not what") == (notices if suffix != ".csv" else 0)
    assert "digest does not match" in " ".join(invoke("show", changed).output.split())


def test_a_view_refuses_what_verify_refuses(invoke, judged_record_path, tmp_path):
    tree = json.loads(judged_record_path.read_text(encoding="utf-8"))
    tree["hypotheses"][0]["evidence"]["folds"][0]["held_out"] = [99]
    (tmp_path / "torn.json").write_text(json.dumps(tree))
    for command in ("verify", "show", "report"):
        result = invoke(command, tmp_path / "torn.json")
        assert result.exit_code == 2
        assert "each prompt must be held out by exactly one fold" in result.output


@pytest.mark.parametrize("what", ["hypothesis", "probe", "record"])
def test_schema_is_json(invoke, what):
    result = invoke("schema", what)
    assert result.exit_code == 0, result.output
    schema = json.loads(result.output)
    assert schema["$defs"]
    assert schema.keys() & {"properties", "oneOf", "if"}


def test_the_glossary_knows_every_figure(invoke):
    listing = invoke("glossary")
    assert "closure" in listing.output
    assert "kappa = 1 - G_S / G" in invoke("glossary", "Closure").output
    unknown = invoke("glossary", "nonsense")
    assert unknown.exit_code == 2
    assert "known: reward" in unknown.output


def test_explain_without_three_texts_names_both_commands(invoke):
    for words in ((), ("closure",)):
        refused = invoke("explain", *words)
        assert refused.exit_code == 2
        assert '"PROMPT" "COMPLETION A" "COMPLETION B"' in refused.output
        assert "pm-audit glossary NAME" in refused.output
    assert "glossary" not in invoke("explain", "a prompt", "one completion").output


def test_verify_finds_a_figure_that_does_not_follow_from_the_evidence(
    invoke, judged_record, tmp_path
):
    judged_record.write(tmp_path / "r.json")
    result = invoke("verify", tmp_path / "r.json")
    assert result.exit_code == 0, result.output
    first = judged_record.hypotheses[0]
    gap = first.gap.model_copy(update={"value": first.gap.value + 1.0})
    doctored = judged_record.model_copy(
        update={
            "hypotheses": (first.model_copy(update={"gap": gap}), *judged_record.hypotheses[1:])
        }
    )
    doctored.write(tmp_path / "d.json")
    result = invoke("verify", tmp_path / "d.json")
    assert result.exit_code == 1
    assert "gap.value is" in result.output


@pytest.fixture(scope="module")
def judged_record(stored_record_path) -> AuditRecord:
    """Return the stored record, judged again so that its figures follow from its evidence."""
    from pm_audit.judging import rejudge, settle

    record = AuditRecord.read(stored_record_path)
    expect = {"gap": "lowers", "closure": 0.6, "collateral": 0.25, "margin": 0.25}
    hypotheses = settle(
        [
            rejudge(h.model_copy(update={"expect": expect}), method=record.method)
            for h in record.hypotheses[:2]
        ]
    )
    update = {"hypotheses": hypotheses, "manifest": record.manifest[:2]}
    return record.model_copy(update=update).sealed()


def test_run_is_pytest(project, pytester):
    project("i-dont-know")
    pytester.makeini("[pytest]\nfilterwarnings = error\n")
    command = Path(sys.executable).with_name("pm-audit")
    result = pytester.run(command, "run", "--pm-audit-record", "out.json")
    assert result.ret == 0
    assert AuditRecord.read(pytester.path / "out.json").complete


def test_init_writes_a_project_that_loads_and_overwrites_nothing(invoke, tmp_path):
    from pm_audit.spec import load_hypotheses

    result = invoke("init", "--folder", tmp_path, "--pm", "my/pm")
    assert result.exit_code == 0, result.output
    (hypothesis,) = load_hypotheses([tmp_path / "hypotheses"], tmp_path)
    assert len(hypothesis.prompts) >= 10
    assert 'pm = "my/pm"' in (tmp_path / "pyproject.toml").read_text(encoding="utf-8")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    again = invoke("init", "--folder", tmp_path)
    assert again.exit_code == 0
    assert "kept" in again.output
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}


@pytest.mark.parametrize("kind", ["folder", "bytes", "parent"])
def test_init_next_to_what_it_cannot_read(invoke, tmp_path, kind):
    if kind == "folder":
        (tmp_path / "pyproject.toml").mkdir()
    elif kind == "bytes":
        (tmp_path / "pyproject.toml").write_bytes(b"\xff\xfe")
    else:
        (tmp_path / "hypotheses").write_text("a file")
    result = invoke("init", "--folder", tmp_path)
    assert (result.exit_code, "Traceback" in result.output) == (2 if kind == "parent" else 0, False)
    assert ("cannot be written" if kind == "parent" else "add to") in result.output


def test_help_names_every_command_and_imports_no_torch():
    code = (
        "import sys\n"
        "from click.testing import CliRunner\n"
        "from pm_audit.cli import main\n"
        "print(CliRunner().invoke(main, ['--help']).output)\n"
        "print('torch' in sys.modules)\n"
    )
    text = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert text.strip().endswith("False")
    for name in ("run", "show", "report", "compare", "verify", "init", "doctor", "train"):
        assert f"  {name} " in text


def test_training_hands_every_option_to_its_recipe(invoke, tmp_path, monkeypatch):
    from recipes.train import commands as recipes
    from recipes.train.saes import Architecture

    called = {}
    monkeypatch.setattr(
        recipes, "train_pm", lambda data, out, recipe, *, device, report: called.update(pm=recipe)
    )
    monkeypatch.setattr(recipes, "load_adapted", lambda _: (torch.nn.Identity(), None, None))
    monkeypatch.setattr(recipes, "read_recipe", lambda _: {"suffix": ""})
    monkeypatch.setattr(
        recipes, "train_saes", lambda *a, report, **more: called.update(sae=a[-1], **more)
    )
    (tmp_path / "data.jsonl").write_text("")
    data = tmp_path / "data.jsonl"
    result = invoke("train", "pm", data, tmp_path / "pm", "--steps", 7, "--learning-rate", 0.01)
    assert result.exit_code == 0, result.output
    assert (called["pm"].steps, called["pm"].learning_rate, called["pm"].rank) == (7, 0.01, 16)
    options = ("--layer", 3, "--layer", 4, "--architecture", "gated", "--width", 128)
    result = invoke("train", "sae", "--pm", tmp_path / "pm", data, data, *options)
    assert result.exit_code == 0, result.output
    assert called["sae"].layers == (3, 4)
    assert called["sae"].architecture is Architecture.GATED
    assert called["sae"].width == 128
    assert called["tuning"] is None
    options = ("--loss", "reward", "--start", FOLDER / "layer_6", "--reward-weight", 7)
    result = invoke("train", "sae", "--pm", tmp_path / "pm", data, data, *options)
    assert result.exit_code == 0, result.output
    assert (called["sae"].layers, called["start"]) == ((6,), FOLDER / "layer_6")
    assert called["tuning"].reward_weight == 7
    result = invoke("train", "sae", "--pm", tmp_path / "pm", data, data, *options[2:])
    assert result.exit_code == 2
    assert "--start needs --loss reward" in result.output


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--reward-batch", 0), "--reward-batch"),
        (("--reward-shards", -1), "--reward-shards"),
        (("--width", 0), "--width"),
        (("--tokens", 0), "--tokens"),
        (("--layer", -1), "--layer"),
        (("--learning-rate", "nan"), "nan is not a finite number"),
        (("--reward-weight", "inf"), "inf is not a finite number"),
        (("--reward-weight", -3), "--reward-weight"),
        (("--reward-weight", 3), "--reward-weight needs --loss reward"),
        (("--loss", "reward", "--architecture", "gated"), "choose --architecture topk"),
        (("--loss", "reward", "--start", FOLDER / "layer_6", "--layer", 3), "--layer is that of"),
        (("--loss", "reward", "--start", FOLDER / "layer_6", "--width", 8), "--width is that of"),
        (("--loss", "reward", "--start", "none"), "none"),
    ],
)
def test_training_options_that_cannot_be_or_would_be_ignored_are_refused(
    invoke, tmp_path, monkeypatch, options, said
):
    from recipes.train import commands as recipes

    monkeypatch.setattr(recipes, "train_saes", lambda *_, **__: pytest.fail("it trains"))
    data = tmp_path / "data.jsonl"
    data.write_text("")
    result = invoke("train", "sae", "--pm", tmp_path / "pm", data, data, *options)
    assert result.exit_code == 2
    assert said in result.output
    assert "Traceback" not in result.output


def test_doctor_renders_findings_and_exits_by_them(invoke, tmp_path):
    result = invoke("doctor", "--pm", tmp_path / "no-such-model")
    assert result.exit_code == 1, result.output
    assert "FAIL" in result.output
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    ("words", "pm", "saes"),
    [
        (("--pm", "a", "--sae", "b", "--sae", "c"), "a", ("b", "c")),
        (("a", "b", "c"), "a", ("b", "c")),
        (("a", "--sae", "b"), "a", ("b",)),
        (("--pm", "a", "b"), "a", ("b",)),
        (("--sae", "b"), "default", ("b",)),
        ((), "default", ()),
    ],
)
def test_doctor_examines_what_is_named(invoke, monkeypatch, words, pm, saes):
    from pm_audit.pipelines import doctor

    examined = []

    def examine(model, saes, **_):
        examined.append((model, tuple(saes)))
        return doctor.DoctorReport(())

    monkeypatch.setattr(doctor, "doctor", examine)
    assert invoke("doctor", *words).exit_code == 0
    assert examined == [(pm, saes)]


def test_run_names_pm_and_saes_as_the_other_commands_do(invoke, monkeypatch):
    started = []
    monkeypatch.setattr("os.execv", lambda _, command: started.append(command[1:]))
    words = ("--pm", "a", "--sae", "b", "--sae", "c", "-k", "urls", "-h", "x.yaml")
    assert invoke("run", *words, "--pm-audit-record", "r.json").exit_code == 0
    named = ["--pm-audit-pm=a", "--pm-audit-sae=b", "--pm-audit-sae=c"]
    rest = ["-k", "urls", "-h", "x.yaml", "--pm-audit-record", "r.json"]
    assert started == [["-m", "pytest", "--pm-audit", *named, *rest]]


def test_index_without_an_sae_is_one_message(invoke, tmp_path):
    (tmp_path / "corpus.txt").write_text("words")
    refused = invoke("index", "--texts", tmp_path / "corpus.txt")
    assert refused.exit_code == 2
    assert "name an SAE: --sae PATH" in refused.output


def commands(group: click.Group = main, path: tuple[str, ...] = ()) -> dict[tuple, click.Command]:
    found = {}
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        inner = commands(command, (*path, name)) if isinstance(command, click.Group) else None
        found |= inner or {(*path, name): command}
    return found


@pytest.mark.parametrize(
    ("path", "command"),
    [pytest.param(path, command, id="-".join(path)) for path, command in commands().items()],
)
def test_the_help_ends_with_an_example_that_the_command_understands(
    invoke, monkeypatch, path, command
):
    shown = invoke(*path, "--help").output
    example = shown.rpartition("Example:\n  ")[2].strip()
    program, *words = shlex.split(example.partition(" > ")[0])
    assert program == "pm-audit"
    assert tuple(words[: len(path)]) == path
    arguments = words[len(path) :]
    for option in command.params:
        if isinstance(option.type, click.Path):
            monkeypatch.setattr(option.type, "exists", False)
    assert command.make_context("example", arguments).params


def test_pm_and_saes_are_named_alike_on_every_command():
    having = {"pm": set(), "sae": set()}
    for path, command in commands().items():
        names = {name: option for option in command.params for name in option.opts}
        for kind, found in having.items():
            if f"--{kind}" in names:
                found.add(" ".join(path))
                assert names[f"--{kind}"].multiple == (kind == "sae"), path
    reading = {"doctor", "explain", "index", "run"}
    assert having["sae"] == reading | {"scan", "propose", "repair", "diff", "exploit"}
    # rewards need no SAE; the two PMs of a diff are arguments
    others = {"score", "init", "train sae", "train measure"}
    assert having["pm"] == (having["sae"] - {"diff"}) | others


SUBJECT = {
    "pm": "p",
    "saes": ("a", "b"),
    "text_format": "hh",
    "text_end": "eos",
    "text_start": "bos",
    "text_date": "2025-01-02",
    "judge_template": "{prompt} {completion}?",
    "judge_verdicts": "Yes,No",
    "repair": "r",
    "objective": "o",
    "dtype": "bfloat16",
    "device": "cpu",
}


@pytest.mark.parametrize("command", ["explain", "doctor", "index", "run"])
def test_every_setting_of_a_subject_is_an_option(invoke, monkeypatch, tmp_path, command):
    from pm_audit.loading import subject
    from pm_audit.pipelines import doctor, explain

    class ReachedError(Exception):
        """The command went as far as the subject."""

    def reach(*arguments, **options):
        reached.append((arguments, options))
        raise ReachedError

    reached = []
    monkeypatch.setattr("os.execv", reach)
    monkeypatch.setattr(doctor, "doctor", reach)
    monkeypatch.setattr(explain, "explain", reach)
    monkeypatch.setattr(subject, "load_subject", reach)
    (tmp_path / "c.txt").write_text("words")
    before = {"explain": ["a", "b", "c"], "index": ["--texts", tmp_path / "c.txt"]}
    words = [
        f"--{'sae' if name == 'saes' else name.replace('_', '-')}={value}"
        for name, values in SUBJECT.items()
        for value in (values if isinstance(values, tuple) else (values,))
    ]
    result = invoke(command, *words, *before.get(command, []))
    assert isinstance(result.exception, ReachedError), result.output
    ((arguments, named),) = reached
    expected = Settings.merged(cli=SUBJECT)
    if command == "run":
        assert arguments[1][4:] == [word.replace("--", "--pm-audit-", 1) for word in words]
    elif command == "doctor":
        assert arguments == (expected.pm, expected.saes)
        assert str(named.pop("dtype")).removeprefix("torch.") == "bfloat16"
        assert named == {name: getattr(expected, name) for name in named}
        assert {"pm", "saes", "dtype", *named} == set(SUBJECT)
    else:
        assert arguments[-1] == expected


@pytest.mark.parametrize(
    "words",
    [
        ("doctor",),
        ("explain", "a", "b", "c"),
        ("index", "--sae", "s", "--texts", "pairs.jsonl"),
        ("score", "pairs.jsonl"),
        ("scan", "pairs.jsonl", "--sae", "s"),
        ("exploit", "one", "--held-out", "4", "--audits", "0"),
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("named", [True, False])
def test_a_command_reads_the_pm_of_the_project(invoke, monkeypatch, tmp_path, words, named):
    places = {name: tmp_path / name for name in ("theirs", "mine")}
    (tmp_path / "pyproject.toml").write_text(f"[tool.pm_audit]\npm = '{places['theirs']}'\n")
    (tmp_path / "pairs.jsonl").write_text('{"prompt": "a", "chosen": "b", "rejected": "c"}\n')
    (tmp_path / "probes").mkdir()
    prompt = "  - {id: a%d, wordings: [Where is %d?], fields: {answer: Here, wrong: There}}\n"
    probe = "prompts:\n" + "".join(prompt % (number, number) for number in range(8))
    (tmp_path / "probes" / "one.yaml").write_text(probe)
    monkeypatch.chdir(tmp_path)
    result = invoke(*words, *(("--pm", places["mine"]) if named else ()))
    assert result.exit_code in (1, 2)
    said = "".join(result.output.split())
    assert str(places["mine" if named else "theirs"]) in said
    assert str(places["theirs" if named else "mine"]) not in said


HOSTILE = "a\x1b[31m\n::error::b\u202e##[error]c"


@pytest.mark.parametrize(
    "words",
    [
        [HOSTILE],
        [f"--{HOSTILE}"],
        ["init", HOSTILE],
        ["show", f"--{HOSTILE}"],
        ["glossary", HOSTILE],
    ],
    ids=ascii,
)
def test_what_is_refused_is_repeated_safely(invoke, words):
    result = invoke(*words)
    assert result.exit_code == 2
    assert "Traceback" not in result.output
    assert all(line.isprintable() for line in result.output.splitlines())
    assert "##[" not in result.output
    assert not any(line.lstrip().startswith("::") for line in result.output.splitlines())


@pytest.mark.parametrize("words", [["--pm", ""], [""], ["--pm="]])
def test_doctor_of_an_empty_name_is_refused(invoke, words):
    result = invoke("doctor", *words)
    assert result.exit_code == 2
    assert "the PM's name is empty" in result.output


def test_an_interrupted_command_does_not_exit_as_if_it_had_found_something(monkeypatch):
    def interrupt(*_given, **_named):
        raise KeyboardInterrupt

    monkeypatch.setattr("pm_audit.pipelines.exploiting.request.exploit", interrupt)
    run = CliRunner().invoke(main, ["exploit", "facts"])
    assert run.exit_code == 130
    assert run.output == "interrupted\n"
