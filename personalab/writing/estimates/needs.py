"""Needs: what a blueprint and its people would take, apart from what the replies hold of them.

Requests are written down as they would be sent, and looked up. Where everything is there, nothing is estimated: the
people are put together as `personalab.writing.write` would, doubles that were written again included.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from personalab import llm
from personalab.errors import ProviderError
from personalab.inference import CORRECTIONS, infer_with
from personalab.inference.draft import Draft, conversation
from personalab.llm import Count, strict_schema
from personalab.writing.consistency import contradictions
from personalab.writing.estimates.past import CHARACTERS, Past, as_text, characters, rewritten
from personalab.writing.estimates.spans import NONE, ONE, Need, Span, exactly
from personalab.writing.roster import LISTED, Line, Roster, Task, text_keys
from personalab.writing.write import DRAWS, ROUNDS, Author

if TYPE_CHECKING:
    from personalab.blueprint.model import Blueprint
    from personalab.llm import Connection

DRAFT_TOKENS = 2000  # between the 1,100 of the draft in data/replies and the 3,000 of nine fields with conditionals
# A small model fills in so many forms, each after the conversation before it: characters of all prompts and answers,
# counted with the model of tests/fluent.py.
STAGES, STAGES_ASKED, STAGES_SAID = 7, 24_000, 1_200
AGAIN, WEIGHT = 0.02, 20  # share of answers asked for once more, a guess that counts as much as so many known answers
TAKEN = 14  # characters of a name in the list of those taken


def kept_blueprint(prompt: str, connection: Connection) -> tuple[Blueprint, Count] | None:
    """The blueprint that was inferred from a sentence, if the replies still hold it, and what it took."""
    offline = connection.offline()
    try:
        return llm.run(infer_with(prompt, offline)), offline.usage.total_replayed
    except ProviderError:
        return None


def of_blueprint(prompt: str, connection: Connection, past: Past) -> Need:
    """What inferring a blueprint would take."""
    if connection.is_small:
        rate = past.rate("")
        return Need(exactly(STAGES), rate * exactly(STAGES_ASKED), rate * exactly(STAGES_SAID))
    form = as_text(strict_schema(Draft))
    asked = exactly(len(form) + sum(len(message["content"]) for message in conversation(prompt)))
    corrections = Span(0, min(past.again(form, 0, 1).calls.likely, CORRECTIONS), CORRECTIONS)
    calls = ONE + corrections
    return Need(calls, calls * past.rate(form) * asked, calls * past.length(form, round(DRAFT_TOKENS * CHARACTERS)))


def of_people(roster: Roster, author: Author, past: Past) -> tuple[Need, Count]:
    """What writing a roster's people would take, and what of it is there."""
    missing, there = _found(roster, author, {i: roster.task(i) for i in roster.bare})
    if not missing:
        missing, again = _found_again(roster, author)
        return _writing(missing, NONE, 0, author, past), there + again
    new, all_ = len(roster.bare), len(roster.frame)
    has_names = "name" in roster.keys
    doubled = rewritten(new, all_ - new, *past.doubles(form_of(author))) if has_names else NONE
    return _writing(missing, doubled, all_, author, past), there


def form_of(author: Author) -> str:
    """The form that an author's people are filled into, as it is sent."""
    return as_text(strict_schema(author.form, bounded=author.connection.is_small))


def _writing(missing: Sequence[Task], doubled: Span, names: int, author: Author, past: Past) -> Need:
    """What people take who are written once, and `doubled` of them again, with a list of names that are taken."""
    form = form_of(author)
    fixed = len(form) + sum(len(message["content"]) for message in author.preamble)
    asked = sum(fixed + len(task.question) for task in missing)
    longer = asked / max(1, len(missing)) + TAKEN * min(LISTED, names)
    again = past.again(form, AGAIN, WEIGHT)
    calls = exactly(len(missing)) + doubled
    prompts = past.rate(form) * (exactly(asked) + doubled * exactly(longer))
    answers = calls * past.length(form, characters(text_keys(author.bp), past))
    return Need(calls * (ONE + again.calls), prompts * (ONE + again.prompt), answers * (ONE + again.completion))


def _found(roster: Roster, author: Author, tasks: Mapping[int, Task], round_: int = 0) -> tuple[list[Task], Count]:
    """Put the people whom the replies hold into a roster; return who is missing, and what these replies took."""
    reader = Author(author.bp, author.connection.offline())
    missing, there = [], Count()
    for position, task in tasks.items():
        reply = author.connection.peek(author.request(task, round_ * DRAWS))
        person = None if reply is None else _good(reply, task, author)
        if reply is not None and person is not None:
            there += Count.of(reply)
        elif reply is not None:  # of no use, or against the facts: what came after it is found by going the whole way
            person = _replayed(reader, task, round_)
        if person is None:
            missing.append(task)
        else:
            roster.put(Line(position, round_, tuple(person[key] for key in roster.keys)))
    return missing, there + reader.connection.usage.total_replayed


def _found_again(roster: Roster, author: Author) -> tuple[list[Task], Count]:
    """Who has to be asked for although everybody is there once: doubles, who are written again round by round."""
    there = Count()
    for round_ in range(1, ROUNDS + 1):
        missing, took = _found(roster, author, roster.doubles(), round_)
        there += took
        if missing:
            return missing, there
    return [], there


def _good(reply: Mapping[str, Any], task: Task, author: Author) -> dict[str, str] | None:
    """A person's texts, if a reply holds them in the form asked for and nothing speaks against the row."""
    try:
        texts = author.texts(author.form.model_validate_json(reply["content"]))
    except ValidationError:
        return None
    is_whole = reply["finish_reason"] == "stop" and not reply["refusal"] and texts is not None
    return texts if is_whole and not contradictions(texts or {}, task.facts, author.bp) else None


def _replayed(reader: Author, task: Task, round_: int) -> dict[str, str] | None:
    try:
        return llm.run(reader.person(task, round_))
    except ProviderError:
        return None
