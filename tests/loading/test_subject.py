"""The default subject: its own SAE without being asked, and a record that names no machine."""

import pytest

from pm_audit.errors import SaeError
from pm_audit.loading.subject import load_subject
from pm_audit.spec import Settings


def test_the_default_pm_brings_its_uppermost_sae():
    pm, saes = load_subject(Settings())
    assert [(sae.name, sae.layer, sae.source) for sae in saes] == [
        ("layer_6", 6, "default/layer_6")
    ]
    assert saes[0].hidden_size == pm.hidden_size


def test_its_other_sae_goes_by_its_folders_name():
    _, saes = load_subject(Settings(saes=("layer_5", "layer_6")))
    assert [sae.layer for sae in saes] == [5, 6]


def test_an_sae_that_is_not_there_is_one_message():
    with pytest.raises(SaeError, match=r"no-such-sae: .* own SAEs are layer_5, layer_6"):
        load_subject(Settings(saes=("no-such-sae",)))
