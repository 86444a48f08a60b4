"""One sentence in, a population of believable personas out.

>>> import personalab as lab
>>> bp = lab.Blueprint.load("data/blueprints/league-of-legends.json")
>>> frame = lab.sample(bp, 10, seed=7)
>>> lab.report(frame, bp).marginals[1].total_variation_distance < 0.081
True
"""

from personalab import charts, jobs
from personalab.blueprint.model import Blueprint, CategoricalField, Constraint, Numeric, NumericField, TextField
from personalab.blueprint.validation import validate
from personalab.editor.form import edit
from personalab.errors import BlueprintError, PersonalabError, ProviderError, RequestError
from personalab.inference import infer
from personalab.jobs import get, start
from personalab.llm import Budget, replies
from personalab.llm.freezing import freeze
from personalab.population import Population, generate
from personalab.reports.report import report
from personalab.reports.values import Report
from personalab.sampling.sample import sample
from personalab.updating.update import update
from personalab.writing.estimates import estimate
from personalab.writing.write import write

__all__ = [
    "Blueprint",
    "BlueprintError",
    "Budget",
    "CategoricalField",
    "Constraint",
    "Numeric",
    "NumericField",
    "PersonalabError",
    "Population",
    "ProviderError",
    "Report",
    "RequestError",
    "TextField",
    "charts",
    "edit",
    "estimate",
    "freeze",
    "generate",
    "get",
    "infer",
    "jobs",
    "replies",
    "report",
    "sample",
    "start",
    "update",
    "validate",
    "write",
]
