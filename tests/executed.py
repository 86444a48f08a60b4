"""Notebooks that a test writes and runs without a browser."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

from tests.conftest import LEAGUE

# A form, edited in the cell after the one that shows it.
EDITED = [
    f"import personalab as lab\nbp = lab.Blueprint.load({str(LEAGUE)!r})",
    "form = lab.edit(bp, n=200, seed=7)\nform",
    "heavier = {**bp['rank'].base.weights, 'Gold': 0.4, 'Silver': 0.15}\nform.use(bp.replace('rank', weights=heavier))",
]


def executed(sources: Sequence[str], folder: Path, *, has_widgets: bool = False) -> NotebookNode:
    """A notebook of these cells as the running Python leaves it; as shipped, without its widgets' state."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    resources = {"metadata": {"path": str(folder)}}
    return NotebookClient(notebook, timeout=120, store_widget_state=has_widgets, resources=resources).execute()
