"""The blueprint: what makes a population believable, as one frozen value.

A blueprint names the fields a member has, how each is distributed, which field depends on which, and the rules
every member obeys. It is plain data in the shape the hosted persona API returns, so a blueprint written there
loads here and the other way round:

- a *root* has no ``parents`` and one distribution; a *child* also has ``conditionals``, each with a ``when`` that
  says for which parent values it holds;
- a categorical distribution is a table of ``weights``; a numeric one is four promises, ``min``, ``max``, ``mean``
  and ``sd``, and whether its values are integers;
- a text field is written by a model, never sampled; ``order`` lists the sampled fields, parents first.

Reading checks the shape only (`personalab.validate` checks the sense). Every value is frozen: `Blueprint.replace`
returns a new one, so the blueprint a report speaks of cannot change under it.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, StrictBool, ValidationError

from personalab.blueprint import files
from personalab.blueprint.constraints import printed
from personalab.blueprint.diff import Change, changes
from personalab.blueprint.shape import Line, Name, Number, Prose, Value, Weights, When, demand_bounded, refusal
from personalab.errors import RequestError, UnknownFieldError, instead, quoted

if TYPE_CHECKING:
    import pandas as pd

EXACT = 1e-9  # by how much weights may miss a sum of 1 and still be taken for exact


class Categorical(Value):
    """A table of weights over named values, whose order counts: tables that list the same weights otherwise differ.

    Attributes
    ----------
    weights : mapping of str to float
        A share in [0, 1] per value; they sum to 1.
    """

    weights: Weights

    def __eq__(self, other: object) -> bool:
        return super().__eq__(other) and list(self.weights) == list(other.weights)  # type: ignore[attr-defined]

    def __hash__(self) -> int:
        return hash(tuple(self.weights.items()))


class Numeric(Value):
    """Four promises about a number: where it lies, its mean and its spread.

    Attributes
    ----------
    min, max : float
        The least and greatest value any member has.
    mean, sd : float
        Mean and standard deviation that the drawn values have, bounds included.
    integer : bool
        Whether only whole numbers occur; the moments are then those of the integers.
    """

    min: Number
    max: Number
    mean: Number
    sd: Number
    integer: StrictBool = False


class Conditional(Value):
    """What holds `when` the parents have the values named."""

    when: When


class CategoricalConditional(Conditional):
    """The weights that hold `when` the parents have the values named."""

    categorical: Categorical


class NumericConditional(Conditional):
    """The numeric distribution that holds `when` the parents have the values named."""

    numeric: Numeric


class CategoricalField(Value):
    """A field whose values come from a list.

    Attributes
    ----------
    name : str
        How the field is called in frames, conditions and constraints.
    description : str
        What it means, for the reader and for the model that writes texts.
    parents : tuple of str
        The fields it depends on; empty for a root.
    categorical : Categorical, optional
        The distribution that holds where no conditional does.
    ordered_values : tuple of str, optional
        The values from least to greatest, where they have an order.
    conditionals : tuple of CategoricalConditional
        What holds for which parent values.

    Examples
    --------
    >>> rank = CategoricalField(name="rank", categorical={"weights": {"Gold": 0.4, "Silver": 0.6}})
    >>> rank.values
    ('Gold', 'Silver')
    """

    name: Name
    kind: Literal["categorical"] = "categorical"
    description: Prose = ""
    parents: tuple[Name, ...] = ()
    categorical: Categorical | None = None
    ordered_values: tuple[Name, ...] | None = None
    conditionals: tuple[CategoricalConditional, ...] = ()
    is_integer: ClassVar[bool] = False

    @property
    def base(self) -> Categorical | None:
        """The distribution that holds where no conditional does."""
        return self.categorical

    @cached_property
    def values(self) -> tuple[str, ...]:
        """Every value the field can take: in order where there is one, else as first named."""
        tables = [self.categorical, *(rule.categorical for rule in self.conditionals)]
        named = (value for table in tables if table for value in table.weights)
        return tuple(dict.fromkeys([*(self.ordered_values or ()), *named]))

    def shares(self, table: Categorical | None = None) -> NDArray[np.float64]:
        """Put a table of weights in the field's order.

        Parameters
        ----------
        table : Categorical, optional
            One of the field's distributions, by default the base.

        Returns
        -------
        array of float
            A share for every value of the field; they sum to 1.

        Examples
        --------
        >>> rank = CategoricalField(name="rank", categorical={"weights": {"Gold": 0.4, "Silver": 0.6}})
        >>> rank.shares(Categorical(weights={"Silver": 1.0})).tolist()
        [0.0, 1.0]
        """
        stated = (table or self.base or Categorical(weights={})).weights
        weights = np.array([stated.get(value, 0) for value in self.values], dtype=float)
        total = math.fsum(weights)
        return weights if abs(total - 1) <= EXACT else weights / total

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Copy the field as pydantic does, but find its values anew."""
        copied = super().model_copy(update=update, deep=deep)
        copied.__dict__.pop("values", None)
        return copied


class NumericField(Value):
    """A field whose values are numbers.

    Attributes
    ----------
    name, description, parents
        As for `CategoricalField`.
    numeric : Numeric, optional
        The distribution that holds where no conditional does.
    conditionals : tuple of NumericConditional
        What holds for which parent values.
    """

    name: Name
    kind: Literal["numeric"] = "numeric"
    description: Prose = ""
    parents: tuple[Name, ...] = ()
    numeric: Numeric | None = None
    conditionals: tuple[NumericConditional, ...] = ()

    @property
    def base(self) -> Numeric | None:
        """The distribution that holds where no conditional does."""
        return self.numeric

    @property
    def distributions(self) -> tuple[Numeric, ...]:
        """Every distribution stated for this field: the base first, then the conditionals'."""
        stated = [self.numeric, *(rule.numeric for rule in self.conditionals)]
        return tuple(numeric for numeric in stated if numeric)

    @property
    def is_integer(self) -> bool:
        """Whether every stated distribution holds whole numbers only."""
        return all(numeric.integer for numeric in self.distributions)


class TextField(Value):
    """A field that a model writes, one persona at a time, knowing all other values.

    Attributes
    ----------
    name, description, parents
        As for `CategoricalField`; the parents are what the text should reflect.
    """

    name: Name
    kind: Literal["text"] = "text"
    description: Prose = ""
    parents: tuple[Name, ...] = ()
    conditionals: tuple[CategoricalConditional, ...] = Field(default=(), max_length=0)


class Constraint(Value):
    """A rule that every member obeys, such as ``years_exp <= age - 16``.

    Attributes
    ----------
    name : str
        How reports call the rule.
    lhs, op, rhs : str
        Two expressions and the comparison between them (``< <= > >= == !=``). Expressions may use numbers, names of
        fields (in backticks where they are no plain words), quoted category values, ``+ - * /``, comparisons,
        ``and`` and ``min max abs``; they are parsed, never run.

    Examples
    --------
    >>> print(Constraint(name="young", lhs="rank == 'Gold'", op="<=", rhs="`age at entry` < 30"))
    (rank == 'Gold') <= (`age at entry` < 30)
    """

    name: Name
    lhs: Name
    op: Literal["<", "<=", ">", ">=", "==", "!="]
    rhs: Name

    def __str__(self) -> str:
        return printed(self.lhs, self.op, self.rhs)


AnyField = Annotated[CategoricalField | NumericField | TextField, Field(discriminator="kind")]
SampledField = CategoricalField | NumericField


class Blueprint(Value):
    """The model of a population, in the shape of the hosted persona API.

    Attributes
    ----------
    domain : str
        A short name for who the population is.
    order : tuple of str
        The sampled fields, parents before children.
    fields : tuple of CategoricalField, NumericField or TextField
        Everything a member has, in the order of a frame's columns.
    constraints : tuple of Constraint
        The rules that every member obeys.
    rationale : str
        Why the blueprint is as it is.
    sources : tuple of str
        Where its numbers come from.
    notes : tuple of str, optional
        What was repaired by rule after the model had answered; absent where nothing was.

    Examples
    --------
    >>> bp = Blueprint.from_dict({
    ...     "domain": "coins",
    ...     "order": ["side"],
    ...     "fields": [{"name": "side", "kind": "categorical", "categorical": {"weights": {"head": 0.5, "tail": 0.5}}}],
    ... })
    >>> bp
    Blueprint('coins', fields=['side'], constraints=0)
    >>> bp.replace("side", weights={"head": 0.6, "tail": 0.4}).diff(bp)[0].path
    'fields.side.categorical.weights.head'
    """

    domain: Line
    order: tuple[Name, ...]
    fields: tuple[AnyField, ...] = Field(min_length=1)
    constraints: tuple[Constraint, ...] = ()
    rationale: Prose = ""
    sources: tuple[Prose, ...] = ()
    notes: tuple[Prose, ...] | None = None

    @classmethod
    def of(cls, domain: str, /, *, constraints: Sequence[Constraint] = (), **fields: Any) -> Blueprint:
        """Write a blueprint in a few words.

        Parameters
        ----------
        domain : str
            A short name for who the population is.
        constraints : sequence of Constraint
            The rules that every member obeys.
        **fields
            A field each, by name: weights as a dict; a number as ``(mean, sd, min, max)``, whole where min and max are
            given as whole numbers; a text as its description; or a distribution, or a field with parents and
            conditionals. The order follows from the parents.

        Returns
        -------
        Blueprint
            The frozen value.

        Raises
        ------
        BlueprintError
            If something in it does not fit, or the fields depend on each other in a circle.
        RequestError
            If a field is given in another way.

        Examples
        --------
        >>> bp = Blueprint.of("coins", side={"head": 0.5, "tail": 0.5}, years=(20, 9, 0, 80), motto="what is on it")
        >>> bp.order, bp["years"].is_integer
        (('side', 'years'), True)
        """
        from personalab.blueprint.building import build

        return build(domain, fields, constraints)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read a blueprint from its wire form.

        Parameters
        ----------
        data : mapping
            As in the contract's ``result.blueprint``.

        Returns
        -------
        Blueprint
            The frozen value; its sense is not checked here, see `personalab.validate`.

        Raises
        ------
        BlueprintError
            If a key is missing, unknown or of the wrong type; the message names its path.
        """
        demand_bounded(data)
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            raise refusal(error, "this is not a blueprint") from error

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a blueprint from a ``.json``, ``.yaml`` or ``.yml`` file.

        Parameters
        ----------
        path : path-like
            The file; its ending decides the format.

        Returns
        -------
        Blueprint
            The frozen value.

        Raises
        ------
        BlueprintError
            If the file does not hold a blueprint, names a key twice, or has a YAML alias.
        RequestError
            If the ending is another, there is no such file, it is a pipe, a folder or a device, or it has more than
            5 MB of JSON or 0.5 MB of YAML.
        """
        return cls.from_dict(files.load_data(path))

    def to_dict(self) -> dict[str, Any]:
        """Put the blueprint in its wire form.

        Returns
        -------
        dict
            Plain dicts, lists, strings and numbers, as in the contract's ``result.blueprint``.
        """
        return self.model_dump(mode="json")

    def to_yaml(self) -> str:
        """Put the wire form as YAML, for people to read and edit.

        Returns
        -------
        str
            YAML, which `load` reads back to an equal blueprint, and readers of YAML 1.1 and 1.2 alike.
        """
        return files.to_yaml(self.to_dict())

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the blueprint as ``.json`` or ``.yaml``, replacing the file in one step.

        Parameters
        ----------
        path : path-like
            Where to; the ending decides the format.

        Returns
        -------
        pathlib.Path
            The file written.

        Raises
        ------
        RequestError
            If the ending is another, or the place cannot be written to.
        """
        return files.save_data(path, self.to_dict())

    def __getitem__(self, name: str) -> CategoricalField | NumericField | TextField:
        for field in self.fields:
            if field.name == name:
                return field
        names = [field.name for field in self.fields]
        raise UnknownFieldError(f"{name!r} is no field of {quoted(self.domain)}", hint=instead(name, names))

    @property
    def sampled(self) -> tuple[SampledField, ...]:
        """The categorical and numeric fields, in the order of the frame's columns."""
        return tuple(field for field in self.fields if not isinstance(field, TextField))

    @property
    def texts(self) -> tuple[TextField, ...]:
        """The text fields, in the order of the frame's columns."""
        return tuple(field for field in self.fields if isinstance(field, TextField))

    @property
    def roots(self) -> tuple[CategoricalField, ...]:
        """The categorical fields without parents: those whose marginals a report compares."""
        return tuple(f for f in self.fields if isinstance(f, CategoricalField) and not f.parents)

    def replace(self, field: str | None = None, /, **changes: Any) -> Self:
        """Return a copy with some parts changed.

        Parameters
        ----------
        field : str, optional
            The field to change; without it, `changes` are keys of the blueprint itself.
        **changes
            New contents in wire form or as values. For a categorical field ``weights=`` and for a numeric one
            ``min= max= mean= sd= integer=`` reach into its base distribution.

        Returns
        -------
        Blueprint
            A new frozen value, checked for shape.

        Raises
        ------
        BlueprintError
            If a change does not fit the shape.
        UnknownFieldError
            If there is no such field; it is a KeyError, too.
        """
        data = self.to_dict()
        target = data if field is None else data["fields"][self.fields.index(self[field])]
        for key, value in changes.items():
            inner = _DISTRIBUTION_OF.get(key)
            holder = target.setdefault(inner, {}) if field is not None and inner else target
            holder[key] = _plain(value)
        return self.from_dict(data)

    def rename(self, old: str, new: str) -> Blueprint:
        """Return a copy in which a field is called something else, wherever the blueprint speaks of it but in prose.

        Parameters
        ----------
        old, new : str
            The field's name, and the one it gets. For people drawn before, pass ``renamed={old: new}`` to `update`.

        Returns
        -------
        Blueprint
            A new frozen value: order, parents, conditions and constraints follow.

        Raises
        ------
        RequestError
            If there is no such field, or another is called so.

        Examples
        --------
        >>> Blueprint.of("coins", side={"head": 0.5, "tail": 0.5}).rename("side", "face").order
        ('face',)
        """
        from personalab.blueprint.building import rename

        return rename(self, old, new)

    def conditionals(self, field: str) -> pd.DataFrame:
        """Show a field's conditional distributions as a table.

        Parameters
        ----------
        field : str
            A categorical or numeric field.

        Returns
        -------
        pandas.DataFrame
            A row for each conditional in the order they are stated, and last the base where there is one. A column for
            each parent, missing where a row holds whatever its value; then a column a value with its weight, or
            ``min``, ``max``, ``mean``, ``sd`` and ``integer``.

        Raises
        ------
        RequestError
            If there is no such field, or it is a text.

        Examples
        --------
        >>> bp = Blueprint.load("data/blueprints/league-of-legends.json")
        >>> bp.conditionals("hours_per_week")[["rank", "mean"]].values.tolist()
        [['Bronze', 6], ['Challenger', 50]]
        """
        import pandas as pd

        holder = self[field]
        if isinstance(holder, TextField):
            raise RequestError(f"{field!r} is a text, which has no distribution", hint="name a field that is sampled")
        stated = [(rule.when, getattr(rule, holder.kind)) for rule in holder.conditionals]
        stated += [({}, holder.base)] if holder.base else []
        keys = holder.values if isinstance(holder, CategoricalField) else tuple(Numeric.model_fields)
        rows = [
            [*(when.get(name) for name in holder.parents), *(_cells(held).get(key, 0.0) for key in keys)]
            for when, held in stated
        ]
        return pd.DataFrame(rows, columns=[*holder.parents, *keys])

    def diff(self, other: Blueprint) -> tuple[Change, ...]:
        """List where this blueprint differs from an earlier one.

        Parameters
        ----------
        other : Blueprint
            The earlier one; its contents are each change's ``before``.

        Returns
        -------
        tuple of Change
            In reading order; fields and constraints are matched by name, and conditionals by their condition, so a
            moved field changes nothing but the order; values that stand in another order are a change of their table.
            Empty if the two are equal.
        """
        return changes(other.to_dict(), self.to_dict())

    def __repr__(self) -> str:
        names = [field.name for field in self.fields]
        return f"Blueprint({self.domain!r}, fields={names}, constraints={len(self.constraints)})"

    __str__ = __repr__

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        from personalab.blueprint import display  # a value is no picture until a notebook asks for one

        data = self.to_dict()
        return {"text/plain": display.in_text(data), "text/html": display.in_html(data)}


def _cells(held: Categorical | Numeric) -> Mapping[str, Any]:
    return held.weights if isinstance(held, Categorical) else held.model_dump()


_DISTRIBUTION_OF = {"weights": "categorical"} | dict.fromkeys(("min", "max", "mean", "sd", "integer"), "numeric")


def _plain(value: Any) -> Any:
    if isinstance(value, Value):
        return value.model_dump(mode="json")
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
