"""Errors are sentences with a way out, in one small tree."""

import pickle

import pytest

from personalab.errors import CATEGORIES, BlueprintError, PersonalabError, ProviderError, RequestError


@pytest.mark.parametrize("kind", [RequestError, BlueprintError, ProviderError])
def test_one_except_catches_all(kind: type[PersonalabError]) -> None:
    """Every error is a PersonalabError, so one except clause is enough."""
    with pytest.raises(PersonalabError):
        raise kind("count is 0")


@pytest.mark.parametrize("kind", [RequestError, BlueprintError])
def test_wrong_input_is_a_value_error(kind: type[PersonalabError]) -> None:
    """What the caller got wrong is a ValueError too; what the provider got wrong is not."""
    assert issubclass(kind, ValueError)
    assert not issubclass(ProviderError, ValueError)


def test_hint_is_a_note_below_the_message() -> None:
    """The way out stands in a note behind an arrow and stays out of the message."""
    error = RequestError("count is 0", hint="ask for 1 or more")
    assert str(error) == "count is 0"
    assert error.__notes__ == ["→ ask for 1 or more"]
    assert not hasattr(RequestError("count is 0"), "__notes__")


def test_answer_stays_out_of_the_message() -> None:
    """What a model said is kept on the error but never printed with it."""
    error = ProviderError("the answer is not JSON", category="invalid_output", answer="rm -rf")
    assert error.answer == "rm -rf"
    assert "rm -rf" not in str(error) + repr(error)


def test_categories_are_words() -> None:
    """A category is one of a fixed set of distinct lower-case words, and provider_error if none is given."""
    assert ProviderError("no").category == "provider_error" in CATEGORIES
    assert len(set(CATEGORIES)) == len(CATEGORIES)
    assert all(word == word.lower() and " " not in word for word in CATEGORIES)


def test_findings_are_kept() -> None:
    """A blueprint error carries what lint found as a tuple."""
    assert BlueprintError("no", findings=["a", "b"]).findings == ("a", "b")
    assert BlueprintError("no").findings == ()


@pytest.mark.parametrize(
    "error",
    [
        RequestError("count is 0", hint="more"),
        BlueprintError("no", findings=["a"], hint="mend"),
        ProviderError("late", category="provider_timeout", answer="…", hint="wait"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_survive_a_process_boundary(error: PersonalabError) -> None:
    """An error pickled and read back has its type, message, notes and attributes."""
    back = pickle.loads(pickle.dumps(error))
    assert type(back) is type(error)
    assert str(back) == str(error)
    assert vars(back) == vars(error)
