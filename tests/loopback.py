"""A model server on loopback in its own process, with faults by seed and rate: ``python -m tests.loopback --help``.

It answers chat completions with made-up, varied instances of the schema it is sent, the same for the same request,
after the latency that its `Script` says. Its faults are drawn from the seed, the request and how often that request
has come, so that a run has the same faults in whatever order its requests arrive. It counts what it is asked, what it
answers and how many tokens (four characters each, prompts with their schema), and tells at ``GET /stats``; the
newest requests are at ``GET /requests``, and ``POST /script`` changes the faults while it runs.

A test that needs to say itself what is answered takes `tests.server`; this one is for many requests at once, since it
shares no interpreter with the client and costs a third of a millisecond a request.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import json
import random
import re
import subprocess
import sys
import time
import urllib.request
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
CHARACTERS = 4  # a token
LOOK = 0.05  # seconds between two looks whether a client that gets no answer has gone
KEPT = 1000  # requests that can be read afterwards
QUOTA = "You exceeded your current quota, please check your plan and billing details."
PROSE = "Of course! I would be glad to help with that. Here is somebody you may like."

# what befalls a request by chance, in this order along one draw from [0, 1)
CHANCES = ("busy", "broken", "silent", "hang_up", "garbage", "malformed", "truncated", "refused", "filtered")


@dataclass(frozen=True)
class Script:
    """How the server behaves; every share is of all requests, from 0 to 1.

    Attributes
    ----------
    seed : int
        Decides which requests the faults befall, and by how much latencies differ.
    latency, jitter : float
        Seconds an answer takes, and the share of it by which it may be shorter or longer.
    busy, broken, silent, hang_up : float
        Share refused with 429 at once; failed with 500; never answered; cut off without an answer.
    garbage, malformed, truncated, refused, filtered : float
        Share answered with 200 and a page of HTML; with half of the JSON as if it were all of it; with half of it
        and ``finish_reason="length"``; with a refusal; with ``finish_reason="content_filter"``.
    first : tuple of str
        What befalls the first requests to arrive, by the names above; ``""`` for nothing.
    retry_after : float or None
        Seconds that every 429 asks to wait.
    capacity, per_minute : int or None
        Requests under way, and requests in any minute, beyond which one is refused with 429.
    key : str or None
        The only key that is accepted.
    quota : int or None
        Answers after which there is no credit left.
    unsupported : tuple of str
        Parameters refused with 400: ``temperature``, ``seed``, ``max_tokens``, ``strict``, ``json_schema``,
        ``json_object``, ``response_format``, ``tools``, ``tool_choice``.
    ignored : tuple of str
        Of ``json_schema``, ``json_object`` and ``tools`` those that are taken but not obeyed: the answer is prose.
    helpful : bool
        Whether a 400 names the parameter.
    """

    seed: int = 0
    latency: float = 0.0
    jitter: float = 0.0
    busy: float = 0.0
    broken: float = 0.0
    silent: float = 0.0
    hang_up: float = 0.0
    garbage: float = 0.0
    malformed: float = 0.0
    truncated: float = 0.0
    refused: float = 0.0
    filtered: float = 0.0
    first: tuple[str, ...] = ()
    retry_after: float | None = None
    capacity: int | None = None
    per_minute: int | None = None
    key: str | None = None
    quota: int | None = None
    unsupported: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    helpful: bool = True


@dataclass(frozen=True)
class Request:
    """What arrived; `is_gone` says whether the client has hung up since."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    is_gone: Callable[[], bool]


@dataclass(frozen=True)
class Reply:
    """What goes back; `HANG_UP` closes the connection instead."""

    body: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)

    def encoded(self) -> bytes:
        """The answer as HTTP."""
        is_text = isinstance(self.body, str)
        data = (self.body if is_text else json.dumps(self.body)).encode()
        kind = "text/html" if is_text else "application/json"
        told = {"Content-Type": kind, "Content-Length": len(data), **self.headers}
        head = "".join(f"{name}: {value}\r\n" for name, value in told.items())
        return f"HTTP/1.1 {self.status} Said\r\n{head}\r\n".encode() + data


HANG_UP = Reply(status=0)
Handler = Callable[[Request], Awaitable[Reply]]


class Tally:
    """What has been asked and answered."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.seconds: dict[int, Counter[str]] = {}
        self.answered: Counter[bytes] = Counter()  # by the digest of the request
        self.arrivals: deque[float] = deque(maxlen=100_000)
        self.requests: deque[dict[str, Any]] = deque(maxlen=KEPT)
        self.under_way = self.most_under_way = 0
        self._began: float | None = None

    def add(self, what: str, n: int = 1) -> None:
        """Count, in all and by second since the first request."""
        now = time.monotonic()
        self._began = now if self._began is None else self._began
        self.counts[what] += n
        self.seconds.setdefault(int(now - self._began), Counter())[what] += n

    def arrive(self, request: dict[str, Any]) -> None:
        """Count a request."""
        self.arrivals.append(time.monotonic())
        self.requests.append(request)
        self.add("requests")

    def in_a_minute(self) -> int:
        """How many requests came within the last minute, the newest included."""
        since = time.monotonic() - 60
        return sum(arrived > since for arrived in self.arrivals)

    def told(self) -> dict[str, Any]:
        """The counts as JSON; `Stats` reads them."""
        repeated = sum(n - 1 for n in self.answered.values())
        named = {name: self.counts[name] for name in ("requests", "answers", "prompt_tokens", "completion_tokens")}
        faults = {name: n for name, n in sorted(self.counts.items()) if name not in named}
        return {
            **named,
            "repeated": repeated,
            "under_way": self.under_way,
            "most_under_way": self.most_under_way,
            "faults": faults,
            "seconds": {second: dict(counts) for second, counts in sorted(self.seconds.items())},
        }


@dataclass(frozen=True)
class Stats:
    """What the server counted.

    Attributes
    ----------
    requests, answers : int
        Chat completions asked for, and answered: also with a refusal or a half, which cost as much.
    repeated : int
        Answers to a request that had been answered before.
    prompt_tokens, completion_tokens : int
        Of the answers.
    under_way, most_under_way : int
        Requests now, and the most at once, of those that were let in.
    faults : dict
        Fault → how often; ``full`` and ``too_many`` are refusals by ``capacity`` and ``per_minute``.
    seconds : dict
        Second since the first request → the same counts within it.
    """

    requests: int
    answers: int
    repeated: int
    prompt_tokens: int
    completion_tokens: int
    under_way: int
    most_under_way: int
    faults: dict[str, int]
    seconds: dict[str, dict[str, int]]

    @property
    def refused(self) -> int:
        """How many requests were refused with 429."""
        return sum(self.faults.get(name, 0) for name in ("busy", "full", "too_many", "no_quota"))


class Service:
    """Answers requests as a script says. ``routes`` maps a method and a pattern of paths to what answers there."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.tally = Tally()
        self._seen: Counter[bytes] = Counter()
        self.routes: list[tuple[str, str, Handler]] = [
            ("POST", r"/v1/chat/completions", self.chat),
            ("GET", r"/v1/models", self.models),
            ("GET", r"/stats", self.stats),
            ("GET", r"/requests", self.newest),
            ("POST", r"/script", self.change),
        ]

    async def answer(self, request: Request) -> Reply:
        """Find who answers a request."""
        for method, pattern, handler in self.routes:
            if method == request.method and re.fullmatch(pattern, request.path):
                return await handler(request)
        return error(404, f"nothing is at {request.path}")

    async def models(self, _request: Request) -> Reply:
        """List one model."""
        return Reply({"object": "list", "data": [{"id": "m", "object": "model"}]})

    async def stats(self, _request: Request) -> Reply:
        """Tell the counts."""
        return Reply(self.tally.told())

    async def newest(self, _request: Request) -> Reply:
        """Tell the newest requests, oldest first."""
        return Reply(list(self.tally.requests))

    async def change(self, request: Request) -> Reply:
        """Change the script."""
        self.script = read_script({**asdict(self.script), **json.loads(request.body)})
        return Reply({})

    async def chat(self, request: Request) -> Reply:
        """Answer a chat completion, or let a fault befall it."""
        asked, digest = json.loads(request.body), hashlib.sha256(request.body).digest()
        self.tally.arrive(asked)
        self._seen[digest] += 1
        fault = self.fault(digest)
        refusal = self.at_the_door(request, asked, fault)
        if refusal:
            return refusal
        self.tally.under_way += 1
        self.tally.most_under_way = max(self.tally.most_under_way, self.tally.under_way)
        try:
            return await self.served(request, asked, digest, fault)
        finally:
            self.tally.under_way -= 1

    def fault(self, digest: bytes) -> str:
        """Draw what befalls a request; an empty text for nothing."""
        n = self.tally.counts["requests"]
        if n <= len(self.script.first):
            return self.script.first[n - 1]
        share = self.dice(digest, "fault").random()
        for name in CHANCES:
            share -= getattr(self.script, name)
            if share < 0:
                return name
        return ""

    def dice(self, digest: bytes, what: str) -> random.Random:
        """Chance that depends on the seed, the request and how often it has come, and on nothing else."""
        return random.Random(f"{self.script.seed} {digest.hex()} {self._seen[digest]} {what}")

    def at_the_door(self, request: Request, asked: dict[str, Any], fault: str) -> Reply | None:
        """What is refused before any work is done on it."""
        script, tally = self.script, self.tally
        key = request.headers.get("authorization", "").removeprefix("Bearer ")
        if script.key is not None and key != script.key:
            return self.refuse("wrong_key", 401, f"Incorrect API key provided: {key}", code="invalid_api_key")
        for name in unsupported(asked, script.unsupported):
            said = f"Unsupported parameter: '{name}' is not supported with this model."
            told = {"param": name, "code": "unsupported_parameter"} if script.helpful else {}
            return self.refuse(f"unsupported {name}", 400, said if script.helpful else "invalid request", **told)
        if script.quota is not None and tally.counts["answers"] + tally.under_way >= script.quota:
            return self.refuse("no_quota", 429, QUOTA, code="insufficient_quota")
        if script.capacity is not None and tally.under_way >= script.capacity:
            return self.refuse("full", 429, "the server is at capacity")
        if script.per_minute is not None and tally.in_a_minute() > script.per_minute:
            return self.refuse("too_many", 429, "Rate limit reached for requests", code="rate_limit_exceeded")
        return self.refuse("busy", 429, "Rate limit reached") if fault == "busy" else None

    def refuse(self, what: str, status: int, message: str, **told: str) -> Reply:
        """Refuse, and count it."""
        self.tally.add(what)
        wait = self.script.retry_after if status == 429 and what != "no_quota" else None
        return replace(error(status, message, **told), headers={} if wait is None else {"Retry-After": f"{wait:g}"})

    async def served(self, request: Request, asked: dict[str, Any], digest: bytes, fault: str) -> Reply:
        """Take the time an answer takes, and give it, or what befalls it."""
        if fault == "silent":
            self.tally.add(fault)
            while not request.is_gone():
                await asyncio.sleep(LOOK)
            return HANG_UP
        spread = self.script.jitter * (2 * self.dice(digest, "latency").random() - 1)
        await asyncio.sleep(self.script.latency * (1 + spread))
        if fault in ("broken", "hang_up", "garbage"):
            self.tally.add(fault)
            return {
                "broken": error(500, "The server had an error while processing your request"),
                "hang_up": HANG_UP,
                "garbage": Reply("<html><body>It works!</body></html>"),
            }[fault]
        reply = completion(asked, fault, self.script.ignored)
        self.tally.answered[digest] += 1
        for name, n in {"answers": 1, **usage(reply.body)}.items():
            self.tally.add(name, n)
        if reply.body["choices"][0]["finish_reason"] == "length":
            fault = "truncated"
        if fault:
            self.tally.add(fault)
        return reply


def error(status: int, message: str, **told: str) -> Reply:
    """An error in OpenAI's form."""
    return Reply({"error": {"message": message, "type": "invalid_request_error", **told}}, status)


def unsupported(asked: dict[str, Any], refused: tuple[str, ...]) -> list[str]:
    """Which of the refused parameters a request has."""
    format_ = asked.get("response_format") or {}
    has = {*asked, format_.get("type"), *format_.get("json_schema", {})}
    has |= {name for tool in asked.get("tools", ()) for name in tool["function"]}
    return [name for name in refused if name in has]


def usage(body: dict[str, Any]) -> dict[str, int]:
    """The tokens of an answer."""
    return {name: body["usage"][name] for name in ("prompt_tokens", "completion_tokens")}


def tokens(text: str) -> int:
    """How many tokens a text has."""
    return -(-len(text) // CHARACTERS)


def words(message: dict[str, Any]) -> str:
    """What a message says; some clients send it in parts."""
    said = message["content"] or ""
    return said if isinstance(said, str) else "".join(part.get("text", "") for part in said)


def completion(asked: dict[str, Any], fault: str = "", ignored: tuple[str, ...] = ()) -> Reply:
    """A chat completion, whole or spoilt; one that has more tokens than it may is cut short."""
    text = content(asked, ignored)
    room = asked.get("max_tokens") or asked.get("max_completion_tokens")
    reason, refusal = "stop", None
    if fault in ("malformed", "truncated"):
        text, reason = text[: len(text) // 2], "length" if fault == "truncated" else "stop"
    elif room and tokens(text) > room:
        text, reason = text[: CHARACTERS * room], "length"
    elif fault == "refused":
        text, refusal = "", "I'm sorry, but I can't help with that."
    elif fault == "filtered":
        text, reason = "", "content_filter"
    message: dict[str, Any] = {"role": "assistant", "content": text, "refusal": refusal}
    if asked.get("tools") and "tools" not in ignored and text:
        called = {"name": asked["tools"][0]["function"]["name"], "arguments": text}
        call = {"id": "call_1", "type": "function", "function": called}
        message |= {"content": None, "tool_calls": [call]}
    told = [json.dumps(asked[name]) for name in ("response_format", "tools") if name in asked]
    prompt = sum(tokens(text) for text in [*map(words, asked["messages"]), *told])
    answered = tokens(text or refusal or "")
    counts = {"prompt_tokens": prompt, "completion_tokens": answered, "total_tokens": prompt + answered}
    choice = {"index": 0, "message": message, "finish_reason": reason, "logprobs": None}
    head = {"id": "chatcmpl-1", "object": "chat.completion", "created": 0, "model": asked["model"]}
    return Reply({**head, "choices": [choice], "usage": counts})


def content(asked: dict[str, Any], ignored: tuple[str, ...] = ()) -> str:
    """What the model says: an instance of the schema, where it was told one, else prose."""
    schema = told_schema(asked, ignored)
    said = json.dumps([asked["messages"], asked.get("seed"), asked.get("temperature")])
    dice = random.Random(said)
    if schema is None:
        is_object = (asked.get("response_format") or {}).get("type") == "json_object" and "json_object" not in ignored
        return json.dumps({"text": sentence(dice)}) if is_object else f"{PROSE} {sentence(dice)}"
    shown = example(asked["messages"], list(schema["properties"]))
    return json.dumps(shown if shown is not None else instance(schema, dice), ensure_ascii=False)


def told_schema(asked: dict[str, Any], ignored: tuple[str, ...]) -> dict[str, Any] | None:
    """The schema in ``response_format``, in a tool or in the prompt, of those that the server heeds."""
    format_ = asked.get("response_format") or {}
    if format_.get("type") == "json_schema" and "json_schema" not in ignored:
        return dict(format_["json_schema"]["schema"])
    if asked.get("tools") and "tools" not in ignored:
        return dict(asked["tools"][0]["function"]["parameters"])
    for message in reversed(asked["messages"]):
        text = words(message)
        for found in re.finditer(r'\{"', text):
            with contextlib.suppress(ValueError):
                schema = json.JSONDecoder().raw_decode(text, found.start())[0]
                if schema.get("type") == "object" and "properties" in schema:
                    return dict(schema)
    return None


def example(messages: list[dict[str, Any]], keys: list[str]) -> dict[str, Any] | None:
    """The newest answer in the conversation that has these keys: a model shown a sound example copies it."""
    for message in reversed(messages):
        if message["role"] == "assistant":
            with contextlib.suppress(ValueError):
                shown = json.loads(words(message))
                if isinstance(shown, dict) and list(shown) == keys:
                    return shown
    return None


def instance(schema: dict[str, Any], dice: random.Random, name: str = "") -> Any:
    """Make up an instance of a schema; what a text is follows from its property's name."""
    if "enum" in schema:
        return dice.choice(schema["enum"])
    kind = schema["type"]
    if kind == "object":
        return {key: instance(part, dice, key) for key, part in schema["properties"].items()}
    if kind == "array":
        least = schema.get("minItems", 1)
        n = dice.randint(least, max(least, min(schema.get("maxItems", least + 2), least + 2)))
        return [instance(schema["items"], dice, name) for _ in range(n)]
    if kind == "boolean":
        return dice.random() < 0.5
    if kind in ("integer", "number"):
        least = schema.get("minimum", 0)
        most = schema.get("maximum", least + 100)
        return dice.randint(int(least), int(most)) if kind == "integer" else round(dice.uniform(least, most), 3)
    text = person(dice) if name == "name" else sentence(dice, 10 if name == "tagline" else 60)
    return text[: schema.get("maxLength")].ljust(schema.get("minLength", 0), ".")


def person(dice: random.Random) -> str:
    """A name, of some half a million."""
    return f"{dice.choice(GIVEN)} {''.join(dice.choice(SYLLABLES) for _ in range(3)).title()}"


def sentence(dice: random.Random, most: int = 60) -> str:
    """Words that contradict no fact, ten to sixty of them unless told otherwise, with a full stop."""
    words = dice.choices(WORDS, k=dice.randint(min(10, most), most))
    return " ".join(words).capitalize() + "."


GIVEN = (
    "Ada", "Bruno", "Chidi", "Dalia", "Emre", "Farah", "Goran", "Hana", "Ines", "Jonas", "Kaito", "Lena", "Marek",
    "Noor", "Olga", "Pavel", "Quim", "Rosa", "Sven", "Tariq", "Uma", "Vera", "Wim", "Xenia", "Yara", "Zoe", "Amina",
    "Benoit", "Carmen", "Dmitri", "Elif", "Fiona", "Gustavo", "Heidi", "Ivan", "Jamila", "Kofi", "Luisa", "Mateo",
    "Nadia", "Oskar", "Priya", "Ravi", "Selma", "Tomas", "Ulrike", "Viktor", "Wanda", "Youssef", "Zlatan",
)  # fmt: skip
SYLLABLES = (
    "ba", "ko", "ri", "ma", "sen", "to", "va", "li", "no", "ka", "der", "mi", "sa", "lo", "pe", "ran", "vic", "hu",
    "ta", "ger", "zi", "mo",
)  # fmt: skip
WORDS = (
    "copper", "lantern", "harbour", "winter", "cousin", "bicycle", "orchard", "thunder", "ribbon", "pepper", "marble",
    "whistle", "compass", "feather", "window", "garden", "kettle", "sparrow", "velvet", "basket", "quietly", "laughs",
    "carries", "repairs", "watches", "remembers", "forgives", "collects", "borrows", "mends", "paints", "argues",
    "listens", "wanders", "returns", "promises", "hopes", "waits", "counts", "whispers", "neighbour", "teacher",
    "stranger", "brother", "grandmother", "friend", "rival", "captain", "baker", "doctor", "river", "mountain",
    "market", "station", "kitchen", "workshop", "library", "bridge", "island", "valley", "tower", "meadow", "always",
    "seldom", "often", "slowly", "gladly", "firmly", "kindly", "boldly", "almost", "again", "before", "beyond",
    "between", "without", "toward", "against", "letter", "button", "pocket", "candle", "mirror", "ladder", "blanket",
    "needle", "bottle", "hammer", "pencil", "saucer", "carpet", "curtain", "pebble", "puzzle", "story", "secret",
    "habit", "rumour", "recipe", "custom", "favour", "wager", "errand", "answer", "question", "journey", "morning",
    "evening", "shadow", "silence", "weather", "harvest", "autumn", "summer", "holiday", "patient", "stubborn",
    "curious", "cheerful", "gentle", "careful", "restless", "honest", "clever", "humble", "proud", "tidy",
)  # fmt: skip


async def serve(script: Script, port: int = 0, *, tied: bool = False) -> None:
    """Serve until cancelled, or, when tied, until standard input ends; the first line printed is the port."""
    service = Service(script)
    server = await asyncio.start_server(lambda *ends: _converse(service, *ends), "127.0.0.1", port, backlog=1024)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    if tied:
        await asyncio.to_thread(sys.stdin.read)
    else:
        await server.serve_forever()


async def _converse(service: Service, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer one connection's requests, one after another."""
    with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
        while (reply := await service.answer(await _received(reader))) is not HANG_UP:
            writer.write(reply.encoded())
            await writer.drain()
    writer.close()


async def _received(reader: asyncio.StreamReader) -> Request:
    """Read a request."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, path, _ = head[0].split(" ", 2)
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
    body = await reader.readexactly(int(headers.get("content-length") or 0))
    return Request(method, path, headers, body, reader.at_eof)


class Loopback:
    """The server, in a process of its own, running inside a ``with`` statement.

    Parameters
    ----------
    **script : object
        The `Script`.
    """

    def __init__(self, **script: Any) -> None:
        self.script = Script(**script)

    def __enter__(self) -> Loopback:
        command = [sys.executable, "-m", "tests.loopback", "--tied", "--script", json.dumps(asdict(self.script))]
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._process.stdout
        self.root = f"http://127.0.0.1:{int(self._process.stdout.readline())}"
        self.base_url = f"{self.root}/v1"
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End the server; from now on connections are refused."""
        self._process.kill()
        self._process.communicate()

    def stats(self) -> Stats:
        """What the server has counted so far."""
        return Stats(**self._ask("/stats"))

    def requests(self) -> list[dict[str, Any]]:
        """The newest requests, oldest first."""
        return list(self._ask("/requests"))

    def change(self, **script: Any) -> None:
        """Change the script from the next request on."""
        self._ask("/script", json.dumps(script).encode())

    def _ask(self, path: str, data: bytes | None = None) -> Any:
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with direct.open(self.root + path, data, timeout=30) as answer:
            return json.load(answer)


def read_script(told: dict[str, Any]) -> Script:
    """Make a script of JSON, which has lists where a script has tuples."""
    return Script(**{name: tuple(value) if isinstance(value, list) else value for name, value in told.items()})


def main() -> None:
    """Serve from the command line; every entry of the script is an option."""
    parser = argparse.ArgumentParser(prog="python -m tests.loopback", description="A model server with faults.")
    parser.add_argument("--port", type=int, default=0, help="the first line printed tells which one was taken")
    parser.add_argument("--tied", action="store_true", help="end when standard input does")
    parser.add_argument("--script", type=json.loads, default={}, help="the whole script as JSON")
    for part in fields(Script):
        read = {"seed": int, "capacity": int, "per_minute": int, "quota": int, "key": str}.get(part.name, float)
        if part.name == "helpful":
            parser.add_argument("--unhelpful", action="store_false", dest="helpful", default=None)
        elif isinstance(part.default, tuple):
            parser.add_argument(f"--{part.name}", nargs="*")
        else:
            parser.add_argument(f"--{part.name.replace('_', '-')}", type=read)
    given = vars(parser.parse_args())
    port, tied, told = given.pop("port"), given.pop("tied"), given.pop("script")
    script = read_script({**told, **{name: value for name, value in given.items() if value is not None}})
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(script, port, tied=tied))


if __name__ == "__main__":
    main()
