"""Evidence of words beside BM25 over the fields: several signals of the kind `lexical`, each with its own weight.

What a word is worth is its inverse document frequency (Robertson and Zaragoza, "The Probabilistic Relevance Framework:
BM25 and Beyond", 2009). It bounds the score that a query's words can have, which makes the scores of different queries
comparable: a scaled score is the share of that bound.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hybrid.contracts import IndexProfile
from hybrid.searches import Words
from hybrid.text.vocabulary import Vocabulary

#: BM25 over all text of a product as one field, and over its title.
ALL, TITLE = "lexical.all", "lexical.title"
#: The share of the query's worth that the product's text, and its title, have.
COVER, TITLE_COVER = "lexical.cover", "lexical.title_cover"
#: The share of the query's neighbouring words that stand side by side in the product's text.
PHRASE = "lexical.phrase"
EVIDENCE = (ALL, TITLE, COVER, TITLE_COVER, PHRASE)
#: Those whose raw score is a share, from 0 to 1.
SHARES = (COVER, TITLE_COVER, PHRASE)

#: The most that BM25 gives a word of an inverse document frequency of 1: k1 + 1. Of the fields, and of all text
#: (es_mappings/product.json). An index that the layer did not make scores both as the second.
_FIELDS, _TEXT = 1.6, 2.2
#: The boost of the title in the lexical query.
_BOOST = 2.0
#: Words of a query that are looked at, the rarest ones: a pasted title has dozens.
_MOST = 16
#: The worth of a word where the vocabulary is not known: that of one in fifty products.
_UNKNOWN = 4.0


@dataclass(frozen=True)
class Place:
    """A word of the query.

    others: the words that may stand in its place, and how much each counts beside it, from 0 to 1. share: its part of
    the query's worth.
    """

    term: str
    others: tuple[tuple[str, float], ...]
    share: float


@dataclass(frozen=True)
class Evidence:
    """What the words of a query are worth.

    places: the words, in order. worth: the sum of their inverse document frequencies; title_worth: in titles alone.
    bounds: signal -> the most that a product can score, which scales to 1.
    """

    places: tuple[Place, ...] = ()
    worth: float = 0.0
    title_worth: float = 0.0
    bounds: Mapping[str, float] = field(default_factory=dict)

    @property
    def pairs(self) -> list[str]:
        """The neighbouring words."""
        return [f"{first.term} {second.term}" for first, second in zip(self.places, self.places[1:], strict=False)]


NONE = Evidence()


def of(terms: str, words: Words, vocabulary: Vocabulary | None, profile: IndexProfile) -> Evidence:
    """The evidence of a query. terms: its analysed words; words: has their alternatives."""
    others = _others(terms, words)
    worths: dict[str, tuple[float, float]] = {}
    for term in terms.split():
        worths[term] = _worth((term, *(other for other, _ in others.get(term, ()))), vocabulary)
    kept = sorted(worths, key=lambda term: -worths[term][0])[:_MOST]
    total = sum(worths[term][0] for term in kept)
    if not total:
        return NONE
    places = tuple(Place(term, others.get(term, ()), worths[term][0] / total) for term in terms.split() if term in kept)
    titles = sum(worths[term][1] for term in kept)
    unit = _TEXT if profile.attached else _FIELDS
    boosts = [float(name.partition("^")[2] or 1) for name in profile.lexical_fields]
    scores = {"lexical": max(boosts, default=_BOOST) * unit * total, ALL: _TEXT * total, TITLE: unit * titles}
    return Evidence(places, total, titles, {**scores, **dict.fromkeys(SHARES, 1.0)})


def _others(terms: str, words: Words) -> dict[str, tuple[tuple[str, float], ...]]:
    """Term -> the words of the alternatives that stand in its place, with their weights."""
    others: dict[str, tuple[tuple[str, float], ...]] = {}
    for term in terms.split():
        found = {
            other: alternative.weight
            for alternative in words.alternatives
            if term in alternative.of.split()
            for other in alternative.terms.split()
            if other != term
        }
        if found:
            others[term] = tuple(found.items())
    return others


def _worth(terms: tuple[str, ...], vocabulary: Vocabulary | None) -> tuple[float, float]:
    """See Vocabulary.worth."""
    return vocabulary.worth(*terms) if vocabulary is not None and vocabulary.products else (_UNKNOWN, _UNKNOWN)
