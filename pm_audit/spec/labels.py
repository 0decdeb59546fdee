"""The project's own labels of features, ``labels.yaml``: a mapping of features to text.

layer_6/3064: "though, could be"
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from pm_audit.errors import InvalidSpec, Place, Problem
from pm_audit.records import Feature, SaeRecord
from pm_audit.spec.project_files import read_text, shown
from pm_audit.spec.strict_yaml import parse

DEFAULT = Path("labels.yaml")
"""Read from the project's root if it is there."""

LONGEST = 200
"""Characters of a label."""

_FEATURE = re.compile(r"(?P<sae>.+)/(?P<index>0|[1-9][0-9]{0,8})")


@dataclass(frozen=True, slots=True)
class WrittenLabel:
    """A label and where it stands."""

    text: str
    place: Place


@dataclass(frozen=True, slots=True)
class WrittenLabels:
    """The labels of a project by SAE and latent; none without a file."""

    of: dict[tuple[str, int], WrittenLabel] = field(default_factory=dict)

    def text(self, feature: Feature) -> str | None:
        """Return the label of a feature, or None."""
        found = self.of.get((feature.sae, feature.index))
        return None if found is None else found.text

    def require_inside(self, saes: Iterable[SaeRecord]) -> None:
        """Refuse labels of latents that an SAE does not have.

        Raises:
            InvalidSpec: a latent lies outside its SAE; holds every one.

        """
        widths = {sae.name: sae.width for sae in saes}
        outside = [
            Problem(
                label.place,
                f"latent {index} is outside SAE {sae} (0 to {widths[sae] - 1}); correct the index",
            )
            for (sae, index), label in self.of.items()
            if index >= widths.get(sae, index + 1)
        ]
        if outside:
            raise InvalidSpec(outside)

    def of_no_sae(self, saes: Iterable[SaeRecord]) -> tuple[str, ...]:
        """Return a warning for the labels of each SAE that is not audited."""
        known = [sae.name for sae in saes]
        first = {sae: label.place for (sae, _), label in reversed(self.of.items())}
        return tuple(
            f"{place}: SAE {sae!a} is not audited, so its labels name nothing; "
            f"the SAEs are {', '.join(known)}"
            for sae, place in first.items()
            if sae not in known
        )


def read_labels(path: Path | None, root: Path) -> WrittenLabels:
    """Return the labels in a file of the project; None stands for ``labels.yaml``, if it is there.

    Raises:
        InvalidSpec: the file is missing, outside the root, or holds something else than labels.

    """
    if path is None and not os.path.lexists(root / DEFAULT):
        return WrittenLabels()
    path = path or DEFAULT
    top = parse(read_text(path, root), shown(path, root)).top
    if not isinstance(top.value, dict):
        raise InvalidSpec([Problem(top.place, 'write a mapping, such as `layer_6/3064: "though"`')])
    labels: dict[tuple[str, int], WrittenLabel] = {}
    problems: list[Problem] = []
    for key, value in top.value.items():
        feature, fault = _FEATURE.fullmatch(key), label_fault(value)
        if feature is None:
            name = "a key names a feature by its SAE and latent, such as layer_6/3064"
            problems.append(Problem(top.locate((key,), key_meant=True), name))
        elif fault:
            problems.append(Problem(top.locate((key,)), fault))
        else:
            label = WrittenLabel(value, top.locate((key,)))
            labels[feature["sae"], int(feature["index"])] = label
    if problems:
        raise InvalidSpec(problems)
    return WrittenLabels(labels)


def label_fault(label: object) -> str | None:
    """Return what is wrong with what was given as a label, or None."""
    if not isinstance(label, str):
        return "a label is text; put it in quotes"
    visible = any(mark.isprintable() and not mark.isspace() for mark in label)
    if not visible or len(label) > LONGEST:
        return f"a label has 1 to {LONGEST} characters, one of them visible"
    return None
