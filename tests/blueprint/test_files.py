"""Files are read within bounds, whoever wrote them, and written whole, whoever else writes."""

from __future__ import annotations

import json
import os
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from personalab import Blueprint
from personalab.blueprint import files
from personalab.errors import BlueprintError, PersonalabError, RequestError
from tests.strategies import blueprints

yaml = pytest.importorskip("yaml", reason="PyYAML reads version 1.1")

# What version 1.1 of YAML, https://yaml.org/type/, takes for something other than a text.
WORDS_1_1 = """
y Y yes Yes YES n N no No NO true True TRUE false False FALSE on On ON off Off OFF ~ null Null NULL
12:30 190:20:30 190:20:30.15 0x1f 0b1010 017 0o17 1_000 +1 -1 685_230.15 6.8e+5 .5 -.inf .Inf .NaN
2001-12-14 2001-12-14t21:59:43.10-05:00 << = 1e5 1e-05 - ? : , [ ] { } # & * ! | > ' " % @ `
"""


def nested(depth: int, width: int) -> str:
    """YAML in which each line refers to the one before so many times."""
    lines = ["a0: &a0 x"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * width)}]" for i in range(1, depth)]
    return "\n".join([*lines, f"domain: *a{depth - 1}"])


HOSTILE = {
    "references.yaml": nested(9, 10),
    "wide.yaml": "domain: &a " + "x" * 2_000 + "\nsources: [" + ", ".join(["*a"] * 5_000) + "]",
    "deep.yaml": "[" * 90_000,
    "dashes.yaml": "- " * 45_000,
    "braces.yaml": "{a: " * 22_000,
    "large.yaml": "domain: d\nsources:\n" + "- x\n" * 1_250_000,
    "deep.json": "[" * 5_000_000,
    "many.json": '{"domain": "d", "order": [], "fields": [' + ",".join(["{}"] * 1_600_000) + "]}",
    "weights.json": '{"fields": [{"categorical": {"weights": {'
    + ",".join(f'"{i:x}":""' for i in range(450_000))
    + "}}}]}",
    "wrong.json": '{"domain": "d", "order": [], "fields": [' + ",".join(["{}"] * 90_000) + "]}",
    "larger.json": '"' + "x" * 6_000_000 + '"',
    "digits.json": "1" * 100_000,
    "nan.json": '{"domain": NaN}',
    "twice.json": '{"domain": "a", "domain": "b"}',
    "huge.yaml": "domain: " + "9" * 90_000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_refused_within_its_size(tmp_path: Path, name: str) -> None:
    """What is small to write is never large to read, and is refused in a sentence of ordinary length."""
    (tmp_path / name).write_text(HOSTILE[name], encoding="utf-8")
    with pytest.raises(PersonalabError) as caught:
        Blueprint.load(tmp_path / name)
    assert len(str(caught.value)) < 5_000


@pytest.mark.parametrize("kind", ["pipe", "folder", "device", "socket"])
@pytest.mark.parametrize("is_linked", [False, True])
def test_what_is_no_plain_file_is_refused_by_name(
    tmp_path: Path, league: Blueprint, kind: str, is_linked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pipe, folder, device or socket is neither waited for nor replaced, also behind a link."""
    monkeypatch.chdir(tmp_path)  # the path of a socket has to be short
    path = tmp_path / "real.json"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind("real.json")
    if is_linked:
        path = tmp_path / "link.json"
        path.symlink_to("real.json")
    for act in (Blueprint.load, league.save):
        with pytest.raises(RequestError, match=rf"{path.name}' is a .*, not a file"):
            act(path)
    assert not (tmp_path / "real.json").is_file()


@pytest.mark.parametrize("name", ["bp.json", "bp.yaml"])
def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: Path, league: Blueprint, name: str) -> None:
    """Editors on Windows put one in front of UTF-8."""
    path = league.save(tmp_path / name)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert Blueprint.load(path) == league


def test_saving_through_a_link_writes_what_it_leads_to(tmp_path: Path, league: Blueprint) -> None:
    """The link stays a link, and the file behind it keeps its permissions; so where it leads nowhere yet."""
    real, link = tmp_path / "elsewhere" / "real.json", tmp_path / "link.json"
    link.symlink_to(real)
    league.save(link)
    real.chmod(0o600)
    league.replace(domain="others").save(link)
    assert link.is_symlink()
    assert Blueprint.load(real).domain == "others"
    assert real.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in real.parent.iterdir()] == ["real.json"]


def test_a_ring_of_links_is_a_sentence(tmp_path: Path, league: Blueprint) -> None:
    """Links that lead to each other are refused for reading and for writing."""
    (tmp_path / "a.json").symlink_to("b.json")
    (tmp_path / "b.json").symlink_to("a.json")
    for act in (Blueprint.load, league.save):
        with pytest.raises(RequestError, match=r"a\.json"):
            act(tmp_path / "a.json")


def test_threads_write_one_file(tmp_path: Path, league: Blueprint) -> None:
    """Eight hundred saves of one file by eight threads all succeed, and a reader always finds a whole one."""
    path = league.save(tmp_path / "bp.json")
    texts = [json.dumps({"n": n, "filler": "x" * 2_000}) for n in range(800)]

    def save(text: str) -> int:
        files.write_whole(path, text)
        return len(json.loads(path.read_text(encoding="utf-8")))

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(save, texts)) == {2}
    assert [entry.name for entry in tmp_path.iterdir()] == ["bp.json"]


def test_a_disk_that_is_full_leaves_the_old_file(tmp_path: Path, league: Blueprint) -> None:
    """What cannot be written to the end is not there at all."""
    path = league.save(tmp_path / "bp.json")
    with pytest.raises(RequestError, match="cannot be written"):
        files.write_whole(path, "\ud800")
    assert Blueprint.load(path) == league
    assert [entry.name for entry in tmp_path.iterdir()] == ["bp.json"]


@pytest.mark.parametrize("name", ["x" * 300 + ".json", "a\0b.json"])
def test_a_path_that_cannot_be_is_a_sentence(tmp_path: Path, league: Blueprint, name: str) -> None:
    """Too long a name, and one with a null, are refused for reading and for writing."""
    for act in (Blueprint.load, league.save):
        with pytest.raises(RequestError, match="cannot be"):
            act(tmp_path / name)


@pytest.mark.parametrize("word", WORDS_1_1.split())
def test_readers_of_old_yaml_read_the_same_words(word: str) -> None:
    """Yes, 12:30 and 1_000 are texts as keys and as values, to readers of versions 1.1 and 1.2."""
    data = {"weights": {word: 0.5}, "value": word}
    assert yaml.safe_load(files.as_yaml(data)) == data


@given(blueprints())
def test_readers_of_old_yaml_read_the_same_blueprint(bp: Blueprint) -> None:
    """Any valid blueprint, saved as YAML, is the same data to PyYAML, numbers included."""
    data: dict[str, Any] = bp.to_dict()
    assert json.dumps(yaml.safe_load(bp.to_yaml())) == json.dumps(data)


@pytest.mark.parametrize("number", [5e-324, 1e-05, 1e22, 1.7976931348623157e308, -0.0, 3, 10**20])
def test_readers_of_old_yaml_read_the_same_numbers(number: float) -> None:
    """An exponent needs a point before it in version 1.1."""
    back = yaml.safe_load(files.as_yaml([number]))
    assert (repr(back), type(back[0])) == (repr([number]), type(number))


def test_yaml_that_could_not_be_read_back_is_not_saved(tmp_path: Path, league: Blueprint) -> None:
    """What is too large for YAML is saved as JSON."""
    large = league.replace(rationale="why " * 50_000)
    with pytest.raises(RequestError, match="would be larger"):
        large.save(tmp_path / "bp.yaml")
    assert Blueprint.load(large.save(tmp_path / "bp.json")) == large


def test_faults_are_told_by_the_score() -> None:
    """Twenty places are named, and how many more there are."""
    weights = {f"v{i}": "" for i in range(100)}
    side = {"name": "side", "kind": "categorical", "categorical": {"weights": weights}}
    with pytest.raises(BlueprintError) as caught:
        Blueprint.from_dict({"domain": "d", "order": ["side"], "fields": [side]})
    assert len(str(caught.value).splitlines()) == 22
    assert str(caught.value).endswith("and 80 more")
