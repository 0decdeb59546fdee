"""Unknown and absent devices are one message, before anything is loaded."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from pm_audit.errors import AuditError
from pm_audit.loading.device import require_device
from pm_audit.loading.subject import load_subjects
from pm_audit.pipelines.doctor import doctor
from pm_audit.spec import Settings
from recipes.train.pm import PmRecipe, train_pm

UNKNOWN = ["gpu", "CUDA", "cuda:", "cuda:x", "cuda:-1", "cuda:1000", "mps", "meta", "cpu:1", " cpu"]


@pytest.mark.parametrize("name", UNKNOWN)
def test_unknown_devices_are_refused(name: str) -> None:
    with pytest.raises(AuditError, match=r"is unknown; name cpu, cuda or cuda:N with --pm-audit"):
        require_device(name)


def test_the_cpu_is_always_there() -> None:
    require_device("cpu")


def test_a_build_without_cuda_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.version, "cuda", None)
    monkeypatch.setattr(torch.version, "hip", None, raising=False)
    with pytest.raises(AuditError, match=r"'cuda': this PyTorch .* was built for the CPU only"):
        require_device("cuda")


def test_a_machine_without_a_gpu_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(AuditError, match=r"'cuda:0': PyTorch sees no GPU; check `nvidia-smi`"):
        require_device("cuda:0")


@pytest.mark.parametrize(("count", "there"), [(1, "only cuda:0"), (4, "cuda:0 to cuda:3")])
def test_a_number_beyond_the_last_gpu_says_which_there_are(
    monkeypatch: pytest.MonkeyPatch, count: int, there: str
) -> None:
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    require_device(f"cuda:{count - 1}")
    with pytest.raises(AuditError, match=f"'cuda:4' does not exist, this machine has {there}"):
        require_device("cuda:4")


def test_every_door_refuses_before_it_loads(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    with pytest.raises(AuditError, match="device 'gpu' is unknown"):
        load_subjects(Settings(pm=str(missing), device="gpu"))
    with pytest.raises(AuditError, match="device 'gpu' is unknown"):
        train_pm(missing, tmp_path, PmRecipe(), device="gpu", report=print)
    (row,) = doctor(missing, device="gpu").rows
    assert "'gpu' is unknown" in row.finding.remedy


def test_a_wrong_name_is_found_without_torch() -> None:
    code = (
        "import sys\n"
        "from pm_audit.errors import AuditError\n"
        "from pm_audit.loading.device import require_device\n"
        "require_device('cpu')\n"
        "try:\n    require_device('gpu')\n"
        "except AuditError:\n    print('torch' in sys.modules)\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "False\n"
