"""What drawing costs, and how exact it is: ``python benchmarks/sampling.py [--quick] [section …]``.

Every section prints one table or a few; a cell with a target ends in "ok" or "MISSED". Speeds are rows per second of
processor time in one process, medians of repetitions in which the arms take turns, so that a busy machine slows all
of them alike.
"""

# mypy: disable-error-code="no-untyped-call"
# The distributed scheduler comes without types.

from __future__ import annotations

import argparse
import gc
import importlib.util
import multiprocessing
import os
import platform
import re
import resource
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from blueprints import hard
from exactness import Pair, counted, edges, pairs, root_excess, roots
from peers import designer, network

import personalab
from personalab import Blueprint
from personalab.frames import persona_ids

METHODS = ("balanced", "quota", "iid")
LEAGUE = Path(__file__).parents[1] / "data" / "blueprints" / "league-of-legends.json"
SEED = 7
WARM_UP = 1_000  # rows drawn before a clock starts
SMALL = 1_000  # rows of the draw whose milliseconds count
PATIENCE = 120.0  # seconds of processor time beyond which a curve goes no further
REFERENCE = 100_000  # rows, and below 12 fields, to which the time per row is compared
PIECE = 1 << 20  # rows hashed at once
FLAT = 1.1  # how much higher a worker's peak may be than that of one that draws a quarter of the rows

# Module, what to install, and what is left out without it.
OPTIONAL = {
    "peers": {"pgmpy": "pgmpy", "data_designer": "data-designer"},
    "dask": {"dask.dataframe": "'dask[dataframe]'", "distributed": "distributed"},
}

Arms = dict[str, Callable[[], object]]
Tally = Counter[str]


@dataclass(frozen=True)
class Scale:
    """How much is drawn."""

    rows: int = 1_000_000
    repetitions: int = 7
    small_repetitions: int = 51
    memory_rows: int = 10_000_000
    longest_curve: int = 10_000_000
    seeds: int = 30
    network_rows: int = 100_000
    designer_rows: int = 10_000
    peer_repetitions: int = 3
    dask_rows: int = 20_000_000
    workers: tuple[int, ...] = (1, 2, 4)


QUICK = Scale(
    rows=100_000,
    repetitions=3,
    small_repetitions=11,
    memory_rows=1_000_000,
    longest_curve=100_000,
    seeds=5,
    network_rows=10_000,
    designer_rows=500,
    dask_rows=8_000_000,
    workers=(1, 2),
)


class Seconds(NamedTuple):
    """How long something took: the processor, and the clock on the wall."""

    cpu: float
    wall: float


def timed(arms: Mapping[str, Callable[[], object]], repetitions: int) -> dict[str, Seconds]:
    """Each arm's median seconds; the arms take turns within a repetition, and what they return is let go untimed."""
    found: dict[str, list[Seconds]] = {name: [] for name in arms}
    for _ in range(repetitions):
        for name, arm in arms.items():
            gc.collect()
            cpu, wall = time.process_time(), time.perf_counter()
            result = arm()
            found[name].append(Seconds(time.process_time() - cpu, time.perf_counter() - wall))
            del result
    return {name: Seconds(*map(statistics.median, zip(*each, strict=True))) for name, each in found.items()}


def say(text: str) -> None:
    """Print a line at once, since sections take minutes."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def shown(value: object) -> str:
    """A cell's text: whole numbers from 100 on, three digits below."""
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def table(title: str, head: Sequence[str], rows: Iterable[Sequence[object]]) -> Tally:
    """Print rows under a title, columns aligned, and count the targets met and missed in them."""
    texts = [list(head), *([shown(cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    say(f"\n{title}")
    for row in texts:
        first, *others = (cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        say("  ".join(["", row[0].ljust(len(first)), *others]))
    return Tally(cell.rsplit(maxsplit=1)[-1] for row in texts for cell in row if cell.endswith((" ok", " MISSED")))


def judged(value: float, *, most: float | None = None, least: float | None = None, aim: float | None = None) -> str:
    """A value beside its target, and whether it is met."""
    is_met = (most is None or value <= most) and (least is None or value >= least)
    if most is not None and least is not None:
        target = f"{shown(least)} to {shown(most)}"
    else:
        target = f"≤ {shown(most)}" if most is not None else f"≥ {shown(least)}"
    goal = f", aim {shown(aim)}" if aim is not None else ""
    return f"{shown(value)} ({target}{goal}) {'ok' if is_met else 'MISSED'}"


def drawing(bp: Blueprint, n: int, method: str) -> Callable[[], pd.DataFrame]:
    """A draw that is ready to be timed: the blueprint has been drawn from before."""
    personalab.sample(bp, min(n, WARM_UP), seed=SEED, method=method)
    return partial(personalab.sample, bp, n, seed=SEED, method=method)


def bare(frame: pd.DataFrame) -> Callable[[], pd.DataFrame]:
    """What no sampler can save: 2 random bytes a row and field, 8 for a real one, and a frame of columns at hand."""
    rng = np.random.default_rng(SEED)
    kinds, n = frame.dtypes.to_dict(), len(frame)
    parts: dict[Any, Any] = {}
    for name, column in frame.items():
        if isinstance(kinds[name], pd.CategoricalDtype):
            parts[name] = column.cat.codes.to_numpy()
        elif kinds[name] == "Int64":
            parts[name] = (column.to_numpy(np.int64), column.isna().to_numpy())
        else:
            parts[name] = column.to_numpy()

    def draw() -> pd.DataFrame:
        columns: dict[Any, Any] = {}
        for name, kind in kinds.items():
            if kind == np.float64:
                rng.random(n)
                columns[name] = parts[name]
                continue
            rng.integers(0, 1 << 16, n, dtype=np.uint16)
            if isinstance(kind, pd.CategoricalDtype):
                columns[name] = pd.Categorical.from_codes(parts[name], dtype=kind, validate=False)
            else:
                columns[name] = pd.arrays.IntegerArray(*parts[name])
        return pd.DataFrame(columns, index=frame.index, copy=False)

    return draw


def speed(scale: Scale) -> Tally:
    """Draws of a million rows against the least that any sampler needs, and the milliseconds of a small panel."""
    tally, n, panels = Tally(), scale.rows, {}
    for numbers in ("integer", "real"):
        for is_ruled in (True, False):
            title = f"2 {numbers} fields, {'with' if is_ruled else 'without'} rules"
            bp = panels[title] = hard(is_ruled=is_ruled, numbers=numbers)
            frame = drawing(bp, n, "iid")()
            arms: Arms = {"bare": bare(frame), "ids alone": partial(persona_ids, n)}
            arms |= {method: drawing(bp, n, method) for method in ("iid", "quota")}
            seconds = timed(arms, scale.repetitions)
            cpu = {name: each.cpu for name, each in seconds.items()}
            targets = {"iid": {"most": 5.0, "aim": 3.0}, "quota": {"most": 15.0, "aim": 8.0}}
            rows = [
                [
                    name,
                    1000 * cpu[name],
                    n / cpu[name],
                    judged(cpu[name] / cpu["bare"], **targets[name]) if name in targets else cpu[name] / cpu["bare"],
                    (cpu[name] - cpu["ids alone"]) / cpu["bare"] if name in targets else "",
                ]
                for name in arms
            ]
            head = ["arm", "CPU ms", "rows/CPU-s", "CPU ÷ bare", "ids apart"]
            tally += table(f"speed: {n:,} rows, 12 fields, {title}", head, rows)
    panel_arms = {title: drawing(bp, SMALL, "balanced") for title, bp in panels.items()}
    seconds = timed(panel_arms, scale.small_repetitions)
    rows = [
        [title, judged(1000 * each.cpu, most=20.0), judged(1000 * each.wall, most=20.0)]
        for title, each in seconds.items()
    ]
    return tally + table(f"speed: balanced, {SMALL:,} rows, 12 fields", ["blueprint", "CPU ms", "wall ms"], rows)


def peak() -> int:
    """The most memory that this process has held so far, in bytes."""
    status = Path("/proc/self/status")
    if status.exists():  # where ru_maxrss would begin at the peak of the process that started this one
        found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text(encoding="ascii"))
        if found:
            return 1024 * int(found[1])
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def footprint(method: str, n: int) -> tuple[float, float, float]:
    """Bytes a row: what a draw adds to the peak of a fresh process, what its frame holds, and what of that is ids."""
    draw = drawing(hard(), n, method)
    before = peak()
    frame = draw()
    added, held = peak() - before, frame.memory_usage(deep=True, index=True)
    return added / n, held.sum() / n, held["Index"] / n


def memory(scale: Scale) -> Tally:
    """Peak memory of one large draw by each method, each in a process of its own."""
    rows = []
    for method in METHODS:
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as fresh:
            added, held, ids = fresh.submit(footprint, method, scale.memory_rows).result()
        rows.append([method, judged(added, most=80.0), held, ids])
    head = ["method", "peak above the start", "the frame", "of it the ids"]
    return table(f"memory: bytes a row, {scale.memory_rows:,} rows, 12 fields", head, rows)


def curve(scale: Scale) -> Tally:
    """Speed by the number of rows."""
    rows, bp = [], hard()
    for method in METHODS:
        cost: dict[int, float] = {}
        n = WARM_UP
        while n <= scale.longest_curve:
            repetitions = scale.repetitions if n <= REFERENCE else 1
            cost[n] = timed({method: drawing(bp, n, method)}, repetitions)[method].cpu / n
            if cost[n] * n * 10 > PATIENCE:
                break
            n *= 10
        rows += [[method, n, 1 / each, each / cost.get(REFERENCE, float("nan"))] for n, each in cost.items()]
    head = ["method", "rows", "rows/CPU-s", f"time a row ÷ that at {REFERENCE:,}"]
    return table("curve: 12 fields; a method goes on while the next draw promises to end soon", head, rows)


def fields(scale: Scale) -> Tally:
    """Speed by the number of fields."""
    rows, n = [], min(REFERENCE, scale.rows)
    for method in METHODS:
        cost = {
            size: timed({method: drawing(hard(size), n, method)}, scale.peer_repetitions)[method].cpu / n
            for size in (6, 12, 24, 48)
        }
        rows += [[method, size, 1 / each, each / size / (cost[12] / 12)] for size, each in cost.items()]
    head = ["method", "fields", "rows/CPU-s", "time a row and field ÷ that at 12"]
    return table(f"fields: {n:,} rows", head, rows)


def exactness(scale: Scale) -> Tally:
    """Distances from the blueprint, recomputed from the frames, over many seeds."""
    rows, bp, rng = [], hard(), np.random.default_rng(SEED)
    for method in ("balanced", "quota"):
        for n in (10, 100, 1_000):
            excess, chi2 = [], []
            found: dict[str, list[Pair]] = {"cell": [], "margin": [], "met": []}
            for seed in range(scale.seeds):
                frame = personalab.sample(bp, n, seed=seed, method=method)
                excess.append(root_excess(bp, {field.name: counted(frame[field.name]) for field in roots(bp)}, frame))
                for cell, margin in edges(bp, frame):
                    found["cell"].append(cell)
                    found["margin"].append(margin)
                for met, ratio in pairs(bp, frame, rng):
                    found["met"].append(met)
                    chi2.append(ratio)
            ratios = {name: float(np.divide(*np.sum(each, axis=0))) for name, each in found.items()}
            is_near, is_even = method == "balanced" and n >= 100, method == "balanced" and n == 1_000
            even = float(np.nanmean(chi2))
            rows.append(
                [
                    f"{method}, {n:,}",
                    judged(max(excess), most=1e-12),
                    judged(ratios["cell"], most=1.35) if is_near else ratios["cell"],
                    judged(ratios["margin"], most=1.5) if is_near else ratios["margin"],
                    judged(ratios["met"], most=0.55) if is_even else ratios["met"],
                    judged(even, least=0.9, most=1.1) if method == "quota" and n == 1_000 else even,
                ]
            )
    head = ["method, rows", "root TVD - limit", "conditional ÷ limit", "child margin ÷ limit"]
    head += ["root pairs ÷ chance", "χ²/df"]
    return table(f"exactness: {scale.seeds} seeds, 12 fields with rules", head, rows)


def peers(scale: Scale) -> Tally:
    """The same fields and rows by other samplers, in the same process and by turns."""
    jobs = {
        "pgmpy": ("pgmpy, 10 discrete fields", network, hard(10, numbers="none"), scale.network_rows, 15.0),
        "data_designer": (
            "data-designer, League of Legends",
            designer,
            Blueprint.load(LEAGUE),
            scale.designer_rows,
            1000.0,
        ),
    }
    rows = []
    for module, (title, peer, bp, n, least) in jobs.items():
        if importlib.util.find_spec(module) is None:
            continue
        arms = {"peer": peer(bp, n)} | {method: drawing(bp, n, method) for method in ("iid", "quota")}
        cpu = {name: each.cpu for name, each in timed(arms, scale.peer_repetitions).items()}
        ratio = judged(cpu["peer"] / cpu["quota"], least=least)
        rows.append([title, n, *(n / each for each in cpu.values()), cpu["peer"] / cpu["iid"], ratio])
    head = ["peer", "rows", "peer rows/CPU-s", "iid rows/CPU-s", "quota rows/CPU-s", "iid ÷ peer", "quota ÷ peer"]
    return table("peers: the same fields, rows and process", head, rows)


class Whole(NamedTuple):
    """What is kept of a population that passed by in pieces."""

    digest: str
    excess: float


def passed(bp: Blueprint, pieces: Iterable[pd.DataFrame]) -> Whole:
    """Hash a population and measure its roots, however it is cut: each row's hash counts with the row's place."""
    total, place = np.uint64(0), 0
    tallies: dict[str, Any] = {field.name: 0 for field in roots(bp)}
    piece = pd.DataFrame()
    for piece in pieces:
        hashes = pd.util.hash_pandas_object(piece, categorize=False).to_numpy()
        odd = 2 * np.arange(place, place + len(piece), dtype=np.uint64) + np.uint64(1)
        total = np.add.reduce([total, np.add.reduce(hashes * odd)])
        place += len(piece)
        tallies = {name: count + counted(piece[name]) for name, count in tallies.items()}
    return Whole(f"{total:016x}", root_excess(bp, tallies, piece))


def written(folder: str) -> Iterator[pd.DataFrame]:
    """The Parquet files of a folder, in the order of their numbers."""
    files = Path(folder).glob("*.parquet")
    for path in sorted(files, key=lambda path: int(re.findall(r"\d+", path.name)[0])):
        yield pd.read_parquet(path)


def dask(scale: Scale) -> Tally:
    """A population beyond one machine's memory, written by workers: its speed, memory, and sameness."""
    from distributed import Client, LocalCluster

    bp, rows = hard(), []
    runs: dict[tuple[int, int], tuple[int, Whole]] = {}
    sizes = (scale.dask_rows // 4, scale.dask_rows)
    start = time.perf_counter()
    frame = personalab.sample(bp, scale.dask_rows, seed=SEED, method="quota")
    wall = time.perf_counter() - start
    single = passed(bp, (frame.iloc[i : i + PIECE] for i in range(0, len(frame), PIECE)))
    rows.append(["one process, in memory", len(frame), wall, len(frame) / wall, peak() / 2**20, *single[::-1]])
    del frame
    for workers in scale.workers:
        for n in sizes:
            with (
                tempfile.TemporaryDirectory() as folder,
                LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=":0") as cluster,
                Client(cluster) as client,
            ):
                start = time.perf_counter()
                personalab.sample(bp, n, seed=SEED, method="quota", engine="dask").to_parquet(folder)
                wall, most = time.perf_counter() - start, max(client.run(peak).values())
                runs[workers, n] = most, passed(bp, written(folder))
            name = f"to Parquet, workers: {workers}"
            rows.append([name, n, wall, n / wall, most / 2**20, *runs[workers, n][1][::-1]])
    head = ["run", "rows", "wall s", "rows/s", "peak MiB a process", "root TVD - limit", "digest"]
    tally = table(f"dask: quota, 12 fields, {os.cpu_count()} cores", head, rows)
    verdicts = [
        ["root TVD - limit, the worst", judged(max(run[1].excess for run in runs.values()), most=1e-12)],
        [
            f"different digests at {scale.dask_rows:,} rows",
            judged(len({single.digest, *(runs[workers, sizes[1]][1].digest for workers in scale.workers)}), most=1),
        ],
    ]
    # Of four workers at the smaller size each draws a chunk or two, and has not come to its peak: one draws them all.
    level = runs[scale.workers[0], sizes[0]][0]
    for workers in scale.workers:
        ratio = runs[workers, sizes[1]][0] / level
        name = f"peak at four times the rows, workers: {workers}, ÷ that of {scale.workers[0]} at the fewer"
        verdicts.append([name, judged(ratio, most=FLAT)])
    return tally + table("dask: what must hold", ["what", "value"], verdicts)


SECTIONS: dict[str, Callable[[Scale], Tally]] = {
    "speed": speed,
    "memory": memory,
    "curve": curve,
    "fields": fields,
    "exactness": exactness,
    "peers": peers,
    "dask": dask,
}


def is_able(section: str) -> bool:
    """Whether a section can run, wholly or in part; what it lacks is named in one line."""
    needed = OPTIONAL.get(section, {})
    absent = [module for module in needed if importlib.util.find_spec(module.partition(".")[0]) is None]
    if absent:
        names = " ".join(needed[module] for module in absent)
        say(f"{section}: not installed, so left out: {names} → pip install {names}")
    return len(absent) < len(needed) if section == "peers" else not absent


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the sections asked for, and count the targets met and missed."""
    parser = argparse.ArgumentParser(description="What drawing costs, and how exact it is.")
    parser.add_argument("sections", nargs="*", metavar="section", help=f"any of: {' '.join(SECTIONS)}; default all")
    parser.add_argument("--quick", action="store_true", help="fewer rows and repetitions, to try the sections out")
    given = parser.parse_args(arguments)
    unknown = set(given.sections) - set(SECTIONS)
    if unknown:
        parser.error(f"no such section: {', '.join(sorted(unknown))}; there are {', '.join(SECTIONS)}")
    versions = f"Python {platform.python_version()}, numpy {np.__version__}, pandas {pd.__version__}"
    say(f"{versions}, {os.cpu_count()} cores")
    tally = Tally()
    for section in given.sections or SECTIONS:
        if is_able(section):
            tally += SECTIONS[section](QUICK if given.quick else Scale())
    say(f"\n{tally['ok']} targets met, {tally['MISSED']} missed")


if __name__ == "__main__":
    main()
