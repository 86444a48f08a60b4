"""What `personalab.writing.write`, `facts` and `sheets` promise of written people."""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
import traceback
from typing import Any

import pandas as pd
import pytest

from personalab import llm, sample, update, write
from personalab.blueprint.model import Blueprint
from personalab.blueprint.validation import WRITTEN
from personalab.errors import ProviderError, RequestError
from personalab.inference.draft import EXAMPLE, wire
from personalab.inference.repair import repaired
from personalab.llm import OBJECT_LIMIT, replies
from personalab.llm.background import over
from personalab.writing.consistency import as_string, as_strings, contradictions
from personalab.writing.profiles import render_markdown, render_system_prompt
from personalab.writing.roster import Roster
from personalab.writing.write import DRAWS, ROUNDS, WRITERS, Author, _all, _ended
from tests.fluent import Fluent
from tests.server import Answer

BP = repaired(wire(EXAMPLE))
FACTS = {"city": "Berlin", "commitment": "hobby", "age": "34", "hours_per_week": "12", "years_playing": "5"}
TEXTS = {"name": "Ada Berg", "backstory": "It began late.", "tagline": "a Berliner", "portrait": "Talks little."}


class Scripted(Fluent):
    """Writes what `said` makes of the text it would have written and the number of the request."""

    def __init__(self, said: Any) -> None:
        self.said, self.asked = said, []

    def complete(self, messages: list[dict[str, str]], schema: dict[str, Any]) -> str:
        """Answer as told."""
        self.asked.append(messages)
        return str(self.said(super().complete(messages, schema), len(self.asked)))


@pytest.fixture(autouse=True)
def _alone(tmp_path):
    """Keep replies where nobody else does."""
    with replies.use(tmp_path / "calls"):
        yield


def _with(**texts: str) -> Any:
    """Change some texts of every answer."""
    return lambda answer, _number: json.dumps(json.loads(answer) | texts)


def _nothing_but(**texts: str) -> Any:
    """Give these texts alone, in every answer."""
    return lambda *_: json.dumps(texts)


def test_writing_adds_texts_and_changes_nothing():
    """Rows, index and sampled columns stay; texts and sheets are added in the blueprint's order."""
    frame = sample(BP, 5, seed=1)
    written = write(frame, BP, model=Fluent())
    assert list(written) == [*(field.name for field in BP.fields), *WRITTEN]
    pd.testing.assert_frame_equal(written[list(frame)], frame)
    assert (written.dtypes[[*WRITTEN, "name", "backstory"]] == "string").all()


def test_any_part_of_a_frame_can_be_written():
    """A persona is written the same alone as among the others."""
    frame = sample(BP, 6, seed=1)
    whole = write(frame, BP, model=Fluent())
    part = write(frame.iloc[[4, 1]], BP, model=Fluent())
    assert part["backstory"].tolist() == whole["backstory"].iloc[[4, 1]].tolist()
    assert len(write(frame.head(0), BP, model=Fluent())) == 0


def test_a_frame_without_a_field_asks_no_model():
    """What is missing is named before the first request."""
    model = Scripted(lambda answer, _: answer)
    with pytest.raises(RequestError, match="city"):
        write(sample(BP, 2, seed=1).drop(columns="city"), BP, model=model)
    assert model.asked == []


@pytest.mark.parametrize(("field", "value"), [("city", "nan"), ("city", "Mars"), ("age", -5), ("age", 30.5)])
def test_a_value_that_the_blueprint_does_not_know_asks_no_model(field, value):
    """Nobody is written of whom no such person could be drawn, and the value is named."""
    model = Scripted(lambda answer, _: answer)
    with pytest.raises(RequestError, match=f"column '{field}' holds '{value}'"):
        write(sample(BP, 2, seed=1).assign(**{field: value}), BP, model=model)
    assert model.asked == []


def test_a_frame_from_a_file_is_written_alike(tmp_path):
    """Strings, and floats for whole numbers, are told as the sampled frame's values are."""
    frame = sample(BP, 3, seed=1)
    frame.to_csv(tmp_path / "people.csv")
    read = pd.read_csv(tmp_path / "people.csv", index_col="persona_id", dtype=str).astype({"age": float})
    asked = [Scripted(lambda answer, _: answer) for _ in range(2)]
    for each, model in zip((frame, read), asked, strict=True):
        each.attrs = frame.attrs
        with replies.use(mode="live"):
            write(each, BP, model=model)
    assert asked[0].asked == asked[1].asked


def test_requests_differ_in_their_last_message_only():
    """The unchanging part comes first, so that servers need not read it again."""
    model = Scripted(lambda answer, _: answer)
    write(sample(BP, 3, seed=1), BP, model=model)
    assert len({json.dumps(messages[:-1]) for messages in model.asked}) == 1
    assert len({messages[-1]["content"] for messages in model.asked}) == 3


@pytest.mark.parametrize(
    "bad", ["", "no JSON", '{"name": "Ada', '{"name": 3}', '{"name": "Ada", "backstory": "", "tagline": "x"}']
)
def test_an_unusable_answer_is_drawn_again(bad):
    """A first answer that is cut off, of the wrong type or empty costs a draw and no member."""
    model = Scripted(lambda answer, number: bad if number <= 3 else answer)
    written = write(sample(BP, 2, seed=1), BP, model=model)
    assert written["name"].str.len().gt(2).all()


@pytest.mark.parametrize("blank", ["  ", "\u200b\u200b", "...", "\x1b\x1b"])
def test_a_blank_text_is_unusable(blank):
    """Spaces, invisible characters and dots are no text; the error holds the answer."""
    with pytest.raises(ProviderError) as caught:
        write(sample(BP, 1, seed=1), BP, model=Scripted(_with(name=blank)))
    assert caught.value.category == "invalid_output"
    assert json.loads(caught.value.answer)["name"] == blank


def test_who_is_given_up_is_said_after_eight_draws():
    """A model that never gives a persona is asked a bounded number of times."""
    model = Scripted(lambda *_: "{}")
    with pytest.raises(ProviderError, match=f"person 1 in {2 * DRAWS} draws") as caught:
        write(sample(BP, 1, seed=1), BP, model=model)
    assert (caught.value.answer, len(model.asked)) == ("{}", 2 * DRAWS * 3)
    assert isinstance(caught.value.__cause__, ProviderError)


def test_a_text_that_contradicts_its_row_is_drawn_again():
    """The first answer claims another age; the second is kept."""
    wrong = _with(portrait="Rita is 93 years old and in good spirits.")
    model = Scripted(lambda answer, number: wrong(answer, number) if number == 1 else answer)
    written = write(sample(BP, 1, seed=1), BP, model=model)
    assert len(model.asked) == 2
    assert written.attrs["contradictions"] == []


def test_a_contradiction_that_stays_is_reported():
    """A model that will not be told is taken at its word, and its people are listed."""
    written = write(sample(BP, 2, seed=1), BP, model=Scripted(_with(portrait="A busker 93 years old.")))
    assert written.attrs["contradictions"] == ["p_01", "p_02"]


def test_a_name_that_is_taken_is_written_again():
    """Only who comes second is written again, and is told which names are taken."""
    model = Scripted(lambda answer, number: _with(name="Ada Berg")(answer, number) if number <= 2 else answer)
    written = write(sample(BP, 3, seed=1), BP, model=model)
    assert written["name"].is_unique
    assert len(model.asked) == 4
    assert "Names already taken, choose another:\n<data>\nAda Berg" in model.asked[3][-1]["content"]


def test_doubles_are_written_again_at_most_twice_and_then_listed():
    """A model that knows one person only does not keep the run for ever."""
    same = {"name": "Ada Berg", "backstory": "It began late.", "tagline": "the one", "portrait": "Talks little."}
    model = Scripted(lambda *_: json.dumps(same))
    written = write(sample(BP, 4, seed=1), BP, model=model)
    assert len(model.asked) == 4 + 3 * ROUNDS
    assert written.attrs["doubles"] == ["p_02", "p_03", "p_04"]


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("She is 34 years old and plays 12 hours a week in Berlin as a hobby.", []),
        ("A 51-year-old from the coast.", ["age"]),
        ("Her 7-year-old son sings along; she was 8 years old when she began.", []),
        ("Aged 34, still shy.", []),
        ("Out 30 hours a week, rain or shine.", ["hours_per_week"]),
        ("Slept 9 hours, played 3 hours on Sunday.", []),
        ("Some 10-12 hours a week.", []),
        ("Five years of playing, 5 years playing outdoors.", []),
        ("20 years playing in tunnels.", ["years_playing"]),
        ("Worked 20 years at a bakery.", []),
        ("Known all over London.", ["city"]),
        ("Moved from London to Berlin.", []),
        ("Moved from London years ago and dreams of Prague.", []),
        ("Born in Berlin, plays beside a man from London.", []),
        ("Lives on it full time.", ["commitment"]),
        ("Not full time, never a side income.", []),
        ("Nothing of the kind.", []),
    ],
)
def test_facts_are_read_back_out_of_prose(text, fields):
    """Another value or number is found; what is past, wished for, denied or about others is let be."""
    assert contradictions({"name": "Paris London", "portrait": text}, FACTS, BP) == fields


@pytest.mark.parametrize("said", ["Paris ", "London Berlin ", "12 hours ", "34-year-old ", "hobby commitment "])
def test_a_text_is_read_in_steps_as_many_as_it_has_words(said):
    """Ten times as much takes ten times the steps, whatever is repeated, and a megabyte no more than its beginning."""
    steps = [_steps(lambda n=n: contradictions({"portrait": said * n}, FACTS, BP)) for n in (40, 400, 100_000)]
    assert steps[1] < 20 * steps[0]
    assert steps[2] < 100 * steps[0]


def test_many_values_of_which_few_are_named_take_few_steps():
    """Of a thousand values those are looked for that are in the text, the longest first."""
    values = {f"level {i}": 1 / 1000 for i in range(1000)}
    bp = BP.from_dict({"domain": "d", "order": ["k"], "fields": [
        {"name": "k", "kind": "categorical", "categorical": {"weights": values}}]})  # fmt: skip
    assert contradictions({"portrait": "Now at level 12, never at level-7."}, {"k": "level 12"}, bp) == []
    assert contradictions({"portrait": "Now at level-123."}, {"k": "level 12"}, bp) == ["k"]
    assert _steps(lambda: contradictions({"portrait": "Now at level 12."}, {"k": "level 12"}, bp)) < 20_000


def _steps(call):
    """How many lines of Python a call takes, of whichever module."""
    count = 0

    def trace(_frame, event, _arg):
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(before)
    return count


def test_everyday_words_count_near_their_field_only():
    """A value such as "support" is one only where the text speaks of the role."""
    role = {"name": "main_role", "kind": "categorical", "categorical": {"weights": {"mid": 0.5, "support": 0.5}}}
    bp = Blueprint.from_dict({"domain": "d", "order": ["main_role"], "fields": [role]})
    assert contradictions({"x": "With the support of friends."}, {"main_role": "mid"}, bp) == []
    assert contradictions({"x": "Plays the support role."}, {"main_role": "mid"}, bp) == ["main_role"]


def test_numbers_go_on_the_wire_as_a_person_writes_them():
    """Whole numbers have no point, others three digits, nothing is minus nought, and no small number becomes nought."""
    row = pd.Series(
        {"city": "Berlin", "commitment": "hobby", "age": 48.0, "hours_per_week": 2.5, "years_playing": -0.0}
    )
    assert list(as_strings(row, BP).values()) == ["Berlin", "hobby", "48", "2.5", "0"]
    assert [as_string(value) for value in (0.0004, -1e-9, 12.3456)] == ["0.0004", "-0.000000001", "12.346"]


@pytest.mark.parametrize(
    "text",
    ["<script>alert(1)</script>", "[here](https://example.org)", "![x](y)", "https://example.org", "www.example.org",
     "a@example.org", "# big", "- item", "1. item", "---", "| cell |", "*b* _i_ ~~s~~ `c`", "$x^2$", "&lt;b&gt;"],
)  # fmt: skip
def test_a_sheet_takes_what_a_model_wrote_for_text(text):
    """Markup, links, bare addresses, formulas and lists are escaped wherever a model's words stand."""
    sheet = render_markdown(dict.fromkeys(TEXTS, text), FACTS | {"city": text}, BP)
    bare = {"<", "](", "https://", "www.e", "a@e", "\n# big", "\n- item", "\n1. item", "\n---\n", "| cell", "*b", "$x"}
    told = sheet.replace("| --- | --- |", "").replace("\\(", "(")
    for markup in bare:
        assert markup not in told.replace("\\" + markup, "")


def test_plain_text_is_not_disfigured():
    """Apostrophes, dashes, quotes and other scripts stand as they were written."""
    texts = TEXTS | {"name": "Jiwoo 'Hae' Park", "portrait": 'Says "no" - often; 3.5 times, 선수.'}
    sheet = render_markdown(texts, FACTS, BP)
    assert sheet.startswith("# Jiwoo 'Hae' Park\n\n_a Berliner_\n\nSays \"no\" - often; 3.5 times, 선수.\n")


def test_a_system_prompt_holds_every_fact_and_text():
    """Whoever plays the person knows all that is known."""
    prompt = render_system_prompt(TEXTS, FACTS, BP)
    assert prompt.startswith("You are Ada Berg, a Berliner.")
    for known in (*FACTS.items(), ("backstory", TEXTS["backstory"])):
        assert ": ".join(known) in prompt


def test_templates_and_escapes_in_an_answer_are_nothing_but_text():
    """Nothing is evaluated; line breaks and escape sequences do not survive."""
    said = _with(name="Ada {{ 7*7 }}\n\x1b[31m\u202eBerg", portrait="A {% include 'x' %} person in {lower}.")
    row = write(sample(BP, 1, seed=1), BP, model=Scripted(said)).iloc[0]
    assert row["name"] == "Ada {{ 7*7 }} [31mBerg"
    assert "{% include 'x' %} person in {lower}" in row["system_prompt"]


def test_a_long_text_of_a_strong_model_is_kept_whole():
    """Only a small model's texts are bounded and cut where they ran out of room."""
    long = "She plays on and on " * 40 + "and stops"
    strong, small = Scripted(_with(backstory=long)), Scripted(_with(backstory=("She plays on. " * 40)[:360]))
    small.is_small = True
    assert write(sample(BP, 1, seed=1), BP, model=strong)["backstory"].iloc[0] == long
    assert write(sample(BP, 1, seed=1), BP, model=small)["backstory"].iloc[0].endswith("on.")


@pytest.mark.parametrize(
    ("text", "ended"),
    [
        ("He is calm. He loves his farm,", "He is calm."),
        ("a calm farmer,", "a calm farmer"),
        ("a calm farmer who sings", "a calm farmer who sings"),
    ],
)
def test_a_small_model_that_stops_at_a_comma_is_cut_there(text, ended):
    """What trails off goes; what is whole stays, with or without a full stop."""
    assert _ended(text, 280) == ended


# who has texts already


def _distinct(request: dict[str, Any], _number: int = 1) -> str:
    """Answer so that no two people have a name or a text in common."""
    asked = hashlib.sha256(request["messages"][-1]["content"].encode()).hexdigest()
    keys = request["response_format"]["json_schema"]["schema"]["properties"]
    return json.dumps({key: f"{key} {asked[i : i + 24]}" for i, key in enumerate(keys)})


EDITS = {
    "nobody": (lambda bp: bp, range(1)),
    "one": (lambda bp: bp.replace("city", weights=_shares(bp, 4, 2, 3, 3)), range(1, 2)),
    "several": (lambda bp: bp.replace("city", weights=_shares(bp, 6, 0.1, 0.1, 6)), range(2, 12)),
    "all": (lambda bp: bp.replace("age", min=90, max=99, mean=95, sd=2), range(12, 13)),
}


def _shares(bp: Blueprint, *parts: float) -> dict[str, float]:
    return dict(zip(bp["city"].values, [part / sum(parts) for part in parts], strict=True))


@pytest.mark.parametrize(("edit", "expected"), EDITS.values(), ids=EDITS)
def test_after_an_edit_only_those_it_changed_are_written(serve, edit, expected):
    """The server is asked once for each person without texts; the others keep theirs to the letter."""
    server = serve(_distinct)
    before = BP.replace("city", weights=_shares(BP, 3, 3, 3, 3))
    first = write(sample(before, 12, seed=3), before, model="openai/m")
    assert len(server.requests) == 12
    after = edit(before)
    updated = update(first, before, after)
    changed = updated["name"].isna()
    again = write(updated, after, model="openai/m")
    assert len(server.requests) - 12 == changed.sum()
    assert changed.sum() in expected
    pd.testing.assert_frame_equal(again[~changed], updated[~changed])
    assert again[[*WRITTEN, "name", "backstory"]].notna().all(axis=None)


def test_who_is_new_comes_after_those_who_keep_their_names():
    """A new person with the name of one who was written before is written again, wherever the two stand."""
    whole = write(sample(BP, 3, seed=1), BP, model=Fluent())
    bare = whole.copy()
    bare.loc["p_01", "name"] = pd.NA
    taken = whole.loc["p_03", "name"]
    model = Scripted(lambda answer, number: _with(name=taken)(answer, number) if number == 1 else answer)
    written = write(bare, BP, model=model)
    assert len(model.asked) == 2
    assert taken in model.asked[1][-1]["content"]
    pd.testing.assert_frame_equal(written.drop("p_01"), whole.drop("p_01"))


def test_where_everybody_is_written_no_model_is_needed(monkeypatch):
    """Sheets and prompts that are missing are rendered; nothing is asked, and nothing named."""
    monkeypatch.setenv("PERSONALAB_MODEL", "nobody/knows")
    whole = write(sample(BP, 3, seed=1), BP, model=Fluent())
    pd.testing.assert_frame_equal(write(whole.drop(columns=["markdown", "system_prompt"]), BP), whole)


# what goes wrong


class Waiting(Fluent):
    """Answers several at once: raises for one person, and answers the others only when the run is over."""

    def __init__(self, failing: str) -> None:
        self.failing, self.asked = failing, 0

    async def complete(self, messages: list[dict[str, str]], schema: dict[str, Any]) -> str:
        """Answer as told."""
        self.asked += 1
        if self.failing in messages[-1]["content"]:
            raise ValueError(messages[-1]["content"])
        ending = over.get()
        assert ending is not None
        await ending.wait()
        return super().complete(messages, schema)


def test_a_failure_waits_for_the_answers_under_way_and_keeps_them():
    """Nobody else is asked once one person could not be written; the error has the frame of those who were."""
    frame = sample(BP, 40, seed=1)
    model = Waiting(f"years_playing: {frame['years_playing'].iloc[0]}\n")
    with pytest.raises(ProviderError) as caught:
        write(frame, BP, model=model)
    partial = caught.value.partial
    assert partial is not None
    assert model.asked == OBJECT_LIMIT
    assert 0 < len(partial) < OBJECT_LIMIT
    assert partial["markdown"].notna().all()
    assert set(partial.index) < set(frame.index)


def test_an_error_is_told_without_a_word_of_the_answer():
    """What the model said stands in ``answer`` alone, not in the sentence, its cause or its notes."""
    word = "L\u00fcbeck"  # not as it would stand in a traceback that quotes this line
    with pytest.raises(ProviderError) as caught:
        write(sample(BP, 1, seed=1), BP, model=Scripted(_nothing_but(name=word)))
    assert word not in "".join(traceback.format_exception(caught.value))
    assert json.loads(caught.value.answer) == {"name": word}


def test_refusals_are_drawn_again_until_somebody_is_written(serve):
    """A model that declines six times of seven makes a whole population, with a fresh draw each time."""
    server = serve(lambda request, n: _distinct(request) if n % 7 == 0 else Answer(None, refusal="I cannot do that."))
    assert len(write(sample(BP, 1, seed=1), BP, model="openai/m")) == 1
    assert len(server.requests) == 7


def test_a_double_who_cannot_be_written_again_stays(serve):
    """An unusable second text costs nobody the first: the double is listed, and everybody is there."""
    same = json.dumps(dict.fromkeys(("name", "backstory", "tagline", "portrait"), "Ada Berg"))
    serve(lambda _, number: same if number <= 2 else Answer(None, refusal="no"))
    written = write(sample(BP, 2, seed=1), BP, model="openai/m")
    assert (written.attrs["doubles"], len(written)) == (["p_02"], 2)


def test_many_people_are_written_by_a_few_tasks():
    """However many there are, a bounded number is under way."""
    alive: list[int] = []

    class Counting(Fluent):
        async def complete(self, messages: list[dict[str, str]], schema: dict[str, Any]) -> str:
            alive.append(len(asyncio.all_tasks()))
            return super().complete(messages, schema)

    roster = Roster(sample(BP, 150, seed=1), BP)
    connection = llm.connect(Counting())
    llm.run(_all(Author(BP, connection), roster, roster.bare, roster.task))
    assert len(roster.so_far()) == 150
    assert max(alive) <= WRITERS * connection.at_once * 2 + 2 < 150


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0004, "0.0004"),
        (-0.0004, "-0.0004"),
        (0.0, "0"),
        (-0.0, "0"),
        (1.0, "1"),
        (0.05, "0.05"),
        (12.3456, "12.346"),
        (7, "7"),
    ],
)
def test_small_numbers_keep_their_digits(value: float, text: str) -> None:
    """A number goes on the wire with 3 digits after the point, and a small one with 3 that count."""
    assert as_string(value) == text
