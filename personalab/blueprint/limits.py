"""Limits: how large a blueprint may be, so that whoever made it, it is validated, drawn and shown in seconds.

A few kilobytes can describe more than any machine lays out: tables double with every parent, pairs and triples grow
with the square and the cube of the fields, and every name is printed, drawn and sent many times. Within these limits
validating, drawing 1,000 people, their report and their page take together at most some ten seconds.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from personalab.blueprint.model import Blueprint, CategoricalField, TextField

FIELDS = 100  # of a blueprint
VALUES = 1000  # of a categorical field
PARENTS = 12  # of a field
BETWEEN = 2500  # combinations of ordered parents' values, where some are to be interpolated
CHARACTERS = 1000  # of a name or a value
DOMAIN = 2000  # characters of what the population is called


def beyond(bp: Blueprint) -> Iterator[tuple[str, str, str]]:
    """Tell what of a blueprint is beyond a limit.

    Parameters
    ----------
    bp : Blueprint
        Any that could be read.

    Yields
    ------
    tuple of str
        Where, what is so, and what to do; nothing that is printed is longer than a line.
    """
    if len(bp.domain) > DOMAIN:
        yield "domain", f"it has {len(bp.domain):,} characters, and at most {DOMAIN:,} are read", "shorten it"
    if len(bp.fields) > FIELDS:
        yield "fields", f"there are {len(bp.fields):,}, and a blueprint has at most {FIELDS}", "split the blueprint"
    for place, field in enumerate(bp.fields):
        path = f"fields.{field.name}" if len(field.name) <= CHARACTERS else f"fields[{place}]"
        if len(field.name) > CHARACTERS:
            yield path, f"its name has {len(field.name):,} characters, not at most {CHARACTERS:,}", "shorten it"
        if len(field.parents) > PARENTS:
            yield (
                path,
                f"it has {len(field.parents):,} parents, and at most {PARENTS} are followed",
                "name the main ones",
            )
        if isinstance(field, CategoricalField):
            if len(field.values) > VALUES:
                yield path, f"it has {len(field.values):,} values, and at most {VALUES:,} are told apart", "group them"
            longest = max(map(len, field.values), default=0)
            if longest > CHARACTERS:
                yield path, f"a value has {longest:,} characters, not at most {CHARACTERS:,}", "shorten it"
        many = _between(bp, field.parents)
        if not isinstance(field, TextField) and len(field.conditionals) < many > BETWEEN:
            yield (
                path,
                f"its ordered parents combine in {many:,} ways, between which at most {BETWEEN:,} are interpolated",
                "state every combination, or take the order from a parent",
            )


def _between(bp: Blueprint, parents: tuple[str, ...]) -> int:
    """How many combinations of ordered parents' values there are."""
    known = {field.name: field for field in bp.fields}
    orders = [
        field.ordered_values
        for field in map(known.get, parents)
        if isinstance(field, CategoricalField) and field.ordered_values
    ]
    return math.prod(map(len, orders)) if orders else 0
