"""Write ``docs/formats.md`` from the registries, so that the page is always that of the code.

python docs/make_formats.py          # writes the page
python docs/make_formats.py --check  # fails where the page is stale
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from pm_audit.loading.pms import refusals
from pm_audit.loading.pms.refusals import OF_JUDGES
from pm_audit.loading.pms.registry import BUILT_IN as FAMILIES
from pm_audit.loading.saes.registry import BUILT_IN as FORMATS
from pm_audit.text.text_format import NAMES

PAGE = Path(__file__).with_name("formats.md")

INTRODUCTION = """\
# What loads, and what is refused

This page is generated from the registries by `python docs/make_formats.py`.  `pm-audit doctor
--pm PM --sae SAE` tries a PM and its SAEs and says what is wrong with them.  Other packages add
families and formats by entry points of the groups `pm_audit.pms` and `pm_audit.saes`.

Remote code stays off, pickles are read as tensors alone, and no name inside a checkpoint opens a
file outside its folder.
"""


def page() -> str:
    """Return the whole page."""
    return "\n".join(
        [
            INTRODUCTION,
            "## Preference models",
            "",
            *table(
                (family.name, family.files, family.loads, family.refuses) for family in FAMILIES
            ),
            "",
            "Refused in every format:",
            "",
            *(
                f"- **{refusal.name}**: {refusal.reason}."
                for refusal in (*refusals.FIRST, *refusals.LAST)
            ),
            "",
            f"Text formats: {', '.join(f'`{name}`' for name in NAMES)}.  Without one, the",
            "tokenizer's chat template is used.  With several objectives, the user names one,",
            "gives a mixture (`name=0.7,name=-0.3`), or judges each hypothesis for every one",
            "(`all`); they are never averaged.  `ADAPTER@BASE` names an adapter's base: a folder,",
            "a GGUF file or a name on the hub.  `judge:PATH` reads a causal language model as a",
            "[judge](judges.md).  Refused of judges:",
            "",
            *(f"- **{refusal.name}**: {refusal.reason}." for refusal in OF_JUDGES[-3:]),
            "",
            "## Sparse autoencoders",
            "",
            *table((kind.name, kind.files, kind.loads, kind.refuses) for kind in FORMATS),
            "",
            "With sae-lens installed, `release/sae_id` of its list loads too.  Every format is",
            "brought to one form: an SAE reads the residual stream after one block, decoding is",
            "linear in the features, and what depends on the token is frozen under ablation.",
            "`NAME=PATH@LAYER` names an SAE and the block after which it reads; both are optional.",
            "Refused in every format: square matrices (their orientation is ambiguous), hooks that",
            "are not the residual stream, weights that are NaN or do not fit their configuration.",
            "",
        ]
    )


def table(rows: Iterable[tuple[str, str, Iterable[str], Mapping[str, str]]]) -> list[str]:
    """Return a Markdown table of what loads and what is refused."""
    lines = ["| | files | loads | refused, and why |", "| --- | --- | --- | --- |"]
    for name, files, loads, refuses in rows:
        by_reason: dict[str, list[str]] = {}
        for what, why in refuses.items():
            by_reason.setdefault(why, []).append(what)
        refused = "<br>".join(f"{', '.join(what)}: {why}" for why, what in by_reason.items())
        lines.append(f"| **{name}** | {files} | {'; '.join(loads)} | {refused} |")
    return lines


def main(arguments: list[str]) -> int:
    """Write the page, or with ``--check`` compare it; return the exit status."""
    if "--check" in arguments:
        stale = not PAGE.is_file() or PAGE.read_text(encoding="utf-8") != page()
        if stale:
            print(f"{PAGE} is stale; run python {Path(__file__).name}")
        return int(stale)
    PAGE.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
