"""One sentence in, a population of believable personas out."""

from personalab.blueprint import Blueprint, CategoricalField, Constraint, NumericField, TextField
from personalab.errors import PersonalabError
from personalab.lint import validate
from personalab.sampling import sample

__all__ = [
    "Blueprint",
    "CategoricalField",
    "Constraint",
    "NumericField",
    "PersonalabError",
    "TextField",
    "sample",
    "validate",
]
