"""Whether one seed yields one frame, bit for bit, wherever personalab is supported.

For each Python found of 3.11, 3.12 and 3.13 two virtual environments are made: one with the lowest numpy, pandas,
pyarrow, SciPy and pydantic that pyproject.toml declares (where there is no wheel for that Python, the lowest that has
one), one with the newest. In each, a list of cases is drawn and every column is digested: codes and categories, whole
numbers and which are missing, the bytes of real numbers, the index. The newest libraries draw once more with every
fast path for the processor switched off, as they would on an old machine, and on one thread.

    python benchmarks/determinism.py [--folder DIR] [--large]

prints a table and exits with 1 where anything differs, naming the column and its first row.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

METHODS = ("balanced", "quota", "iid")
ROUNDINGS = ("nearest", "unbiased")
SIZES = (10, 1_000, 30_000)
LARGE = 1_200_000
SEEDS = (7, 2**40 + 1)  # one that fits 32 bits and one that does not

PYTHONS = ("3.11", "3.12", "3.13")
PINNED = ("numpy", "pandas", "pyarrow", "scipy", "pydantic")
ROOT = Path(__file__).resolve().parents[1]
# What a machine without vector units, and with one processor, would do.
PLAIN = {"OPENBLAS_CORETYPE": "Nehalem", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
DISPATCHED = "from numpy._core._multiarray_umath import __cpu_dispatch__, __cpu_features__ as has\n"
DISPATCHED += "print(*(name for name in __cpu_dispatch__ if has[name]))"

# min, max, mean, sd, integer: scaled Betas of every shape, and the corners of what is possible.
BETAS = [
    *((0, 200, 30, 40, False), (1, 5, 4.6, 1.0, False), (0, 1, 0.5, 0.499, False), (16, 90, 24, 8, False)),
    *((0, 500_000, 40_000, 60_000, True), (0, 1e6, 40, 60, False), (-3, 3, 0, 2.5, False), (0, 60, 4, 4, False)),
]
EXTREMES = [
    *((0, 10, 5, 1e-3, False), (0, 10, 5.5, 0.5, True), (0, 10, 5.5, 0.51, True), (7, 7, 7, 0, True)),
    *((0, 10**12, 40, 9, True), (0, 1e308, 40, 9, False), (0, 1e308, 40, 400, False), (0, 1, 1e-12, 1e-7, False)),
    *(
        (0, 20_000, 5_000, 3_000, True),
        (0, 10, 5, 4.999, True),
        (0, 60, 59, 7.6, True),
        (-1e308, 1e308, 0, 1e150, False),
    ),
]

Case = tuple[str, int, int, str, str]  # blueprint, n, seed, method, rounding


def cases(large: bool) -> Iterator[Case]:
    """What is drawn in every environment."""
    names = [path.name for path in sorted((ROOT / "data" / "blueprints").iterdir())]
    for name in [*names, "hard", "betas", "extremes"]:
        for method in METHODS:
            for rounding in ROUNDINGS if method != "iid" else ROUNDINGS[:1]:
                for n in SIZES:
                    yield name, n, SEEDS[n == SIZES[1]], method, rounding
    if large:
        yield "hard", LARGE, SEEDS[0], METHODS[0], ROUNDINGS[0]


def main() -> int:
    """Run as a parent over all environments, or as a child inside one."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, help="where the environments are kept; a temporary one by default")
    parser.add_argument("--large", action="store_true", help=f"draw {LARGE:,} people as well")
    parser.add_argument("--child", nargs="*", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child is not None:
        return child(args.child, args.large)
    with tempfile.TemporaryDirectory() as folder:
        return parent(args.folder or Path(folder), args.large)


# In an environment


def child(column: list[str], large: bool) -> int:
    """Print the digests of every case, or one column's values as text: what of (number, name)."""
    if column:
        case = list(cases(large))[int(column[0])]
        say(json.dumps(texts(values(drawn(case))[column[1]])))
        return 0
    for case in cases(large):
        say(json.dumps({name: digest(parts) for name, parts in values(drawn(case)).items()}))
    return 0


def drawn(case: Case) -> Any:
    """The frame of one case."""
    import personalab

    name, n, seed, method, rounding = case
    return personalab.sample(blueprint(name), n, seed=seed, method=method, rounding=rounding)


def values(frame: Any) -> dict[str, list[Any]]:
    """Each column as the arrays that make it up, the index among them."""
    columns: dict[str, list[Any]] = {"persona_id": [frame.index.to_numpy().astype("U")]}
    for name, column in frame.items():
        if column.dtype == "category":
            columns[name] = [column.cat.codes.to_numpy(), column.cat.categories.to_numpy().astype("U")]
        elif column.dtype == "Int64":
            columns[name] = [column.fillna(0).to_numpy("int64"), column.isna().to_numpy()]
        else:
            columns[name] = [column.to_numpy("float64")]
    return columns


def digest(parts: list[Any]) -> str:
    """A digest of a column: types, sizes and bytes."""
    told = hashlib.sha256()
    for part in parts:
        told.update(f"{part.dtype.kind}{part.dtype.itemsize}{part.shape}".encode() + part.tobytes())
    return told.hexdigest()


def texts(parts: list[Any]) -> list[str]:
    """Each row of a column, exactly."""
    if parts[0].dtype.kind == "f":
        return [f"{x!r} ({x.hex()})" for x in parts[0].tolist()]
    if len(parts) == 2 and parts[1].dtype.kind == "U":
        return [parts[1][code] if code >= 0 else "missing" for code in parts[0].tolist()]
    return [str(x) for x in parts[0].tolist()]


# What is drawn from


def blueprint(name: str) -> Any:
    """One of the project's own, or one made here of numbers that depend on Python alone."""
    from personalab import Blueprint

    if name == "hard":
        return Blueprint.from_dict(hard())
    laws = {"betas": BETAS, "extremes": EXTREMES}.get(name)
    if laws is None:
        return Blueprint.load(ROOT / "data" / "blueprints" / name)
    fields = [number(f"x{i}", *law) for i, law in enumerate(laws)]
    return Blueprint.from_dict({"domain": name, "order": [field["name"] for field in fields], "fields": fields})


def hard() -> dict[str, Any]:
    """Twelve fields: roots of up to 50 values, children of one and two parents, numbers that depend on them, rules."""
    source = random.Random(0)
    roots = {"gender": 3, "country": 50, "education": 6, "device": 4, "plan": 8, "hobby": 20}
    fields = [categorical(source, name, size) for name, size in roots.items()]
    children = {"income": (5, ("education",)), "language": (12, ("country",))}
    children |= {"occupation": (10, ("income", "gender")), "churn": (2, ("plan", "device"))}
    for name, (size, parents) in children.items():
        fields.append(categorical(source, name, size, *(field for field in fields if field["name"] in parents)))
    for name, law, parent in [
        ("age", (18, 90, 41, 12, True), "education"),
        ("years", (0, 60, 14, 8, False), "occupation"),
    ]:
        field = number(name, *law) | {"parents": [parent]}
        found = next(each for each in fields if each["name"] == parent)["categorical"]["weights"]
        shifted = [
            {"when": {parent: value}, "numeric": field["numeric"] | {"mean": law[2] + i}}
            for i, value in enumerate(found)
        ]
        fields.append(field | {"conditionals": shifted})
    rules = [("years", "<=", "age - 16"), ("age", "!=", "40"), ("country == 'country_1'", "<=", "device != 'device_0'")]
    rules.append(("years * years", ">=", "age - 30"))  # no interval: drawn again until it holds
    constraints = [{"name": f"rule_{i}", "lhs": lhs, "op": op, "rhs": rhs} for i, (lhs, op, rhs) in enumerate(rules)]
    order = [field["name"] for field in fields]
    return {"domain": "hard", "order": order, "fields": fields, "constraints": constraints}


def categorical(source: random.Random, name: str, size: int, *parents: dict[str, Any]) -> dict[str, Any]:
    """A root, or a child with weights of its own for every combination of its parents' values."""

    def table() -> dict[str, Any]:
        parts = [source.random() for _ in range(size)]
        return {"weights": {f"{name}_{i}": part / sum(parts) for i, part in enumerate(parts)}}

    situations: list[dict[str, str]] = [{}] if parents else []
    for parent in parents:
        weights = parent["categorical"]["weights"]
        situations = [when | {parent["name"]: value} for when in situations for value in weights]
    field = {"name": name, "kind": "categorical", "parents": [parent["name"] for parent in parents]}
    conditionals = [{"when": when, "categorical": table()} for when in situations]
    return field | {"categorical": table(), "conditionals": conditionals}


def number(name: str, low: float, high: float, mean: float, sd: float, integer: bool) -> dict[str, Any]:
    """A numeric root."""
    law = {"min": low, "max": high, "mean": mean, "sd": sd, "integer": integer}
    return {"name": name, "kind": "numeric", "numeric": law}


# Over all environments


def parent(folder: Path, large: bool) -> int:
    """Make the environments, draw in each, compare."""
    found: dict[str, list[dict[str, str]]] = {}
    runs: dict[str, tuple[Path, dict[str, str]]] = {}
    for version in PYTHONS:
        for end in ("lowest", "newest"):
            python = environment(folder, version, end)
            if python is not None:
                runs[f"{version} {end}"] = (python, {})
    for name, (python, _) in list(runs.items()):
        if name.endswith("newest"):
            features = run([str(python), "-c", DISPATCHED]).strip()
            runs[f"{name}, plain"] = (python, PLAIN | {"NPY_DISABLE_CPU_FEATURES": features})
    for name, (python, plain) in runs.items():
        say(f"{name}: {libraries(python)}")
        found[name] = [json.loads(line) for line in asked(python, plain, large).splitlines()]
    return compared(found, runs, large)


def environment(folder: Path, version: str, end: str) -> Path | None:
    """A virtual environment's interpreter, or None where there is no such Python."""
    home = (folder / f"{version}-{end}").resolve()
    python = home / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if (home / ".done").exists():
        return python
    base = interpreter(version)
    if base is None:
        say(f"no Python {version} found")
        return None
    run([base, "-m", "venv", str(home)])
    pins = [f"{name}=={lowest(python, name)}" for name in PINNED] if end == "lowest" else []
    (home / "constraints.txt").write_text("\n".join(pins), encoding="utf-8")
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    run([*pip, "--constraint", str(home / "constraints.txt"), "--editable", str(ROOT)])
    (home / ".done").touch()
    return python


def interpreter(version: str) -> str | None:
    """A Python of this version: on the path, or among pyenv's."""
    kept = sorted(Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")).glob(f"versions/{version}.*/bin/python"))
    for python in [*map(str, kept), shutil.which(f"python{version}")]:
        asked = [python or "", "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
        if python and subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip() == version:
            return python
    return None


def lowest(python: Path, name: str) -> str:
    """The lowest declared version of a library, or the lowest above it that has a wheel for this Python."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    bound = next(re.split(r"[>=,<]+", each)[1] for each in declared if re.match(rf"{name}\b", each))
    for found in (bound, f"{bound}.0"):
        tried = [str(python), "-m", "pip", "install", "--dry-run", "--no-deps", "--ignore-installed"]
        done = subprocess.run(
            [*tried, "--only-binary", ":all:", f"{name}=={found}"], capture_output=True, text=True, check=False
        )
        if done.returncode == 0:
            return found
    offered = re.search(r"\(from versions: ([^)]*)\)", done.stderr)
    above = [each for each in (offered[1].split(", ") if offered else []) if re.fullmatch(r"[\d.]+", each)]
    found = min((each for each in above if release(each) >= release(bound)), key=release)
    say(f"{name} {bound} has no wheel for this Python: {found} is taken")
    return found


def release(version: str) -> tuple[int, ...]:
    """A version's numbers, for comparing."""
    return tuple(int(part) for part in version.split("."))


def libraries(python: Path) -> str:
    """What an environment holds."""
    code = "import platform, sys, importlib.metadata as found\n"
    code += "print('Python', platform.python_version(), *(f'{name} {found.version(name)}' for name in sys.argv[1:]))"
    return run([str(python), "-c", code, *PINNED]).strip()


def asked(python: Path, plain: dict[str, str], large: bool, *column: str) -> str:
    """What a child prints. A warning of any library ends it, for a bound that warns is declared too low."""
    command = [str(python), "-W", "error", str(Path(__file__).resolve()), *(["--large"] if large else [])]
    return run([*command, "--child", *column], env=os.environ | {"PYTHONPATH": str(ROOT)} | plain)


def compared(found: dict[str, list[dict[str, str]]], runs: dict[str, tuple[Path, dict[str, str]]], large: bool) -> int:
    """Print the table environment by case, and the first row that differs of each column that does."""
    (first, truth), *others = found.items()
    listed = list(cases(large))
    say(f"\n{len(found)} environments, {len(listed)} cases, each compared with {first}")
    say("columns: " + "; ".join(f"{i} {name}" for i, (name, _) in enumerate(others, 1)) + "\n")
    say("case".ljust(72) + "".join(str(i).rjust(10) for i in range(1, len(others) + 1)))
    differences = []
    for i, case in enumerate(listed):
        line = "{} n={:,} seed={} {} {}".format(*case).ljust(72)
        for name, digests in others:
            astray = [column for column in truth[i] if digests[i].get(column) != truth[i][column]]
            astray += [column for column in digests[i] if column not in truth[i]]
            line += ("different" if astray else "equal").rjust(10)
            differences += [(i, name, column) for column in astray]
        say(line)
    for i, name, column in differences[:20]:
        mine, theirs = (json.loads(asked(*runs[each], large, str(i), column)) for each in (first, name))
        rows = [row for row, pair in enumerate(zip(mine, theirs, strict=False)) if pair[0] != pair[1]]
        told = f"row {rows[0]}: {mine[rows[0]]} against {theirs[rows[0]]}, {len(rows)} rows" if rows else "types only"
        say("{} n={:,} {} {}".format(*listed[i][:2], *listed[i][3:]) + f", {name}, {column!r}: {told}")
    say(f"\n{len(differences)} columns differ" if differences else "\nall frames are equal, bit for bit")
    return 1 if differences else 0


def run(command: list[str], env: dict[str, str] | None = None) -> str:
    """A command's output; where it fails, so does this."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=env)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr[-3000:]}")
    return done.stdout


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
