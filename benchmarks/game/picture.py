"""The plot of the game: precision and recall of each auditor, and its F1 as a bar."""

from __future__ import annotations

from html import escape

from pm_audit.report.html.scale import Scale

STYLE = """\
<style>
  text { font: 13px system-ui, sans-serif; fill: #333; } .soft { fill: #666; }
  .page { fill: #fff; } .grid { stroke: #e4e4e4; } .f1 { fill: #c9d8ee; } .ours { fill: #2f5fb3; }
  .precision { fill: #fff; stroke: #b35900; stroke-width: 2; } .recall { fill: #b35900; }
</style>"""


def picture(result: dict) -> str:
    """Return the SVG of a game's results."""
    auditors = result["auditors"]
    bottom, scale = 44 + 30 * len(auditors), Scale(0.0, 1.0, 220, 690)
    parts = [
        '<rect class="f1" x="220" y="12" width="12" height="12"/><text x="238" y="23">F1</text>',
        '<circle class="precision" cx="296" cy="18" r="4.5"/><text x="308" y="23">precision</text>',
        '<circle class="recall" cx="406" cy="18" r="4.5"/><text x="418" y="23">recall</text>',
    ]
    for tick in scale.ticks():
        parts.append(f'<line class="grid" x1="{tick.at}" x2="{tick.at}" y1="36" y2="{bottom}"/>')
        parts.append(
            f'<text x="{tick.at}" y="{bottom + 18}" text-anchor="middle">{tick.label}</text>'
        )
    for row, (name, one) in enumerate(auditors.items()):
        middle = 58 + 30 * row
        kind = "ours" if name == "pm_audit" else "f1"
        parts += [
            f'<text x="210" y="{middle + 4}" text-anchor="end">{escape(name)}</text>',
            f'<rect class="{kind}" x="220" y="{middle - 9}" height="18" '
            f'width="{round(scale(one["f1"]) - 220, 2)}"/>',
            f'<circle class="precision" cx="{scale(one["precision"])}" cy="{middle}" r="4.5"/>',
            f'<circle class="recall" cx="{scale(one["recall"])}" cy="{middle}" r="4.5"/>',
        ]
    height = bottom + 40
    title = "F1, precision and recall of each auditor in the game"
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 720 {height}" role="img"'
    page = f'<rect class="page" width="720" height="{height}"/>'
    return "\n".join([f'{head} aria-label="{title}">', STYLE, page, *parts, "</svg>", ""])
