"""The past: what replies tell of a model's tokens, of the length of its answers, and of how often it is asked again.

Each number is taken from answers in the form in question if there are any, else from the model's other answers, else
from general lengths; the fewer there are, the wider it is.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from personalab.llm import Count
from personalab.writing.estimates.spans import Need, Span, exactly
from personalab.writing.write import DRAWN, DRAWS, MORE

if TYPE_CHECKING:
    from personalab.llm import Connection

CHARACTERS = 4.0  # a token of English text: OpenAI's rule of thumb, help.openai.com/en/articles/4936856
# Characters of a person's texts, as in the ten people of data/replies/01-from-one-sentence.jsonl.
LENGTHS = {"name": 12, "tagline": 53, "portrait": 141}
LENGTH = 304  # of any other text
# A guess, and a wide one: how many equally likely names a model draws from, and by which factor that may be wrong.
NAMES, NAMES_FACTOR = 3000.0, 6.0
# By how much an estimate may be off, as a share of it: from the same form, from other answers, from general lengths.
OF_SAME, OF_OTHERS, OF_GENERAL = 0.03, 0.15, 0.3
LEAST, MOST = 0.5, 2.5  # factors of the length of an answer of which nothing is known

Try = tuple[bool, int, int, int]  # whether it is one of the spare ones, which, after how many messages, how much room


@dataclass(frozen=True)
class Answer:
    """One kept reply: which form it fills, whether it was the first try at it, and how long everything was."""

    form: str
    at: Try
    number: int  # of the person
    draw: int
    asked: int  # characters of messages and form
    prompt: int  # tokens, 0 where the server did not tell
    completion: int
    content: str
    is_first: bool = False


class Past:
    """What the replies tell of a model.

    Parameters
    ----------
    connection : Connection
        The model.
    """

    def __init__(self, connection: Connection) -> None:
        self.answers = _answers(connection.given())
        self.forms: dict[str, list[Answer]] = {}
        for answer in self.answers:
            self.forms.setdefault(answer.form, []).append(answer)

    def rate(self, form: str) -> Span:
        """Tokens of a prompt per character of its messages and its form."""
        same, share = self.forms.get(form, []), OF_SAME
        if not any(answer.prompt for answer in same):
            same, share = self.answers, OF_OTHERS
        told = [answer for answer in same if answer.prompt]
        if not told:
            return Span.about(1 / CHARACTERS, OF_GENERAL)
        return Span.about(sum(answer.prompt for answer in told) / sum(answer.asked for answer in told), share)

    def length(self, form: str, otherwise: int) -> Span:
        """Tokens of a first answer in a form; `otherwise` are its characters where the form is new."""
        tokens = [answer.completion for answer in self.forms.get(form, ()) if answer.is_first and answer.completion]
        if tokens:
            mean, spread = float(np.mean(tokens)), 2 * float(np.std(tokens)) / len(tokens) ** 0.5
            return Span.about(mean, max(OF_SAME, spread / mean) if len(tokens) > 1 else OF_GENERAL)
        told = [answer for answer in self.answers if answer.completion and answer.content]
        if told:
            rate = sum(answer.completion for answer in told) / sum(len(answer.content) for answer in told)
            return Span.about(otherwise * rate, 2 * OF_OTHERS)
        return exactly(otherwise / CHARACTERS) * Span(LEAST, 1, MOST)

    def again(self, form: str, share: float, weight: float) -> Need:
        """What further answers in a form took, as shares of what first ones did; `share` where nothing is known."""
        same = self.forms.get(form, [])
        first = [answer for answer in same if answer.is_first]
        further = [answer for answer in same if not answer.is_first]
        counted: tuple[Any, ...] = (lambda _: 1, lambda answer: answer.prompt, lambda answer: answer.completion)
        return Need(*(_share(sum(map(of, first)), sum(map(of, further)), len(first), share, weight) for of in counted))

    @cached_property
    def lengths(self) -> dict[str, float]:
        """Mean characters of a text of people, by the text's key."""
        texts: dict[str, list[int]] = {}
        for answer in self.answers:
            if '"portrait"' in answer.form:
                for key, text in _read(answer.content).items():
                    texts.setdefault(key, []).append(len(text))
        return {key: float(np.mean(lengths)) for key, lengths in texts.items()}

    def doubles(self, form: str) -> tuple[int, int]:
        """How many people were written in a form, and how many of them had a name, or a text, that was taken."""
        first = {answer.number: answer.content for answer in self.forms.get(form, ()) if not answer.draw}
        again = {answer.number for answer in self.forms.get(form, ()) if DRAWS <= answer.draw < MORE}
        names = [name.casefold() for content in first.values() if (name := _read(content).get("name"))]
        return len(first), max(len(again & set(first)), len(names) - len(set(names)))


def _answers(given: Iterable[tuple[dict[str, Any], dict[str, Any]]]) -> list[Answer]:
    """Reduce kept replies to what an estimate takes from them; what is not written as ours is left out."""
    answers, firsts = [], dict[str, Try]()
    for request, reply in given:
        try:
            answer = _answer(request, reply)
        except (KeyError, TypeError, ValueError, AttributeError):
            continue
        answers.append(answer)
        firsts[answer.form] = min(firsts.get(answer.form, answer.at), answer.at)
    return [replace(answer, is_first=answer.at == firsts[answer.form]) for answer in answers]


def _answer(request: Mapping[str, Any], reply: Mapping[str, Any]) -> Answer:
    form, count = as_text(request["schema"]), Count.of(reply)
    messages = [str(message["content"]) for message in request["messages"]]
    number, draw = divmod(int(request.get("sample") or 0), DRAWN)
    at = (draw >= MORE, draw % DRAWS, len(messages), int(request.get("max_tokens") or 0))
    asked, content = sum(map(len, messages)) + len(form), str(reply["content"])
    return Answer(form, at, number, draw, asked, count.prompt_tokens, count.completion_tokens, content)


def _share(first: float, further: float, n: int, share: float, weight: float) -> Span:
    """The share that further answers add, drawn towards the usual one as long as little is known."""
    if not n or not first:
        return Span(0, share, 3 * share)
    usual, one = share * weight, first / n
    likely = (further / one + usual) / (n + weight)
    off = 2 * (further / one + usual + 1) ** 0.5 / (n + weight)  # two standard errors of a count
    return Span(max(0.0, likely - off), likely, likely + off)


def characters(keys: Iterable[str], past: Past) -> int:
    """The characters of a person's texts as JSON: as long as this model's texts so far, or as usual ones."""
    others = [length for key, length in past.lengths.items() if key not in LENGTHS]
    other = float(np.mean(others)) if others else LENGTH
    lengths = {**LENGTHS, **past.lengths}
    return round(2 + sum(len(key) + len('"": "", ') + lengths.get(key, other) for key in keys))


def rewritten(new: int, settled: int, known: int, doubled: int) -> Span:
    """How many people would be written again because of their names: the median over how many names there may be.

    Parameters
    ----------
    new, settled : int
        People to be written, and people beside them whose names are taken.
    known, doubled : int
        How many people of the model are known, and how many of these had a name that was taken.

    Returns
    -------
    Span
        People, counted once for each time that they are written again; from the 5 % to the 95 % quantile.
    """
    m = np.geomspace(1, 1e6, 241)
    chances = np.exp(-0.5 * (np.log(m / NAMES) / np.log(NAMES_FACTOR)) ** 2)
    if known > 1:
        share = np.clip(_taken(known, 0, m) / (known - 1), 1e-9, 1 - 1e-9)
        fit = doubled * np.log(share) + (known - 1 - doubled) * np.log(1 - share)
        chances *= np.exp(fit - fit.max())
    once = _taken(new, settled, m)
    both = once * (1 + np.minimum(1, (settled + new - once) / m))
    below = np.cumsum(chances) / chances.sum()
    return Span(*(float(both[np.searchsorted(below, share)]) for share in (0.95, 0.5, 0.05)))


def _taken(new: int, settled: int, m: NDArray[np.float64]) -> NDArray[np.float64]:
    """How many of `new` people get a name that somebody has, of `m` equally likely ones with `settled` taken before."""
    return np.asarray(new - np.maximum(m - settled, 0) * (1 - (1 - 1 / m) ** new))


def as_text(schema: Any) -> str:
    """A form as it is sent, and by which answers are told apart."""
    return json.dumps(schema, separators=(",", ":"), ensure_ascii=False)


def _read(content: str) -> dict[str, str]:
    """The texts in an answer, as far as it can be read."""
    try:
        told = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return {key: text for key, text in told.items() if isinstance(text, str)} if isinstance(told, dict) else {}
