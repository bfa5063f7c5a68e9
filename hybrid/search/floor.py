"""The relevance floor: what a vector must have to bring a product that no word of the query finds. Pure functions.

A vector has a nearest product for everything, for nonsense too. So a product that only vectors found is a candidate
under two conditions:

- Where no word of the query matches any product, its cosine must be above that of nonsense. How near nonsense comes
  depends on the encoder and on the catalogue; see `calibrated`. Where a word matches, the query is about something of
  the shop, and the vectors bring what is near, however near that is.
- Where the query is long, as a full title is, its cosine must be at least half of the best. The nearest product is very
  near then, and what is half as near is another thing.

Both hold for vectors of words. How near a photo or a product comes to others is not known from words.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence

from hybrid.contracts import IndexProfile
from hybrid.facts import Note
from hybrid.search.ports import Limits, Retrieved
from hybrid.signals import CODE, LEXICAL
from hybrid.text import analysis

#: A query of more terms is long. Of the judged queries of esci, 4 % are.
LONG = 6
#: The share of the best cosine that a candidate of a long query needs.
SHARE = 0.5
#: How many standard deviations the floor lies above the mean of nonsense. 3 in 1,000 of a normal distribution are
#: above it.
_DEVIATIONS = 2.8
#: Fewer strings than this say nothing.
_FEWEST = 30
LATIN = "Latin"


def limits(profile: IndexProfile, query: str, terms: str | None, signals: Iterable[str]) -> Limits:
    """The limits of a query of words alone. terms: its analysed words. signals: those that are searched."""
    script = analysis.script_of(query) or LATIN
    floors = {}
    for name in signals:
        floor, signal = profile.floors.get(name), profile.signals.get(name)
        if floor is not None and signal is not None and floor.version == signal.version and script in floor.cosines:
            floors[name] = floor.cosines[script]
    return Limits(floors, SHARE if is_long(terms or "") else 0.0, frozenset(signals))


def is_long(terms: str) -> bool:
    """Whether these words are as many as those of a title."""
    return len(terms.split()) > LONG


def drop(found: Retrieved, limits: Limits) -> None:
    """Take away, in place, the candidates that only vectors found and that are not near enough; note it in `below`."""
    if "lexical" not in found.lists:
        return  # words took no part, so nobody knows whether one matches
    least = _least(found, limits)
    if not least:
        return
    lexical = found.raw["lexical"]
    # The floor is one of the vectors that are searched: what is beside them, such as titles, has none.
    vectors = [name for name in found.raw if name not in (CODE, LEXICAL) and "." not in name]
    coded = found.raw.get(CODE, {})

    def near(id: str) -> bool:
        for name in vectors:
            cosine = found.raw[name].get(id)
            cosine = found.imputed.get(name, {}).get(id) if cosine is None else cosine
            if cosine is not None and cosine >= least.get(name, -1.0):
                return True
        return False

    dropped = {id for id, score in lexical.items() if not score and not coded.get(id) and not near(id)}
    if not dropped:
        return
    for scores in found.raw.values():
        for id in dropped:
            scores.pop(id, None)
    for estimates in found.imputed.values():
        for id in dropped:
            estimates.pop(id, None)
    found.lists = {name: [id for id in ids if id not in dropped] for name, ids in found.lists.items()}
    found.below = least


def _least(found: Retrieved, limits: Limits) -> dict[str, float]:
    """Signal -> the least cosine, of the signals that have one."""
    if not found.lists["lexical"]:
        return {name: cosine for name, cosine in limits.floors.items() if name in found.raw}
    if not limits.share:
        return {}
    best = {
        name: max((cosine for cosine in found.raw[name].values() if cosine is not None), default=0.0)
        for name in limits.signals
        if name in found.raw
    }
    return {name: limits.share * cosine for name, cosine in best.items() if cosine > 0}


def calibrated(cosines: Sequence[float]) -> float | None:
    """The floor above nearly all strings of nonsense. cosines: of each with its nearest product; None if too few."""
    if len(cosines) < _FEWEST:
        return None
    return round(statistics.fmean(cosines) + _DEVIATIONS * statistics.stdev(cosines), 4)


def notes(found: Retrieved) -> list[Note]:
    """What the floor took away, in words."""
    return [Note("below_floor", name, value=cosine) for name, cosine in found.below.items()]
