"""Plain numbers of one hypothesis on one subject; verdicts are computed from these alone."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from pydantic import Field

from pm_audit.records.base import Feature, Figure, Finite, Record, Role
from pm_audit.records.generated import GeneratedEvidence
from pm_audit.records.label import FeatureLabel
from pm_audit.records.pairs import PairsEvidence


def _nothing(value: object) -> bool:
    return value is None or value == ()


class Firing(Record):
    """The place in a text where a feature fires most, and how it fires on the rest of the text."""

    before: str
    """Text of the prompt and completion before the token."""
    token: str
    after: str
    activation: Finite
    others: tuple[tuple[int, int, Finite], ...] = Field(default=(), exclude_if=_nothing)
    """The other tokens on which it fires: first and last-plus-one character, activation."""
    special: str | None = Field(default=None, exclude_if=_nothing)
    """Name of the token in the tokenizer, if it stands for no character of the text."""


class Neighbour(Record):
    """Another latent of the same SAE whose decoder points nearly the same way."""

    index: int
    cosine: Finite


class FeatureRecord(Feature):
    """A candidate feature with what was measured about it."""

    contribution: Figure
    """Reward minus reward with it alone replaced: mean over an example of each prompt, the
    phrasings taken in turn."""
    attribution: Finite | None
    """Mean over examples of the attribution (IG) that proposed it; None if none did."""
    selectivity: Finite
    """Mean size of its contribution on examples, over that plus the mean on other completions."""
    frequency: Finite
    """Share of examples on which it fires, 0 to 1."""
    folds: tuple[int, ...]
    """Folds whose search selected it; empty for a candidate that was not selected."""
    firings: tuple[Firing, ...] = ()
    """The texts of this audit on whose completions it fires most, strongest first."""
    corpus_firings: tuple[Firing, ...] = ()
    """The same in a corpus, if the SAE has a feature index."""
    corpus_frequency: Finite | None = Field(default=None, exclude_if=_nothing)
    """Share of the corpus' tokens on which it fires; None if the SAE has no feature index."""
    neighbours: tuple[Neighbour, ...] = ()
    """Nearest decoder directions, nearest first: where a feature may have split."""
    label: FeatureLabel | None = Field(default=None, exclude_if=_nothing)
    """What it is called; None if it fires on no completion from which a label could be made."""
    promotes: tuple[str, ...] = Field(default=(), exclude_if=_nothing)
    """Tokens whose logits its decoder row raises most; empty if the PM has no unembedding."""


class RowEvidence(Record):
    """One completion of one prompt: its reward, and its reward after each intervention.

    Figures after ablation come from the fold that did not see this prompt in its search.
    """

    prompt: int
    """Index into ``Evidence.prompts``: the unit of inference."""
    role: Role
    variant: int
    """Index of the completion template within its role."""
    text: str
    reward: Finite
    ablated: Finite
    """Reward with the selected set replaced, by the method's replacement."""
    single_sum: Finite | None = None
    """Sum over the selected set of reward minus reward with that feature alone replaced."""


class FoldEvidence(Record):
    """What one fold's search found on its discovery prompts, and where it was tested."""

    held_out: tuple[int, ...]
    """Indices of the prompts on which this fold's set is tested."""
    selected: tuple[Feature, ...]
    growth: tuple[Finite, ...]
    """Closure on the discovery prompts after each feature joined the set."""
    collateral: tuple[Finite, ...]
    """Largest movement of an off-target template there, as a share of the gap, at each of these."""
    sign_agreement: Finite | None
    """Share of candidates whose ablation has attribution's sign; None without candidates."""
    rank_correlation: Finite | None
    """Spearman correlation of attribution and single ablation over candidates."""
    completeness_gap: Finite
    """Sum of attributions plus error term minus the true change, as a share of the true change."""


class NullEvidence(Record):
    """One matched random set per fold, replaced on the held-out prompts."""

    gap: tuple[Finite, ...]
    """Gap of each prompt after the set was replaced, in the order of ``Evidence.prompts``."""


class AlongsideEvidence(Record):
    """The selected sets under another replacement than the method's, from the same folds."""

    replacement: str
    """``zero``, ``mean``, ``resample``, or one that an installed package adds."""
    rewards: tuple[Finite, ...]
    """In the order of ``Evidence.rows``."""


class StageEvidence(Record):
    """Rewards as parts of the stream at the SAEs' layers are replaced, more and more of it.

    In the order of ``Evidence.rows``, from the fold that did not see the row's prompt, at the
    values of the method's replacement.  Controls have no part in a gap and keep their rewards.
    """

    sae: str | None
    """The one SAE whose part is replaced; None for all SAEs together."""
    layer: int | None
    selected: tuple[Finite, ...]
    """The selected features are replaced."""
    others: tuple[Finite, ...]
    """Every feature but the selected ones is: what is left of the gap, the set carries alone."""
    features: tuple[Finite, ...]
    """All features are."""
    stream: tuple[Finite, ...]
    """The error term is as well."""
    error: tuple[Finite, ...]
    """The error term alone is."""


class TransferEvidence(Record):
    """A search that did not see one phrasing of the examples, tested on it, on unseen prompts."""

    phrasing: int
    """``RowEvidence.variant`` of the examples that were left out."""
    prompts: tuple[int, ...]
    """Prompts on which the set is tested; the search saw the others."""
    selected: tuple[Feature, ...]
    gap: tuple[Finite, ...]
    """Gap of this phrasing, in the order of ``prompts``: its examples less all counter-examples."""
    gap_after: tuple[Finite, ...]
    """The same with the set replaced."""


class BaselineEvidence(Record):
    """One way of explaining a gap by directions, ablated on the prompts that did not choose them.

    The first baseline is the SAE's own features, given the same budget.
    """

    name: str
    rewards: tuple[tuple[Finite, ...], ...]
    """Rewards after 1, 2, ... directions were replaced jointly, in the order of
    ``Evidence.rows``; a baseline may find fewer directions than its budget."""


class PlaceboEvidence(Record):
    """The whole search, repeated with examples and counter-examples exchanged at random."""

    gap: tuple[Finite, ...]
    """Gap of each prompt between the exchanged labels, in the order of ``Evidence.prompts``."""
    gap_after: tuple[Finite, ...]
    """The same after the sets that the search selected were replaced on prompts it had not seen."""
    selected: tuple[int, ...]
    """Features that each fold's search selected."""


class SweepEvidence(Record):
    """Single ablations of one SAE's features on the prompts that one fold's search saw."""

    fold: int
    sae: str
    active: int
    """Features that fire on the examples."""
    measured: int
    """Of these, how many were ablated alone."""
    sign_agreement: Finite | None
    """Share of the measured features with an effect whose sign attribution predicted."""
    rank_correlation: Finite | None
    """Spearman correlation of attribution and ablation over the measured features."""
    predicted: Finite | None
    """Share of the features of largest measured effect, at most ``max_features`` of them, that
    attribution alone would have proposed."""
    missed_total: Finite | None = None
    """Estimated joint effect on the gap of the features left out, raw; None if none was."""
    missed_largest: Finite | None = None
    """Upper bound on the largest effect of one of them, raw, if their effects add up."""
    missed_confidence: Finite | None = None
    """Confidence of that bound."""


class SaeFit(Record):
    """How well one SAE reconstructs this PM's residual stream on this audit's texts."""

    sae: str
    layer: int
    """Block after which the SAE reads, counted from 0."""
    fvu: Finite
    """Fraction of (per-dimension, centred) variance unexplained, massive positions left out."""
    neighbour_fvu: tuple[Finite, ...]
    """The same SAE applied one block earlier and one block later, if these exist."""
    cosine: Finite
    l0: Finite
    """Mean number of active features a token."""
    dead_share: Finite
    """Share of latents that fire on no token of this audit; small texts make it large."""
    massive: int
    """Positions left out of FVU and cosine for their massive norm."""
    tokens: int


class FurtherPrompt(Record):
    """A prompt of a preference set that was read for its gap alone."""

    id: str
    gap: Finite
    """Mean reward of its examples less that of its counter-examples, raw."""


class Evidence(Record):
    """Plain numbers of one hypothesis on one subject; verdicts are computed from these alone."""

    prompts: tuple[str, ...]
    rows: tuple[RowEvidence, ...]
    sigma: Finite
    """Standard deviation of the PM's reward over the fixed reference completions."""
    noise: Finite
    """Largest change of a reward under re-batching, padding, and a replay that replaces nothing, in
    the PM's dtype and on its device: the floor below which nothing can be read."""
    folds: tuple[FoldEvidence, ...]
    null: tuple[NullEvidence, ...]
    fits: tuple[SaeFit, ...]
    baselines: tuple[BaselineEvidence, ...] = ()
    placebos: tuple[PlaceboEvidence, ...] = ()
    sweeps: tuple[SweepEvidence, ...] = ()
    """By fold and SAE, if real ablation chose the candidates; empty if attribution did."""
    stages: tuple[StageEvidence, ...] = ()
    """For all SAEs together, then, if there are several, for each alone; empty if not run."""
    alongside: tuple[AlongsideEvidence, ...] = ()
    """The other replacements; empty if not run."""
    transfer: tuple[TransferEvidence, ...] = ()
    """For each phrasing of the examples; empty if there is only one."""
    halves: tuple[tuple[Feature, ...], ...] = ()
    """Sets found on two halves of the prompts; empty if two folds are these halves."""
    pairs: PairsEvidence | None = Field(default=None, exclude_if=_nothing)
    """The preference set that gave the texts; None if templates did."""
    generated: GeneratedEvidence | None = Field(default=None, exclude_if=_nothing)
    """The search that found the examples; None if the hypothesis names them."""

    further: tuple[FurtherPrompt, ...] = Field(default=(), exclude_if=_nothing)
    """Prompts beyond ``prompts``, on which no feature was searched for; they count for the gap."""

    @property
    def tried(self) -> int:
        """Prompts whose gaps make the gap."""
        return len(self.prompts) + len(self.further)

    def means(self, role: Role, rewards: Sequence[float]) -> tuple[float, ...]:
        """Return the mean over each prompt's completions of one role; ``rewards`` is by row."""
        of_prompt: list[list[float]] = [[] for _ in self.prompts]
        for row, reward in zip(self.rows, rewards, strict=True):
            if row.role is role:
                of_prompt[row.prompt].append(reward)
        return tuple(map(fmean, of_prompt))  # exactly rounded: the order of rows cannot matter

    def gaps(self, rewards: Sequence[float] | None = None) -> tuple[float, ...]:
        """Return each prompt's gap, raw; ``rewards`` by row, without any those of the PM as is."""
        if rewards is None:
            rewards = [row.reward for row in self.rows]
        examples, others = (
            self.means(role, rewards) for role in (Role.EXAMPLE, Role.COUNTER_EXAMPLE)
        )
        return tuple(one - other for one, other in zip(examples, others, strict=True))
