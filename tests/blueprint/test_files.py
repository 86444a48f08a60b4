"""What `personalab.blueprint.files` promises: files from anybody are read in bounds, and written whole."""

from __future__ import annotations

import json
import os
import re
import threading
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given

from personalab import Blueprint
from personalab.blueprint.files import MOST_BYTES, load_data, read_text, to_yaml, write_whole
from personalab.errors import BlueprintError, PersonalabError, RequestError
from tests.conftest import LEAGUE
from tests.strategies import blueprints

WORDS = [
    "Yes",
    "NO",
    "on",
    "off",
    "y",
    "n",
    "12:30",
    "1:2:3",
    "0x1f",
    "0o17",
    "017",
    "1_000",
    "~",
    "null",
    "1e5",
    "1.5",
]
WORDS += [
    "2001-12-14",
    "=",
    "<<",
    ".inf",
    ".NaN",
    "+1",
    "- a",
    "a: b",
    "# c",
    "",
    " ",
    "'",
    '"',
    "é",
    "😀",
    "0b11",
    "-0",
]


@pytest.mark.parametrize("word", WORDS)
def test_yaml_is_the_same_to_old_and_new_readers(tmp_path: Path, word: str) -> None:
    """A word is the same word to a reader of YAML 1.1 and to ours of 1.2, as a key and as a value."""
    text = to_yaml({word: word})
    (tmp_path / "a.yaml").write_text(text, encoding="utf-8")
    assert yaml.safe_load(text) == load_data(tmp_path / "a.yaml") == {word: word}
    assert word not in ("y", "n", "0o17", "1e5") or re.search(
        r"^(['\"]).*\1:", text
    )  # which PyYAML alone would not quote


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("NO", "NO"),
        ("on", "on"),
        ("12:30", "12:30"),
        ("017", 17),
        ("0o17", 15),
        ("0x1F", 31),
        ("1e3", 1000.0),
        ("~", None),
        ("true", True),
        ("-.inf", float("-inf")),
        ("2001-12-14", "2001-12-14"),
        ("1_000", "1_000"),
        ("<<", "<<"),
    ],
)
def test_yaml_is_read_by_the_core_schema(tmp_path: Path, word: str, value: object) -> None:
    """Words without quotes are what YAML 1.2 says they are."""
    (tmp_path / "a.yaml").write_text(f"- {word}\n", encoding="utf-8")
    assert load_data(tmp_path / "a.yaml") == [value]


def test_aliases_are_refused_before_they_are_followed(tmp_path: Path) -> None:
    """Nine levels of aliases, which stand for a billion words, are refused in a few megabytes."""
    lines = ["a0: &a0 [x,x,x,x,x,x,x,x,x,x]"] + [f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10)]
    (tmp_path / "bp.yaml").write_text("\n".join(lines), encoding="utf-8")
    tracemalloc.start()
    with pytest.raises(BlueprintError, match="has an alias"):
        Blueprint.load(tmp_path / "bp.yaml")
    assert tracemalloc.get_traced_memory()[1] < 5e6
    tracemalloc.stop()


@pytest.mark.parametrize("ending", ["json", "yaml"])
def test_a_file_larger_than_the_bound_is_not_read(tmp_path: Path, ending: str) -> None:
    """A file beyond the bound is refused by its size."""
    path = tmp_path / f"bp.{ending}"
    path.write_text(" " * (MOST_BYTES[ending] + 1))
    with pytest.raises(RequestError, match="MB is the most that is read"):
        Blueprint.load(path)


def test_a_byte_order_mark_is_passed_over(tmp_path: Path) -> None:
    """A file that begins with a byte order mark is read as if it did not."""
    path = tmp_path / "bp.json"
    path.write_bytes(b"\xef\xbb\xbf" + LEAGUE.read_bytes())
    assert Blueprint.load(path) == Blueprint.load(LEAGUE)


@pytest.mark.parametrize("kind", ["pipe", "folder", "link to a pipe"])
def test_what_is_no_file_is_refused_at_once(tmp_path: Path, kind: str) -> None:
    """Neither a pipe that nobody writes to nor a folder is waited for, read or replaced."""
    path = tmp_path / "bp.json"
    if kind == "folder":
        path.mkdir()
    else:
        os.mkfifo(tmp_path / "pipe")
        path.symlink_to(tmp_path / "pipe")
        path = path if kind.startswith("link") else tmp_path / "pipe"
    with pytest.raises(RequestError, match=r"cannot be read|pipe or a device"):
        read_text(path)
    with pytest.raises(RequestError, match="cannot be written"):
        write_whole(path, "{}")


def test_a_link_stays_a_link_and_a_mode_stays(tmp_path: Path) -> None:
    """A file saved through a link is the file linked to, and who may read it does not change."""
    place, link = tmp_path / "place.json", tmp_path / "link.json"
    place.write_text("{}")
    place.chmod(0o600)
    link.symlink_to(place)
    Blueprint.load(LEAGUE).save(link)
    assert link.is_symlink()
    assert place.read_bytes() == LEAGUE.read_bytes()
    assert place.stat().st_mode & 0o777 == 0o600


def test_threads_may_save_to_one_place(tmp_path: Path) -> None:
    """Eight threads that save a hundred times each neither fail nor leave anything but the last whole file."""
    path, failed = tmp_path / "a.txt", list[Exception]()

    def save(number: int) -> None:
        try:
            for _ in range(100):
                write_whole(path, str(number) * 1000)
        except Exception as error:  # whatever it is
            failed.append(error)

    threads = [threading.Thread(target=save, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.txt"]
    assert len(set(path.read_text())) == 1


def test_a_name_too_long_is_refused_in_a_sentence(tmp_path: Path) -> None:
    """A name that no file system takes is refused, and nothing is left."""
    with pytest.raises(RequestError, match="cannot be written"):
        write_whole(tmp_path / ("x" * 300 + ".json"), "{}")
    assert list(tmp_path.iterdir()) == []


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


def test_a_ring_of_links_is_a_sentence(tmp_path: Path, league: Blueprint) -> None:
    """Links that lead to each other are refused for reading and for writing."""
    (tmp_path / "a.json").symlink_to("b.json")
    (tmp_path / "b.json").symlink_to("a.json")
    for act in (Blueprint.load, league.save):
        with pytest.raises(RequestError, match=r"a\.json"):
            act(tmp_path / "a.json")


@given(blueprints())
def test_readers_of_old_yaml_read_the_same_blueprint(bp: Blueprint) -> None:
    """Any valid blueprint, saved as YAML, is the same data to PyYAML, numbers included."""
    data: dict[str, Any] = bp.to_dict()
    assert json.dumps(yaml.safe_load(bp.to_yaml())) == json.dumps(data)


def test_faults_are_told_by_the_score() -> None:
    """Twenty places are named, and how many more there are."""
    weights = {f"v{i}": "" for i in range(100)}
    side = {"name": "side", "kind": "categorical", "categorical": {"weights": weights}}
    with pytest.raises(BlueprintError) as caught:
        Blueprint.from_dict({"domain": "d", "order": ["side"], "fields": [side]})
    assert len(str(caught.value).splitlines()) == 22
    assert str(caught.value).endswith("and 80 more")


def test_what_could_not_be_read_back_is_not_saved(tmp_path: Path, league: Blueprint) -> None:
    """What is too large for YAML is saved as JSON."""
    large = league.replace(rationale="why " * 150_000)
    with pytest.raises(RequestError, match=r"more than the 0\.5 MB that are read"):
        large.save(tmp_path / "bp.yaml")
    assert Blueprint.load(large.save(tmp_path / "bp.json")) == large


@pytest.mark.parametrize(
    "text", ["? [a]\n: b", "a: !!float ''", "a: !!bool foo", "a: !!timestamp x", "a: !!map [b, c]"]
)
def test_odd_tags_are_refused_in_a_sentence(tmp_path: Path, text: str) -> None:
    """What a tag does not fit is an unreadable file, whatever the reader makes of it."""
    (tmp_path / "bp.yaml").write_text(text)
    with pytest.raises(BlueprintError, match="not a readable file"):
        Blueprint.load(tmp_path / "bp.yaml")
