"""Searches over edits on planted PMs, where it is known which edit breaks a claim."""

from __future__ import annotations

import pytest
import torch
from hypothesis import settings as engine
from hypothesis.database import InMemoryExampleDatabase

from pm_audit.errors import AuditError, InvalidSpec, ModelError
from pm_audit.judging import rejudge
from pm_audit.judging.figures import MINIMUM_PROMPTS
from pm_audit.pipelines.audit import Auditor
from pm_audit.pipelines.generating import gaps as gaps_module
from pm_audit.pipelines.generating.generate import generate, split
from pm_audit.pipelines.generating.kept import keep, kept
from pm_audit.pipelines.generating.turned import bases
from pm_audit.records import Check, Outcome
from pm_audit.spec import Hypothesis, Settings, expand
from pm_audit.spec.generate import FEWEST_JUDGED
from pm_audit.strategies import Attach, Insert, Program, Repeat
from recipes.planted.linear import plant

torch.set_num_threads(1)

BASE = " Ask at the mill"
PHRASES = [f"as {word} say" for word in ("we", "they", "all", "some", "few", "men", "you", "most")]
LIKED = "so they say!!!"


@pytest.fixture(scope="module")
def liked():
    return plant({"!": 0.6}, seed=1)


@pytest.fixture(scope="module")
def indifferent():
    return plant({}, seed=1)


@pytest.fixture(autouse=True)
def database():
    """An example database that holds nothing yet."""
    found = InMemoryExampleDatabase()
    engine.register_profile("own", database=found)
    engine.load_profile("own")
    yield found
    engine.load_profile("default")


def claim(prompts=12, gap="none", margin=1.0, **changes) -> Hypothesis:
    written = {"base": BASE, "edits": ["punctuation"], "examples": 40, "prompts": 4, "seed": 0}
    return Hypothesis(
        name="no-bonus",
        claim="No edit moves the reward.",
        prompts=[f"Where is number {number:02}?" for number in range(prompts)],
        generate=written | changes,
        expect={"gap": gap, "margin": margin},
    )


def test_as_many_prompts_are_left_as_judging_needs():
    assert FEWEST_JUDGED == MINIMUM_PROMPTS
    for prompts, searched in ((9, 3), (10, 4), (11, 5), (12, 6), (40, 8)):
        hypothesis = claim(prompts=prompts)
        written = hypothesis.generate.model_copy(update={"prompts": 8})
        sides = split(hypothesis, written, seed=0)
        assert [len(side.prompts) for side in sides] == [searched, prompts - searched]


def auditor_of(model) -> Auditor:
    small = Settings(null_sets=2, bootstrap_resamples=100, candidates=8, ig_steps=1)
    return Auditor(small, subject=(model.pm, (model.sae,)))


def found(model, hypothesis):
    own = auditor_of(model)
    scale = own.scale(own.pm)
    return generate(hypothesis, own.pm, scale, method=own.method, report=lambda _: None)


def edits(evidence) -> tuple:
    return Program.model_validate(evidence.program).edits


def test_a_failure_is_shrunk_and_judged_with_its_features_on_prompts_not_searched(liked):
    hypothesis, own = claim(), auditor_of(liked)
    record = own.audit(hypothesis)
    generated = record.evidence.generated
    assert edits(generated) == (Attach(text="!", word=0),)
    assert (generated.base, generated.edited) == (BASE, " Ask! at the mill")
    assert generated.broke
    assert not generated.replayed
    assert 0 < generated.breaking < generated.distinct <= generated.drawn == 40
    assert not set(generated.prompts) & set(record.evidence.prompts)
    assert len(generated.prompts) == 4
    assert record.outcomes[Check.GAP] is Outcome.FAIL
    assert liked.latent_of["!"] in {feature.index for feature in record.features if feature.folds}
    assert {row.text for row in record.evidence.rows} == {generated.base, generated.edited}
    assert rejudge(record, method=own.method) == record


@pytest.mark.parametrize("seed", range(3))
def test_a_phrase_among_others_is_found_alone(liked, seed):
    phrases = [*(f"{one} {number}" for number in range(10) for one in PHRASES), LIKED]
    hypothesis = claim(edits=[{"insert": phrases}, "casing"], examples=200, seed=seed)
    assert edits(found(liked, hypothesis)[1]) == (Insert(text=LIKED, after=0),)


def test_other_failures_are_the_largest_of_each_kind_without_compositions_of_them(liked):
    phrases = ["so!", "so they!!!", "well!!!!!", "fine", "good"]
    asked = claim(edits=["punctuation", {"suffix": phrases}], at_most=2, examples=60)
    evidence = auditor_of(liked).audit(asked).evidence.generated
    assert evidence.edit == "write \u201cwell!!!!!\u201d at the end"
    assert [one.edit for one in evidence.others] == [
        "write \u201c!!!\u201d behind word 2",
        "write \u201cso they!!!\u201d at the end",
        "write \u201cso!\u201d at the end",
    ]
    gaps = [one.gap_sigma for one in evidence.others]
    assert gaps == sorted(gaps, reverse=True)
    assert evidence.breaking > len(gaps) + 1


def test_nothing_breaks_a_claim_that_holds(indifferent):
    hypothesis = claim(margin=2.0)
    record = auditor_of(indifferent).audit(hypothesis)
    assert not record.evidence.generated.broke
    assert record.evidence.generated.breaking == record.evidence.generated.steps == 0
    assert record.outcomes[Check.GAP] is Outcome.PASS


@pytest.mark.parametrize(("gap", "mark"), [("raises", ";"), ("lowers", "!")])
def test_an_edit_that_does_not_do_what_each_should_breaks_the_claim(liked, gap, mark):
    hypothesis = claim(gap=gap, margin=0.5, edits=[{"suffix": [";", "!"]}], at_most=1)
    ordinary, generated = found(liked, hypothesis)
    assert edits(generated) == (Insert(text=mark, after=None),)
    assert ordinary.effect == gap
    assert generated.broke


def test_texts_are_those_of_the_edit_for_each_prompt():
    hypothesis = claim(prompts=10)
    fields = [{"answer": "Ask Ann" if number % 2 else "AT HOME"} for number in range(10)]
    prompts = tuple(
        prompt.model_copy(update={"fields": own})
        for prompt, own in zip(hypothesis.prompts, fields, strict=True)
    )
    written = hypothesis.generate.model_copy(update={"base": " {answer}."})
    hypothesis = hypothesis.model_copy(update={"prompts": prompts, "generate": written})
    searched, judged = split(hypothesis, written, seed=0)
    assert (len(searched.prompts), len(judged.prompts)) == (4, 6)
    assert {case.text for case in bases(hypothesis)} == {" Ask Ann.", " AT HOME."}
    assert split(hypothesis, written, seed=0) == (searched, judged)
    sides = [split(hypothesis, written, seed=seed)[0].prompts for seed in range(9)]
    assert any(side != searched.prompts for side in sides)


def test_prompts_that_the_edit_leaves_as_they_are_are_left_out(liked):
    fields = [{"answer": f"Ask {word}"} for word in ("e", "e", "e", "A") * 3]
    hypothesis = claim(edits=["look_alikes"], at_most=1, base=" {answer}", margin=0.01)
    prompts = tuple(
        prompt.model_copy(update={"fields": own})
        for prompt, own in zip(hypothesis.prompts, fields, strict=True)
    )
    hypothesis = hypothesis.model_copy(update={"prompts": prompts})
    ordinary, generated = found(liked, hypothesis)
    program = Program.model_validate(generated.program)
    judged = 12 - len(generated.prompts)
    assert generated.too_small > 0
    assert len(ordinary.prompts) == judged - generated.unchanged
    texts = {case.role: case.text for case in expand(ordinary) if case.prompt == 0}
    assert program.apply(texts["counter_example"]) == texts["example"]
    assert texts["example"] != texts["counter_example"]


def test_the_example_database_does_not_change_what_is_found(liked, database):
    hypothesis = claim()
    first = found(liked, hypothesis)
    assert kept(hypothesis, hypothesis.generate) == (Program(edits=edits(first[1])),)
    assert found(liked, hypothesis) == first
    (key,) = database.data
    other = Program(edits=(Attach(text="!!!!!", word=0),))
    for content in (other.model_dump_json().encode(), b"damaged", b'{"edits": []}'):
        database.save(key, content)
    assert found(liked, hypothesis) == first


def test_what_broke_one_pm_is_judged_on_the_next_if_nothing_drawn_breaks_the_claim(
    liked, indifferent
):
    hypothesis = claim(at_most=1, margin=12.0)
    many = Program(edits=(Attach(text=12 * "!"),))
    keep(hypothesis, hypothesis.generate, many)
    generated = found(liked, hypothesis)[1]
    assert generated.breaking == 0
    assert (generated.broke, generated.replayed) == (True, True)
    assert edits(generated) == many.edits
    generated = found(indifferent, hypothesis)[1]
    assert (generated.broke, generated.replayed) == (False, False)


def test_a_kept_failure_that_fills_the_memory_is_refused(indifferent):
    hypothesis = claim(margin=12.0)
    written = hypothesis.generate.model_copy(update={"at_most": 8})
    hypothesis = hypothesis.model_copy(update={"generate": written})
    keep(hypothesis, written, Program(edits=(Repeat(words=None, times=16),) * 8))
    assert not found(indifferent, hypothesis)[1].broke


def test_an_interrupted_search_leaves_nothing_and_the_next_is_the_same(liked, monkeypatch):
    hypothesis = claim()
    wanted = found(liked, hypothesis)
    read = gaps_module.read_rewards

    def interrupt(*given, left=[3]):  # noqa: B006 - counts the calls
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return read(*given)

    monkeypatch.setattr(gaps_module, "read_rewards", interrupt)
    with pytest.raises(KeyboardInterrupt):
        found(liked, hypothesis)
    monkeypatch.undo()
    assert found(liked, hypothesis) == wanted


def test_an_error_while_shrinking_is_no_failure_of_the_pm(liked, monkeypatch):
    read, calls = gaps_module.read_rewards, []

    def fail(*given):
        calls.append(given)
        if len(calls) > 2:
            raise ModelError("the PM is gone")
        return read(*given)

    monkeypatch.setattr(gaps_module, "read_rewards", fail)
    with pytest.raises(ModelError, match="the PM is gone"):
        found(liked, claim())


def test_half_a_surrogate_pair_is_refused_when_it_is_written():
    for key in ("insert", "prefix", "suffix"):
        with pytest.raises(InvalidSpec, match="phrase 2 holds a lone surrogate; remove it"):
            claim(edits=[{key: ["a", "\ud800"]}])


def test_edits_that_change_nothing_are_an_error(liked):
    hypothesis = claim(edits=["reordering"], base=" Yes")
    with pytest.raises(AuditError, match="changes half of the completions"):
        found(liked, hypothesis)


def test_the_texts_are_read_in_few_forwards(liked, monkeypatch):
    read, rows = gaps_module.read_rewards, []

    def count(pm, given):
        rows.append(len(given))
        return read(pm, given)

    monkeypatch.setattr(gaps_module, "read_rewards", count)
    generated = found(liked, claim(edits=["punctuation", "markup"], examples=120))[1]
    searched = [count for count in rows[1:] if count > 100]
    assert rows[0] == len(generated.prompts) == 4  # the base completions
    assert sum(searched) > 0.9 * 4 * generated.distinct
    assert sum(rows) - sum(searched) <= 4 * (generated.steps + 1) + 100
