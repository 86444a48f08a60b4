"""The shipped notebooks: how they are made, and that the comparison of their outputs would notice a change.

``make notebooks`` runs them and compares what comes out with what is stored. Here nothing is run: where that
comparison finds no difference, the stored outputs stand for the fresh ones, so a changed copy of them must differ from
the stored ones by the same comparison.
"""

from __future__ import annotations

import copy
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat import NotebookNode
from nbval.plugin import IPyNbCell, IPyNbFile, coalesce_streams, get_sanitize_patterns

from tests import comparison
from tests.executed import executed

ROOT = Path(__file__).parents[1]
SANITIZE = ROOT / "tests" / "sanitize.cfg"
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
shipped = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)

CELLS, LINES, KILOBYTES = (12, 25), 8, 200
# 03 is a measurement, printed whole so that it can be checked: more cells, and functions of up to 13 lines.
LONGER = {"03-fidelity": ((12, 34), 13)}
IGNORED: set[tuple[str, str]] = set()  # (notebook, cell id) of cells whose outputs are not compared

PLACES = 25  # enough to touch every part of a table or chart
# What the comparison does not see, and why.
MISSES = {
    "application/vnd.jupyter.widget-view+json": "its id is another on every run; text/html beside it is compared",
    "image/png": "pixels differ between machines; the chart's specification is compared",
    "image/jpeg": "the same",
    "image/svg+xml": "where letters stand is up to the machine's fonts; the chart's specification is compared",
}
HIDDEN: dict[str, list[str]] = {}  # what sanitize.cfg hides in the stored outputs, by notebook

SAMPLE = [
    "print('Gold', 0.25)",
    "0.25",
    "from IPython.display import HTML, display; display(HTML('<b>Gold 25 %</b>'))",
    "display({'application/vnd.vegalite.v5+json': {'data': [1, 2]}, 'text/plain': 'chart'}, raw=True)",
    "0.5",
]


def cells(path: Path, session: pytest.Session) -> list[IPyNbCell]:
    """A notebook's code cells as nbval collects them in ``make notebooks``."""
    file = IPyNbFile.from_parent(session, path=path)
    comparison.pytest_collectstart(file)
    file.compare_outputs = True
    file.sanitize_patterns.update(get_sanitize_patterns(SANITIZE.read_text(encoding="utf-8")))
    return list(file.collect())


def is_same(cell: IPyNbCell, fresh: list[NotebookNode], stored: list[NotebookNode]) -> bool:
    """Whether nbval finds that `stored` is what came out; it merges streams where they are, hence the copies."""
    if not cell.options["check"] or cell.cell.execution_count is None:
        return True
    fresh, stored = (coalesce_streams(copy.deepcopy(outputs)) for outputs in (fresh, stored))
    return bool(cell.compare_outputs(fresh, stored))


def changes(value: Any) -> Iterator[Any]:
    """`value` with one letter or digit of it changed, at up to `PLACES` places spread over it."""
    text = value if isinstance(value, str) else json.dumps(value)
    # Of JSON only the first character of a number or a text, so that it stays JSON.
    found = re.finditer(r"\w" if isinstance(value, str) else r"[:,\[] ?(?:-?\d|\"\w)", text)
    places = [match.end() - 1 for match in found]
    for at in places[:: max(1, len(places) // PLACES)]:
        changed = f"{text[:at]}{'1' if text[at] != '1' else '2'}{text[at + 1 :]}"
        yield changed if isinstance(value, str) else json.loads(changed)


def mutations(outputs: list[NotebookNode]) -> Iterator[tuple[str, list[NotebookNode]]]:
    """Copies of `outputs`, each with one thing changed, under the name of what was changed."""
    for at, output in enumerate(outputs):
        yield "removed", [*outputs[:at], *outputs[at + 1 :]]
        holder = "data" if "data" in output else None
        for kind in output["data"] if holder else [key for key in ("text", "ename", "evalue") if key in output]:
            for value in changes((output["data"] if holder else output)[kind]):
                mutated = copy.deepcopy(outputs)
                (mutated[at]["data"] if holder else mutated[at])[kind] = value
                yield kind, mutated
    yield "added", [*outputs, nbformat.v4.new_output("stream", text="more")]


@shipped
def test_stored_outputs_pass_their_own_comparison(path: Path, request: pytest.FixtureRequest) -> None:
    """Unchanged outputs are found to be the same, so that a difference below comes from the change."""
    assert all(is_same(cell, cell.cell.outputs, cell.cell.outputs) for cell in cells(path, request.session))


@shipped
def test_one_changed_output_is_noticed(path: Path, request: pytest.FixtureRequest) -> None:
    """Whatever is changed in, removed from or added to the stored outputs, the comparison sees it, but for `MISSES`."""
    missed = {
        (cell.name, kind)
        for cell in cells(path, request.session)
        for kind, mutated in mutations(cell.cell.outputs)
        if is_same(cell, cell.cell.outputs, mutated)
    }
    assert {each for each in missed if each[1] not in MISSES} == set()


@pytest.mark.parametrize("kind", MISSES)
def test_allowed_misses_are_misses(kind: str, request: pytest.FixtureRequest) -> None:
    """What stands in `MISSES` is truly not compared, so that the list is no longer than it has to be."""
    cell = cells(NOTEBOOKS[0], request.session)[0]
    one, other = (nbformat.v4.new_output("display_data", {kind: data, "text/plain": "same"}) for data in ("a", "b"))
    assert is_same(cell, [one], [other])


def test_running_the_comparison_notices_changes(tmp_path: Path) -> None:
    """The command of ``make notebooks`` fails exactly the cells whose stored outputs were changed."""
    notebook = executed(SAMPLE, tmp_path)
    for cell in notebook.cells[:-1]:
        cell.outputs = next(
            mutated for kind, mutated in mutations(cell.outputs) if kind not in ("removed", "text/plain")
        )
    nbformat.write(notebook, tmp_path / "changed.ipynb")
    options = ["--nbval", "--nbval-current-env", f"--nbval-sanitize-with={SANITIZE}", "-p", "no:cacheprovider", "-rf"]
    command = [sys.executable, "-m", "pytest", "-q", *options, "-p", "tests.comparison", "--rootdir", tmp_path]
    command.append(tmp_path / "changed.ipynb")
    said = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False).stdout
    assert re.findall(r"^FAILED .*::Cell (\d)", said, re.MULTILINE) == ["0", "1", "2", "3"]


@shipped
def test_sanitizing_hides_what_is_listed(path: Path) -> None:
    """The sanitize file covers nothing in the stored outputs but what stands in `HIDDEN`."""
    rules = get_sanitize_patterns(SANITIZE.read_text(encoding="utf-8"))
    outputs = json.dumps([cell.outputs for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"])
    found = [match[0] for pattern, _ in rules for match in re.finditer(pattern, outputs)]
    assert found == HIDDEN.get(path.stem, [])


@shipped
def test_every_code_cell_was_run_in_order(path: Path) -> None:
    """Execution counts are 1, 2, 3 …: nbval does not compare a cell without one."""
    code = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))


def test_ignored_cells_are_listed(request: pytest.FixtureRequest) -> None:
    """Cells that are not compared, may fail or are skipped are those in `IGNORED`."""
    found = {
        (path.stem, cell.cell.id)
        for path in NOTEBOOKS
        for cell in cells(path, request.session)
        if not cell.options["check"] or cell.options["skip"] or cell.options["check_exception"]
    }
    assert found == IGNORED


@shipped
def test_notebooks_keep_to_their_size(path: Path) -> None:
    """One H1, at the top; few cells, short ones; a file that a mail can carry."""
    notebook = nbformat.read(path, as_version=4)
    (least, most), lines = LONGER.get(path.stem, (CELLS, LINES))
    prose = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    assert prose[0].startswith("# ")
    assert len(re.findall(r"^# ", "\n".join(prose), re.MULTILINE)) == 1
    assert least <= len(notebook.cells) <= most
    assert max(len(source.splitlines()) for source in code) <= lines
    assert path.stat().st_size <= KILOBYTES * 1024


@shipped
def test_notebooks_carry_no_live_state(path: Path) -> None:
    """No widget state is stored and nothing stored loads from elsewhere: without it the saved page shows its still."""
    text = path.read_text(encoding="utf-8")
    assert "widgets" not in nbformat.read(path, as_version=4).metadata
    assert re.findall(r"(?:src|href)=\\*[\"']https?:", text) == []
