"""What training adds is what an audit merges: the file keeps every update and the head."""

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from pm_audit.errors import ModelError
from pm_audit.loading.default.adapter import apply_adapter
from recipes.train.low_rank import LowRankLinear, add_low_rank, resume_adapter, save_adapter


def backbone() -> nn.Module:
    torch.manual_seed(0)
    return nn.ModuleDict(
        {"layers": nn.ModuleList([nn.Sequential(nn.Linear(4, 6), nn.Linear(6, 4))])}
    )


def test_updates_start_at_zero():
    plain, trained = backbone(), backbone()
    add_low_rank(trained["layers"], rank=2)
    inputs = torch.randn(3, 4)
    assert torch.equal(plain["layers"][0](inputs), trained["layers"][0](inputs))


def test_the_merged_backbone_equals_the_trained_one(tmp_path):
    trained = backbone()
    add_low_rank(trained["layers"], rank=2)
    for module in trained.modules():
        if isinstance(module, LowRankLinear):
            nn.init.normal_(module.up)
    head = torch.randn(1, 4)
    save_adapter(trained, head, tmp_path / "adapter.safetensors")
    merged = backbone()
    assert torch.equal(apply_adapter(merged, tmp_path / "adapter.safetensors"), head)
    inputs = torch.randn(3, 4)
    torch.testing.assert_close(merged["layers"][0](inputs), trained["layers"][0](inputs))


def test_training_goes_on_from_the_file(tmp_path):
    trained = backbone()
    add_low_rank(trained["layers"], rank=2)
    for module in trained.modules():
        if isinstance(module, LowRankLinear):
            nn.init.normal_(module.up)
    head = torch.randn(1, 4)
    save_adapter(trained, head, tmp_path / "adapter.safetensors")
    resumed = backbone()
    assert torch.equal(resume_adapter(resumed, tmp_path / "adapter.safetensors"), head)
    inputs = torch.randn(3, 4)
    assert torch.equal(resumed["layers"][0](inputs), trained["layers"][0](inputs))
    other = nn.ModuleDict({"layers": nn.ModuleList([nn.Sequential(nn.Linear(4, 8))])})
    with pytest.raises(ModelError, match="does not fit this backbone"):
        resume_adapter(other, tmp_path / "adapter.safetensors")


def test_half_an_update_is_one_message(tmp_path):
    save_file({"score.weight": torch.ones(1, 4), "a.up": torch.ones(2, 1)}, tmp_path / "half")
    with pytest.raises(ModelError, match=r"half an update, 'a\.down' is missing"):
        apply_adapter(backbone(), tmp_path / "half")


def test_an_adapter_of_another_backbone_is_refused(tmp_path):
    trained = backbone()
    add_low_rank(trained["layers"], rank=2)
    save_adapter(trained, torch.randn(1, 4), tmp_path / "adapter.safetensors")
    other = nn.ModuleDict({"layers": nn.ModuleList([nn.Sequential(nn.Linear(4, 8))])})
    with pytest.raises(ModelError, match="does not fit this backbone"):
        apply_adapter(other, tmp_path / "adapter.safetensors")


def test_a_missing_or_torn_file_is_one_message(tmp_path):
    with pytest.raises(ModelError, match="cannot be read as safetensors"):
        apply_adapter(backbone(), tmp_path / "missing.safetensors")
    (tmp_path / "torn.safetensors").write_bytes(b"torn")
    with pytest.raises(ModelError, match="cannot be read as safetensors"):
        apply_adapter(backbone(), tmp_path / "torn.safetensors")
