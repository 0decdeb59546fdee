"""Draw the pictures of `docs/contrast.md`.

One is a worked example, whose rewards are sums; two hold figures of `reports/baseline.json`.

python docs/make_pictures.py          # writes them
python docs/make_pictures.py --check  # fails where one of them is stale
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path

from pm_audit.records import AuditRecord, Figure, HypothesisRecord
from pm_audit.report import figures, findings, sanitise, scope
from pm_audit.report.html.scale import Scale

ROOT = Path(__file__).parents[1]
RECORD = ROOT / "reports" / "baseline.json"

STYLE = """\
<style>
  text { font: 13px system-ui, sans-serif; fill: #333; } .soft { fill: #666; } .bold { font-weight: 600; }
  .page { fill: #fff; } .grid { stroke: #e4e4e4; } .line { stroke: #999; stroke-dasharray: 4 4; }
  .tone { fill: #7ba7d9; } .doubt { fill: #e08a2e; } .rest { fill: #c9cdd4; }
  .necessity { fill: #2f5fb3; stroke: #2f5fb3; } .sufficiency { fill: #fff; stroke: #b35900; stroke-width: 2; }
  line.necessity, line.sufficiency { stroke-width: 2; } .phrasing { fill: #2f5fb3; fill-opacity: .6; }
</style>"""  # noqa: E501 - as it stands in the file

PARTS = ("tone", "doubt", "rest")
"""Of a reward: two features that are replaced, and what no feature carries."""

REWARDS = {
    "example": (5, 3, 2),
    "counter-example": (4, 0, 2),
    "control": (5, 0, 2),
}
"""What each part adds to the reward of a completion."""

REPLACEMENTS: Mapping[str, Mapping[str, int]] = {
    "as it is": {},
    "zero replacement": {"tone": 0, "doubt": 0},
    "contrast replacement": dict(zip(PARTS[:2], REWARDS["counter-example"], strict=False)),
}
"""What stands in the place of a replaced part."""

LEAST, MOST = -0.25, 1.5
"""Shares of the gap at which the axes end."""


def contrast() -> str:
    """Return the worked example: one set of features under two replacements."""
    parts = [*_legend()]
    for at, (name, values) in enumerate(REPLACEMENTS.items()):
        left = 126 + 210 * at
        parts.append(f'<text class="bold" x="{left}" y="48">{name}</text>')
        rewards = {}
        for row, (completion, whole) in enumerate(REWARDS.items()):
            shown = {part: values.get(part, size) for part, size in zip(PARTS, whole, strict=True)}
            rewards[completion] = sum(shown.values())
            parts += _bar(left, 62 + 34 * row, shown, rewards[completion])
        parts += _verdict(left, rewards)
    names = (
        f'<text x="116" y="{78 + 34 * row}" text-anchor="end">{name}</text>'
        for row, name in enumerate(REWARDS)
    )
    return _page(740, 232, "One set of features under two replacements", [*names, *parts])


def _legend() -> Iterator[str]:
    words = ("tone, active on all", "doubt, active on the example alone", "the rest")
    for x, part, text in zip((126, 290, 550), PARTS, words, strict=True):
        yield f'<rect class="{part}" x="{x}" y="12" width="12" height="12" rx="2"/>'
        yield f'<text x="{x + 18}" y="23">{text}</text>'


def _bar(left: int, top: int, shown: Mapping[str, int], reward: int) -> Iterator[str]:
    reached = left
    for part, size in shown.items():
        if size:
            width = 14 * size
            yield (
                f'<rect class="{part}" x="{reached}" y="{top}" width="{width}" height="22" rx="2"/>'
            )
            reached += width
    yield f'<text x="{reached + 6}" y="{top + 16}">{reward}</text>'


def _verdict(left: int, rewards: Mapping[str, int]) -> Iterator[str]:
    before = {name: sum(whole) for name, whole in REWARDS.items()}
    gap = before["example"] - before["counter-example"]
    left_over = rewards["example"] - rewards["counter-example"]
    lines = [f"gap {left_over}, closure {figures.percent(1 - left_over / gap)}"]
    if rewards == before:
        lines = [f"gap {gap}"]
    else:
        for name in ("counter-example", "control"):
            moved = abs(rewards[name] - before[name]) / gap
            lines.append(f"{name} moves {figures.percent(moved)}")
    for row, line in enumerate(lines):
        yield f'<text class="soft" x="{left}" y="{182 + 18 * row}">{line}</text>'


def sufficiency(record: AuditRecord) -> str:
    """Return closure and sufficiency of each hypothesis that has both."""
    shown = [one for one in findings.by_size(record) if one.closure and one.sufficiency]
    bottom = 44 + 24 * len(shown)
    scale = Scale(LEAST, MOST, 190, 690)
    parts = [*_grid(scale, 36, bottom), *_key()]
    for row, one in enumerate(shown):
        middle = 52 + 24 * row
        parts.append(f'<text x="180" y="{middle + 4}" text-anchor="end">{escape(one.name)}</text>')
        for kind, figure, shift in (
            ("necessity", one.closure, -4),
            ("sufficiency", one.sufficiency, 4),
        ):
            parts += _mark(scale, figure, middle + shift, kind)
    title = "Closure and sufficiency of each hypothesis of the default PM's audit"
    return _page(720, bottom + 40, title, parts)


def _key() -> Iterator[str]:
    words = ("closure (necessity)", "sufficiency")
    for x, kind, text in zip((190, 350), ("necessity", "sufficiency"), words, strict=True):
        yield f'<circle class="{kind}" cx="{x + 6}" cy="18" r="4.5"/>'
        yield f'<text x="{x + 18}" y="23">{text}</text>'


def _mark(scale: Scale, figure: Figure, middle: int, kind: str) -> Iterator[str]:
    low, high = (
        scale.clamped(edge if end is None else end)
        for end, edge in ((figure.low, LEAST), (figure.high, MOST))
    )
    at = scale.clamped(figure.value)
    yield f'<line class="{kind}" x1="{low}" x2="{high}" y1="{middle}" y2="{middle}"/>'
    yield f'<circle class="{kind}" cx="{at}" cy="{middle}" r="4"/>'


def _grid(scale: Scale, top: int, bottom: int) -> Iterator[str]:
    for tick in scale.ticks():
        yield f'<line class="grid" x1="{tick.at}" x2="{tick.at}" y1="{top}" y2="{bottom}"/>'
        label = figures.percent(tick.value)
        yield f'<text x="{tick.at}" y="{bottom + 18}" text-anchor="middle">{label}</text>'


def transfer(record: AuditRecord) -> str:
    """Return each phrasing of the record: its closure where it was seen, and where it was not."""
    across, up = Scale(LEAST, MOST, 190, 550), Scale(LEAST, MOST, 380, 20)
    parts = [*_grid(across, 20, 380)]
    for tick in up.ticks():
        parts.append(f'<line class="grid" x1="190" x2="550" y1="{tick.at}" y2="{tick.at}"/>')
        label = figures.percent(tick.value)
        parts.append(f'<text x="182" y="{tick.at + 4}" text-anchor="end">{label}</text>')
    parts += [
        '<line class="line" x1="190" y1="380" x2="550" y2="20"/>',
        '<text x="370" y="424" text-anchor="middle">closure, phrasing seen by the search</text>',
        '<text x="130" y="200" text-anchor="middle" transform="rotate(-90 130 200)">'
        "closure, phrasing not seen</text>",
    ]
    for one in findings.by_size(record):
        parts += _phrasings(one, across, up)
    return _page(720, 436, "Closure of each phrasing, seen and unseen", parts)


def _phrasings(of: HypothesisRecord, across: Scale, up: Scale) -> Iterator[str]:
    for one in scope.phrasings(of):
        if one.figure is not None and one.seen is not None:
            x, y = across.clamped(one.seen), up.clamped(one.figure.value)
            words = escape(sanitise.xml(f"{of.name},{one.phrasing}: {scope.value(one)}"))
            place = f'cx="{x}" cy="{y}" r="5"'
            yield f'<circle class="phrasing" {place}><title>{words}</title></circle>'


def _page(width: int, height: int, title: str, parts: list[str]) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img"'
    page = f'<rect class="page" width="{width}" height="{height}"/>'
    return "\n".join([f'{head} aria-label="{title}">', STYLE, page, *parts, "</svg>", ""])


def pictures(record: AuditRecord) -> dict[str, str]:
    """Return each picture by the name of its file."""
    return {
        "contrast.svg": contrast(),
        "sufficiency.svg": sufficiency(record),
        "transfer.svg": transfer(record),
    }


def main(arguments: list[str]) -> int:
    """Write the pictures, or with ``--check`` compare them; return the exit status."""
    wrong = 0
    for name, text in pictures(AuditRecord.read(RECORD)).items():
        path = Path(__file__).with_name(name)
        if "--check" not in arguments:
            path.write_text(text, encoding="utf-8")
        elif not path.is_file() or path.read_text(encoding="utf-8") != text:
            print(f"docs/{name} is stale; run `python docs/make_pictures.py`")
            wrong = 1
    return wrong


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
