"""The samplers that others have written, made to draw what a blueprint says."""

# mypy: disable-error-code="import-untyped,import-not-found"
# What is imported here comes without types, and is absent where no peer is measured.

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

from personalab import Blueprint
from personalab.blueprint.model import CategoricalField, Numeric, NumericField

SEED = 7
OPERATORS = {"<": "lt", "<=": "le", ">": "gt", ">=": "ge"}  # as data-designer calls them


def network(bp: Blueprint, n: int) -> Callable[[], object]:
    """The same draw by pgmpy's forward sampling of a Bayesian network, in one process."""
    from pgmpy.factors.discrete import TabularCPD
    from pgmpy.models import DiscreteBayesianNetwork
    from pgmpy.sampling import BayesianModelSampling

    categorical = [field for field in bp.fields if isinstance(field, CategoricalField)]
    states = {field.name: list(field.values) for field in categorical}
    model = DiscreteBayesianNetwork([(parent, field.name) for field in categorical for parent in field.parents])
    model.add_nodes_from(states)
    for field in categorical:
        # One column a combination of parents' values, the last parent turning fastest, as the conditionals do.
        tables = [rule.categorical.weights for rule in field.conditionals] or [field.base.weights if field.base else {}]
        weights = [[cell[value] for cell in tables] for value in states[field.name]]
        sizes = [len(states[parent]) for parent in field.parents]
        names = {name: states[name] for name in (field.name, *field.parents)}
        model.add_cpds(TabularCPD(field.name, len(weights), weights, list(field.parents), sizes, names))
    sampler = BayesianModelSampling(model)
    return lambda: sampler.forward_sample(size=n, seed=SEED, show_progress=False, n_jobs=1)


def designer(bp: Blueprint, n: int) -> Callable[[], object]:
    """The same draw by data-designer's samplers, without a model.

    It knows no bounds other than a blueprint's constraints, no line between stated conditionals (the law between
    the outermost stated ones stands in), and its stricter template engine, not used here, refuses many conditions.
    """
    from data_designer.config.run_config import JinjaRenderingEngine
    from data_designer.config.sampler_constraints import ScalarInequalityConstraint
    from data_designer.engine.sampling_gen.generator import DatasetGenerator
    from data_designer.engine.sampling_gen.schema import DataSchema

    def gaussian(*laws: Numeric) -> dict[str, float]:
        return {"mean": statistics.mean(law.mean for law in laws), "stddev": statistics.mean(law.sd for law in laws)}

    columns: list[dict[str, Any]] = []
    for field in bp.fields:
        if isinstance(field, CategoricalField) and field.base:
            weights = field.base.weights
            params: dict[str, Any] = {"values": list(weights), "weights": list(weights.values())}
            columns.append({"name": field.name, "sampler_type": "category", "params": params})
        elif isinstance(field, NumericField):
            stated = {
                " and ".join(f"{name} == {value!r}" for name, value in rule.when.items()): gaussian(rule.numeric)
                for rule in field.conditionals
            }
            law = {"sampler_type": "gaussian", "params": gaussian(*field.distributions), "conditional_params": stated}
            columns.append({"name": field.name, "convert_to": "int" if field.is_integer else "float"} | law)
    limits = [
        ScalarInequalityConstraint(target_column=rule.lhs, operator=OPERATORS[rule.op], rhs=float(rule.rhs))
        for rule in bp.constraints
    ]
    schema = DataSchema(columns=columns, constraints=limits)
    generator = DatasetGenerator(
        None, random_state=SEED, schema=schema, jinja_rendering_engine=JinjaRenderingEngine.NATIVE
    )
    return lambda: generator.generate(n)
