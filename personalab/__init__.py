"""One sentence in, a population of believable personas out.

>>> import personalab as lab
>>> bp = lab.Blueprint.load("data/blueprints/league-of-legends.json")
>>> frame = lab.sample(bp, 10, seed=7)
>>> lab.report(frame, bp).marginals[1].total_variation_distance < 0.081
True
"""

from personalab import charts
from personalab.blueprint import Blueprint, CategoricalField, Constraint, NumericField, TextField
from personalab.editor import edit
from personalab.errors import PersonalabError
from personalab.estimates import estimate
from personalab.fidelity import report
from personalab.freezing import freeze
from personalab.inference import infer
from personalab.jobs import get, start
from personalab.lint import validate
from personalab.population import Population, generate
from personalab.reports import Report
from personalab.sampling import sample
from personalab.updating import update
from personalab.writing import write

__all__ = [
    "Blueprint",
    "CategoricalField",
    "Constraint",
    "NumericField",
    "PersonalabError",
    "Population",
    "Report",
    "TextField",
    "charts",
    "edit",
    "estimate",
    "freeze",
    "generate",
    "get",
    "infer",
    "report",
    "sample",
    "start",
    "update",
    "validate",
    "write",
]
