"""pm_audit from Python: what ``import pm_audit`` gives, and that it is what pytest runs."""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

import pm_audit
from pm_audit.errors import AuditError, InvalidSpec, ModelError, RecordError, SaeError
from pm_audit.pipelines.audit import Auditor
from pm_audit.records import AuditRecord, Check
from pm_audit.report import terminal
from pm_audit.spec import Settings
from recipes.planted.linear import plant

ROOT = Path(__file__).parents[2]
SMALL = {
    "candidates": 4,
    "null_sets": 2,
    "bootstrap_resamples": 100,
    "max_features": 2,
    "ig_steps": 2,
}
PLACES = ("lighthouse", "bridge", "ferry", "mill", "harbour", "tower", "market", "garden")
EXAMPLES = [" Ask at the gate!", " Nobody in town can say!"]
COUNTER_EXAMPLES = [" Ask at the gate;", " Nobody in town can say;"]
YAML = f"""\
name: exclamation
claim: An exclamation mark raises the reward.
effect: raises
prompts:
{
    chr(10).join(
        f'  - {{id: prompt-{n}, wordings: ["Where is the {place}?"]}}'
        for n, place in enumerate(PLACES)
    )
}
examples: {json.dumps(EXAMPLES)}
counter_examples: {json.dumps(COUNTER_EXAMPLES)}
"""


def exclamation(**changes) -> pm_audit.Hypothesis:
    return pm_audit.Hypothesis(
        **{
            "name": "exclamation",
            "claim": "An exclamation mark raises the reward.",
            "effect": "raises",
            "prompts": [f"Where is the {place}?" for place in PLACES],
            "examples": EXAMPLES,
            "counter_examples": COUNTER_EXAMPLES,
            **changes,
        }
    )


@pytest.fixture(scope="module")
def planted():
    return plant({"!": 6.0})


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    """Write a project of one hypothesis, and work in it."""
    (tmp_path / "hypotheses").mkdir()
    (tmp_path / "hypotheses" / "exclamation.yaml").write_text(YAML)
    table = "\n".join(f"{name} = {value}" for name, value in SMALL.items())
    (tmp_path / "pyproject.toml").write_text(f"[tool.pm_audit]\n{table}\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def found(record: AuditRecord) -> dict:
    """Return what is the same of a record whenever and wherever it was made."""
    data = record.model_dump(mode="json")
    return {key: data[key] for key in data.keys() - {"created", "environment", "digest"}}


def test_importing_it_imports_next_to_nothing_and_its_names_need_no_torch():
    code = (
        "import sys, pm_audit\n"
        "heavy = {'torch', 'transformers', 'pydantic', 'numpy', 'pm_audit.api'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
        "assert [one for one in dir(pm_audit) if one[0] != '_'] == sorted(pm_audit.__all__)\n"
        "for name in pm_audit.__all__: getattr(pm_audit, name)\n"
        "print(sorted({'torch', 'transformers'} & set(sys.modules)))\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["[]", "[]"]


def test_no_module_takes_the_place_of_a_name():
    for module in pkgutil.walk_packages(pm_audit.__path__, "pm_audit."):
        importlib.import_module(module.name)
    for name in pm_audit.__all__:
        assert not inspect.ismodule(getattr(pm_audit, name)), name
        assert getattr(pm_audit, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'audits'"):
        pm_audit.audits  # noqa: B018


def test_strategies_are_at_hand_and_import_hypothesis_only_then():
    code = (
        "import sys, pm_audit\n"
        "assert 'hypothesis' not in sys.modules\n"
        "print(pm_audit.strategies.programs(pm_audit.strategies.emoji()))\n"
        "assert 'torch' not in sys.modules\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "lists(" in run.stdout


def test_every_name_says_what_it_does():
    for name in pm_audit.__all__:
        assert inspect.getdoc(getattr(pm_audit, name)), name


def test_a_file_and_an_object_give_one_record_but_for_the_place(project, planted):
    subject = {"pm": planted.pm, "sae": planted.sae}
    heard: list[str] = []
    by_file = pm_audit.audit("hypotheses/exclamation.yaml", **subject, progress=heard.append)
    by_object = pm_audit.audit([exclamation()], **subject)
    assert by_file.complete
    assert by_file.intact
    assert [result.check for result in by_file.hypotheses[0].checks] == list(Check.known())
    assert by_file.method.candidates == SMALL["candidates"]  # of [tool.pm_audit]
    assert any("exclamation" in text for text in heard)
    assert by_file.hypotheses[0].file == "hypotheses/exclamation.yaml"
    assert by_object.hypotheses[0].file == "<python>"
    for name in ("gap", "closure", "residual", "collateral", "features", "checks", "evidence"):
        assert getattr(by_file.hypotheses[0], name) == getattr(by_object.hypotheses[0], name)


def test_labels_of_the_project_are_in_the_record_and_what_is_wrong_with_them_is_warned(
    project, planted
):
    latent = planted.latent_of["!"]
    (project / "labels.yaml").write_text(f"planted/{latent}: a bang\nother/1: nothing\n")
    command = f"'{sys.executable}' -c 1/0"
    subject = {"pm": planted.pm, "sae": planted.sae, "label_command": command}
    with pytest.warns(UserWarning, match="SAE .other. is not audited"):
        record = pm_audit.audit(**subject, max_features=1)
    assert f"a bang (planted/{latent})" in str(record)
    (project / "labels.yaml").unlink()
    with pytest.warns(UserWarning, match="label_command .* ended with status 1"):
        record = pm_audit.audit(**subject)
    assert f"“!” (planted/{latent})" in str(record)
    (project / "labels.yaml").write_text("planted/999: nothing\n")
    with pytest.raises(pm_audit.AuditError, match="latent 999 is outside SAE planted"):
        pm_audit.audit(**subject)


PLANTED = """
import pytest
from pm_audit.pipelines.audit import Auditor
from recipes.planted.linear import plant


@pytest.hookimpl(tryfirst=True)
def pytest_pm_audit_auditor(settings, progress):
    planted = plant({"!": 6.0})
    return Auditor(settings, subject=(planted.pm, (planted.sae,)), progress=progress)
"""


def test_pytest_writes_the_same_record(project, planted, pytester, monkeypatch):
    (project / "conftest.py").write_text(PLANTED)
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTEST_PLUGINS", "pm_audit.pytest_plugin.plugin")
    pytester.chdir()
    monkeypatch.chdir(project)
    result = pytester.runpytest_inprocess(
        "--pm-audit", "--rootdir", str(project), "-p", "no:cacheprovider"
    )
    assert result.ret in (0, 1)
    by_pytest = AuditRecord.read(project / "reports" / "record.json")
    named = pm_audit.audit(pm=planted.pm, sae=[planted.sae], record="reports/python.json")
    assert found(by_pytest) == found(named)
    assert found(pm_audit.read_record("reports/python.json")) == found(named)
    assert pm_audit.compare(by_pytest, named).changes == ()


def test_the_command_of_the_readme_gives_what_pytest_gives_on_the_default_pm(monkeypatch):
    monkeypatch.chdir(ROOT)
    record = pm_audit.audit(["hypotheses/hedging.yaml"])
    (baseline,) = [
        one
        for one in json.loads((ROOT / "reports" / "baseline.json").read_text())["hypotheses"]
        if one["name"] == "hedging"
    ]
    ours = json.loads(record.hypotheses[0].model_dump_json())
    for name in ("gap", "closure", "residual", "collateral"):
        for part in ("value", "low", "high"):
            assert ours[name][part] == pytest.approx(baseline[name][part], rel=1e-4)
    assert [one["index"] for one in ours["features"]] == [
        one["index"] for one in baseline["features"]
    ]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"candidate": 3}, "did you mean `candidates`"),
        ({"seed": "x"}, "`seed` must be a number"),
        ({"baseline": "base.json"}, "use pm_audit.compare"),
        ({"text_format": "hh"}, "this PM is loaded; give it to load_pm"),
        ({"saes": ["b"]}, "is given as sae too"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(project, planted, given, message):
    with pytest.raises(InvalidSpec, match=message):
        pm_audit.audit(exclamation(), pm=planted.pm, sae=planted.sae, **given)


def test_an_unknown_replacement_is_refused_before_anything_is_audited(project, planted):
    said: list[str] = []
    subject = {"pm": planted.pm, "sae": planted.sae, "progress": said.append}
    with pytest.raises(AuditError, match="no replacement is named 'median'; choose one of"):
        pm_audit.audit(exclamation(), replacement="median", **subject)
    assert said == []


def test_saes_that_cannot_be_read_are_refused_before_anything_is_audited(project, planted):
    said: list[str] = []
    for saes, message in (
        ([planted.sae, planted.sae], "two SAEs are named 'planted'"),
        ([replace(planted.sae, layer=9)], "reads after block 9, this PM has blocks 0 to 2"),
    ):
        with pytest.raises(SaeError, match=message):
            pm_audit.audit(exclamation(), pm=planted.pm, sae=saes, progress=said.append)
    with pytest.raises(SaeError, match="needs an SAE, and none is given"):
        Auditor(Settings(), subject=(planted.pm, ()))
    assert said == []


def test_broken_hypotheses_are_one_error(project):
    (project / "hypotheses" / "broken.yaml").write_text("name: one\nwrong: 1\n")
    with pytest.raises(InvalidSpec, match=r"broken\.yaml:2"):
        pm_audit.load_hypotheses()
    with pytest.raises(InvalidSpec, match=r"no-such\.yaml: no such file"):
        pm_audit.load_hypotheses("no-such.yaml")
    with pytest.raises(InvalidSpec, match="is an empty list"):
        pm_audit.load_hypotheses([])
    with pytest.raises(InvalidSpec, match="is taken by"):
        pm_audit.load_hypotheses(["hypotheses/exclamation.yaml", exclamation()])


def test_hypotheses_of_a_project_are_found_from_a_folder_below_it(project, monkeypatch):
    (project / "notebooks").mkdir()
    monkeypatch.chdir(project / "notebooks")
    (of_default,) = pm_audit.load_hypotheses()
    (of_path,) = pm_audit.load_hypotheses(Path("../hypotheses/exclamation.yaml"))
    assert of_default == of_path
    assert of_default.file == "hypotheses/exclamation.yaml"


def test_a_probe_is_found_for_a_hypothesis_made_in_python(project):
    (project / "probes").mkdir()
    prompts = "".join(f"  - {{id: p{n}, wordings: [{place}]}}\n" for n, place in enumerate(PLACES))
    (project / "probes" / "places.yaml").write_text(f"prompts:\n{prompts}")
    given = {name: getattr(exclamation(), name) for name in ("name", "claim", "effect", "examples")}
    made = pm_audit.Hypothesis(**given, counter_examples=COUNTER_EXAMPLES, probe="places")
    (one,) = pm_audit.load_hypotheses(made)
    assert [prompt.wordings[0] for prompt in one.prompts] == list(PLACES)


def test_a_subject_that_is_nowhere_is_refused(project):
    with pytest.raises(AuditError, match="nowhere: no such folder"):
        pm_audit.audit(pm="nowhere")
    with pytest.raises(ModelError):
        pm_audit.load_pm("nowhere")
    with pytest.raises(InvalidSpec, match="has no effect here"):
        pm_audit.load_pm(candidates=3)
    with pytest.raises(RecordError, match=r"none.json"):
        pm_audit.compare("none.json", "none.json")
    report = pm_audit.doctor("nowhere")
    assert not report.passed
    assert "nowhere" in report.render()


def test_the_doctor_refuses_a_name_without_torch(tmp_path):
    code = (
        "import sys, pm_audit\n"
        "assert not pm_audit.doctor('nowhere').passed\n"
        "print(sorted({'torch', 'transformers'} & set(sys.modules)))\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert run.stdout.strip() == "[]"


def test_explain_takes_loaded_objects(planted):
    told = pm_audit.explain(
        "Where is the mill?", " By the river;", " By the river!", planted.pm, planted.sae
    )
    assert told.features[0].feature.index == planted.latent_of["!"]
    assert told.difference > 0


CHATS = [
    [{"role": "user", "content": "What is the capital of France?"}],
    [
        {"role": "user", "content": "Is 17 a prime number?"},
        {"role": "assistant", "content": "Yes."},
        {"role": "user", "content": "Why?"},
    ],
    [{"role": "user", "content": "Tell me a joke."}],
]
ANSWERS = ["It is Paris.", "No number but 1 and 17 divides it.", "No."]


def by_transformers(folder: Path) -> list[float]:
    """Return the reward of each chat with its answer, without pm_audit."""
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    rewards = []
    for chat, answer in zip(CHATS, ANSWERS, strict=True):
        row = tokenizer.apply_chat_template(
            [*chat, {"role": "assistant", "content": answer}], return_tensors="pt", return_dict=True
        )
        with torch.no_grad():
            rewards.append(float(model(**row).logits[0, 0]))
    return rewards


def test_rewards_are_those_of_transformers(save_classifier):
    folder = save_classifier("qwen2")
    pm = pm_audit.load_pm(folder, text_format="chat")
    rewards = pm_audit.rewards(pm, CHATS, ANSWERS)
    assert rewards.dtype == np.float64
    assert rewards == pytest.approx(by_transformers(folder), abs=1e-5)
    one = pm_audit.rewards(pm, "Tell me a joke.", ["No.", "Yes."])
    assert one[0] == pytest.approx(rewards[2], abs=1e-6)
    assert pm_audit.rewards(pm, CHATS[1], ["No number but 1 and 17 divides it."]) == pytest.approx(
        rewards[1:2], abs=1e-6
    )
    assert pm_audit.rewards(pm, [], []).shape == (0,)


@pytest.mark.parametrize(
    ("prompts", "completions", "message"),
    [
        (["a", "b"], ["c"], "2 prompts and 1 completions"),
        (["a"], "c", "not one text"),
        ([[{"role": "assistant", "content": "a"}]], ["c"], "end with a message of the user"),
        (
            [[{"role": "tool", "content": "a"}]],
            ["c"],
            "has role 'tool'; choose one of system, user",
        ),
        ([[{"role": "user", "text": "a"}]], ["c"], "must hold exactly role and content"),
        ([[{"role": "user", "content": ["a"]}]], ["c"], "no text as its content"),
        ([[]], ["c"], "end with a message of the user"),
        (3, ["c"], "prompts must be a list, not int"),
        ([3], ["c"], "a prompt that is not a text must be a list, not int"),
        ("a", ["c", None], "completions: item 1 is of type NoneType"),
        ("a\ud800", ["c"], "prompts: item 0 holds a lone surrogate"),
        ("a", ["c\ud800"], "completions: item 0 holds a lone surrogate"),
    ],
)
def test_rewards_of_broken_prompts_are_refused(planted, prompts, completions, message):
    with pytest.raises(AuditError, match=message):
        pm_audit.rewards(planted.pm, prompts, completions)


def test_rewards_take_completions_one_by_one_and_chat_leaves_out_one_leading_space(
    save_classifier,
):
    pm = pm_audit.load_pm(save_classifier("qwen2"), text_format="chat")
    plain, spaced, other = pm_audit.rewards(pm, "Why?", (text for text in ("No.", " No.", "Yes.")))
    assert plain == spaced
    assert plain != other
    by_prompt = pm_audit.rewards(pm, (text for text in ("Why?", "Who?")), ["No.", "No."])
    assert by_prompt[0] == pytest.approx(plain, abs=1e-6)


def test_what_is_loaded_shows_itself_in_a_line(planted):
    assert repr(planted.pm).startswith("PreferenceModel('")
    assert repr(planted.sae).startswith("Sae('")
    assert len(repr(planted.pm)) < 200
    assert len(repr(planted.sae)) < 200


def test_a_record_shows_its_summary_and_no_evidence(project, planted):
    record = pm_audit.audit(pm=planted.pm, sae=planted.sae)
    assert str(record) == terminal.summary(record)
    assert len(repr(record)) < 200
    assert str(pm_audit.compare(record, record)).endswith(
        "no regression in 1 hypothesis against the baseline"
    )
    assert "'gap': 'pass'" in repr(record.hypotheses[0])
    assert len(repr(record.hypotheses[0])) < 500
    with pytest.raises(RecordError, match=r"no frame has rows 'prompts'; choose of hypotheses"):
        record.frame("prompts")


@pytest.mark.parametrize(
    ("completions", "message"),
    [
        (3, "must be a list, not int"),
        ({" a", " b"}, "must be a list, not set"),
        ({" a": 1}, "must be a list, not dict"),
        (pd.DataFrame({"text": [" a"]}), "must be a list, not DataFrame"),
        ([b"a"], "item 0 is of type bytes"),
        ([" a", None], "item 1 is of type NoneType"),
        (["\ud800"], "lone surrogate"),
    ],
)
def test_completions_that_are_no_list_of_texts_are_refused(planted, completions, message):
    with pytest.raises(AuditError, match=message):
        pm_audit.rewards(planted.pm, "Where is the mill?", completions)
    with pytest.raises(AuditError):
        pm_audit.explain("q", completions, " b", planted.pm, planted.sae)


def test_completions_may_be_a_series_or_an_iterator(planted):
    texts = [" Yes!", " No;"]
    expected = pm_audit.rewards(planted.pm, "Where?", texts)
    for given in (tuple(texts), iter(texts), pd.Series(texts, index=[7, 3]), np.array(texts)):
        assert np.array_equal(pm_audit.rewards(planted.pm, "Where?", given), expected)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"hypotheses": 3}, "setting hypotheses: must be a path"),
        ({"hypotheses": {"a.yaml"}}, "not set"),
        ({"hypotheses": [b"a.yaml"]}, "must be a path, not bytes"),
        ({"hypotheses": "\ud800"}, "lone surrogate"),
        ({"root": 3}, "setting root: must be a path, not int"),
        ({"root": "nowhere"}, "is no folder"),
        ({"pm": 3}, "setting pm: must be a name or what load_pm returned, not int"),
        ({"sae": {}}, "setting sae: must be a name or what load_sae returned, not dict"),
        ({"sae": []}, "setting sae: is an empty list"),
        ({"progress": "yes"}, "progress must be True or a function, not str"),
        ({"record": "pyproject.toml"}, "was not written by a run"),
    ],
)
def test_arguments_of_another_type_are_refused(project, planted, given, message):
    before = (project / "pyproject.toml").read_text()
    subject = {"pm": planted.pm, "sae": planted.sae}
    with pytest.raises(AuditError, match=message):
        pm_audit.audit(**{"hypotheses": exclamation(), **subject, **given})
    assert (project / "pyproject.toml").read_text() == before


def test_other_functions_refuse_another_type(planted, stored_record_path):
    record = pm_audit.read_record(stored_record_path)
    for call in (
        lambda: pm_audit.load_pm(planted.pm),
        lambda: pm_audit.load_sae(3),
        lambda: pm_audit.doctor(None),
        lambda: pm_audit.rewards([], "q", [" a"]),
        lambda: pm_audit.read_record(3),
        lambda: pm_audit.compare(None, None),
        lambda: pm_audit.compare(record, record, tolerance=3),
        lambda: record.save(3),
        lambda: record.frame("rows"),
    ):
        with pytest.raises(AuditError):
            call()


def test_explain_reads_one_sae(planted):
    with pytest.raises(AuditError, match="explain reads one SAE"):
        pm_audit.explain("q", " a", " b", planted.pm, [planted.sae, planted.sae])


def test_threads_take_turns_and_leave_the_pm_as_it_was(project, planted):
    subject = {"pm": planted.pm, "sae": planted.sae}
    texts = [" Yes!", " No;"]
    rewards = pm_audit.rewards(planted.pm, "Where?", texts)
    alone = found(pm_audit.audit(exclamation(), **subject))
    with ThreadPoolExecutor(4) as pool:
        audits = [pool.submit(pm_audit.audit, exclamation(), **subject) for _ in range(2)]
        reads = [pool.submit(pm_audit.rewards, planted.pm, "Where?", texts) for _ in range(2)]
        assert [found(one.result()) for one in audits] == [alone, alone]
        assert all(np.array_equal(one.result(), rewards) for one in reads)
    assert np.array_equal(pm_audit.rewards(planted.pm, "Where?", texts), rewards)


def test_an_object_is_examined_whatever_made_it(project):
    (project / "probes").mkdir()
    prompts = "".join(f"  - {{id: p{n}, wordings: [{place}]}}\n" for n, place in enumerate(PLACES))
    (project / "probes" / "places.yaml").write_text(f"prompts:\n{prompts}")
    text = (
        YAML.partition("prompts:")[0] + "probe: places\nexamples:" + YAML.partition("examples:")[2]
    )
    (project / "hypotheses" / "exclamation.yaml").write_text(text)
    read = pm_audit.load_hypotheses()
    assert read[0].probe == "places"
    assert pm_audit.load_hypotheses(read) == read
    for broken in (
        read[0].model_copy(update={"examples": (" {nope}",)}),
        exclamation(file="x.yaml", examples=[" {nope}"]),
        exclamation().model_copy(update={"examples": [" {nope}"]}),
    ):
        with pytest.raises(InvalidSpec, match=r"placeholder \{nope\} has no field"):
            pm_audit.load_hypotheses(broken)
    with pytest.raises(InvalidSpec, match="`claim` is missing"):
        pm_audit.load_hypotheses(pm_audit.Hypothesis.model_construct(name="a"))
    with pytest.raises(InvalidSpec, match="a set has no order"):
        exclamation(examples={" a", " b"})
    assert len(exclamation(prompts=np.array(["a", "b"])).prompts) == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"W_enc": None}, "W_enc is of type NoneType, expected a tensor"),
        ({"b_dec": np.zeros(3)}, "b_dec is of type ndarray"),
        ({"activation": "relu"}, "activation is of type str"),
        ({"name": None}, "name is of type NoneType"),
    ],
)
def test_a_variant_of_an_sae_with_a_field_of_another_type_is_refused(planted, changes, message):
    with pytest.raises(SaeError, match=message):
        replace(planted.sae, **changes)


def test_a_variant_of_an_sae_in_two_dtypes_is_refused(project, planted):
    mixed = replace(planted.sae, W_enc=planted.sae.W_enc.double())
    with pytest.raises(InvalidSpec, match="make them alike"):
        pm_audit.audit(exclamation(), pm=planted.pm, sae=mixed)
    record = pm_audit.audit(exclamation(), pm=planted.pm, sae=mixed.to(dtype=torch.float32))
    assert record.complete


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_an_sae_of_16_bits_is_read_as_its_file_would_be(project, planted, dtype):
    narrow = planted.sae.to(dtype=dtype)
    read, widened = (
        pm_audit.audit(exclamation(), pm=planted.pm, sae=sae)
        for sae in (narrow, narrow.to(dtype=torch.float32))
    )
    assert read.hypotheses[0].closure is not None
    assert read.hypotheses == widened.hypotheses
