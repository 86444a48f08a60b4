"""The program of the child process that runs llama.cpp's server; `personalab.llm.local` starts it.

It is run as a file and imports nothing of personalab, so that it starts fast, stays small, and works
however the parent found the package. Its settings come as one line of JSON on standard input: a command line,
with the key in it, could be read by every user of the machine. It answers with one line, the address, once
the model is loaded. Then it waits for the end of standard input, which comes when the parent closes it,
exits, or is killed.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
from typing import Any


def parameters(settings: dict[str, Any]) -> Any:
    """Turn the settings into xllamacpp's own parameters.

    Parameters
    ----------
    settings : dict
        ``gguf``, ``alias``, ``api_key``, ``n_context``, ``n_threads`` and ``cache_mib``.

    Returns
    -------
    xllamacpp.CommonParams
        For one slot on loopback; a free port is chosen when the server starts.
    """
    chosen = importlib.import_module("xllamacpp").CommonParams()
    chosen.model.path = settings["gguf"]
    chosen.model_alias = {settings["alias"]}
    chosen.api_keys = [settings["api_key"]]
    chosen.hostnames, chosen.port = ["127.0.0.1"], 0
    # The default lets any web page of any origin read the answers.
    chosen.cors_origins, chosen.cors_origins_explicit, chosen.cors_credentials = (
        "http://127.0.0.1",
        True,
        False,
    )
    chosen.ui = chosen.endpoint_slots = False
    chosen.offline = True
    chosen.n_ctx, chosen.n_parallel = settings["n_context"], 1
    chosen.cache_prompt, chosen.cache_ram_mib = True, settings["cache_mib"]
    chosen.cpuparams.n_threads = chosen.cpuparams_batch.n_threads = settings["n_threads"]
    chosen.verbosity = 1  # errors only: the parent shows them when the start fails
    return chosen


def main() -> None:
    """Serve until standard input ends."""
    # An interrupt in a notebook reaches the whole process group, but is meant for the call alone.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what native code prints goes to the log, not between the lines of the answer
    settings = json.loads(sys.stdin.readline())
    server = importlib.import_module("xllamacpp").Server(parameters(settings))
    answer.write(f"{server.listening_address}\n")
    answer.flush()
    sys.stdin.read()
    os._exit(0)  # the parent is gone or done: nothing here is worth a slow and orderly end


if __name__ == "__main__":
    main()
