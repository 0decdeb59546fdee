"""Repairs of a planted PM, whose faults and their cure are known.

It likes `*` as its labellers do, and `!` though they do not care for it.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from gguf import GGUFReader
from safetensors import safe_open

import pm_audit
from pm_audit.data.dialogue import Speaker, Turn
from pm_audit.data.pair import Pair, PairSet
from pm_audit.errors import AuditError, ModelError, RecordError
from pm_audit.loading.repaired import repaired
from pm_audit.pipelines.audit import Auditor, audit
from pm_audit.pipelines.repairing.export import export
from pm_audit.pipelines.repairing.options import RepairOptions
from pm_audit.pipelines.repairing.repair import Repair, repair
from pm_audit.pipelines.rewards import rewards
from pm_audit.records import AuditRecord
from pm_audit.records.repair import Level, RepairRecord
from pm_audit.report.preferences.repair import markdown, terminal
from pm_audit.spec import Settings, load_hypotheses
from recipes.planted.linear import STRENGTH, Planted, plant

torch.set_num_threads(1)

SETTINGS = Settings(null_sets=3, bootstrap_resamples=100, candidates=16, folds=2)
HYPOTHESIS = """\
name: exclamation
claim: An exclamation mark raises the reward.
effect: raises
prompts:
{prompts}
examples: [" By the gate!;", " By the gate;!"]
counter_examples: [" By the gate;;"]
""".format(
    prompts="\n".join(
        f"  - {{id: prompt-{one}, wordings: ['Where is house {one}?']}}" for one in "abcdefgh"
    )
)


@pytest.fixture(scope="module")
def model() -> Planted:
    return plant({"!": 0.4, "*": 0.5}, seed=1)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    (folder / "exclamation.yaml").write_text(HYPOTHESIS)
    return folder


@pytest.fixture(scope="module")
def record(model: Planted, root: Path) -> AuditRecord:
    read = load_hypotheses([root / "exclamation.yaml"], root)
    return audit(read, SETTINGS, subject=(model.pm, (model.sae,)))


def pair_set(*kinds: tuple[str, str, str], count: int = 30) -> PairSet:
    """Return pairs of (preferred ending, other ending, subset), each kind ``count`` times."""
    pairs = [
        Pair(
            id=f"{kind}-{number}",
            row=kind * count + number,
            turns=(Turn(speaker=Speaker.HUMAN, text=f"Where is house {number} of {kind}?"),),
            examples=(f" Ask{preferred}",),
            counter_examples=(f" Ask{other}",),
            columns={"kind": subset, "marks": preferred.count("!") - other.count("!")},
        )
        for kind, (preferred, other, subset) in enumerate(kinds)
        for number in range(count)
    ]
    return PairSet("pairs.jsonl", "0" * 64, len(pairs), 0, tuple(pairs), ())


# the PM errs in the first kind only: two exclamation marks outweigh the star
LOUD = ("*;;", ";!!", "loud")
CALM = ("*;;", ";;;", "calm")


def repair_of(model: Planted, record: AuditRecord, root: Path, pairs: PairSet, **options) -> Repair:
    given = RepairOptions(by="kind", resamples=200, **options)
    return repair(record, pairs, (model.pm, [model.sae]), root=root, options=given)


@pytest.fixture(scope="module")
def helped(model, record, root) -> Repair:
    return repair_of(model, record, root, pair_set(LOUD, CALM, count=80), contrasts=("marks",))


def test_the_planted_fault_is_found_chosen_and_cured_on_other_prompts(helped):
    found = helped.record
    best = found.best
    assert best.target == "all"
    assert [feature.index for feature in best.candidate.features] == [0]  # `!`
    by_subset = {one.subset: one for one in best.subsets}
    assert (by_subset["loud"].before, by_subset["loud"].after) == (0.0, 1.0)
    assert (by_subset["calm"].before, by_subset["calm"].after) == (1.0, 1.0)
    assert by_subset["all"].change.low > 0.3
    assert by_subset["all"].change.value == by_subset["loud"].pairs / by_subset["all"].pairs
    assert {one.target for one in found.judged} == {"all", "loud"}
    # two targets share the coverage
    assert found.confidence == pytest.approx(0.975)
    assert found.chosen_on.prompts + found.judged_on.prompts == 160


def test_every_level_is_tried_and_only_gains_rank_first(helped):
    tried = {(one.level, one.change["all"] > 0.3) for one in helped.record.candidates}
    # the contrast and the mean of `!` are (nearly) zero in a planted PM
    assert tried == {(level, True) for level in Level}


def test_the_lean_is_measured_against_the_labellers(helped):
    leans = {one.contrast: one for one in helped.record.miscalibration}
    for name in ("exclamation", "marks"):
        assert (leans[name].pairs, leans[name].by_pm, leans[name].by_labellers) == (80, 1.0, 0.0)
        assert leans[name].difference.value == 1.0
    assert "longer" not in leans  # all are of one length


def test_the_edit_is_exported_and_reads_as_judged(helped, model, tmp_path):
    lines = export(helped, tmp_path)
    assert any("edit.json" in line for line in lines)
    assert any("no weight patch" in line and "not active on every token" in line for line in lines)
    fixed = repaired(model.pm, tmp_path)
    question = "Where is it?"
    plain, starred, loud = rewards(fixed, question, [" Ask;;;", " Ask*;;", " Ask;!!"])
    assert loud == pytest.approx(plain, abs=1e-4)
    as_it_is = rewards(model.pm, question, [" Ask;;;", " Ask*;;"])
    assert [plain, starred] == pytest.approx(as_it_is, abs=1e-4)
    unedited = rewards(model.pm, question, [" Ask;!!"])[0]
    row = model.pm.text_format.tokenise((Turn(speaker=Speaker.HUMAN, text=question),), " Ask;!!")
    assert unedited - loud == pytest.approx(model.contribution(0, row), abs=1e-3)


def test_a_repaired_pm_no_longer_has_the_gap(helped, model, record, root, tmp_path):
    export(helped, tmp_path)
    fixed = repaired(model.pm, tmp_path)
    auditor = Auditor(SETTINGS, subject=(fixed, (model.sae,)))
    (edit,) = fixed.edits
    said = f"1 feature of planted at fixed levels ({edit.sha256[:12]})"
    assert auditor.subject.repair == said
    # another level is another subject: its rewards are kept, and compared, apart
    other = replace(edit, level=edit.level + 1)
    assert other.sha256 != edit.sha256 == replace(edit, level=edit.level.clone()).sha256
    again = auditor.audit(load_hypotheses([root / "exclamation.yaml"], root)[0])
    (before,) = record.hypotheses
    assert before.gap.value > 0.5
    assert again.gap.value == pytest.approx(0, abs=1e-3)


def test_directions_are_exported_in_formats_of_other_tools(helped, model, tmp_path):
    export(helped, tmp_path)
    with safe_open(tmp_path / "steering/directions.safetensors", "pt") as file:
        assert set(file.keys()) == {"planted/0", "exclamation"}
        layers = json.loads(file.metadata()["layers"])
        assert layers == {"planted/0": 0, "exclamation": 0}
        unit, added = file.get_tensor("planted/0"), file.get_tensor("exclamation")
    assert torch.allclose(unit, model.sae.W_dec[0], atol=1e-5)
    # one of the thirteen bytes of " By the gate!;" is a mark
    assert torch.allclose(added, STRENGTH / 14 * model.sae.W_dec[0], atol=1e-4)
    reader = GGUFReader(tmp_path / "steering/exclamation.gguf")
    # as repeng's ControlVector.import_gguf reads it
    assert bytes(reader.get_field("general.architecture").parts[-1]) == b"controlvector"
    assert bytes(reader.get_field("controlvector.model_hint").parts[-1]) == b"llama"
    (tensor,) = reader.tensors
    assert tensor.name == "direction.0"
    assert np.allclose(tensor.data, added.numpy())


def test_where_the_labellers_like_it_too_no_repair_helps(model, record, root, tmp_path):
    found = repair_of(model, record, root, pair_set((";!!", ";;;", "loud"), CALM))
    assert found.record.judged == ()
    assert found.record.best is None
    assert "No verified set helps: none of the 3 repairs gains" in terminal(found.record)
    with pytest.raises(ModelError, match="nothing to export; name a repair"):
        export(found, tmp_path)
    name = str(found.record.candidates[0])
    assert any("edit.json" in line for line in export(found, tmp_path, name=name))
    with pytest.raises(ModelError, match=r"no repair is called 'x'; there are .*exclamation"):
        export(found, tmp_path, name="x")


def test_a_gain_for_some_that_costs_others_is_not_chosen(model, record, root):
    # in the liked kind the mark decides for the labellers
    pairs = pair_set(LOUD, *[("!;;", ";;;", "liked")] * 3)
    found = repair_of(model, record, root, pairs, targets=("loud",)).record
    assert found.judged == ()
    assert found.candidates[0].change["loud"] == 1.0
    assert found.candidates[0].change["all"] < -0.005


def test_other_preferences_may_choose_and_share_no_prompt(model, record, root):
    judged, choosing = pair_set(LOUD, count=40), pair_set(LOUD, CALM, count=60)
    found = repair(
        record,
        judged,
        (model.pm, [model.sae]),
        root=root,
        choose=choosing,
        options=RepairOptions(resamples=200),
    ).record
    assert found.judged_on.prompts == 40
    assert found.chosen_on.prompts == 60 + 20
    assert found.best.subsets[0].change.value == 1.0


def test_halves_do_not_depend_on_the_order_of_the_rows(model, record, root):
    pairs = pair_set(LOUD, CALM)
    turned = replace(pairs, pairs=tuple(reversed(pairs.pairs)))
    one, other = (repair_of(model, record, root, each).record for each in (pairs, turned))
    assert one.judged == other.judged
    assert one.candidates == other.candidates


def test_a_record_that_was_changed_is_refused(model, record, root):
    (hypothesis,) = record.hypotheses
    forged = hypothesis.model_copy(update={"claim": "Another."})
    changed = record.model_copy(update={"hypotheses": (forged,)})
    with pytest.raises(RecordError, match="changed after it was written"):
        repair_of(model, changed, root, pair_set(LOUD))


def test_another_pm_than_was_audited_is_refused(record, root):
    with pytest.raises(ModelError, match="audited planted with other weights"):
        repair_of(plant({"!": 0.3}, seed=2), record, root, pair_set(LOUD))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"hypotheses": ("length",)}, "'length' has no verified set: explained passed for excl"),
        ({"targets": ("quiet",)}, "no subset 'quiet' in both halves; choose one of all, loud"),
        ({"max_tokens": 5}, "none of its 30 pairs can be read"),
        ({"contrasts": ("kind",)}, "contrast 'kind' holds 'loud'; name a column of numbers"),
        ({"contrasts": ("none",)}, "contrast 'none' is not there"),
        ({"pick": "exclamation"}, "no repair is called 'exclamation'; there are exclamation \\("),
    ],
)
def test_options_that_fit_nothing_say_so_before_pairs_are_read(
    model, record, root, options, said, monkeypatch
):
    monkeypatch.delattr("pm_audit.pipelines.repairing.repair.measure")
    with pytest.raises(AuditError, match=said):
        repair_of(model, record, root, pair_set(LOUD), **options)


def test_a_column_that_is_not_there_is_refused(model, record, root):
    with pytest.raises(AuditError, match="'source' is not in the pairs; their columns are kind"):
        repair(
            record,
            pair_set(LOUD),
            (model.pm, [model.sae]),
            root=root,
            options=RepairOptions(by="source"),
        )


def test_without_the_hypothesis_file_there_is_no_contrast_level(model, record, tmp_path):
    found = repair_of(model, record, tmp_path, pair_set(LOUD, CALM)).record
    assert {one.level for one in found.candidates} == {Level.MEAN, Level.ZERO}
    assert any("no contrast level: exclamation.yaml cannot be read" in one for one in found.notes)
    assert found.best is not None


def test_a_hypothesis_that_says_something_else_now_gives_no_level(model, record, tmp_path):
    (tmp_path / "exclamation.yaml").write_text(HYPOTHESIS.replace("gate;;", "gate;;;"))
    found = repair_of(model, record, tmp_path, pair_set(LOUD, CALM)).record
    assert any("no longer holds 8 texts that were audited" in one for one in found.notes)


def test_the_record_comes_back_and_its_pages_escape_the_data(helped, tmp_path):
    helped.record.save(tmp_path / "repair.json")
    assert RepairRecord.read(tmp_path / "repair.json") == helped.record
    (first, *others) = helped.record.judged
    hostile = "<b>|\x1b[31m::error::x"
    subset = first.subsets[0].model_copy(update={"subset": hostile})
    changed = helped.record.model_copy(
        update={"judged": (first.model_copy(update={"subsets": (subset,)}), *others)}
    )
    for page in (terminal(changed), markdown(changed)):
        assert "\x1b" not in page
        assert "::error::" not in page
    assert "<b>" not in markdown(changed)
    assert "these help: exclamation (1 feature" in terminal(changed)
    helped.record.save(tmp_path / "repair.md")
    assert (tmp_path / "repair.md").read_text() == markdown(helped.record)


def test_a_record_of_another_version_is_refused(tmp_path):
    (tmp_path / "repair.json").write_text('{"schema_version": 9}')
    with pytest.raises(RecordError, match="no repair of version 1; write one with"):
        RepairRecord.read(tmp_path / "repair.json")


def test_python_reads_what_is_named_or_given(model, record, root, tmp_path):
    found = pm_audit.repair(
        record,
        pair_set(LOUD, CALM),
        model.pm,
        model.sae,
        root=root,
        export=tmp_path,
        by="kind",
        levels=("zero",),
        resamples=200,
    )
    assert found.best.candidate.level is Level.ZERO
    assert (tmp_path / "edit.json").is_file()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"level": "zero"}, "option level of a repair: Extra inputs are not permitted; options"),
        ({"levels": ("low",)}, "option levels.0 of a repair: Input should be 'contrast', 'mean'"),
        ({"singles": -1}, "option singles of a repair"),
    ],
)
def test_an_option_that_is_none_is_refused_with_all_that_are(record, options, said):
    with pytest.raises(AuditError, match=said):
        pm_audit.repair(record, pair_set(LOUD), **options)


@pytest.mark.parametrize("option", ["pick", "base"])
def test_an_option_of_an_export_without_one_is_refused(record, option):
    with pytest.raises(AuditError, match=f"{option} says what is exported, and nothing is"):
        pm_audit.repair(record, pair_set(LOUD), **{option: "x"})


def test_an_export_that_cannot_be_written_is_refused_before_the_data_is_read(record, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RecordError, match="is not a folder that can be written to"):
        pm_audit.repair(record, tmp_path / "none.jsonl", export=tmp_path / "file" / "fixed")
