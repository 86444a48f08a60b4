"""What asking a model server costs, and what becomes of it when the server fails.

``python benchmarks/pipeline.py [--quick] [section …]``

Every section prints one table; a cell with a target ends in "ok" or "MISSED". The server is `tests.loopback`, in a
process of its own; each client runs in a fresh process, so that it knows nothing of the server from the run before.
Times are of the clock on the wall, divided by what the questions would take if the server were always full.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from sampling import Tally, judged, say, table

sys.path.insert(0, str(Path(__file__).parents[1]))  # the server is the tests' own

import clients

from personalab.llm import endpoint
from tests.loopback import Loopback, Stats

STALL = 10.0  # seconds without any answer after which a run is to end
LATE = 5.0  # seconds more that it may take
EARLY = 3  # requests that a wrong key may cost

# Client, and what it needs; those that are not installed are left out.
CLIENTS: dict[str, tuple[clients.Client, str | None]] = {
    "personalab": (clients.personalab_client, None),
    "instructor + semaphore": (clients.instructor_client, "instructor"),
    "the same, client's own retries": (clients.default_client, "instructor"),
    "EDSL": (clients.edsl_client, "edsl"),
    "Data Designer": (clients.designer_client, "data_designer"),
}


PACKAGES = ("openai", "instructor", "edsl", "data-designer")


@dataclass(frozen=True)
class Scale:
    """How much is asked."""

    questions: int = 500
    latency: float = 2.0
    overload: int = 300
    overload_latency: float = 1.0
    fatal: int = 200
    repetitions: int = 3
    cpu_latency: float = 0.2
    cpu_repetitions: int = 5


QUICK = Scale(questions=130, latency=1.0, overload=80, overload_latency=0.5, fatal=70, repetitions=1, cpu_repetitions=2)


class Run(NamedTuple):
    """What one client made of one server."""

    answers: int
    seconds: float
    cpu: float
    limit: float
    failure: str


def asked(client: str, url: str, n: int, settings: dict[str, str]) -> Run:
    """Ask, in a process that has just started."""
    os.environ |= settings
    run = CLIENTS[client][0](url, n)
    failure, answers = "", 0
    cpu, wall = time.process_time(), time.perf_counter()
    try:
        answers = run()
    except Exception as error:  # whatever another's client raises when it gives up
        failure = getattr(error, "category", type(error).__name__)
    seconds, cpu = time.perf_counter() - wall, time.process_time() - cpu
    limits = [server.gate.limit for server in endpoint._servers.values()]  # what no user needs to see
    return Run(answers, seconds, cpu, limits[0] if limits else float("nan"), failure)


def against(
    client: str, n: int, settings: dict[str, str] | None = None, *, is_absent: bool = False, **script: Any
) -> tuple[Run, Stats]:
    """One client against one server, or against the port of one that has gone."""
    with (
        Loopback(**script) as server,
        ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as fresh,
    ):
        stats = server.stats()
        if is_absent:
            server.stop()
        run = fresh.submit(asked, client, server.base_url, n, settings or {}).result()
        return run, stats if is_absent else server.stats()


def present() -> list[str]:
    """The clients that are installed."""
    return [name for name, (_, module) in CLIENTS.items() if module is None or find_spec(module)]


def compared(title: str, n: int, ideal: float, scale: Scale, script: dict[str, Any], row: Callable[..., Any]) -> Tally:
    """Every client against the same servers, by turns; the run of the median time is shown."""
    runs: dict[str, list[tuple[Run, Stats]]] = {name: [] for name in present()}
    for seed in range(scale.repetitions):
        for name, found in runs.items():
            found.append(against(name, n, seed=seed, **script))
    rows = []
    for name, found in runs.items():
        run, stats = sorted(found, key=lambda each: each[0].seconds)[len(found) // 2]
        rows.append([name, *row(name == "personalab", run, stats, run.seconds / ideal)])
    head = ["client", "answers", "wall ÷ least", "CPU ms a call", "requests", "refused", "limit at the end"]
    return table(title, head, rows)


def faults(scale: Scale) -> Tally:
    """Many questions, of which a few in a hundred are refused, fail or are cut short."""
    n, latency = scale.questions, scale.latency

    def row(is_ours: bool, run: Run, stats: Stats, ratio: float) -> list[object]:
        cpu, refused = 1000 * run.cpu / n, f"{stats.refused / stats.requests:.1%}"
        if not is_ours:
            return [run.answers, ratio, cpu, stats.requests, refused, ""]
        return [
            judged(run.answers, least=n),
            judged(ratio, most=1.6, aim=1.35),
            judged(cpu, most=6, aim=4.5),
            stats.requests,
            refused,
            run.limit,
        ]

    script = {"latency": latency, "busy": 0.02, "broken": 0.01, "truncated": 0.005, "retry_after": 1}
    title = f"faults: {n} questions, {clients.AT_ONCE} at once, {latency:g} s each; 2 % 429, 1 % 500, 0.5 % cut short"
    return compared(title, n, n * latency / clients.AT_ONCE, scale, script, row)


def overload(scale: Scale) -> Tally:
    """A server that refuses what is beyond its capacity."""
    n, latency, capacity = scale.overload, scale.overload_latency, 16

    def row(is_ours: bool, run: Run, stats: Stats, ratio: float) -> list[object]:
        cpu, refused = 1000 * run.cpu / n, 100 * stats.refused / stats.requests
        if not is_ours:
            return [run.answers, ratio, cpu, stats.requests, f"{refused:.1f} %", ""]
        return [
            judged(run.answers, least=n),
            judged(ratio, most=1.6),
            cpu,
            stats.requests,
            judged(refused, most=15) + " %",
            judged(run.limit, least=12, most=20),
        ]

    title = f"overload: {n} questions, {latency:g} s each, a server that bears {capacity} and refuses the rest"
    return compared(title, n, n * latency / capacity, scale, {"latency": latency, "capacity": capacity}, row)


FATAL: dict[str, tuple[dict[str, Any], str, int | None]] = {
    "wrong key": ({"key": "another"}, "auth_error", EARLY),
    "no credit": ({"quota": 0}, "quota_exceeded", EARLY),
    "every request refused": ({"busy": 1.0}, "rate_limited", None),
    "the same, come back in 1 s": ({"busy": 1.0, "retry_after": 1.0}, "rate_limited", None),
    "no answer to anything": ({"silent": 1.0}, "provider_timeout", None),
    "every request fails": ({"broken": 1.0}, "provider_error", None),
    "nobody there": ({}, "provider_unreachable", None),
}


def fatal(scale: Scale) -> Tally:
    """Servers that never answer: how soon a run ends, after how many requests, and what it is called."""
    settings = {"PERSONALAB_STALL": f"{STALL:g}", "PERSONALAB_TIMEOUT": "2"}
    rows = []
    for name, (script, category, most) in FATAL.items():
        run, stats = against("personalab", scale.fatal, settings, is_absent=name == "nobody there", **script)
        requests = judged(stats.requests, most=most) if most else stats.requests
        is_right = "ok" if run.failure == category else "MISSED"
        rows.append([name, requests, judged(run.seconds, most=STALL + LATE), f"{run.failure} {is_right}"])
    title = f"fatal: {scale.fatal} questions of personalab, stall {STALL:g} s, timeout 2 s"
    return table(title, ["server", "requests", "seconds", "category"], rows)


def cpu(scale: Scale) -> Tally:
    """Processor time a call, with answers that come quickly; each repetition in a fresh process."""
    n, rows = scale.questions, []
    for name in present():
        runs = [against(name, n, latency=scale.cpu_latency)[0] for _ in range(scale.cpu_repetitions)]
        spent = statistics.median(1000 * run.cpu / n for run in runs)
        rows.append([name, judged(spent, most=6, aim=4.5) if name == "personalab" else spent])
    return table(f"cpu: {n} questions, {scale.cpu_latency:g} s each, no faults", ["client", "CPU ms a call"], rows)


SECTIONS: dict[str, Callable[[Scale], Tally]] = {"faults": faults, "overload": overload, "fatal": fatal, "cpu": cpu}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the sections asked for, and count the targets met and missed."""
    parser = argparse.ArgumentParser(description="What asking a model server costs, and what becomes of its failures.")
    parser.add_argument("sections", nargs="*", metavar="section", help=f"any of: {' '.join(SECTIONS)}; default all")
    parser.add_argument("--quick", action="store_true", help="fewer questions and repetitions, to try the sections out")
    given = parser.parse_args(arguments)
    unknown = set(given.sections) - set(SECTIONS)
    if unknown:
        parser.error(f"no such section: {', '.join(sorted(unknown))}; there are {', '.join(SECTIONS)}")
    packages = (name for name in PACKAGES if find_spec(name.replace("-", "_")))
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    say(f"Python {platform.python_version()}, {versions}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    tally = Tally()
    for section in given.sections or SECTIONS:
        tally += SECTIONS[section](QUICK if given.quick else Scale())
    say(f"\n{tally['ok']} targets met, {tally['MISSED']} missed; load {os.getloadavg()[0]:.1f} at the end")


if __name__ == "__main__":
    main()
