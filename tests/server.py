"""A real server on this machine that answers chat completions as a script says.

The script is a function of the request and its number (from 1); it returns an `Answer`, or just the text of
one. Faults are real too: a dropped connection is dropped, a silent server never answers. What arrives is
recorded.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Answer:
    """One answer: a text, or a fault.

    Parameters
    ----------
    content : str, optional
        What the model says.
    finish_reason, refusal : str, optional
        As in a chat completion.
    status : int
        The HTTP status.
    headers : dict
        Further headers.
    body : dict or str, optional
        Sent instead of a chat completion.
    drop, hang : bool
        Close the connection without a word; never answer.
    """

    content: str | None = None
    finish_reason: str = "stop"
    refusal: str | None = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: dict[str, Any] | str | None = None
    drop: bool = False
    hang: bool = False


Script = Callable[[dict[str, Any], int], Answer | str]


def error(status: int, message: str = "no", **said: Any) -> Answer:
    """Answer with an error in OpenAI's form."""
    headers = said.pop("headers", {})
    return Answer(status=status, headers=headers, body={"error": {"message": message, **said}})


def plausible(schema: dict[str, Any]) -> Any:
    """Return a small instance of a strict schema: first choices, least numbers, as few items as can be."""
    if "enum" in schema:
        return schema["enum"][0]
    if schema["type"] == "object":
        return {name: plausible(part) for name, part in schema["properties"].items()}
    if schema["type"] == "array":
        return [plausible(schema["items"])] * max(1, schema.get("minItems", 1))
    plain = {"string": "text" + "." * (schema.get("minLength", 0) - 4), "boolean": True}
    return plain.get(schema["type"], schema.get("minimum", 1))


def answer_well(request: dict[str, Any], _number: int = 1) -> str:
    """Answer any request with a plausible instance of its schema; this is a script."""
    return json.dumps(plausible(request["response_format"]["json_schema"]["schema"]))


class Server:
    """The server, running inside a ``with`` statement.

    Parameters
    ----------
    script : callable
        ``script(request, number)`` gives the answer to each request.
    ollama_models : sequence of str
        What ``GET /api/tags`` lists, as Ollama does.
    handler : type, optional
        What takes the requests.

    Attributes
    ----------
    requests, headers : list of dict
        What arrived at ``/v1/chat/completions``.
    completions, prompt_tokens, completion_tokens : int
        What was answered with a chat completion; a token is a word.
    """

    def __init__(
        self,
        script: Script = answer_well,
        ollama_models: tuple[str, ...] = (),
        handler: type[_Handler] | None = None,
    ) -> None:
        self.script = script
        self.ollama_models = ollama_models
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.completions = self.prompt_tokens = self.completion_tokens = 0
        self._closing = threading.Event()
        self._lock = threading.Lock()
        owned = type("Owned", (handler or _Handler,), {"owner": self})
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), owned)
        self._http.daemon_threads = True

    @property
    def root(self) -> str:
        """The address without a path."""
        return f"http://127.0.0.1:{self._http.server_port}"

    @property
    def base_url(self) -> str:
        """The address for OpenAI's client."""
        return f"{self.root}/v1"

    def __enter__(self) -> Server:
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop answering; from now on connections are refused."""
        self._closing.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def wait(self) -> None:
        """Wait until the server stops: what a silent server does."""
        self._closing.wait()

    def receive(self, request: dict[str, Any], headers: dict[str, str]) -> Answer:
        """Record a request and ask the script."""
        with self._lock:
            self.requests.append(request)
            self.headers.append(headers)
            number = len(self.requests)
        answer = self.script(request, number)
        return Answer(answer) if isinstance(answer, str) else answer

    def tokens(self, request: dict[str, Any], content: str) -> tuple[int, int]:
        """Count the tokens of a request and its answer."""
        return sum(len(message["content"].split()) for message in request["messages"]), len(content.split())

    def complete(self, request: dict[str, Any], answer: Answer) -> dict[str, Any]:
        """Dress an answer as a chat completion, and count its tokens."""
        prompt, completion = self.tokens(request, answer.content or "")
        with self._lock:
            self.completions += 1
            self.prompt_tokens += prompt
            self.completion_tokens += completion
        message = {"role": "assistant", "content": answer.content, "refusal": answer.refusal}
        return {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 0,
            "model": request["model"],
            "choices": [{"index": 0, "message": message, "finish_reason": answer.finish_reason}],
            "usage": {
                "prompt_tokens": prompt,
                "completion_tokens": completion,
                "total_tokens": prompt + completion,
            },
        }


class _Handler(BaseHTTPRequestHandler):
    owner: Server

    def do_POST(self) -> None:  # the name is http.server's
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        answer = self.owner.receive(request, {name.lower(): value for name, value in self.headers.items()})
        if answer.hang:
            self.owner.wait()
        if answer.hang or answer.drop:
            return
        body = answer.body if answer.body is not None else self.owner.complete(request, answer)
        self._send(answer.status, body, answer.headers)

    def do_GET(self) -> None:  # the name is http.server's
        if self.path == "/api/tags" and self.owner.ollama_models:
            self._send(200, {"models": [{"name": name} for name in self.owner.ollama_models]}, {})
        else:
            self._send(404, {"error": "not found"}, {})

    def _send(self, status: int, body: dict[str, Any] | str, headers: dict[str, str]) -> None:
        data = (body if isinstance(body, str) else json.dumps(body)).encode()
        kind = "text/html" if isinstance(body, str) else "application/json"
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(data)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        try:
            self.wfile.write(data)
        except OSError:  # the client was interrupted
            self.close_connection = True

    def log_message(self, *_arguments: object) -> None:
        pass
