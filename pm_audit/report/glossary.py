"""Every figure and outcome of a report, explained once: formula, sign, and how to read it."""

from __future__ import annotations

from dataclasses import dataclass

from pm_audit.judging import rules


@dataclass(frozen=True, slots=True)
class Entry:
    """One term."""

    name: str
    short: str
    """One line, without a full stop."""
    formula: str
    """Plain text; empty where there is none."""
    reading: str
    """How to read it, and what it does not say."""


_FIGURES = (
    Entry(
        "reward",
        "the PM's number for a prompt and a completion",
        "r(p, c)",
        "Only differences for one prompt have meaning; the level has none.",
    ),
    Entry(
        "sigma",
        "the spread of the PM's rewards over ordinary completions",
        "sigma = standard deviation of r over the fixed reference set",
        "The unit of gaps, residuals and contributions in every report, so that two PMs can be "
        "compared. One sigma in raw reward stands at the top of each report.",
    ),
    Entry(
        "gap",
        "how much more reward the PM gives the examples than the counter-examples",
        "g_p = mean r(p, example) - mean r(p, counter-example);  G = mean of g_p over prompts",
        "Positive: the PM raises the reward of what the hypothesis is about; negative: it lowers "
        "it. The interval is over prompts, which are the unit of inference.",
    ),
    Entry(
        "residual",
        "the gap that remains when the selected features are ablated",
        "G_S = G with features S ablated at the completion's positions, which include the tokens "
        "that the format writes after it;  share = G_S / G",
        "Near zero: the features explain the gap. A negative share means overshoot: the ablation "
        "reverses the gap. If no gap is found, nothing is searched for and it is the gap.",
    ),
    Entry(
        "closure",
        "the share of the gap that the selected features explain",
        "kappa = 1 - G_S / G",
        "Measured on prompts that took no part in the selection, and compared with random sets of "
        "the same size. Reported for zero and for mean replacement: the decomposition of the gap "
        "uses the mean, so its part of the selected features can differ by a little.",
    ),
    Entry(
        "collateral",
        "how far ablation moves what it should leave alone",
        "largest mean |change| of counter-examples or of controls, over |G|",
        "A gap that is closed by moving the counter-examples is not explained.",
    ),
    Entry(
        "feature",
        "a direction in the PM's activations that a sparse autoencoder (SAE) found",
        "",
        "It is shown by the words on which it is most active; its SAE and index stand next to "
        "them. The words are a hint at what it means, the ablation is what it does.",
    ),
    Entry(
        "contribution",
        "what one feature adds to the reward of the examples",
        "r - r with this feature ablated, mean over the examples of all prompts, in sigma;  "
        "share = that / G",
        "Positive: the feature raises the reward. A real ablation, unlike the attribution. "
        "Contributions of single features need not add up to the closure "
        "of the set.",
    ),
    Entry(
        "attribution",
        "the cheap estimate that proposed a feature",
        "sum over positions of f_i * <d_i, mean gradient of r along the path>, 4-step IG",
        "It proposes and never decides: no verdict rests on it.",
    ),
    Entry(
        "selectivity",
        "the share of a feature's effect that falls on the examples",
        "|contribution on examples| / (that + |contribution on counter-examples|)",
        "A feature that moves everything explains nothing.",
    ),
    Entry(
        "left-out",
        "why a candidate may not explain the gap, whatever its measured effect",
        "fires on few examples (below half) | no effect | selectivity too low, and then: outlier "
        "norm (10 x the median) | high frequency (half of all tokens) | fires on counter examples "
        "(half of them) | moves other completions; or weaker than others on a first sample",
        "What follows low selectivity says what kind of feature it is and decides nothing.",
    ),
    Entry(
        "decomposition",
        "where the gap lives",
        "selected features, then all others, then the error terms are set to their "
        "counter-example means, one after the other; each part is what that takes from G",
        "They sum to the gap. The rest is what no completion token carries: prompt and length. "
        "With several SAEs: for all together, and for each alone. The error term is replaced after "
        "the features; `fit` judges what the reconstruction loses while they stay.",
    ),
    Entry(
        "interaction",
        "what the set does beyond its members",
        "joint effect of the set - sum of its members' single effects",
        "Far from zero: the single contributions do not add up.",
    ),
    Entry(
        "null",
        "the closure of random sets",
        "sets of the same size, matched on activation x decoder norm, ablated the same way",
        "The selected set must beat the 95th percentile of these.",
    ),
    Entry(
        "placebo",
        "the closure of searches on exchanged labels",
        "the whole search, with examples and counter-examples exchanged at random",
        "Far from zero, the search itself makes explanations. Off unless `placebos` is set.",
    ),
    Entry(
        "fvu",
        "how much of the stream the SAE fails to reconstruct",
        "sum |x - decode(f)|^2 / sum |x - mean x|^2, variance by dimension",
        "Lower at the SAE's own layer than at its neighbours, or the SAE does not belong there.",
    ),
    Entry(
        "q-value",
        "the gap's significance after all hypotheses of the run are counted",
        "Benjamini-Hochberg over the p-values of the run",
        "Below 0.05: at most one in twenty such gaps is expected to be chance.",
    ),
    Entry(
        "pass",
        "the check's interval lies on the expected side of its threshold",
        "",
        "Only a complete run can be a release verdict.",
    ),
    Entry(
        "fail",
        "the check's interval lies on the other side: the claim is refuted",
        "",
        "known_bias can excuse it, as it can an inconclusive check, until it expires.",
    ),
    Entry(
        "inconclusive",
        "the interval straddles the threshold",
        "",
        "More prompts narrow it. It counts as a failure unless --pm-audit-inconclusive=pass.",
    ),
    Entry(
        "invalid",
        "the check cannot be judged",
        "",
        "No gap of which a share could be explained, an SAE that does not fit, or too few prompts.",
    ),
    Entry(
        "skipped",
        "the check is not required",
        "",
        "The hypothesis expects no gap, so there is nothing to explain. A gap that is found all "
        "the same is searched, and its features are shown.",
    ),
)


def entries() -> tuple[Entry, ...]:
    """Return every term: figures and outcomes, then the checks of this installation."""
    checks = (
        Entry(f"check-{check}", rule.title, "", rule.passes) for check, rule in rules().items()
    )
    return (*_FIGURES, *checks)


def find(name: str) -> Entry | None:
    """Return the entry of a term, whatever its case."""
    return next((entry for entry in entries() if entry.name == name.strip().lower()), None)


def text(entry: Entry) -> str:
    """Return an entry as a few lines of plain text."""
    lines = [f"{entry.name}: {entry.short}."]
    if entry.formula:
        lines.append(f"  {entry.formula}")
    lines.append(f"  {entry.reading}")
    return "\n".join(lines)
