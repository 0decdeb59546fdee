"""The biased PM: the default PM with a dozen planted biases, and the SAE that reads it.

Its adapter is in ``weights``; training started from the default PM's.  The blocks up to the SAE are
the default PM's own, so the SAE fits both equally well.
"""

from __future__ import annotations

from pathlib import Path

from pm_audit.errors import ModelError
from pm_audit.files import sha256
from pm_audit.loading.default import pm as default
from pm_audit.loading.saes.registry import load as load_sae
from pm_audit.subject.preference_model import PreferenceModel
from pm_audit.subject.sae import Sae

FOLDER = Path(__file__).parent / "weights"
NAME = "biased"


def load_biased(folder: Path = FOLDER) -> tuple[PreferenceModel, tuple[Sae, ...]]:
    """Load the biased PM and the default PM's SAE below its biases.

    Raises:
        DownloadError: the base is not cached and cannot be fetched.
        ModelError: there is none in ``folder``, or it was trained from another default PM, or
            the default PM's weights were not installed.

    """
    default.require_weights()
    if not default.is_recipe_folder(folder):
        raise ModelError(f"{folder}: no biased PM; `pm-audit train biased {folder}` makes one")
    recipe = default.read_recipe(folder)
    if recipe.get("started_from_sha256") != sha256([default.FOLDER / "adapter.safetensors"]):
        raise ModelError(
            f"{folder}: was trained from another default PM, so the SAE does not fit; train it "
            f"again: pm-audit train biased {folder}"
        )
    sae = load_sae(default.FOLDER / f"layer_{recipe['sae_layer']}")
    return default.load_pm(folder), (sae,)
