"""Similarity: how much two texts have in common.

Two texts are compared by the words they share. Each text becomes a vector with one coordinate a word, the word's
count times its rarity over all texts (TF-IDF), scaled to length one; the similarity of two texts is the cosine
between their vectors, 0 where they share no word and 1 where they use the same words equally often. A word that
everyone uses counts little, a rare one much. Word order and meaning play no part: a paraphrase goes unnoticed, a
copied sentence does not.

The mean over all pairs has a closed form, so it costs one pass. The maximum and the near-duplicates are exact too:
the similarities are computed a block of rows at a time, never held all at once.
"""

from __future__ import annotations

import itertools
import math
import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from personalab.errors import RequestError

# From here on two texts count as duplicates: a text of 60 words with 6 of them replaced at random has a similarity of
# 0.91 to what it was (median; 90 % lie in 0.87-0.95), and of 20,000 unrelated such texts no two came above 0.4.
DUPLICATE = 0.9
BLOCK = 500_000  # similarities computed at once: some 50 MB, with all that is made of them
SINGLY = 0.01  # share of a block's pairs up to which each is computed by itself
COMMON = 0.875  # length of the words left out at first, as a share of the threshold
SLACK = 1e-6  # what sums of squares may have lost to rounding
ROUNDING_ERROR = 1e-12  # what the arithmetic itself does to numbers of the size of 1

Pairs = tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]

# Scripts that put no blanks between words. Without a dictionary two characters in a row say most of a word there.
_THAI_LAO, _BURMESE, _KHMER, _KANA = "\u0e00-\u0eff", "\u1000-\u109f", "\u1780-\u17ff", "\u3040-\u30ff\u31f0-\u31ff"
_HAN = "\u3005-\u3007\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_UNSPACED = _THAI_LAO + _BURMESE + _KHMER + _KANA + _HAN
_ASCII = re.compile(r"\w+(?:'\w+)*")
LAST_MARK = 0x1F000  # no combining mark of a script is beyond


def near_duplicates(texts: Sequence[str], threshold: float = DUPLICATE) -> list[tuple[int, int, float]]:
    """List the pairs of texts that are too much alike.

    Parameters
    ----------
    texts : sequence of str
        One text a persona, at least two.
    threshold : float
        Similarity from which on a pair is listed, above 0 and at most 1.

    Returns
    -------
    list of (int, int, float)
        Positions of both texts, the earlier one first, and their similarity; the most similar pair first.

    Raises
    ------
    RequestError
        If there are fewer than two texts, or the threshold is outside (0, 1].

    Examples
    --------
    >>> near_duplicates(["Ann paints.", "Bo sings.", "ann paints"])
    [(0, 2, 1.0)]
    """
    found: list[tuple[int, int, float]] = []
    for i, j, similarity in _close(texts, threshold):
        found += zip(i.tolist(), j.tolist(), map(clipped, similarity.tolist()), strict=True)
    return sorted(found, key=lambda pair: (-round(pair[2], 12), pair[0], pair[1]))


def repeats(texts: Sequence[str], threshold: float = DUPLICATE) -> list[int]:
    """List the texts that are too much like one before them.

    Parameters
    ----------
    texts : sequence of str
        One text a persona, at least two.
    threshold : float
        Similarity from which on a text is listed, above 0 and at most 1.

    Returns
    -------
    list of int
        Positions, in order: the later ones of `near_duplicates`, however many pairs there are.

    Raises
    ------
    RequestError
        If there are fewer than two texts, or the threshold is outside (0, 1].

    Examples
    --------
    >>> repeats(["Ann paints.", "Bo sings.", "ann paints", "ANN PAINTS"])
    [2, 3]
    """
    is_repeat = np.zeros(len(texts), dtype=bool)
    for _, j, _ in _close(texts, threshold):
        is_repeat[j] = True
    return np.flatnonzero(is_repeat).tolist()


def histogram(texts: Sequence[str], bins: int = 50) -> NDArray[np.int64]:
    """Count the pairs of texts by their similarity.

    Parameters
    ----------
    texts : sequence of str
        One text a persona, at least two.
    bins : int
        How many bins of equal width the range from 0 to 1 is cut into; a bin has its lower end, the last both.

    Returns
    -------
    array of int
        Pairs a bin; they sum to n (n - 1) / 2.

    Raises
    ------
    RequestError
        If there are fewer than two texts.

    Examples
    --------
    >>> histogram(["plays at night", "plays at dawn", "paints"], 4)
    array([2, 0, 1, 0])
    """
    vectors = vectors_of(texts)
    n = vectors.shape[0]
    counts = np.zeros(bins, dtype=np.int64)
    for _, _, similarity in pairs(vectors):
        at = np.floor((similarity + ROUNDING_ERROR) * bins).astype(np.intp)
        counts += np.bincount(np.minimum(at, bins - 1), minlength=bins)
    counts[0] += n * (n - 1) // 2 - int(counts.sum())  # those that share no word
    return counts


def words_of(text: str) -> list[str]:
    """Split a text into words, whatever its script, and without regard to case.

    Parameters
    ----------
    text : str
        Any text.

    Returns
    -------
    list of str
        Letters and digits with the marks that belong to them, as Unicode counts words (UAX 29); of scripts that put no
        blanks between words every two characters in a row.

    Examples
    --------
    >>> words_of("Don't PANIC: वह दिल्ली में है")
    ["don't", 'panic', 'वह', 'दिल्ली', 'में', 'है']
    >>> words_of("東京で働く")
    ['東京', '京で', 'で働', '働く']
    """
    if text.isascii():
        return _ASCII.findall(text.lower())
    word, character = _patterns()
    found: list[str] = []
    for match in word.finditer(unicodedata.normalize("NFC", text.casefold())):
        if match[1] is None:
            found.append(match[0].replace("\u2019", "'"))
        else:
            run = character.findall(match[1])
            found += map("".join, itertools.pairwise(run)) if len(run) > 1 else run
    return found


@cache
def _patterns() -> tuple[re.Pattern[str], re.Pattern[str]]:
    """What a word is, and a character with its marks: made of what this Python's Unicode says."""
    marks = "".join(char for char in map(chr, range(0x300, LAST_MARK)) if unicodedata.category(char)[0] == "M")
    letter = rf"[\w{marks}\u200c\u200d]"
    spaced = rf"(?:(?![{_UNSPACED}]){letter})+"
    unspaced = rf"(?:(?={letter})[{_UNSPACED}{marks}])+"
    return re.compile(rf"({unspaced})|{spaced}(?:['\u2019]{spaced})*"), re.compile(rf".[{marks}]*")


def clipped(cosine: float) -> float:
    """A cosine without what the arithmetic adds to 1."""
    return 1.0 if cosine >= 1 - ROUNDING_ERROR else cosine


def vectors_of(texts: Sequence[str]) -> Any:
    """Rows of length one, a column a word: count times ln((1 + n) / (1 + texts with the word)) + 1.

    The smoothed idf is scikit-learn's default: no word weighs nothing, so equal texts always have similarity 1.
    """
    from scipy import sparse

    if isinstance(texts, str) or len(texts) < 2:
        raise RequestError("diversity compares texts with each other and needs at least two", hint="pass a list of two")
    column: dict[str, int] = {}
    columns, ends = [], [0]
    for position, text in enumerate(texts):
        if not isinstance(text, str):
            raise RequestError(f"number {position} of the texts is {text!r}, not a text", hint="fill what is missing")
        # A text without a word gets the empty word, which only others of its kind share.
        columns += [column.setdefault(word, len(column)) for word in words_of(text) or [""]]
        ends.append(len(columns))
    shape = (len(texts), len(column))
    counts = sparse.csr_array((np.ones(len(columns)), np.array(columns), np.array(ends)), shape=shape)
    counts.sum_duplicates()
    having = np.bincount(counts.indices, minlength=shape[1])
    counts.data *= np.log((1 + shape[0]) / (1 + having))[counts.indices] + 1
    lengths = np.sqrt(np.add.reduceat(counts.data**2, counts.indptr[:-1]))
    counts.data /= np.repeat(lengths, np.diff(counts.indptr))
    return counts


def _close(texts: Sequence[str], threshold: float) -> Iterator[Pairs]:
    """Yield every pair i < j that is at least as similar as that, a block of rows at a time.

    Each i is first compared by its rarest words alone, which few others have. From what these contribute to the
    similarity follows the most that its common words can add (Cauchy-Schwarz), and few pairs can still come to the
    threshold (after Bayardo et al. 2007, who filter by such prefixes).
    """
    if not 0 < threshold <= 1:
        raise RequestError(f"a threshold of {threshold!r} is no similarity", hint="give one above 0 and at most 1")
    vectors = vectors_of(texts)
    rare, rest = _rarest(vectors, COMMON * threshold)
    across = vectors.T.tocsr()
    for start, stop in _blocks(len(texts)):
        i, j, product = _later(rare[start:stop] @ across, start)
        least = product**2 / (1 - rest[i] ** 2)  # of the square of j's length, what lies in these words
        at = product + rest[i] * np.sqrt(np.maximum(1 - least, 0)) >= threshold - SLACK
        i, j = i[at], j[at]
        if len(i) > SINGLY * BLOCK:
            i, j, similarity = _later(vectors[start:stop] @ across, start)
        else:
            similarity = np.asarray(vectors[i].multiply(vectors[j]).sum(axis=1)).ravel()
        near = similarity >= threshold - ROUNDING_ERROR
        yield i[near], j[near], similarity[near]


def _rarest(vectors: Any, length: float) -> tuple[Any, NDArray[np.float64]]:
    """The vectors without their commonest words, as far as these are no longer than that, and how long they are."""
    having = np.bincount(vectors.indices, minlength=vectors.shape[1])
    rows = np.repeat(np.arange(vectors.shape[0]), np.diff(vectors.indptr))
    order = np.lexsort((vectors.indices, having[vectors.indices], rows))
    data, indices = vectors.data[order], vectors.indices[order]
    before = np.concatenate([[0.0], np.cumsum(data**2)])
    left = before[vectors.indptr[1:]][rows] - before[:-1]  # of the square: this word's, and that of those after it
    is_rare = left > length**2
    rest = np.sqrt(np.add.reduceat(np.where(is_rare, 0.0, data**2), vectors.indptr[:-1]))
    rare = type(vectors)((np.where(is_rare, data, 0.0), indices, vectors.indptr.copy()), shape=vectors.shape)
    rare.eliminate_zeros()
    return rare, rest


def pairs(vectors: Any) -> Iterator[Pairs]:
    """Yield every pair i < j that shares a word, with its similarity, a block of rows at a time."""
    across = vectors.T.tocsr()
    for start, stop in _blocks(vectors.shape[0]):
        yield _later(vectors[start:stop] @ across, start)


def _blocks(n: int) -> Iterator[tuple[int, int]]:
    step = max(1, math.floor(BLOCK / n))
    return ((start, start + step) for start in range(0, n, step))


def _later(products: Any, start: int) -> Pairs:
    """The pairs i < j among some rows and all."""
    block = products.tocoo()
    i, j = block.row.astype(np.intp) + start, block.col.astype(np.intp)
    later = j > i
    return i[later], j[later], block.data[later]
