"""The audit of one hypothesis, top to bottom.

    hypothesis -> cases -> grid -> clean forward -> gap; where one is found:
      -> attributions -> candidates -> single ablations -> joint set (discovery prompts)
      -> joint ablation and random sets (held-out prompts) -> evidence -> verdict

A cheap approximation proposes, a real ablation decides; attribution never enters a verdict.
"""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from pm_audit.attribution.integrated_gradients import QUADRATURE
from pm_audit.baselines import run_baselines
from pm_audit.errors import ModelError
from pm_audit.forward.contrast import Contrast
from pm_audit.forward.experiment import Experiment
from pm_audit.forward.fit import measure_fit, neighbours
from pm_audit.forward.grid import Grid, Row
from pm_audit.forward.scale import Scale, measure_scale
from pm_audit.forward.splice import replay_noise, splice_reconstruction
from pm_audit.forward.trace import Trace, trace
from pm_audit.judging import judge
from pm_audit.loading.subject import load_subjects
from pm_audit.pipelines.feature_index import in_corpus, read_indices
from pm_audit.records import (
    BaselineEvidence,
    Evidence,
    HypothesisRecord,
    SaeRecord,
    SubjectRecord,
    versions_of,
)
from pm_audit.search import (
    Proposal,
    Search,
    describe,
    measure,
    propose,
    run_placebo,
    searched,
    select,
    split,
    test_sets,
    unsearched,
)
from pm_audit.spec import ALL_OBJECTIVES, Case, Hypothesis, SearchMode, Settings, expand, method_of
from pm_audit.subject.preference_model import PreferenceModel
from pm_audit.subject.preflight import preflight, require
from pm_audit.subject.sae import Sae
from pm_audit.text.ending import AS_WRITTEN, BOS
from pm_audit.text.text_format import TextFormat, TokenisedRow

Progress = Callable[[str], None]
Subject = tuple[PreferenceModel, Sequence[Sae]]


FIT_TOKENS = 2048
"""Tokens on which an audit measures an SAE's fit: three passes of the whole SAE over each."""


class Auditor:
    """A loaded subject, ready to audit hypotheses one after the other.

    Of a PM with several objectives there is one reward for each, on one body; a hypothesis is
    judged for the one that it names.

    Args:
        settings: what is audited and how.
        subject: a PM and its SAEs that are loaded already, in place of those that are named.
        progress: is told each step.

    Raises:
        AuditError: at construction, where the subject cannot be loaded or fails its preflight.

    """

    def __init__(
        self,
        settings: Settings,
        *,
        subject: Subject | None = None,
        progress: Progress | None = None,
    ) -> None:
        self._report: Progress = progress or (lambda _: None)
        if subject is None:
            self._report(f"loading preference model {settings.pm}")
            pms, self.saes = load_subjects(settings)
        else:
            pms, self.saes = (subject[0],), tuple(subject[1])
        self.pm = pms[0]
        self._pms = {pm.objective: pm for pm in pms}
        self._scales: dict[str | None, Scale] = {}
        self.method = method_of(settings, quadrature=QUADRATURE)
        self._device = settings.device
        self._indices = read_indices(self.saes)
        self.scale(self.pm)

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
        tried = hypothesis.prompts[: self.method.prompts]
        cases = expand(hypothesis.model_copy(update={"prompts": tried}))
        texts = [pm.text_format.tokenise(case.turns, case.text) for case in cases]
        contrast = Contrast(
            np.array([case.prompt for case in cases]), [case.role for case in cases]
        )
        folds = split(contrast.prompts, self.method.folds, seed=self.method.seed)

        self._report(f"{name}: reading {len(cases)} completions")
        clean = self._trace(pm, cases, texts)
        experiment = Experiment(clean, contrast)
        fits = tuple(measure_fit(clean, sae, most=FIT_TOKENS) for sae in self.saes)
        spliced = splice_reconstruction(clean, self.saes[0])
        noise = max(scale.noise, replay_noise(clean, min(sae.layer for sae in self.saes)))
        evidence = unsearched(cases, experiment, spliced, fits, replace(scale, noise=noise))
        record = judge(hypothesis, evidence, (), method=self.method)
        if record.closure is None:
            self._report(f"{name}: no gap was found, so no feature is searched for")
            return record

        self._report(f"{name}: attributing the gap to features")
        proposal = propose(experiment, folds, method=self.method)
        if self.method.search != SearchMode.ATTRIBUTION:
            self._report(f"{name}: ablating the features that fire on the examples")
            proposal = measure(experiment, folds, proposal, method=self.method)
        self._report(f"{name}: ablating {len(proposal.features)} candidates")
        search = select(experiment, folds, proposal, method=self.method)
        self._report(f"{name}: testing the selected sets on held-out prompts")
        held_out = test_sets(experiment, search, method=self.method)

        evidence = searched(evidence, experiment, proposal, search, held_out)
        evidence = self._with_baselines(evidence, name, experiment, proposal, search)
        features = describe(
            experiment,
            proposal,
            search,
            texts,
            method=self.method,
            token_name=pm.text_format.token_name,
        )
        features = in_corpus(features, self._indices)
        return judge(hypothesis, evidence, features, method=self.method)

    def _judging(self, hypothesis: Hypothesis) -> PreferenceModel:
        """Return the PM of the objective that the hypothesis names, or the only one."""
        if hypothesis.objective is None and len(self._pms) == 1:
            return self.pm
        if hypothesis.objective not in self._pms:
            known = ", ".join(str(objective) for objective in self._pms)
            raise ModelError(
                f"{hypothesis.file}:{hypothesis.line}: {hypothesis.full_name} is judged for "
                f"objective {hypothesis.objective}, this audit loaded {known}; name one of these"
            )
        return self._pms[hypothesis.objective]

    def _with_baselines(
        self,
        evidence: Evidence,
        name: str,
        experiment: Experiment,
        proposal: Proposal,
        search: Search,
    ) -> Evidence:
        """Return the evidence with what the method asks for beside the set's own test."""
        baselines: tuple[BaselineEvidence, ...] = ()
        if self.method.sae_baselines:
            self._report(f"{name}: trying baseline explanations")
            baselines = run_baselines(
                experiment,
                [(one.fold.discovery, one.fold.held_out) for one in search.folds],
                [one.growth.selected for one in search.folds],
                most=self.method.max_features,
                seed=self.method.seed,
            )
        placebos = []
        for number in range(self.method.placebos):
            self._report(f"{name}: placebo {number + 1} of {self.method.placebos}")
            placebos.append(
                run_placebo(
                    experiment,
                    [one.fold for one in search.folds],
                    proposal,
                    method=self.method,
                    seed=self.method.seed + number,
                )
            )
        return evidence.model_copy(update={"baselines": baselines, "placebos": tuple(placebos)})

    @property
    def subject(self) -> SubjectRecord:
        """What is audited."""
        return SubjectRecord(
            pm=self.pm.name,
            pm_sha256=self.pm.sha256,
            tokenizer_sha256=_tokenizer_sha256(self.pm),
            text_format=self.pm.text_format.name,
            **_text_settings(self.pm),
            objective=self.pm.objective if len(self._pms) == 1 else ALL_OBJECTIVES,
            dtype=str(self.pm.dtype).removeprefix("torch."),
            device=self._device,
            layers=self.pm.depth,
            hidden_size=self.pm.hidden_size,
            saes=tuple(
                SaeRecord(
                    name=sae.name,
                    source=sae.source,
                    architecture=sae.architecture,
                    layer=sae.layer,
                    width=sae.width,
                    sha256=sae.sha256,
                )
                for sae in self.saes
            ),
        )

    @property
    def environment(self) -> dict[str, str]:
        """Versions and machine."""
        packages = ("pm-audit", "torch", "transformers", "numpy", "scipy", "tokenizers")
        return {
            "python": platform.python_version(),
            "platform": platform.platform(),
            "processor": platform.processor() or platform.machine(),
            **versions_of(*packages),
        }

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
            )
            for case, text in zip(cases, texts, strict=True)
        )
        beside = {layer for sae in self.saes for layer in neighbours(sae, pm.depth)}
        return trace(pm, self.saes, Grid(rows), also=sorted(beside))


def _tokenizer_sha256(pm: PreferenceModel) -> str:
    """Return the hash of what turns a dialogue into tokens.

    A plain format that ends as it is written adds nothing to the tokenizer's own rules.
    """
    written: str = pm.tokenizer.backend_tokenizer.to_str()
    form = pm.text_format
    settings = form.settings if isinstance(form, TextFormat) else ""
    return hashlib.sha256("\0".join((written, *filter(None, [settings]))).encode()).hexdigest()


def _text_settings(pm: PreferenceModel) -> dict[str, str | None]:
    """Return what was set about the text besides its format; None for what is as usual."""
    form = pm.text_format
    if not isinstance(form, TextFormat):
        return {}
    return {
        "text_end": None if form.end == AS_WRITTEN else form.end,
        "text_start": None if form.start == BOS else form.start,
        "text_date": form.written_day,
    }
