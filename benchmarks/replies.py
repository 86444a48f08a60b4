"""What is paid twice, and what kept replies cost: ``python benchmarks/replies.py [--quick] [section …]``.

The model is the tests' server on loopback, in a process of its own, which counts what it answers. Runs that are killed
are processes of their own, killed with SIGKILL at random moments. A cell with a target ends in "ok" or "MISSED".
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import platform
import random
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from pydantic import BaseModel
from sampling import Tally, judged, say, table

import personalab as lab
from personalab import llm
from personalab.llm import replies

sys.path.insert(0, str(Path(__file__).parents[1]))  # the server is the tests' own

from tests.loopback import Loopback

CONTEXT = multiprocessing.get_context("forkserver")
AT_ONCE = 32  # requests under way
LATENCY = 0.1  # seconds an answer takes
LOOK = 0.005  # seconds between two looks at the server's count
WRITERS = 4
SEED = 7
PROMPT = "street musicians"


@dataclass(frozen=True)
class Scale:
    """How much is asked."""

    kills: int = 20
    calls: int = 300
    lines: int = 2_000
    calls_read: int = 10_000
    people: int = 200


QUICK = Scale(kills=3, calls=100, lines=200, calls_read=1_000, people=20)


class Person(BaseModel):
    """Someone."""

    name: str
    story: str


def use_server(url: str, folder: Path) -> None:
    """Let ``openai/m`` be a server, and keep replies in a folder."""
    os.environ |= {"OPENAI_BASE_URL": url, "OPENAI_API_KEY": "k", "PERSONALAB_CONCURRENCY": str(AT_ONCE)}
    replies.use(folder)


def ask_many(url: str, folder: Path, calls: int) -> None:
    """Ask that many different questions at once; this runs in a process of its own."""
    use_server(url, folder)
    connection = llm.connect("openai/m")

    async def ask_all() -> None:
        asked = ([{"role": "user", "content": f"number {n}"}] for n in range(calls))
        await asyncio.gather(*(connection.ask(messages, Person) for messages in asked))

    llm.run(ask_all())


def write_many(folder: Path, name: str, lines: int) -> None:
    """Keep that many replies; this runs in a process of its own."""
    store = replies.Replies(folder)
    for number in range(lines):
        store.put({"model": name, "sample": number}, {"content": "x" * 300})


def started(work: Callable[..., None], *arguments: Any) -> Any:
    """Start work in a process that has loaded the client already."""
    process = CONTEXT.Process(target=work, args=arguments)
    process.start()
    return process


def killed_once(scale: Scale, dice: random.Random) -> dict[str, int]:
    """Run until a random number of answers, kill, and run again to the end."""
    with Loopback(latency=LATENCY, jitter=0.5) as server, tempfile.TemporaryDirectory() as folder:
        moment = dice.randint(1, scale.calls - AT_ONCE)
        run = started(ask_many, server.base_url, Path(folder), scale.calls)
        while server.stats().answers < moment:
            time.sleep(LOOK)
        run.kill()
        run.join()
        kept, before = len(replies.Replies(folder)), server.stats()
        run = started(ask_many, server.base_url, Path(folder), scale.calls)
        run.join()
        after = server.stats()
        found = {"answered": before.answers, "kept": kept, "asked again": after.requests - before.requests}
        return found | {"paid twice": after.answers - scale.calls, "lost": scale.calls - len(replies.Replies(folder))}


def kill(scale: Scale) -> Tally:
    """Kill a run at random moments, run it again, and count at the server what was paid twice."""
    dice = random.Random(SEED)
    found = [killed_once(scale, dice) for _ in range(scale.kills)]
    targets = {"paid twice": AT_ONCE, "lost": 0}
    rows = []
    for name in found[0]:
        values = [each[name] for each in found]
        most = judged(max(values), most=targets[name]) if name in targets else max(values)
        rows.append([name, min(values), statistics.median(values), most])
    title = f"kill: {scale.calls} calls, {AT_ONCE} at once, {scale.kills} runs killed with SIGKILL and run again"
    return table(title, ["", "least", "median", "most"], rows)


def damage(scale: Scale) -> Tally:
    """Tear the last line at random places, and write from several processes at once; count what is lost."""
    dice, lost = random.Random(SEED), []
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "study.jsonl")
        write_many(file, "m", 50)
        whole = file.read_bytes()
        last = whole.rstrip(b"\n").rfind(b"\n") + 1
        for _ in range(scale.kills):
            file.write_bytes(whole[: dice.randint(last + 1, len(whole) - 2)])
            replies.Replies(file).put({"model": "m", "sample": 99}, {"content": "after"})
            lost.append(51 - len(replies.Replies(file)))
    with tempfile.TemporaryDirectory() as folder:
        writers = [started(write_many, Path(folder), f"m{n}", scale.lines) for n in range(WRITERS)]
        for writer in writers:
            writer.join()
        missing = WRITERS * scale.lines - len(replies.Replies(folder))
    rows = [
        [f"a last line torn at {scale.kills} places: replies lost at most", judged(max(lost), most=1)],
        [f"{WRITERS} processes write {scale.lines:,} each: replies lost", judged(missing, most=0)],
    ]
    return table("damage", ["", "count"], rows)


def cost(scale: Scale) -> Tally:
    """What the store itself takes: keeping, finding and missing a reply, and reading a whole folder."""
    request = {"messages": [{"role": "user", "content": "fact: " * 300}], "model": "m", "schema": {}}
    reply = {"content": "word " * 250, "finish_reason": "stop", "refusal": None, "usage": {"prompt_tokens": 500}}
    with tempfile.TemporaryDirectory() as folder:
        store, seconds = replies.Replies(folder), {}
        for name, ask in (("miss", store.get), ("put", lambda asked: store.put(asked, reply)), ("get", store.get)):
            began = time.perf_counter()
            for sample in range(scale.calls_read):
                ask({**request, "sample": sample})
            seconds[name] = time.perf_counter() - began
        began = time.perf_counter()
        len(replies.Replies(folder))
        seconds["read"] = time.perf_counter() - began
        size = sum(file.stat().st_size for file in Path(folder).iterdir()) / 1e6
    rows: list[list[object]] = [
        [f"{name}, µs", 1e6 * seconds[name] / scale.calls_read] for name in ("miss", "put", "get")
    ]
    rows += [[f"reading all of it ({size:,.0f} MB), s", seconds["read"]]]
    return table(f"cost: {scale.calls_read:,} replies in one folder, wall time", ["", "each"], rows)


def offline(*_: object) -> None:
    """Stand in for a connection where none may be made."""
    raise AssertionError("a socket was opened")


def frozen(scale: Scale) -> Tally:
    """Make a population from a server with faults, freeze it, and replay it with no key and no socket."""
    with tempfile.TemporaryDirectory() as folder:
        with Loopback(latency=LATENCY, busy=0.02, broken=0.01, malformed=0.02, truncated=0.02, refused=0.01) as server:
            use_server(server.base_url, Path(folder, "calls"))
            live = lab.generate(PROMPT, scale.people, seed=SEED, model="openai/m")
            stats = server.stats()
        file = lab.freeze(Path(folder, "study.jsonl"))
        for name in ("OPENAI_BASE_URL", "OPENAI_API_KEY"):
            del os.environ[name]
        began = time.perf_counter()
        with replies.use(file, mode="replay"), mock.patch.object(socket.socket, "connect", offline):
            again = lab.generate(PROMPT, scale.people, seed=SEED)
        seconds = time.perf_counter() - began
        size = file.stat().st_size
        saved, resaved = _files(live, Path(folder, "live")), _files(again, Path(folder, "again"))
        differing = sum(saved.get(name) != resaved.get(name) for name in {*saved, *resaved})
    assert live.usage is not None
    used = live.usage.total
    off = abs(used.prompt_tokens - stats.prompt_tokens) + abs(used.completion_tokens - stats.completion_tokens)
    rows = [
        ["tokens by which usage and the server's count differ", judged(off, most=0)],
        ["saved files that differ after a replay", judged(differing, most=0)],
        ["bytes a persona in the frozen file", judged(size / scale.people, most=3000)],
        ["personas a second in the replay, wall time", scale.people / seconds],
    ]
    return table(f"frozen: {scale.people} people, {used.calls} answers with faults", ["", "value"], rows)


def _files(population: lab.Population, folder: Path) -> dict[str, bytes]:
    """What a population saves, by name."""
    population.save(folder)
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


SECTIONS = {"kill": kill, "damage": damage, "cost": cost, "frozen": frozen}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the sections asked for, and count the targets met and missed."""
    parser = argparse.ArgumentParser(description="What is paid twice, and what kept replies cost.")
    parser.add_argument("sections", nargs="*", metavar="section", help=f"any of: {' '.join(SECTIONS)}; default all")
    parser.add_argument("--quick", action="store_true", help="fewer calls and kills, to try the sections out")
    given = parser.parse_args(arguments)
    unknown = set(given.sections) - set(SECTIONS)
    if unknown:
        parser.error(f"no such section: {', '.join(sorted(unknown))}; there are {', '.join(SECTIONS)}")
    CONTEXT.set_forkserver_preload(["openai", "personalab.llm"])  # the slow part, once for all runs
    say(f"Python {platform.python_version()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    tally = Tally()
    for section in given.sections or SECTIONS:
        tally += SECTIONS[section](QUICK if given.quick else Scale())
    say(f"\n{tally['ok']} targets met, {tally['MISSED']} missed")


if __name__ == "__main__":
    main()
