"""In which order a diff names groups."""

from __future__ import annotations

from pm_audit.records import Figure, Unit
from pm_audit.records.scan import FeatureGroup
from pm_audit.scanning.ranking import rank_of_group


def group(low: float, follows: float | None) -> FeatureGroup:
    figure = Figure(value=low + 0.1, low=low, high=low + 0.2, unit=Unit.SHARE)
    return FeatureGroup(
        features=(0,),
        effect=figure,
        difference=figure,
        moved=1.0,
        compared=9,
        similarity=None,
        share=None if follows is None else figure,
        follows=follows,
    )


def test_of_two_groups_with_one_share_the_one_that_follows_the_change_comes_first() -> None:
    dense, where_it_happened = group(0.1, 0.2), group(0.1, 0.9)
    assert rank_of_group(where_it_happened) > rank_of_group(dense) > 0


def test_following_the_change_makes_up_for_no_share() -> None:
    assert rank_of_group(group(-0.1, 1.0)) < rank_of_group(group(0.001, 0.01))


def test_groups_of_a_scan_of_one_pm_are_ranked_by_their_effect() -> None:
    assert rank_of_group(group(0.3, None)) == 0.3
