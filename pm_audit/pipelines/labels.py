"""The labels that a project gives to features: those of its file, then those of its command.

Nothing here imports torch: pytest's controller runs the command once, when all audits have ended.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from pm_audit.errors import AuditError
from pm_audit.pipelines import label_command
from pm_audit.records import (
    FeatureLabel,
    FeatureRecord,
    HypothesisRecord,
    LabelSource,
    SaeRecord,
)
from pm_audit.spec import Settings
from pm_audit.spec.labels import WrittenLabels, read_labels


@dataclass(frozen=True, kw_only=True)
class Labelling:
    """How a project labels features; by default not at all."""

    written: WrittenLabels = field(default_factory=WrittenLabels)
    command: str | None = None
    seconds: float = 0.0
    root: Path = Path()

    @classmethod
    def of(cls, settings: Settings, root: Path) -> Self:
        """Return the labelling that the settings name.

        Raises:
            AuditError: the file is not as it must be, or there is no such command.

        """
        if settings.label_command is not None:
            label_command.program(settings.label_command, root)
        return cls(
            written=read_labels(settings.labels, root),
            command=settings.label_command,
            seconds=settings.label_seconds,
            root=root,
        )

    def examine(self, saes: Sequence[SaeRecord]) -> tuple[str, ...]:
        """Return a warning for the labels of each SAE that is not audited.

        Raises:
            InvalidSpec: a label names a latent that its SAE does not have.

        """
        self.written.require_inside(saes)
        return self.written.of_no_sae(saes)

    def label(
        self, results: Sequence[HypothesisRecord]
    ) -> tuple[tuple[HypothesisRecord, ...], str | None]:
        """Return the results with the project's labels, and why the command failed, if it did.

        The command labels the selected features that the file does not.  If it fails they keep
        their labels: no audit is lost for the names of its features.
        """
        results = _relabelled(results, self.written.text, LabelSource.FILE)
        asked = list(_asked(results))
        if self.command is None or not asked:
            return results, None
        try:
            found = label_command.run(self.command, asked, root=self.root, seconds=self.seconds)
        except AuditError as error:
            return results, str(error)
        given = _relabelled(results, lambda one: found.get(str(one)), LabelSource.COMMAND)
        return given, None


def _relabelled(
    results: Sequence[HypothesisRecord],
    text_of: Callable[[FeatureRecord], str | None],
    source: LabelSource,
) -> tuple[HypothesisRecord, ...]:
    """Return the results with the labels that ``text_of`` gives in place of their own."""

    def relabelled(feature: FeatureRecord) -> FeatureRecord:
        text = text_of(feature)
        given = None if text is None else FeatureLabel(text=text, source=source)
        return feature if given is None else feature.model_copy(update={"label": given})

    return tuple(
        result.model_copy(update={"features": tuple(map(relabelled, result.features))})
        for result in results
    )


def _asked(results: Iterable[HypothesisRecord]) -> Iterator[dict[str, Any]]:
    """Yield what the command receives of each selected feature without a label of the file."""
    records: dict[str, list[FeatureRecord]] = {}
    for result in results:
        for feature in result.features:
            if feature.folds and not _in_file(feature):
                records.setdefault(str(feature), []).append(feature)
    for name, found in records.items():
        firings = (firing for one in found for firing in (*one.firings, *one.corpus_firings))
        contexts = [
            firing.model_dump(mode="json", include={"before", "token", "after", "activation"})
            for firing in dict.fromkeys(firings)
        ]
        yield {
            "feature": name,
            "label": found[0].label and found[0].label.text,
            "promotes": found[0].promotes,
            "contexts": contexts,
        }


def _in_file(feature: FeatureRecord) -> bool:
    return feature.label is not None and feature.label.source is LabelSource.FILE
