"""Random drafts, as wild as a model can be wrong: what `personalab.inference.repair` has to take."""

from __future__ import annotations

from hypothesis import strategies as st

from personalab.inference.draft import EXAMPLE, Draft

NAMES = (
    "age", "Age", "rank", "Rank!", "hours per week", "name", "backstory", "portrait", "persona_id", "", " ", "42",
    "地域", "région", "if", "min", "a.b", "x" * 90, "name_text", "field_1",
)  # fmt: skip
VALUES = (
    "Gold", "gold", "Gold ", "Golf", "Silver", "18..29", "30..", "..17", "40-60", "65+", "", "  ", "東京", "50",
    "x" * 200,
)  # fmt: skip
SIDES = (
    "age", "rank", "age - 16", "hours per week", "hours_per_week * 2", "'Gold'", "'Golf'", "0", "1e400", "1/0", "",
    "nothing", "__import__('os').system('true')", "age ** 9", "(" * 90, "max(age, 3)", "-999999", "name", "地域",
    "age ==", "région",
)  # fmt: skip
NUMBERS = st.one_of(
    st.integers(-5, 120).map(float),
    st.floats(-100, 100),
    st.sampled_from([0.0, -0.0, 1e-300, 5e-324, 1e300, -1e300, 1.7e308, 1e16, 1e9, 0.1]),
)

names = st.sampled_from(NAMES)
PARENTS = st.sampled_from([field.name for field in EXAMPLE.fields])
weights = st.lists(st.fixed_dictionaries({"value": st.sampled_from(VALUES), "weight": NUMBERS}), max_size=4)
numerics = st.lists(
    st.fixed_dictionaries({**dict.fromkeys(("min", "max", "mean", "sd"), NUMBERS), "integer": st.booleans()}),
    max_size=2,
)
conditionals = st.fixed_dictionaries(
    {
        "when": st.lists(st.fixed_dictionaries({"field": names, "value": st.sampled_from(VALUES)}), max_size=2),
        "weights": weights,
        "numeric": numerics,
    }
)
fields = st.fixed_dictionaries(
    {
        "name": names,
        "kind": st.sampled_from(["categorical", "categorical", "numeric", "numeric", "text"]),
        "description": st.sampled_from(["", "what it is"]),
        "parents": st.lists(names, max_size=3),
        "ordered_values": st.lists(st.sampled_from(VALUES), max_size=4),
        "weights": weights,
        "numeric": numerics,
        "conditionals": st.lists(conditionals, max_size=4),
    }
)
constraints = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["", "rule", "Rule", "age_rule"]),
        "lhs": st.sampled_from(SIDES),
        "op": st.sampled_from(["<", "<=", ">", ">=", "==", "!="]),
        "rhs": st.sampled_from(SIDES),
    }
)
drafts = st.fixed_dictionaries(
    {
        "rationale": st.sampled_from(["", "Because."]),
        "domain": st.sampled_from(["", "players", "!!", "選手"]),
        "fields": st.lists(fields, max_size=7),
        "constraints": st.lists(constraints, max_size=4),
    }
).map(Draft.model_validate)


def _places(node, path=()):
    """Every place inside a draft, as a path of keys."""
    inner = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, part in inner:
        yield (*path, key)
        yield from _places(part, (*path, key))


@st.composite
def spoilt(draw):
    """Spoil a sound draft in a few places: parts removed, repeated, renamed, or made absurd."""
    data = EXAMPLE.model_dump()
    for _ in range(draw(st.integers(1, 5))):
        *way, last = draw(
            st.sampled_from([path for path in _places(data) if path[-1] not in ("op", "kind", "integer")])
        )
        holder = data
        for key in way:
            holder = holder[key]
        old = holder[last]
        if isinstance(holder, list):
            holder[last:] = draw(st.sampled_from([holder[last + 1 :], [old, old, *holder[last + 1 :]], [old]]))
        elif isinstance(old, list):
            holder[last] = draw(st.sampled_from([[], old[::-1], old + old])) if last != "parents" else [draw(PARENTS)]
        else:
            holder[last] = draw(
                NUMBERS if isinstance(old, float) else st.one_of(st.sampled_from(VALUES + SIDES), PARENTS)
            )
    return Draft.model_validate(data)
