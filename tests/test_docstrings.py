"""The public docstrings: parameters, results and errors are all told, and what needs no model is shown."""

from __future__ import annotations

import inspect

import pytest
from numpydoc.validate import validate

import personalab

DEMANDED = {"GL03", "GL08", "SS03", "PR01", "PR02", "PR03", "PR07", "RT01", "RT03"}
NEEDS_A_MODEL = {"generate", "infer", "start", "write"}
FUNCTIONS = [name for name in personalab.__all__ if inspect.isfunction(getattr(personalab, name))]
METHODS = [
    f"{name}.{method}"
    for name in personalab.__all__
    if inspect.isclass(getattr(personalab, name))
    for method, value in vars(getattr(personalab, name)).items()
    if not method.startswith(("_", "model_")) and (inspect.isfunction(value) or isinstance(value, classmethod))
]


@pytest.mark.parametrize("name", [*FUNCTIONS, *METHODS])
def test_docstrings_are_whole(name: str) -> None:
    """A public function tells every parameter and what it returns, in numpydoc's form."""
    faults = [f"{code} {text}" for code, text in validate(f"personalab.{name}")["errors"] if code in DEMANDED]
    assert faults == []


@pytest.mark.parametrize("name", sorted(set(FUNCTIONS) - NEEDS_A_MODEL))
def test_what_needs_no_model_is_shown(name: str) -> None:
    """A public function that asks no model has an example, which the doctests run."""
    assert ">>>" in (getattr(personalab, name).__doc__ or "")
