"""Diversity: how different the people of a population sound, over all pairs of texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from personalab.blueprint.model import Blueprint
from personalab.writing.similarity import DUPLICATE, ROUNDING_ERROR, clipped, pairs, vectors_of


@dataclass(frozen=True)
class Diversity:
    """How similar the texts of a population are, over all pairs.

    Attributes
    ----------
    max_pairwise_similarity : float
        Of the two most similar texts, in [0, 1].
    mean_pairwise_similarity : float
        Over all pairs, in [0, 1].
    duplicate_pairs : int
        How many pairs have a similarity of 0.9 or more.
    closest : tuple of int, or None
        Positions of the two most similar texts; None where no two share a word.
    """

    max_pairwise_similarity: float
    mean_pairwise_similarity: float
    duplicate_pairs: int
    closest: tuple[int, int] | None = None

    def to_dict(self) -> dict[str, float | int]:
        """The contract's three keys."""
        return {
            "max_pairwise_similarity": self.max_pairwise_similarity,
            "mean_pairwise_similarity": self.mean_pairwise_similarity,
            "duplicate_pairs": self.duplicate_pairs,
        }


def diversity(texts: Sequence[str]) -> Diversity:
    """Measure how similar texts are to each other.

    Parameters
    ----------
    texts : sequence of str
        One text a persona, at least two. A text without a word equals every other such text and resembles no other.

    Returns
    -------
    Diversity
        Exact maximum, mean and number of near-duplicates. The time grows with the square of the number of texts.

    Raises
    ------
    RequestError
        If there are fewer than two texts, or something among them is no text.

    Examples
    --------
    >>> found = diversity(["plays at night", "plays at dawn", "paints"])
    >>> found.closest, found.duplicate_pairs
    ((0, 1), 0)
    >>> round(found.max_pairwise_similarity, 3), round(found.mean_pairwise_similarity, 3)
    (0.536, 0.179)
    """
    vectors = vectors_of(texts)
    n = vectors.shape[0]
    total = np.asarray(vectors.sum(axis=0)).ravel()
    mean = (float(total @ total) - float(vectors.multiply(vectors).sum())) / (n * (n - 1))
    best, closest, duplicates = 0.0, None, 0
    for i, j, similarity in pairs(vectors):
        duplicates += int(np.count_nonzero(similarity >= DUPLICATE - ROUNDING_ERROR))
        top = float(similarity.max(initial=0.0))
        if top > best + ROUNDING_ERROR:
            at = similarity >= top - ROUNDING_ERROR
            closest = min(zip(i[at].tolist(), j[at].tolist(), strict=True))
        best = max(best, top)
    return Diversity(clipped(best), clipped(max(mean, 0.0)), duplicates, closest)


def joined(frame: pd.DataFrame, bp: Blueprint) -> pd.Series[str]:
    """What each persona says: text fields joined, or portraits where the blueprint has none.

    Parameters
    ----------
    frame : pandas.DataFrame
        Written personas.
    bp : Blueprint
        Which columns are texts.

    Returns
    -------
    pandas.Series of str
        By the frame's index; personas without any text are left out.
    """
    named = [field.name for field in bp.texts if field.name in frame.columns]
    named = named or [name for name in ("portrait",) if name in frame.columns]
    columns = [frame[name].astype("string").fillna("").tolist() for name in named]
    told = [" ".join(parts).strip() for parts in zip(*columns, strict=True)] if named else [""] * len(frame)
    return pd.Series([text for text in told if text], index=frame.index[[bool(text) for text in told]], dtype=object)
