"""Means of features and error terms over groups of completion tokens."""

from __future__ import annotations

import numpy as np
import torch

from pm_audit.forward.features import Floats
from pm_audit.forward.grid import Integers
from pm_audit.forward.targets import SaeTargets
from pm_audit.forward.trace import Trace
from pm_audit.subject.sae import Sae


def group_means(
    trace: Trace, sae: Sae, group: Integers, weight: Floats, *, groups: int
) -> SaeTargets:
    """Return the weighted mean over each group's tokens, inactive features counting as zero.

    ``group`` and ``weight`` are [completion token]; a group without weight has targets of zero.
    """
    features = trace.features[sae.name]
    total = np.bincount(group, weight, minlength=groups)
    share = weight / np.where(total > 0, total, 1.0)[group]
    shares = torch.from_numpy(share).to(features.value.device)
    groups_of = torch.from_numpy(group).to(features.value.device)

    counted = np.flatnonzero(weight[features.token_here] > 0)
    latent, column = np.unique(features.latent_here[counted], return_inverse=True)
    own = torch.from_numpy(counted).to(features.value.device)
    token = features.token[own]
    cell = groups_of[token] * len(latent) + torch.from_numpy(column).to(token.device)
    value = torch.zeros(groups * len(latent), dtype=torch.float64, device=token.device)
    value.index_add_(0, cell, features.value[own].double() * shares[token])

    tokens = torch.from_numpy(np.flatnonzero(weight)).to(token.device)
    left = trace.streams[sae.layer][tokens].double() - features.reconstruction[tokens].double()
    error = torch.zeros(groups, sae.hidden_size, dtype=torch.float64, device=token.device)
    error.index_add_(0, groups_of[tokens], left * shares[tokens, None])
    dtype = sae.W_dec.dtype
    return SaeTargets(group, latent, value.view(groups, -1).to(dtype), error.to(dtype))
