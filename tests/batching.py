"""A server with a batch API: files up, a batch of them, files of answers down.

It is `tests.server.Server` and answers chat completions as that does; what a batch holds is answered by the same
script. A batch runs through `looks` looks at it before it has ended, and never ends while it is held.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from typing import Any

from tests.server import Answer, Server
from tests.server import _Handler as _Plain

Lines = dict[str, dict[str, Any]]  # custom_id → the body of the request


class BatchServer(Server):
    """The server.

    Parameters
    ----------
    script : callable
        As for `Server`.
    line : callable, optional
        ``line(request, number)`` answers a line of a batch, by default as the script does.
    looks : int
        How often a batch is looked at before it has ended.
    end : str
        The status it ends with.
    done : int, optional
        How many of its lines are answered when it ends; all by default.
    refuse : callable, optional
        ``refuse(method, path)`` gives an `Answer` to send instead, or None.

    Attributes
    ----------
    files : dict
        What was sent up, and what can be fetched.
    batches : dict
        By their id, as ``GET /v1/batches/…`` shows them.
    looked, held : threading.Event
        Set at the first look at a batch; while set, no batch ends.
    """

    def __init__(
        self,
        script: Callable[..., Any],
        *,
        line: Callable[..., Any] | None = None,
        looks: int = 2,
        end: str = "completed",
        done: int | None = None,
        refuse: Callable[[str, str], Answer | None] = lambda _method, _path: None,
    ) -> None:
        super().__init__(script, handler=_Handler)
        self.line = line or script
        self.looks, self.end, self.done, self.refuse = looks, end, done, refuse
        self.files: dict[str, bytes] = {}
        self.batches: dict[str, dict[str, Any]] = {}
        self.looked, self.held = threading.Event(), threading.Event()
        self.batched = 0  # lines answered

    def lines(self, batch: dict[str, Any]) -> Lines:
        """What a batch asks."""
        told = (json.loads(line) for line in self.files[batch["input_file_id"]].splitlines())
        return {line["custom_id"]: line["body"] for line in told}

    def keep(self, content: bytes) -> str:
        """Take a file."""
        name = f"file-{len(self.files) + 1}"
        self.files[name] = content
        return name

    def make(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Make a batch."""
        name = f"batch-{len(self.batches) + 1}"
        self.batches[name] = {
            **asked,
            "id": name,
            "object": "batch",
            "created_at": 0,
            "status": "validating",
            "looks": 0,
            "request_counts": {"total": 0, "completed": 0, "failed": 0},
        }
        return self.batches[name]

    def look(self, name: str) -> dict[str, Any] | None:
        """Look at a batch, which is one step nearer to its end then."""
        batch = self.batches.get(name)
        self.looked.set()
        if batch is None or batch["status"] == self.end:
            return batch
        batch["looks"] += 1
        batch["status"] = "in_progress"
        if batch["looks"] >= self.looks and not self.held.is_set():
            self._finish(batch)
        return batch

    def _finish(self, batch: dict[str, Any]) -> None:
        batch["status"] = self.end
        if self.end == "failed":
            batch["errors"] = {"object": "list", "data": [{"code": "token_limit_exceeded", "message": "Too much."}]}
            return
        output, errors = [], []
        for number, (custom_id, body) in enumerate(self.lines(batch).items(), 1):
            if self.done is not None and number > self.done:
                error = {"code": "batch_expired", "message": "This request could not be executed in time."}
                errors.append({"custom_id": custom_id, "response": None, "error": error})
                continue
            said = self.line(body, number)
            answer = Answer(said) if isinstance(said, str) else said
            told = answer.body if answer.body is not None else self.complete(body, answer)
            response = {"status_code": answer.status, "request_id": "r", "body": told}
            (output if answer.status == 200 else errors).append(
                {"custom_id": custom_id, "response": response, "error": None}
            )
        self.batched += len(output)
        for name, lines in (("output_file_id", output), ("error_file_id", errors)):
            if lines:
                batch[name] = self.keep("\n".join(map(json.dumps, lines)).encode())


class _Handler(_Plain):
    owner: BatchServer

    def do_POST(self) -> None:  # noqa: N802  # the name is http.server's
        refused = self.owner.refuse("POST", self.path)
        if self.path.endswith("/chat/completions") and not refused:
            super().do_POST()
            return
        content = self.rfile.read(int(self.headers["Content-Length"]))
        if refused:
            self._answer(refused)
        elif self.path.endswith("/files"):
            kind = re.search(r"boundary=(\S+)", self.headers["Content-Type"])
            parts = content.split(b"--" + kind[1].encode()) if kind else []
            held = next(part for part in parts if b"filename=" in part).split(b"\r\n\r\n", 1)[1].removesuffix(b"\r\n")
            self._send(200, {"id": self.owner.keep(held), "object": "file", "purpose": "batch"}, {})
        else:
            self._send(200, self.owner.make(json.loads(content)), {})

    def do_GET(self) -> None:  # noqa: N802  # the name is http.server's
        refused = self.owner.refuse("GET", self.path)
        *_, kind, name = self.path.partition("?")[0].removesuffix("/content").split("/")
        if refused:
            self._answer(refused)
        elif name == "batches":
            self._send(200, {"object": "list", "data": list(self.owner.batches.values()), "has_more": False}, {})
        elif kind == "batches" and (batch := self.owner.look(name)):
            self._send(200, batch, {})
        elif kind == "files" and name in self.owner.files:
            self._send(200, self.owner.files[name].decode(), {})
        else:
            self._send(404, {"error": {"message": "not found"}}, {})

    def _answer(self, answer: Answer) -> None:
        """Send what is to be sent instead."""
        if not answer.drop:
            self._send(answer.status, answer.body or {}, answer.headers)
