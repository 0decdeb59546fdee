"""Bad input of a dozen kinds: one usage error of one message, before torch is imported."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from importlib import import_module

import pytest

# pytester unloads what a run inside this process imports first, and numpy loads only once
import_module("pm_audit.pytest_plugin.run")

SECONDS = 5
BAD = {
    "PM that is nowhere": (["--pm-audit-pm=nowhere"], "nowhere: no such folder; check the path"),
    "PM of no hub": (["--pm-audit-pm=nobody/nothing"], "nobody/nothing: no such folder, and the"),
    "folder of no PM": (
        ["--pm-audit-pm=probes"],
        "probes: not a model's folder, it holds no config",
    ),
    "file as a PM": (["--pm-audit-pm=tox.ini"], "tox.ini: one file, and not a GGUF file"),
    "PM without weights": (["--pm-audit-pm=bare"], "bare: holds no weights"),
    "torn config": (["--pm-audit-pm=torn"], "config.json: cannot be read as JSON"),
    "text format": (["--pm-audit-text-format=xml"], "'xml' is unknown; choose one of hh, raw"),
    "SAE that is nowhere": (["--pm-audit-sae=nowhere"], "nowhere: no such file or folder, and"),
    "SAE of no release": (["--pm-audit-sae=x=none/layer_5@3"], "none/layer_5@3: no such file or"),
    "PM of too long a name": ([f"--pm-audit-pm={'x' * 5000}"], "xxx: no such folder"),
    "SAE of too long a name": ([f"--pm-audit-sae={'x' * 5000}"], "xxx: no such file or folder"),
    "no SAE": (["--pm-audit-pm=model"], "no SAE is named for model; give one with --pm-audit-sae"),
    "device": (["--pm-audit-device=gpu"], "'gpu' is unknown; name cpu, cuda or cuda:N"),
    "absent device": (["--pm-audit-device=cuda:99"], "setting device: 'cuda:99'"),
    "objective": (["--pm-audit-objective=tone"], "'tone' was named, default has only one"),
    "kind of setting": (["--pm-audit-seed=x"], "`seed` must be a number"),
    "dtype": (["--pm-audit-dtype=int8"], "`dtype` must be 'float32', 'bfloat16', 'float16' or"),
    "file": (["hypotheses/nowhere.yaml"], "hypotheses/nowhere.yaml: no such file"),
    "YAML": (["broken"], "broken/one.yaml:2"),
    "baseline": (["--pm-audit-baseline=nowhere.json"], "nowhere.json: no such record"),
    "record": (["--pm-audit-record=tox.ini/record.json"], "is not a folder that can be written to"),
}


@pytest.fixture
def real(project, pytester, monkeypatch):
    """Write a project that audits with pm_audit's own auditor."""
    project("urls")
    pytester.makeconftest("")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("PYTEST_PLUGINS", "pm_audit.pytest_plugin.plugin")
    for folder in ("probes", "bare", "torn", "model", "broken"):
        (pytester.path / folder).mkdir()
    for folder in ("bare", "model"):
        (pytester.path / folder / "config.json").write_text(json.dumps({"architectures": []}))
    (pytester.path / "model" / "model.safetensors").touch()
    (pytester.path / "torn" / "config.json").write_text("{")
    (pytester.path / "broken" / "one.yaml").write_text("name: one\nwrong: 1\n")
    return pytester


def refused(result, because: str) -> None:
    assert result.ret == 4
    errors = [line for line in result.stderr.lines if line.startswith("ERROR: ")]
    assert len(errors) == 1
    result.stderr.fnmatch_lines([f"*{because.replace('[', '[[]')}*"])
    text = result.stdout.str() + result.stderr.str()
    assert "Traceback" not in text
    assert "INTERNALERROR" not in text
    assert "preference model audit" not in text


@pytest.mark.parametrize("kind", BAD)
def test_it_is_one_usage_error_before_anything_is_loaded(real, kind):
    arguments, because = BAD[kind]
    refused(real.runpytest_inprocess("--pm-audit", *arguments), because)


@pytest.mark.parametrize("kind", ["PM of no hub", "absent device", "YAML"])
@pytest.mark.parametrize("workers", [(), ("-p", "xdist", "-n", "2")], ids=["serial", "-n 2"])
def test_it_takes_no_time(real, kind, workers):
    arguments, because = BAD[kind]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    result = real.runpytest_subprocess("--pm-audit", *workers, *arguments)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    refused(result, because)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert spent < SECONDS


def test_several_faults_of_a_subject_are_one_message(real):
    arguments = [*BAD["file as a PM"][0], *BAD["text format"][0], *BAD["device"][0]]
    arguments += ["--pm-audit-text-start=cls"]
    result = real.runpytest_inprocess("--pm-audit", *arguments)
    refused(result, "tox.ini: one file")
    result.stderr.fnmatch_lines(
        ["setting text_format: 'xml' *", "setting text_start: 'cls' *", "setting device: 'gpu' *"]
    )


def test_what_only_loading_finds_is_one_usage_error_too(real):
    arguments = ["--pm-audit-pm=model", "--pm-audit-sae=probes"]
    result = real.runpytest_subprocess("--pm-audit", *arguments)
    refused(result, "model.safetensors: cannot be read as safetensors")


def test_names_are_looked_at_without_torch(tmp_path):
    code = (
        "import sys\n"
        "from pm_audit.spec import Settings\n"
        "from pm_audit.loading.named import require_named_subject\n"
        "require_named_subject(Settings())\n"
        "print(sorted({'torch', 'transformers', 'sae_lens'} & set(sys.modules)))\n"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
