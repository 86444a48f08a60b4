"""The editor: a blueprint edited by hand in a notebook, and the population that follows."""

from __future__ import annotations

from importlib.resources import files

PARTS = ("dom", "store", "weights", "numbers", "conditionals", "field", "rules", "fidelity", "people", "shell")
SHEETS = ("editor", "shell", "field", "view")


def module() -> str:
    """The front end as one ES module: its parts, in the order in which they build on each other."""
    return "\n".join(_static(f"{part}.js") for part in PARTS)


def css() -> str:
    """The front end's styles."""
    return "\n".join(_static(f"{sheet}.css") for sheet in SHEETS)


def _static(name: str) -> str:
    return files("personalab").joinpath("static", name).read_text(encoding="utf-8")
