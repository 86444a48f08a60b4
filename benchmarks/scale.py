"""What ten thousand personas take: ``python benchmarks/scale.py [--quick] [n]``.

A job is started against a model server on loopback, which lives in a process of its own and answers each request after
a while with somebody else. While the job runs, this process looks at itself and at the job's folder. It prints how much
memory it ever held, how long the job took, that the files grew while people were written, and what became of it all.
"""

from __future__ import annotations

import argparse
import itertools
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from sampling import judged, peak, say, shown, table

sys.path.insert(0, str(Path(__file__).parents[1]))
import personalab as lab
from personalab import jobs
from personalab.llm import replies
from tests.loopback import Loopback

PROMPT = "street musicians in European cities"
LATENCY = 0.2  # seconds an answer takes
AT_ONCE = 64  # requests the server bears
MOST_MIB = 500.0
FIRST = 0.1  # share of the people by which the files have to have grown
LOOK = 0.25  # seconds between two looks
MIB = 2**20


class Look(NamedTuple):
    """What was seen at one time."""

    seconds: float
    produced: int
    texts: int
    replies: int


def bytes_in(path: Path) -> int:
    """How much is in a file or in the files of a folder."""
    files = path.iterdir() if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.exists())


def looks(job: jobs.Job, calls: Path, folder: Path) -> list[Look]:
    """Look at a job until it has ended."""
    begun, seen = time.perf_counter(), []
    while job.status in ("pending", "running"):
        seconds = time.perf_counter() - begun
        seen.append(Look(seconds, job.progress.produced, bytes_in(folder / "texts.jsonl"), bytes_in(calls)))
        time.sleep(LOOK)
    return seen


def run(n: int) -> None:
    """Make a population of `n` and print what it took."""
    before = peak() / MIB
    with tempfile.TemporaryDirectory() as place, Loopback(latency=LATENCY, capacity=None) as server:
        os.environ.update(OPENAI_BASE_URL=server.base_url, OPENAI_API_KEY="none", PERSONALAB_CONCURRENCY=str(AT_ONCE))
        calls = Path(place) / "calls"
        replies.use(calls)
        begun, cpu = time.perf_counter(), time.process_time()
        job = lab.start(PROMPT, n, seed=7, model="openai/any")
        started = time.perf_counter() - begun
        seen = looks(job, calls, calls.parent / "jobs" / job.id)
        population = job.wait()
        wall, cpu, stats = time.perf_counter() - begun, time.process_time() - cpu, server.stats()
    usage = population.usage
    assert usage is not None
    written = [look for look in seen if look.produced < n and look.texts]
    first = min((look.produced for look in written), default=n)
    sizes = [look.texts for look in seen]
    grows = sum(later > earlier for earlier, later in itertools.pairwise(sizes))
    ideal = LATENCY * stats.answers / AT_ONCE
    rows = [
        ["MiB held at most, by this process", judged(peak() / MIB, most=MOST_MIB)],
        ["MiB of that before the start", before],
        ["ms until start() was back", judged(1000 * started, most=100.0)],
        ["wall s, with blueprint, doubles and report", wall],
        [f"wall ÷ ({LATENCY:g} s times answers ÷ {AT_ONCE} at once)", wall / ideal],
        ["CPU ms a persona", 1000 * cpu / n],
        ["personas in the frame", judged(len(population), least=n)],
        ["personas written when texts.jsonl was first seen", judged(first, most=FIRST * n)],
        ["looks at which texts.jsonl had grown", f"{grows} of {len(seen)}"],
        ["MiB of texts.jsonl, and of the replies", f"{sizes[-1] / MIB:.1f}, {seen[-1].replies / MIB:.1f}"],
        ["doubles left", len(population.frame.attrs["doubles"])],
        ["calls in the ledger, less the server's answers", judged(abs(usage.total.calls - stats.answers), most=0)],
    ]
    table(f"{n:,} personas, {LATENCY:g} s an answer, {os.cpu_count()} cores", ["what", "value"], rows)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run at the size asked for."""
    parser = argparse.ArgumentParser(description="What many personas take, written by a server on this machine.")
    parser.add_argument("n", nargs="?", type=int, default=10_000, help="how many; 10,000 by default")
    parser.add_argument("--quick", action="store_true", help="500, to try it out; the verdicts say little")
    given = parser.parse_args(arguments)
    say(f"load {shown(os.getloadavg()[0])} before")
    run(500 if given.quick else given.n)
    say(f"load {shown(os.getloadavg()[0])} after")


if __name__ == "__main__":
    main()
