"""The searches that the drop-in sends for the candidates of one search of a shop. Pure builders; no client."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hybrid.dropin.request import RankedSearch, SignalSearch
from hybrid.elastic.retrieval import dropin_bodies, lexical
from hybrid.elastic.retrieval import evidence as named
from hybrid.signals import CODE, LEXICAL


def words(search: RankedSearch) -> dict[str, Any]:
    """The layer's lexical query."""
    return lexical.query(search.words, search.profile.lexical_fields)


def query(search: RankedSearch) -> dict[str, Any]:
    """The shop's query, scored by the layer's words."""
    return dropin_bodies.scored(search.body["query"], words(search))


def candidates(search: RankedSearch, depth: int, known: bool, lined: bool) -> list[SignalSearch]:
    """The searches for candidates; the first is the shop's own.

    known: whether the cosines and the evidence of an equal search are cached, so that the hits need not tell them.
    lined: see hybrid.dropin.request.CandidateReply.
    """
    body, analysis, by_words = search.body, search.analysis, words(search)
    codes = [] if known else list(search.vectors)
    line = search.line if lined else None
    if analysis.query is None or line:
        first = dropin_bodies.counted(body, query(search), codes, depth)
    else:
        first = dropin_bodies.listed(body, analysis, by_words, codes, depth)
    parts = [SignalSearch(LEXICAL, first)]
    for name, vector in search.vectors.items():
        numbers = np.ascontiguousarray(vector, dtype=np.float32)
        shards, excluded = search.profile.shards, analysis.excluded
        near = dropin_bodies.nearest(body, by_words, name, numbers, codes, depth, shards, excluded)
        parts.append(SignalSearch(name, near))
    if asked := search.words.codes:
        parts.append(SignalSearch(CODE, dropin_bodies.coded(body, by_words, asked, codes, analysis.excluded)))
    if line:
        parts = [SignalSearch(signal, dropin_bodies.named(one, line.named)) for signal, one in parts]
    if not known:
        parts = [SignalSearch(signal, _told(search, one)) for signal, one in parts]
    if analysis.query is not None:
        scoring = [*dropin_bodies.texts(analysis), *(line.points if line else ())]
        parts += [SignalSearch("", dropin_bodies.best(body, one, analysis.pins)) for one in scoring]
    return parts


def unread(search: RankedSearch, ids: Sequence[str], codes: bool = True) -> dict[str, Any]:
    """The search for the codes and the evidence of products. codes: False for the evidence alone."""
    return _told(search, dropin_bodies.codes(search.body, ids, list(search.vectors) if codes else []))


def _told(search: RankedSearch, body: dict[str, Any]) -> dict[str, Any]:
    """The same search, whose hits tell the evidence of the words."""
    return named.add(body, search.evidence, search.profile.shards)
