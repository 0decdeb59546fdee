from __future__ import annotations

import pytest

from pm_audit.errors import SaeError, TooLongError
from pm_audit.forward.scale import measure_scale
from pm_audit.pipelines.explain import take_apart
from pm_audit.server import Explainer
from pm_audit.spec import Settings, Speaker, Turn
from pm_audit.spec.labels import WrittenLabels

QUESTION = "Where is the mill?"


def test_it_finds_what_the_pipeline_finds_and_where_features_fire(planted, explainer):
    found = explainer(QUESTION, " By the river^;", " By the river;!")
    turns = (Turn(speaker=Speaker.HUMAN, text=QUESTION),)
    alone = take_apart(planted.pm, planted.sae, turns, " By the river^;", " By the river;!")
    gained, lost = found.features[:2]
    assert gained.firing_a is None
    assert (gained.firing_b.before, gained.firing_b.token) == (" By the river;", "!")
    assert gained.firing_b.activation == pytest.approx(2.0, abs=1e-5)
    assert lost.firing_b is None
    assert (lost.firing_a.before, lost.firing_a.token) == (" By the river", "^")
    # the prompt is not edited, so that its text is not kept with every feature
    assert not any(QUESTION in str(one) for one in found.features[: explainer.top])
    assert all(one.firing_b is None for one in found.features[explainer.top :])
    bare = {"features": {"__all__": {"firing_a", "firing_b"}}}
    assert found.model_dump(exclude=bare) == alone.model_dump()


def test_a_text_that_would_take_hours_is_refused_at_once(explainer):
    with pytest.raises(TooLongError, match=r"the page|this page.*400.*--longest \d+"):
        explainer(QUESTION, " a", " b" * 400)
    with pytest.raises(TooLongError):
        explainer("q" * 500, " a", " b")


def test_the_subject_is_loaded_once_with_its_scale(planted, monkeypatch):
    subject = (planted.pm, (planted.sae,))
    monkeypatch.setattr("pm_audit.server.explainer.load_subject", lambda settings: subject)
    loaded = Explainer.load(Settings(), sae=None, labels=WrittenLabels(), longest=9, top=3)
    assert loaded.scale == measure_scale(planted.pm)
    with pytest.raises(SaeError, match="choose one of planted"):
        Explainer.load(Settings(), sae="other", labels=WrittenLabels(), longest=9, top=3)
