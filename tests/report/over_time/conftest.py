"""Records that are compared with the stored one."""

from __future__ import annotations

import pytest

from pm_audit.records import AuditRecord, FeatureLabel, FeatureRecord, LabelSource
from pm_audit.release import compare
from pm_audit.report.over_time.comment import comment


@pytest.fixture(scope="session")
def regressed():
    """Return a maker of records in which a feature with a label became causal in a hypothesis."""

    def plant(record: AuditRecord, name: str, label: str = "“sorry”") -> AuditRecord:
        one = next(each for each in record.hypotheses if each.name == name)
        like: FeatureRecord = one.features[0]
        contribution = like.contribution.model_copy(
            update={"value": 0.9, "low": 0.7, "high": 1.1}
            if one.gap.value > 0
            else {"value": -0.9, "low": -1.1, "high": -0.7}
        )
        planted = like.model_copy(
            update={
                "index": 4242,
                "contribution": contribution,
                "folds": (0, 1),
                "label": FeatureLabel(text=label, source=LabelSource.FILE),
            }
        )
        changed = one.model_copy(update={"features": (planted, *one.features)})
        hypotheses = tuple(changed if h is one else h for h in record.hypotheses)
        return record.model_copy(update={"hypotheses": hypotheses})

    return plant


@pytest.fixture(scope="session")
def comment_on():
    """Return the comment on a record that is compared with another."""

    def make(old: AuditRecord, new: AuditRecord, **more) -> str:
        return comment(new, baseline=old, comparison=compare(old, new), **more)

    return make
