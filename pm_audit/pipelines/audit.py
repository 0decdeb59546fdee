"""An audit, top to bottom.

    subject, hypotheses -> each hypothesis audited -> Benjamini-Hochberg -> record

and of one hypothesis:

    hypothesis -> cases -> grid -> clean forward -> gap; if one is found:
      -> targets of the replacement -> attributions -> candidates -> set (discovery prompts)
      -> the set, its complement and random sets (held-out prompts), unseen phrasings
      -> evidence -> verdict

A cheap approximation proposes, a real ablation decides; attribution never enters a verdict.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from pm_audit.attribution.integrated_gradients import QUADRATURE
from pm_audit.baselines import run_baselines
from pm_audit.errors import ModelError, SaeError
from pm_audit.forward.contrast import Contrast
from pm_audit.forward.experiment import Experiment
from pm_audit.forward.fit import measure_fit, neighbours
from pm_audit.forward.grid import Grid, Row
from pm_audit.forward.scale import Scale, measure_scale
from pm_audit.forward.splice import replay_noise
from pm_audit.forward.targets import Targets
from pm_audit.forward.trace import Trace, trace
from pm_audit.interventions.replacements import replacement
from pm_audit.judging import judge
from pm_audit.loading.subject import load_subjects
from pm_audit.pipelines.described import describe_environment, describe_subject
from pm_audit.pipelines.feature_index import in_corpus, read_indices
from pm_audit.pipelines.generating.generate import generate
from pm_audit.pipelines.labels import Labelling
from pm_audit.pipelines.record import Surroundings, assemble
from pm_audit.pipelines.texts import texts_of
from pm_audit.records import (
    AuditRecord,
    BaselineEvidence,
    Evidence,
    HypothesisRecord,
    Role,
)
from pm_audit.search import (
    FoldSearch,
    Selector,
    by_phrasing,
    describe,
    halves,
    propose,
    run_placebo,
    run_singles,
    searched,
    shown,
    split,
    test_sets,
    transfer,
    unsearched,
)
from pm_audit.spec import Case, Hypothesis, Settings, method_of
from pm_audit.subject.compatibility import require_saes_of
from pm_audit.subject.preference_model import PreferenceModel
from pm_audit.subject.preflight import preflight, require
from pm_audit.subject.sae import Sae
from pm_audit.text.text_format import TokenisedRow

Progress = Callable[[str], None]
Subject = tuple[PreferenceModel | Sequence[PreferenceModel], Sequence[Sae]]
"""A loaded PM, or one for each of its objectives, and its SAEs."""


FIT_TOKENS = 1024
"""Tokens on which an audit measures an SAE's fit: three passes of the whole SAE over each."""


def audit(
    hypotheses: Sequence[Hypothesis],
    settings: Settings,
    *,
    subject: Subject | None = None,
    progress: Progress | None = None,
    labelling: Labelling | None = None,
) -> AuditRecord:
    """Audit hypotheses and return the record of the run.

    Warns about labels of no SAE that is audited, and of a labelling command that failed.

    Raises:
        AuditError: the subject cannot be loaded or fails its preflight, the texts of a hypothesis
            do not fit it, or a number is not finite.

    """
    auditor = Auditor(settings, subject=subject, progress=progress)
    labelling = labelling or Labelling()
    for note in labelling.examine(auditor.subject.saes):
        warnings.warn(note, stacklevel=3)
    results, failure = labelling.label([auditor.audit(hypothesis) for hypothesis in hypotheses])
    if failure is not None:
        warnings.warn(failure, stacklevel=3)
    return assemble(Surroundings.of(auditor), hypotheses, results)


class Auditor:
    """A loaded subject, ready to audit hypotheses one after the other.

    A PM with several objectives has one reward for each, on one body; a hypothesis is judged for
    the objective that it names.

    Args:
        settings: what is audited and how.
        subject: a loaded PM and its SAEs, in place of those that the settings name.
        progress: receives a sentence at each step.

    Raises:
        AuditError: at construction, if the subject cannot be loaded or fails its preflight, the
            SAEs cannot read its stream, or no installed package has the replacement.

    """

    def __init__(
        self,
        settings: Settings,
        *,
        subject: Subject | None = None,
        progress: Progress | None = None,
    ) -> None:
        self._report: Progress = progress or (lambda _: None)
        replacement(settings.replacement)  # refused before anything is loaded
        if subject is None:
            self._report(f"loading preference model {settings.pm}")
        loaded, saes = subject or load_subjects(settings)
        pms = (loaded,) if isinstance(loaded, PreferenceModel) else tuple(loaded)
        self.pm, self.saes = pms[0], tuple(saes)
        if not self.saes:
            raise SaeError("an audit needs an SAE, and none is given; give at least one")
        require_saes_of(self.pm, self.saes)
        device = str(self.pm.device) if subject else settings.device
        self._pms = {pm.objective: pm for pm in pms}
        self._scales: dict[str | None, Scale] = {}
        self._indices = read_indices(self.saes)
        self.scale(self.pm)
        self.subject = describe_subject(pms, self.saes, device=device)
        self.method = method_of(settings, quadrature=QUADRATURE)
        self.environment = describe_environment()

    def scale(self, pm: PreferenceModel) -> Scale:
        """Return sigma and noise of one objective's PM, measured once, after its preflight.

        Raises:
            ModelError: the preflight fails.
            NumericalError: the PM gives one reward to everything.

        """
        if pm.objective not in self._scales:
            about = pm.name if pm.objective is None else f"{pm.name}, objective {pm.objective}"
            require(preflight(pm), name=about)
            self._scales[pm.objective] = measure_scale(pm)
        return self._scales[pm.objective]

    def audit(self, hypothesis: Hypothesis) -> HypothesisRecord:
        """Audit one hypothesis and judge it.

        Raises:
            AuditError: the texts do not fit the PM, or a number is not finite.

        """
        pm = self._judging(hypothesis)
        hypothesis = hypothesis.model_copy(update={"objective": pm.objective})
        name, scale = hypothesis.full_name, self.scale(pm)
        generated = None
        if hypothesis.generate is not None:
            hypothesis, generated = generate(
                hypothesis, pm, scale, method=self.method, report=self._report
            )
        tried = texts_of(hypothesis, pm, self.method)
        cases, texts = tried.cases, tried.rows
        contrast = Contrast(
            np.array([case.prompt for case in cases]),
            [case.role for case in cases],
            np.array([case.variant for case in cases]),
        )
        self._report(f"{name}: reading {len(cases)} completions")
        clean = self._trace(pm, cases, texts)
        experiment = Experiment(clean, contrast)
        fits = tuple(measure_fit(clean, sae, most=FIT_TOKENS) for sae in self.saes)
        noise = max(scale.noise, replay_noise(clean, min(sae.layer for sae in self.saes)))
        evidence = unsearched(cases, experiment, fits, replace(scale, noise=noise))
        further = tried.further.gaps(pm, lambda said: self._report(f"{name}: {said}"))
        evidence = evidence.model_copy(
            update={"pairs": tried.pairs, "further": further, "generated": generated}
        )
        record = judge(hypothesis, evidence, (), method=self.method)
        if record.closure is None:
            self._report(f"{name}: no gap was found, so no feature is searched for")
            return record

        self._report(f"{name}: attributing the gap to features")
        gaps = contrast.gap_by_prompt(clean.rewards).tolist()
        folds = split(gaps, self.method.folds, seed=self.method.seed)
        phrasings, parts = by_phrasing(contrast, folds), halves(gaps, folds, seed=self.method.seed)
        searches = len(folds) + len(phrasings) + len(parts)
        selector = self._selector(experiment, searches=searches)
        self._report(f"{name}: searching for the features that carry the gap")
        found = [selector.select(fold) for fold in folds]
        self._report(f"{name}: testing the selected sets on held-out prompts")
        targets, cache = selector.targets, selector.cache
        held_out = test_sets(experiment, found, targets, cache, method=self.method)
        features = shown(experiment, selector.proposal, found)
        singles = run_singles(experiment, features, targets)
        evidence = searched(evidence, experiment, selector.proposal, found, held_out, singles)
        if phrasings:
            self._report(f"{name}: searching without each phrasing, to test on it")
        unseen = [selector.select(fold) for fold in phrasings]
        evidence = evidence.model_copy(
            update={
                "transfer": transfer(experiment, unseen, targets, cache),
                "halves": tuple(selector.select(half).selected for half in parts),
                "sweeps": selector.sweeps(folds),
            }
        )
        evidence = self._with_baselines(evidence, name, experiment, found, targets)
        records = describe(
            experiment,
            selector.proposal,
            found,
            singles,
            texts,
            method=self.method,
            token_name=pm.text_format.token_name,
        )
        records = in_corpus(records, self._indices)
        return judge(hypothesis, evidence, records, method=self.method)

    def _selector(self, experiment: Experiment, *, searches: int) -> Selector:
        """Return what searches for sets by the method's replacement, ready for any fold.

        The searches share the method's budget of time.

        Raises:
            AuditError: no installed package has the replacement.

        """
        reference = experiment.rows(Role.COUNTER_EXAMPLE)
        targets = replacement(self.method.replacement).targets(experiment, reference)
        proposal = propose(experiment, targets, method=self.method)
        return Selector.of(experiment, proposal, method=self.method, searches=searches)

    def _judging(self, hypothesis: Hypothesis) -> PreferenceModel:
        """Return the PM of the objective that the hypothesis names, or the only one."""
        if hypothesis.objective is None and len(self._pms) == 1:
            return self.pm
        if hypothesis.objective not in self._pms:
            known = ", ".join(str(objective) for objective in self._pms if objective is not None)
            loaded = f"loaded {known}; name one of these" if known else "loaded a PM of one reward"
            raise ModelError(
                f"{hypothesis.file}:{hypothesis.line}: {hypothesis.full_name} is judged for "
                f"objective {hypothesis.objective}, this audit {loaded}"
            )
        return self._pms[hypothesis.objective]

    def _with_baselines(
        self,
        evidence: Evidence,
        name: str,
        experiment: Experiment,
        searches: Sequence[FoldSearch],
        targets: Targets,
    ) -> Evidence:
        """Return the evidence with the baselines and placebos that the method requests."""
        folds = tuple(one.fold for one in searches)
        baselines: tuple[BaselineEvidence, ...] = ()
        if self.method.sae_baselines:
            self._report(f"{name}: trying baseline explanations")
            baselines = run_baselines(
                experiment,
                [(fold.discovery, fold.held_out) for fold in folds],
                [one.selected for one in searches],
                targets=targets,
                most=self.method.max_features,
                seed=self.method.seed,
            )
        placebos = []
        for number in range(self.method.placebos):
            self._report(f"{name}: placebo {number + 1} of {self.method.placebos}")
            selector_of = partial(self._selector, searches=len(folds))
            seed = self.method.seed + number
            placebos.append(run_placebo(experiment, folds, selector_of, seed=seed))
        return evidence.model_copy(update={"baselines": baselines, "placebos": tuple(placebos)})

    def _trace(
        self, pm: PreferenceModel, cases: Sequence[Case], texts: Sequence[TokenisedRow]
    ) -> Trace:
        # Wordings of one prompt are different texts: each shares its own prefix.
        prompts: dict[tuple[int, int], int] = {}
        rows = tuple(
            Row(
                prompt=prompts.setdefault((case.prompt, case.wording), len(prompts)),
                token_ids=text.token_ids,
                completion_start=text.completion_start,
                completion_stop=text.completion_stop,
            )
            for case, text in zip(cases, texts, strict=True)
        )
        neighbouring = {layer for sae in self.saes for layer in neighbours(sae, pm.depth)}
        return trace(pm, self.saes, Grid(rows), also=sorted(neighbouring))
