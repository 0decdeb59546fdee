"""A feature index: where each latent of an SAE fires most in a corpus, in a file next to the SAE.

Texts are excerpts around the strongest token.  An index is a file of others: it is read only up
to a size, its places must lie inside its texts, and its texts are as hostile as completions.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError, model_validator

from pm_audit.errors import RecordError
from pm_audit.records.base import Finite, Record
from pm_audit.records.evidence import Firing

INDEX_VERSION: Literal[1] = 1
MOST_BYTES = 8 * 2**20
"""Largest index that is read."""

Place = tuple[int, int, Finite]
"""First and last-plus-one character of a token in its text, and the activation there."""


class IndexedText(Record):
    """An excerpt of the corpus and the tokens of it on which a latent fires."""

    t: Annotated[str, Field(max_length=1_000)]
    """The excerpt; names are short because an index holds thousands."""
    p: Annotated[tuple[Place, ...], Field(min_length=1, max_length=1_000)]
    """Where the latent fires, strongest first."""

    @model_validator(mode="after")
    def _inside(self) -> Self:
        if any(not 0 <= start <= end <= len(self.t) for start, end, _ in self.p):
            raise ValueError("a place lies outside its text")
        return self

    def firing(self) -> Firing:
        """Return the same as the record holds it."""
        (start, end, activation), *others = self.p
        return Firing(
            before=self.t[:start],
            token=self.t[start:end],
            after=self.t[end:],
            activation=activation,
            others=tuple(others),
        )


class IndexedFeature(Record):
    """One latent in the corpus."""

    f: Annotated[Finite, Field(ge=0, le=1)]
    """Share of the corpus' tokens on which it fires."""
    x: Annotated[tuple[IndexedText, ...], Field(max_length=20)]
    """The texts on which it fires most, strongest first."""


class FeatureIndex(Record):
    """Every latent of one SAE that fired in a corpus."""

    schema_version: Literal[1] = INDEX_VERSION
    sae_sha256: str
    pm: str
    """The PM whose stream was read."""
    pm_sha256: str
    corpus: str
    """Name of the file of texts."""
    corpus_sha256: str
    tokens: Annotated[int, Field(ge=1)]
    """Tokens that were read."""
    features: Mapping[int, IndexedFeature]

    @classmethod
    def read(cls, path: Path, *, sae_sha256: str) -> Self:
        """Read the index of an SAE.

        Raises:
            RecordError: it is too large, torn, of another version, or of another SAE.

        """

        def refused(what: str) -> RecordError:
            return RecordError(
                f"{path}: {what}; write it again with `pm-audit index`, or remove it"
            )

        try:
            if path.stat().st_size > MOST_BYTES:
                raise refused(f"larger than {MOST_BYTES} bytes")
            text = path.read_bytes()
            version = json.loads(text).get("schema_version")
        except (OSError, ValueError, AttributeError, RecursionError) as error:
            raise refused(f"cannot be read as a feature index: {error}") from None
        if version != INDEX_VERSION:
            raise refused(f"schema_version is {version!r}, this pm_audit reads {INDEX_VERSION}")
        try:
            index = cls.model_validate_json(text)
        except ValidationError as error:
            fault = error.errors()[0]["msg"]
            raise refused(f"not a feature index of version {version}: {fault}") from None
        if index.sae_sha256 != sae_sha256:
            raise refused("it was made for other weights than those next to it")
        return index
