"""The stand-in device refuses what CUDA refuses, and allows what it allows."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from tests.devices.accelerator import DEVICE, OnDevice, accelerator


@pytest.fixture
def there():
    with accelerator():
        yield torch.arange(12.0).view(3, 4).to(DEVICE)


MIXED = {
    "elementwise": lambda there: there + torch.ones(4),
    "one element is no scalar": lambda there: there + torch.zeros(1),
    "matmul": lambda there: there @ torch.ones(4, 2),
    "scalar of a matmul": lambda there: torch.dot(there[0], torch.ones(4)),
    "linear": lambda there: F.linear(there, torch.ones(2, 4)),
    "bias of a linear": lambda there: F.linear(there, torch.ones(2, 4).to(DEVICE), torch.ones(2)),
    "concatenation": lambda there: torch.cat([there, torch.ones(1, 4)]),
    "a CPU tensor indexed by one there": lambda there: torch.ones(9)[there.long()],
    "CPU values written there": lambda there: there.index_put_((torch.tensor([0]),), torch.ones(4)),
    "rows added": lambda there: there.index_add_(0, torch.tensor([0]), there[:1]),
    "rows taken": lambda there: there.index_select(0, torch.tensor([0])),
    "written in place": lambda there: torch.ones(3, 4).add_(there),
    "lerp": lambda there: torch.lerp(there, there, torch.ones(3, 1)),
    "where": lambda there: torch.where(there > 0, there, torch.ones(4)),
    "embedding": lambda there: F.embedding(there.long(), torch.ones(12, 2)),
    "attention": lambda there: F.scaled_dot_product_attention(
        there[None, None], torch.ones(1, 1, 3, 4), there[None, None]
    ),
    "layer norm": lambda there: F.layer_norm(there, (4,), torch.ones(4)),
}


@pytest.mark.parametrize("mixed", MIXED.values(), ids=MIXED)
@pytest.mark.parametrize("inference", [False, True])
def test_operands_of_both_devices_are_refused(there, mixed, inference):
    with torch.inference_mode(inference), pytest.raises(RuntimeError, match="same device"):
        mixed(there)


def test_numpy_and_generators_are_refused(there):
    with pytest.raises(RuntimeError):
        there.numpy()
    with pytest.raises(RuntimeError, match="device type for generator"):
        torch.randn(3, generator=torch.Generator(), device=DEVICE)
    with pytest.raises(RuntimeError, match="device type for generator"):
        there.uniform_(generator=torch.Generator())


ALLOWED = {
    "a scalar of the CPU": lambda x: x * torch.tensor(2.0),
    "CPU indices": lambda x: x[torch.tensor([2, 0])],
    "a list of indices": lambda x: x[[2, 0]],
    "a mask of the CPU": lambda x: x[torch.tensor([True, False, True])],
    "a scalar filled in": lambda x: x.masked_fill(x > 3, torch.tensor(0.0)),
    "factories": lambda x: x + torch.ones(4, device=x.device) + x.new_ones(3, 1),
    "numbers of Python": lambda x: x + torch.tensor([1.0], device=x.device) + x.new_tensor(2),
    "active places": lambda x: torch.stack(torch.nonzero(x > 3, as_tuple=True)),
    "views": lambda x: x.t().reshape(2, 6)[:, 1:3].unsqueeze(0).squeeze_(0) * 1,
    "a vector times a matrix": lambda x: x[0] @ x.T @ x,
    "attention": lambda x: F.scaled_dot_product_attention(*[x[None, None]] * 3),
    "svd": lambda x: torch.linalg.svd(x, full_matrices=False)[1],
    "halves": lambda x: x.bfloat16().softmax(-1).float(),
}


@pytest.mark.parametrize("allowed", ALLOWED.values(), ids=ALLOWED)
@pytest.mark.parametrize("inference", [False, True])
def test_what_is_allowed_gives_the_cpus_numbers(there, allowed, inference):
    with torch.inference_mode(inference):
        result = allowed(there)
        assert isinstance(result, OnDevice)
        assert result.device.type == DEVICE
        torch.testing.assert_close(result.cpu(), allowed(there.cpu()))


def test_numbers_come_back_by_copies_and_reads(there):
    assert np.array_equal(there.cpu().numpy(), np.arange(12.0).reshape(3, 4))
    assert there.tolist()[1] == [4.0, 5.0, 6.0, 7.0]
    assert (float(there.sum()), bool((there > 0).all()), int(there[0, 1])) == (66.0, False, 1)
    here = torch.zeros(3, 4)
    here.copy_(there)
    there[0] = torch.full((4,), 9.0)
    assert float(here.sum()) == 66.0
    assert there[0].tolist() == [9.0] * 4


def test_writing_in_place_writes_through_views(there):
    row = there[1]
    assert row.mul_(2) is row
    assert there[1].tolist() == [8.0, 10.0, 12.0, 14.0]
    there.index_add_(0, torch.tensor([0]).to(DEVICE), row.clone()[None])
    assert there[0].tolist() == [8.0, 11.0, 14.0, 17.0]


def test_modules_move_whole_and_gradients_stay(there):
    layer = torch.nn.Linear(4, 2).to(DEVICE)
    assert all(isinstance(one, OnDevice) for one in layer.parameters())
    leaf = there.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(layer(leaf)[[0, 0]].sum(), leaf)
    assert gradient.device.type == DEVICE
    expected = layer.weight.detach().cpu().sum(0) * 2
    torch.testing.assert_close(gradient.cpu(), torch.stack([expected, expected * 0, expected * 0]))
    optimiser = torch.optim.Adam(layer.parameters(), lr=0.1)
    before = layer.bias.detach().cpu().clone()
    layer(there).sum().backward()
    optimiser.step()
    torch.testing.assert_close(layer.bias.detach().cpu(), before - 0.1)


def test_nothing_answers_for_the_device_outside_the_context():
    with accelerator():
        pass
    with pytest.raises((RuntimeError, NotImplementedError)):
        torch.ones(2).to(DEVICE)
    with pytest.raises(RuntimeError):
        torch.is_autocast_enabled(DEVICE)
