"""Run the notebook on the committed baseline and show what each cell gives, as the site is built.

Nothing that a cell gives is kept in the repository, so figures on the page are never older than
the record that they come from.
"""

from __future__ import annotations

import ast
import contextlib
import io
import json
import shutil
import tempfile
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

NOTEBOOK = Path(__file__).parent / "how-to" / "explore_a_record.ipynb"
BASELINE = Path(__file__).parents[1] / "reports" / "baseline.json"


def page(notebook: Path = NOTEBOOK, record: Path = BASELINE) -> str:
    """Return the notebook as Markdown, each code cell followed by its output."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    parts = []
    names: dict[str, Any] = {"__name__": "__main__"}
    with _project(record):
        for cell in cells:
            text = "".join(cell["source"])
            if cell["cell_type"] == "markdown":
                parts.append(text)
            else:
                parts += [f"```python\n{text}\n```", *run(text, names)]
    return "\n\n".join(parts)


def run(text: str, names: dict[str, Any]) -> list[str]:
    """Run a cell in ``names``; return what it printed, its last value and its figures as HTML."""
    tree = ast.parse(text)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    printed = io.StringIO()
    value = None
    with contextlib.redirect_stdout(printed):
        exec(compile(tree, "cell", "exec"), names)  # noqa: S102 - the project's own notebook
        if last is not None:
            value = eval(compile(ast.Expression(last.value), "cell", "eval"), names)  # noqa: S307
    parts = [f"<pre>{escape(printed.getvalue())}</pre>"] if printed.getvalue() else []
    figures = _figures()
    if hasattr(value, "to_html"):
        table = value.to_html(float_format="{:.2f}".format, escape=True)
        parts.append(table.replace(' border="1" class="dataframe"', "", 1))
    elif value is not None and not figures:
        parts.append(f"<pre>{escape(repr(value))}</pre>")
    return [*parts, *figures]


def _figures() -> list[str]:
    """Return the open matplotlib figures as SVG, and close them."""
    from matplotlib import pyplot

    drawn = []
    for number in pyplot.get_fignums():
        file = io.StringIO()
        pyplot.figure(number).savefig(file, format="svg", bbox_inches="tight")
        svg = file.getvalue()
        svg = svg[svg.index("<svg") :].replace("\n", " ")
        drawn.append(svg.replace("<svg", '<svg style="max-width: 100%; height: auto"', 1))
        pyplot.close(number)
    return drawn


@contextlib.contextmanager
def _project(record: Path) -> Iterator[None]:
    """Work in a fresh folder that holds the record where an audit leaves it."""
    import matplotlib as mpl

    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder), mpl.rc_context():
        mpl.use("svg")
        reports = Path(folder) / "reports"
        reports.mkdir()
        shutil.copy(record, reports / "record.json")
        yield
