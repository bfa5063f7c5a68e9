"""The weights that ship with the product, before a shop has judged anything: how the weight of words is spread, and
which kinds of query have other weights.

Weights fitted over several catalogues and languages at once, each in turn without the one that they were tried on, are
no better than these round ones near them (`python -m tests.measure.prior`, docs/benchmarks.md). On the catalogue of
electronics, words in fields are the better part; on all others, words in all text.
"""

from __future__ import annotations

#: The parts of the weight of words, and of that of texts where titles have vectors of their own. Of the latter, the
#: share was chosen on two catalogues (docs/benchmarks.md#vectors-of-titles).
SHARES = {
    "lexical": 0.35,
    "lexical.all": 0.30,
    "lexical.title": 0.08,
    "lexical.cover": 0.12,
    "lexical.title_cover": 0.10,
    "lexical.phrase": 0.05,
    "text": 0.7,
    "text.title": 0.3,
    "text_zh": 0.7,
    "text_zh.title": 0.3,
}

#: Kind of query (hybrid.search.kinds) -> kind of signal -> what its weight is multiplied by. A sentence says what a
#: thing is for, mostly in words that no product has. Other kinds do as well with the weights of all queries.
BY_QUERY = {"sentence": {"text": 3.5}}
