import json
import random

import pytest

from pm_audit.errors import AuditError
from pm_audit.judging import judge, rejudge, settle, verify
from pm_audit.records import (
    AuditRecord,
    Check,
    FeatureRecord,
    Figure,
    ManifestEntry,
    Role,
    SubjectRecord,
    Unit,
)
from tests.report.conftest import searched

SELECTED = FeatureRecord(
    sae="mid",
    layer=6,
    index=812,
    contribution=Figure(value=0.5, unit=Unit.REWARD),
    attribution=0.5,
    selectivity=0.9,
    frequency=1.0,
    folds=(0, 1),
)


def replaced(evidence):
    """Give the stage with the selected features replaced the rewards that the rows have."""
    (stage,) = evidence.stages
    selected = tuple(
        row.reward if row.role is Role.CONTROL else row.ablated for row in evidence.rows
    )
    stages = (stage.model_copy(update={"selected": selected}),)
    return evidence.model_copy(update={"stages": stages})


@pytest.fixture(scope="module")
def record(make_evidence, full, make_hypothesis, method, gaps):
    judged = settle(
        [
            judge(
                make_hypothesis(),
                replaced(full(make_evidence(gaps, seed=seed))),
                (SELECTED,),
                method=method,
            )
            for seed in range(2)
        ]
    )
    hypotheses = [one.model_copy(update={"name": f"h{i}"}) for i, one in enumerate(judged)]
    return AuditRecord(
        created="2026-01-01T00:00:00Z",
        complete=True,
        subject=SubjectRecord(
            pm="tiny",
            pm_sha256="0",
            tokenizer_sha256="0",
            text_format="hh",
            objective=None,
            dtype="float32",
            device="cpu",
            layers=2,
            hidden_size=8,
            saes=(),
        ),
        method=method,
        environment={},
        manifest=tuple(
            ManifestEntry(name=one.name, file=one.file, line=1, sha256="0", checks=tuple(Check))
            for one in hypotheses
        ),
        hypotheses=tuple(one.sealed() for one in hypotheses),
    ).sealed()


def reread(tree):
    return AuditRecord.model_validate(tree)


def test_a_sound_record_verifies_after_a_round_trip(record, tmp_path):
    assert verify(record) == ()
    record.write(tmp_path / "record.json")
    assert verify(AuditRecord.read(tmp_path / "record.json")) == ()


def test_prompts_that_were_searched_on_do_not_judge(record):
    def resealed(*prompts):
        one, *others = record.hypotheses
        evidence = one.evidence.model_copy(update={"generated": searched(prompts=prompts)})
        one = one.model_copy(update={"evidence": evidence}).sealed()
        return record.model_copy(update={"hypotheses": (one, *others)}).sealed()

    assert verify(resealed("another")) == ()
    shared = record.hypotheses[0].evidence.prompts[2]
    (said,) = verify(resealed("another", shared))
    assert said.endswith(f"edits were searched for on prompt '{shared}', which judges them")


def numbers(tree, path=()):
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from numbers(value, (*path, key))
    elif isinstance(tree, list):
        for index, value in enumerate(tree):
            yield from numbers(value, (*path, index))
    elif isinstance(tree, float):
        yield path


def flip(tree, path, generator):
    """Change one digit of the number at the path, whichever."""
    holder = tree
    for key in path[:-1]:
        holder = holder[key]
    text = repr(holder[path[-1]])
    mantissa = text.split("e")[0]
    places = [place for place, mark in enumerate(mantissa) if mark.isdigit()]
    place = generator.choice(places)
    digit = str((int(text[place]) + generator.randint(1, 9)) % 10)
    holder[path[-1]] = float(text[:place] + digit + text[place + 1 :])


def test_one_flipped_digit_anywhere_is_found(record):
    text = record.model_dump_json()
    generator = random.Random(0)
    paths = list(numbers(json.loads(text)["hypotheses"]))
    figures = [path for path in paths if "evidence" not in path]
    assert len(figures) > 50
    tried = 0
    for path in figures + generator.sample([p for p in paths if "evidence" in p], 40):
        tree = json.loads(text)
        flip(tree["hypotheses"], path, generator)
        try:
            changed = reread(tree)
        except ValueError:
            continue
        if changed == record:
            continue  # the digit lay beyond the precision of the number
        tried += 1
        try:
            found = verify(changed)
        except AuditError:
            continue  # a threshold or sigma that cannot be is refused outright
        assert found, path
    assert tried > 80


def leaves(tree, path=()):
    children = tree.items() if isinstance(tree, dict) else enumerate(tree)
    for key, value in children:
        if isinstance(value, dict | list):
            yield from leaves(value, (*path, key))
        elif value is not None:
            yield (*path, key), value


def test_one_change_outside_the_hypotheses_is_found(record):
    text = record.model_dump_json()
    tried = 0
    for path, value in leaves(json.loads(text) | {"hypotheses": []}):
        tree = holder = json.loads(text)
        for key in path[:-1]:
            holder = holder[key]
        holder[path[-1]] = f"{value}0" if isinstance(value, str) else not value or value + 1
        try:
            changed = reread(tree)
        except ValueError:
            continue  # of another kind, and so no record at all
        tried += 1
        assert verify(changed), path
    assert tried > 25


@pytest.mark.parametrize("blank", ["", " "])
def test_a_blank_digest_proves_nothing(record, blank):
    (found,) = verify(record.model_copy(update={"digest": blank}))
    assert "outside its hypotheses: the record holds no digest" in found
    first = record.hypotheses[0].model_copy(update={"digest": blank})
    unsealed = record.model_copy(update={"hypotheses": (first, *record.hypotheses[1:])}).sealed()
    (found,) = verify(unsealed)
    assert "::h0: the record holds no digest" in found


def test_a_missing_digest_proves_nothing(record):
    tree = json.loads(record.model_dump_json())
    del tree["digest"], tree["hypotheses"][0]["digest"]
    assert len(verify(reread(tree))) == 2


def test_sentences_of_another_version_are_held_by_the_digest_alone(record):
    first = record.hypotheses[0]
    checks = tuple(one.model_copy(update={"reason": "as it was said once"}) for one in first.checks)
    older = first.model_copy(update={"checks": checks, "warnings": ("said once",)})
    hypotheses = (older.sealed(), *record.hypotheses[1:])
    assert verify(record.model_copy(update={"hypotheses": hypotheses}).sealed()) == ()
    altered = record.model_copy(update={"hypotheses": (older, *record.hypotheses[1:])})
    assert any("digest does not match" in one for one in verify(altered))


def test_a_changed_figure_is_named_with_both_values(record):
    tree = json.loads(record.model_dump_json())
    tree["hypotheses"][1]["closure"]["value"] = 0.99
    tree["hypotheses"][1]["checks"][0]["outcome"] = "fail"
    found = verify(reread(tree))
    assert any("h1: closure.value is 0.99 in the record but 0.7" in one for one in found)
    assert any("checks[0].outcome is fail in the record but pass" in one for one in found)


def test_a_changed_figure_is_found_even_where_the_digest_was_made_anew(record):
    tree = json.loads(record.model_dump_json())
    tree["hypotheses"][0]["closure"]["low"] -= 0.01
    forged = reread(tree)
    forged = forged.model_copy(
        update={"hypotheses": tuple(one.sealed() for one in forged.hypotheses)}
    ).sealed()
    assert any("closure.low" in one for one in verify(forged))


def sealed_again(record, **changes):
    """Return a record with its first hypothesis changed, judged again and sealed again."""
    first = record.hypotheses[0].model_copy(update=changes)
    judged = settle([rejudge(first, method=record.method), *record.hypotheses[1:]])
    return record.model_copy(update={"hypotheses": judged}).sealed()


@pytest.mark.parametrize("features", [(), (SELECTED.model_copy(update={"folds": (0,)}),)])
def test_features_that_the_folds_did_not_select_are_found(record, features):
    (found,) = verify(sealed_again(record, features=features))
    assert "h0: the features that it lists as selected are not those" in found


def test_rewards_that_differ_between_rows_and_stages_are_found(record):
    evidence = record.hypotheses[0].evidence
    (stage,) = evidence.stages
    other = stage.model_copy(update={"selected": (9.0, *stage.selected[1:])})
    forged = evidence.model_copy(update={"stages": (other,)})
    (found,) = verify(sealed_again(record, evidence=forged))
    assert "h0: the rewards with the selected features replaced differ" in found


@pytest.mark.parametrize(
    "place",
    [
        ("sufficiency", "value"),
        ("transfer", 1, "closure", "low"),
        ("transfer_closure", "high"),
        ("stability", "value"),
        ("closure_by_fold", 0),
        ("alongside", 0, "closure", "value"),
        ("decompositions", 0, "error_first", "value"),
    ],
    ids=str,
)
def test_every_figure_beside_closure_follows_from_its_evidence(record, place):
    tree = json.loads(record.model_dump_json())
    holder = tree["hypotheses"][0]
    for key in place[:-1]:
        holder = holder[key]
    holder[place[-1]] += 0.01
    forged = reread(tree)
    forged = forged.model_copy(
        update={"hypotheses": tuple(one.sealed() for one in forged.hypotheses)}
    ).sealed()
    (found,) = verify(forged)
    assert f"h0: {place[0]}" in found


def test_a_changed_word_is_found(record):
    tree = json.loads(record.model_dump_json())
    tree["hypotheses"][0]["claim"] = "It moves the mountain."
    assert any("digest" in one for one in verify(reread(tree)))


def test_a_complete_run_that_lacks_a_check_is_found(record):
    extra = ManifestEntry(name="lost", file="h.yaml", line=1, sha256="0", checks=(Check.GAP,))
    longer = record.model_copy(update={"manifest": (*record.manifest, extra)})
    assert any("h.yaml::lost" in one and "gap" in one for one in verify(longer))
    partial = longer.model_copy(update={"complete": False}).sealed()
    assert verify(partial) == ()
