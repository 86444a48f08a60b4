"""The package's shape: its public names, what importing it costs, and which way its imports go."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import personalab

PACKAGE = Path(personalab.__file__).parent
# The data's way: a module imports only from those before it.
ORDER = [
    "errors", "blueprint", "frames", "sampling", "updating", "edits", "llm", "inference", "writing", "reports",
    "charts", "population", "jobs", "editor", "cli",
]  # fmt: skip
FRONTS = ("cli", "__init__", "__main__")  # thin fronts, which may import anything
SLOW = ("openai", "instructor", "altair", "ipywidgets", "anywidget", "dask")
SOURCES = sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py"))


def imported(tree: ast.Module) -> set[str]:
    """The package's own modules that a module imports, at its top or inside a function."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(alias.name.split(".")[1] for alias in node.names if alias.name.startswith("personalab."))
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            if module in ("personalab", "."):
                found.update(alias.name for alias in node.names)
            elif module.startswith(("personalab.", ".")):
                found.add(module.removeprefix("personalab").lstrip(".").split(".")[0])
    return found


def test_public_names_are_all() -> None:
    """What the package offers is `__all__`, sorted and whole; everything else it holds is a module or private."""
    names = {name for name in dir(personalab) if not name.startswith("_")}
    modules = {name for name in names if isinstance(getattr(personalab, name), ModuleType)}
    assert names - modules == set(personalab.__all__) - modules
    assert len(set(personalab.__all__)) == len(personalab.__all__)
    assert modules - set(personalab.__all__) <= {path.stem for path in PACKAGE.iterdir()}


def test_every_public_name_is_described() -> None:
    """Each public name has a docstring."""
    assert [name for name in personalab.__all__ if not getattr(personalab, name).__doc__] == []


def test_import_loads_nothing_slow_and_says_nothing() -> None:
    """Importing the package prints nothing and loads neither the model's client nor charts nor widgets."""
    code = f"import sys, personalab; print([name for name in {SLOW!r} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=PACKAGE.parent, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("[]\n", "")


@pytest.mark.parametrize("source", [path for path in SOURCES if path.stem not in FRONTS or path.parent.name], ids=str)
def test_imports_go_the_data_s_way(source: Path) -> None:
    """A module imports from the package only what comes before it, also inside its functions."""
    name = source.parts[0].removesuffix(".py")
    assert name in ORDER, f"{name} has no place in the order of the data's way"
    tree = ast.parse((PACKAGE / source).read_text(encoding="utf-8"))
    own = {name} if len(source.parts) > 1 else set()  # the parts of a subpackage may import each other
    assert imported(tree) <= own | set(ORDER[: ORDER.index(name)])


def test_import_finder_sees_every_form() -> None:
    """Each way of importing a module of the package is noticed."""
    text = (
        "import personalab.llm\n"
        "from personalab import frames\n"
        "from personalab.blueprint.validation import validate\n"
        "def f():\n    from .cli import main\n    from . import charts\n    import os\n"
    )
    assert imported(ast.parse(text)) == {"llm", "frames", "blueprint", "cli", "charts"}
