"""Every setting as an option, generated from ``Settings`` by ``python docs/make_settings.py``.

Every pytest run of every project that has pm_audit installed reads this module, so it imports no
pydantic.
"""
# ruff: noqa: E501 - a row a line

from __future__ import annotations

from typing import NamedTuple


class Setting(NamedTuple):
    """A field of ``Settings``, ``text``, ``flag`` or ``list``, with the help of its option."""

    name: str
    kind: str
    help: str

    @property
    def option(self) -> str:
        """Return the option without the dashes before it: ``text-format``, ``sae``."""
        return "sae" if self.kind == "list" else self.name.replace("_", "-")


SETTINGS = tuple(
    Setting(*row.split(maxsplit=2))
    for row in """
pm text The preference model: a folder, a Hub name, ADAPTER@BASE, `judge:PATH` or `default`.
saes list Sparse autoencoders of this PM: files, folders or `release/id`; none means the PM's own. Repeat the option for each; an ini file has one a line.
text_format text How dialogues become text: `hh`, `raw`, `oasst`, `beaver`, `ultra`, `chat` or `pair`; by default what the PM names.
text_end text The end of a text, read by heads: `as-written`; `eos`, with the EOS token (TRL's `add_eos`); `openrlhf`; or a special token that is appended. By default as the PM names or the format is.
text_start text How a text begins: `bos`, once with what the tokenizer begins every text with (the default), or `as-written`, without it if a chat template writes none (TRL's `RewardTrainer`).
text_date text Day that a chat template gets for today, never the clock's: by default 2024-07-26.
judge_template text Rubric of a judge, with {prompt} and {completion}; by default it asks whether the answer is good. In pyproject.toml also `template` of [tool.pm_audit.judge].
judge_verdicts text Tokens after a judge's rubric: of two, such as `Yes,No`, the reward is the first's logit less the second's; of three or more numbers, such as `1,2,3,4,5`, their expected value. In pyproject.toml also `verdicts` of [tool.pm_audit.judge], as a list.
repair text Folder that `pm-audit repair --export` wrote: its edit is applied to the PM's stream.
objective text Which reward of a PM with several: a name, a mixture `name=0.7,name=-0.3`, or `all`.
dtype text Number format of the PM's body: `float32`, `bfloat16`, `float16`, or `float64` to check a number.
device text Where the PM and its SAEs run: `cpu`, `cuda` or `cuda:N`.
prompts text Most prompts of a hypothesis that are tried, drawn by `seed`; pairs have a `sample` of their own. (default: 16)
searched_prompts text Most prompts of a preference set on which features are searched for and tested, drawn by `seed`; the gap is that of all pairs. (default: 200)
folds text Folds of prompts; each fold is tested with the features that the others selected. (default: 2)
candidates text Features of a fold, best by attribution, among which its set is searched for. (default: 64)
search text Where candidates come from: `attribution`; `budget`, single ablations until a count or time is spent; `exhaustive`, single ablation of every feature that fires on the examples.
budget_count text Features of a fold and SAE that `search: budget` ablates at most. (default: 256)
budget_seconds text Wall time of a hypothesis after which `search: budget` begins no further ablations.
extra_scores flag Let GradDrop, and integrated gradients of single large features, propose candidates too.
max_features text Largest set of features that may explain a gap. (default: 10)
replacement text What stands in a feature's place: `contrast`, its mean over the prompt's counter-examples; `zero`, `mean` or `resample`. The others are reported alongside.
set_search text How the set is chosen among the candidates: `growth`, by residual and collateral, a feature at a time; or `mask`, learned gates over all of them.
collateral_penalty text Weight of the squared collateral next to the residual when a set is searched for. (default: 1.0)
ig_steps text Steps of integrated gradients. (default: 4)
null_sets text Matched random sets in a fold that the selected set must beat. (default: 20)
sae_baselines flag Try neurons, PCA, linear probes and a learned subspace too; costs as much again.
placebos text Searches repeated with examples and counter-examples exchanged at random. (default: 0)
bootstrap_resamples text Resamples of prompts behind every interval. (default: 2000)
confidence text Coverage of every interval. (default: 0.95)
seed text Seed of everything that is drawn. (default: 0)
hypotheses text Folder of hypotheses, from the project root; audited if no path is named.
probes text Folder of probes, from the project root.
labels text YAML file of the project's own labels of features; by default `labels.yaml`, if it exists.
label_command text Command that labels the selected features, run once when an audit ends, without a shell.
label_seconds text Time that `label_command` may take. (default: 600)
record text Where the record is written. (default: reports/record.json)
baseline text Record of the last release; a regression against it fails the run.
gate text What fails the run: `absolute`, every expectation that is not met; `regressions`, only what is worse than the baseline.
""".strip().splitlines()
)
