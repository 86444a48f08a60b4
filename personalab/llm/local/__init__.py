"""The embedded language model: real answers with no key and no account.

``model="local"`` works on a machine that has Python and a package index, and nothing else. `weights` brings
the model file, checked by its SHA-256. `serve` runs llama.cpp's own server on it, which speaks OpenAI's
protocol: in a child process, so that a crash of native code never takes the notebook down, on loopback only,
behind a random key. It ends with the process that began it, however that ends.

A small model is a small model: `Model.expect` says in one sentence what to expect of each.

Environment: ``PERSONALAB_GGUF`` (a model file to use instead), ``PERSONALAB_CACHE`` (where to keep files),
``PERSONALAB_THREADS`` (threads of the server), ``HF_HUB_OFFLINE`` (skip Hugging Face).
"""

from __future__ import annotations

import atexit
import contextlib
import importlib.util
import json
import logging
import os
import queue
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

from personalab.errors import ProviderError
from personalab.llm.local.gguf import MODELS, Carrier, Hub, Model, find_model, missing, weights

__all__ = ["MODELS", "Carrier", "Hub", "Model", "Server", "serve", "stop", "weights"]

_log = logging.getLogger(__name__)

# A whole staged inference is about 3,400 prompt tokens over all its calls; a longer context costs memory.
_N_CONTEXT = 4096
# Saved prompt states, 28 KB a token with the 1.5B: seven prefixes of 2,400 tokens. The default is 8 GB.
_CACHE_MIB = 512
# Turns a thread waits in a busy loop for the others before it sleeps. With the 0.5B, two threads and one of
# two cores busy, five short answers took over a minute with the default of OpenMP; so they come at 15 tokens
# a second, and on idle cores at 95 % of the default's speed.
_SPINS = "1000"
# Reading 1.1 GB from a slow network disk takes about a minute.
_START_SECONDS = 180.0
_STOP_SECONDS = 5.0
# Long enough for fifty clock ticks a core, short beside the seconds that a start takes.
_LOOK_SECONDS = 0.5


@dataclass(frozen=True)
class Server:
    """A running model: what a client of OpenAI's protocol needs to talk to it.

    Attributes
    ----------
    base_url : str
        Address with ``/v1``, on loopback.
    api_key : str
        Random, made for this server; masked where the value is shown.
    model : str
        The model's name in requests: the stem of its file.
    description : str
        Which model this is and what to expect of it, for people.
    """

    base_url: str
    api_key: str
    model: str
    description: str

    def __repr__(self) -> str:
        return f"Server(base_url={self.base_url!r}, api_key='***', model={self.model!r})"


class _Child(NamedTuple):
    process: subprocess.Popen[bytes]
    stdin: IO[bytes]
    stdout: IO[bytes]
    log: IO[bytes]


_running: dict[tuple[str, str | None], tuple[_Child, Server]] = {}
_starting = threading.Lock()


def serve(name: str = "local") -> Server:
    """Start the model's server, or return the one this process already runs.

    Parameters
    ----------
    name : str
        A key of `MODELS`; its weights are fetched when they are not on this machine yet.

    Returns
    -------
    Server
        Loaded and ready. It ends with this process; a later call starts a new one should it have died.

    Raises
    ------
    RequestError
        The name is not a key of `MODELS`.
    ProviderError
        There are no weights, or the server does not start; the message says why.
    """
    key = (name, os.environ.get("PERSONALAB_GGUF"))
    with _starting:
        if key in _running:
            child, server = _running[key]
            if child.process.poll() is None:
                return server
            _log.info("the server of %r died (exit code %s): starting it again", name, child.process.returncode)
            _end(_running.pop(key)[0])
        atexit.unregister(stop)
        atexit.register(stop)
        _running[key] = _start(find_model(name), weights(name))
        return _running[key][1]


def stop(name: str | None = None) -> None:
    """End the servers that this process started.

    Parameters
    ----------
    name : str, optional
        End only this model's; by default all.
    """
    with _starting:
        for key in [key for key in _running if name in (None, key[0])]:
            _end(_running.pop(key)[0])


def _end(child: _Child) -> None:
    with contextlib.suppress(OSError):  # the pipe of a child that died is broken
        child.stdin.close()
    try:
        child.process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        child.process.kill()
        child.process.wait()
    child.stdout.close()
    child.log.close()


def _start(model: Model, gguf: Path) -> tuple[_Child, Server]:
    if importlib.util.find_spec("xllamacpp") is None:
        raise missing("xllamacpp")
    n_threads, api_key = _threads(), secrets.token_urlsafe(32)
    settings = {
        "gguf": str(gguf),
        "alias": gguf.stem,
        "api_key": api_key,
        "n_context": _N_CONTEXT,
        "n_threads": n_threads,
        "cache_mib": _CACHE_MIB,
    }
    child = _spawn()
    try:
        address = _address(child, settings)
    except BaseException:
        child.process.kill()
        _end(child)
        raise
    if not address:
        raise _dead(child, gguf)
    return child, Server(f"{address}/v1", api_key, gguf.stem, _description(model, gguf, n_threads))


def _spawn() -> _Child:
    program = Path(__file__).with_name("child.py")
    # A file without a name: nothing is left behind, and a cache that cannot be written to is no obstacle.
    log = tempfile.TemporaryFile()  # noqa: SIM115  it lives as long as the child
    # -P keeps the program's own folder off the path: personalab's modules must not shadow others' there.
    command = [sys.executable, "-P", str(program)]
    env = {"GOMP_SPINCOUNT": _SPINS} | os.environ
    process = subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log)
    return _Child(process, cast("IO[bytes]", process.stdin), cast("IO[bytes]", process.stdout), log)


def _address(child: _Child, settings: dict[str, Any]) -> str:
    """Give the child its settings and wait for the address it serves at; empty if it died."""
    with contextlib.suppress(OSError):  # a child that died at once is reported by the caller
        child.stdin.write(json.dumps(settings).encode() + b"\n")
        child.stdin.flush()
    answers: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=lambda: answers.put(child.stdout.readline()), daemon=True).start()
    try:
        return answers.get(timeout=_START_SECONDS).decode().strip()
    except queue.Empty:
        raise ProviderError(
            f"the embedded model was not ready within {_START_SECONDS:.0f} s",
            category="provider_timeout",
            hint="try model='local-small', or a machine that is less busy",
        ) from None


def _dead(child: _Child, gguf: Path) -> ProviderError:
    """Say why the child ended before it served."""
    code = child.process.wait()
    child.log.seek(0)
    log = child.log.read().decode(errors="replace")
    _end(child)
    why, hint = _cause(code, log)
    return ProviderError(f"the embedded model {gguf.name!r} did not start: {why}", category="config_error", hint=hint)


def _cause(code: int, log: str) -> tuple[str, str]:
    if "libgomp" in log:
        return "the system library libgomp.so.1 is missing", "apt-get install libgomp1"
    # Windows has its own number for an instruction that the processor does not know.
    if code in (-getattr(signal, "SIGILL", 4), 0xC000001D):
        return (
            "this processor lacks AVX2, which the server's build needs",
            "use a model behind a key, or Ollama",
        )
    if code == -getattr(signal, "SIGKILL", 9) or "bad_alloc" in log or "allocate" in log:
        return "the memory did not suffice", "try model='local-small' (0.7 GB) or 'local-tiny' (0.3 GB)"
    said = _last_words(log) or f"its process ended with exit code {code} and said nothing"
    return said, "if PERSONALAB_GGUF is set, try without it"


def _last_words(log: str) -> str:
    """Pick llama.cpp's first error, which its later ones repeat, or else the last line of a traceback."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    errors = [line.partition(" E ")[2] for line in lines if " E " in line]
    return (errors or lines[-1:] or [""])[0]


def _description(model: Model, gguf: Path, n_threads: int) -> str:
    threads = "1 thread" if n_threads == 1 else f"{n_threads} threads"
    what = model.expect if gguf.name == model.file else "Your own model file, of which personalab knows nothing."
    return f"{gguf.stem} on this machine, {threads}. {what}"


def _threads() -> int:
    asked = os.environ.get("PERSONALAB_THREADS")
    if asked is None:
        # Threads wait for one another, so a core that others use slows them all: with one of two cores busy,
        # the 1.5B writes 8 tokens a second on two threads and 17 on one.
        return max(1, _cores() - round(_busy()))
    if not asked.isdecimal() or int(asked) < 1:
        raise ProviderError(
            f"PERSONALAB_THREADS is {asked!r}, but a server has 1 thread or more",
            category="config_error",
            hint="set it to a whole number, or unset it to use every core of an idle machine",
        )
    return int(asked)


def _busy() -> float:
    """How many cores others keep busy right now; the load average still remembers an installation that has ended."""
    try:
        before = _ticks()
        time.sleep(_LOOK_SECONDS)
        total, idle = (after - was for after, was in zip(_ticks(), before, strict=True))
    except OSError:  # no such file on macOS and Windows
        return os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    return (os.cpu_count() or 1) * (1 - idle / max(total, 1))


def _ticks() -> tuple[int, int]:
    """Clock ticks of all cores since the machine started: all of them, and the idle ones."""
    counts = [int(word) for word in Path("/proc/stat").read_text(encoding="ascii").splitlines()[0].split()[1:9]]
    return sum(counts), counts[3] + counts[4]


def _cores() -> int:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    # A container may be given fewer than it sees; threads beyond its share only wait for each other.
    with contextlib.suppress(OSError, ValueError):
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        cores = min(cores, max(1, int(quota) // int(period)))
    return max(1, cores)
