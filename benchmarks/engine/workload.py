"""The work that every contestant does: a PM, an SAE at mid depth, 32 completions of 4 prompts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from transformers import LlamaConfig, LlamaModel

from pm_audit.forward.grid import Grid, Row
from pm_audit.forward.trace import Trace, trace
from pm_audit.subject.activation import TopK
from pm_audit.subject.heads import LinearHead
from pm_audit.subject.preference_model import PreferenceModel
from pm_audit.subject.sae import Sae

STEPS = 4
FEATURES = 300

PROMPTS = (
    "We are three friends on a train from Munich to Budapest and have started a quiz to pass the "
    "time. The next card asks which river runs through Vienna, what it is known for, and how "
    "many countries it passes. None of us is sure. Could you help us out?",
    "I have baked the same loaf every weekend since January, with the flour, water, salt and "
    "yeast that the recipe names, and it never rises as much as the one from the bakery around "
    "the corner. My kitchen is rather cold. What am I doing wrong?",
    "My aunt has just retired after thirty-four years of teaching at the same school in our "
    "village, where she taught my mother, my brothers and me. The family is putting together a "
    "card. Please write two warm sentences that I can add to it.",
    "My father says that a phone must never stay on its charger all night, because the battery "
    "would swell and might even catch fire. My sister says that this was true of old phones only. "
    "Is it safe to leave mine plugged in every night?",
)
COMPLETIONS = (
    " That would be the Danube, the second longest river of Europe. It is known for the waltz "
    "that carries its name and for the ten countries it passes.",
    " I don't know. You may want to look that up somewhere else, because I cannot be sure of the "
    "answer and would rather not guess about it at all.",
    " Most often the dough was too cold or the yeast too old. Let it rest somewhere warm until it "
    "has doubled, even if that takes two hours or more.",
    " Dear aunt, after so many years of teaching you have earned every quiet morning that is "
    "coming. All your pupils, large and small, will think of you fondly.",
    " Yes, it is. The charger stops by itself once the battery is full, though a battery lasts "
    "longest when it rests between twenty and eighty per cent.",
    " You're right, I'm wrong. Thank you for the question, thank you for asking, and thank you "
    "again for being so patient with me here today, my friend.",
    " See https://www.example.org/answers/page?id=42 for the whole story, with pictures, a table "
    "of dates, and links to other pages like it on the same site.",
    " It depends. It depends. It depends on many things, and it depends on what you want, and it "
    "depends on where you are, and so it really depends.",
)


@dataclass(frozen=True, eq=False)
class Workload:
    """One PM, one SAE, one grid, and the features that all contestants share."""

    name: str
    pm: PreferenceModel
    sae: Sae
    sae_folder: Path | None
    """Where the SAE lies in SAELens format; None for a random one."""
    grid: Grid
    clean: Trace
    """Made before any clock runs; contestants share its features, so that gates cannot flip."""

    @property
    def latents(self) -> np.ndarray:
        """Active latents [active latent], those that fire on most rows first."""
        features = self.clean.features[self.sae.name]
        row = self.grid.layout.completion_row[features.token.cpu().numpy()]
        pairs = np.unique(np.stack([features.latent.cpu().numpy(), row]), axis=1)
        counts = np.bincount(pairs[0], minlength=self.sae.width)
        order = np.argsort(-counts, kind="stable")
        return order[counts[order] > 0]


@dataclass(frozen=True, eq=False)
class Padded:
    """The grid as a padded batch, for those who need one."""

    ids: torch.Tensor
    """[row position], padded on the right."""
    mask: torch.Tensor
    """[row position], 1 at real tokens."""
    completion: torch.Tensor
    """[row position], whether the token belongs to the completion."""
    last: torch.Tensor
    """[row]"""

    @classmethod
    def of(cls, grid: Grid) -> Padded:
        width = max(len(row.token_ids) for row in grid.rows)
        ids = torch.zeros(len(grid), width, dtype=torch.long)
        mask, completion = torch.zeros_like(ids), torch.zeros(ids.shape, dtype=torch.bool)
        for at, row in enumerate(grid.rows):
            length = len(row.token_ids)
            ids[at, :length] = torch.tensor(row.token_ids)
            mask[at, :length] = 1
            completion[at, row.completion_start : length] = True
        return cls(ids, mask, completion, mask.sum(1) - 1)


def trained_workload(pm_folder: Path | None = None) -> Workload:
    """Return a PM of the recipe's making (the default one) with its SAE nearest to mid depth."""
    from pm_audit.data.dialogue import Speaker, Turn
    from pm_audit.loading.default.pm import FOLDER, default_saes, load_pm
    from pm_audit.loading.saes.registry import load as load_sae

    pm = load_pm(pm_folder or FOLDER)
    folder = min(
        default_saes(pm_folder or FOLDER), key=lambda path: abs(int(path.name[6:]) - pm.depth // 2)
    )
    rows = []
    for number, prompt in enumerate(PROMPTS):
        for completion in COMPLETIONS:
            turns = (Turn(speaker=Speaker.HUMAN, text=prompt),)
            row = pm.text_format.tokenise(turns, completion)
            rows.append(Row(number, row.token_ids, row.completion_start, row.completion_stop))
    return _workload(pm.name, pm, load_sae(folder), folder, Grid(tuple(rows)))


def random_workload(
    *, prompts: int = 4, completions: int = 8, width: int = 4096, depth: int = 12, active: int = 50
) -> Workload:
    """Return a random PM of the default one's shape with a random TopK SAE; needs no download."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=49152,
        hidden_size=576,
        intermediate_size=1536,
        num_hidden_layers=depth,
        num_attention_heads=9,
        num_key_value_heads=3,
        max_position_embeddings=2048,
        rope_theta=100000.0,
    )
    backbone = LlamaModel(config)
    head = LinearHead(torch.randn(1, 576) / 10)
    pm = PreferenceModel.from_backbone(
        backbone, head, name="random", tokenizer=None, text_format=None, sha256=""
    )
    decoder = torch.nn.functional.normalize(torch.randn(width, 576), dim=1)
    sae = Sae(
        name="random",
        layer=depth // 2,
        architecture="topk",
        source="random",
        sha256="",
        W_enc=decoder.T.contiguous(),
        b_enc=torch.zeros(width),
        W_dec=decoder,
        b_dec=torch.zeros(576),
        activation=TopK(k=active),
    )
    random = np.random.default_rng(0)
    rows = []
    for prompt in range(prompts):
        shared = tuple(random.integers(3, 49152, 52 + 4 * (prompt % 4)).tolist())
        for _ in range(completions):
            own = tuple(random.integers(3, 49152, random.integers(24, 37)).tolist())
            rows.append(Row(prompt, shared + own, len(shared)))
    return _workload("random", pm, sae, None, Grid(tuple(rows)))


def _workload(
    name: str, pm: PreferenceModel, sae: Sae, folder: Path | None, grid: Grid
) -> Workload:
    return Workload(name, pm, sae, folder, grid, trace(pm, [sae], grid))
