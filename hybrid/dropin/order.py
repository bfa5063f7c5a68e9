"""The order of one search's candidates, and whether it decides a whole page. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hybrid.dropin import answer as shaping
from hybrid.dropin.lines import Straight
from hybrid.dropin.request import FinalRequest, Json, PageRequest, RankedSearch, ShopCandidates

#: How much of the last candidate's score remains for products that only the shop's own words find.
BEHIND = 0.0001
#: Scores that differ by less, of the greater one, may be in another order where the cluster computes them.
_ALIKE = 1e-5


@dataclass(frozen=True)
class Order:
    """The final order of one search's candidates.

    words: product id -> fused score of the words and vectors. scores: the same with the shop's boosts, where the
    layer computes these. ids: best first; page: what to fetch; cut: whether more products may match the search.
    decided: whether `page` is what the cluster would give of the whole search.
    """

    candidates: ShopCandidates
    words: Mapping[str, float]
    scores: Mapping[str, float]
    ids: Sequence[str]
    page: PageRequest
    cut: bool
    decided: bool

    @classmethod
    def of(cls, search: RankedSearch, candidates: ShopCandidates, depth: int) -> Order:
        """depth: how many the list of words has at most."""
        ranking = search.prepared.fused(candidates.raw, candidates.imputed)
        words, scores, ids = ranking.scores, ranking.scores, ranking.ids
        start, size = int(search.body.get("from", 0)), int(search.body.get("size", 10))
        # All that matches are candidates, unless the list of words was cut.
        cut = len(candidates.lists["lexical"]) >= depth
        decided = search.analysis.query is None
        if candidates.lines is not None:
            slots = slot_scores(words, *candidates.units)
            scores = {id: candidates.lines[id].at(score) for id, score in slots.items()}
            ids = sorted(sorted(scores), key=lambda id: -scores[id])
            others = Straight.steepest(candidates.tops).at(last(slots)) if cut else 0.0
            decided = decides([scores[id] for id in ids], start, start + size, others)
        here = ids[start : start + size]
        rest = size - len(here) if cut else 0
        page = PageRequest(search, candidates.versions, here, ids, max(0, start - len(ids)), rest)
        return cls(candidates, words, scores, ids, page, cut, decided)

    @property
    def lowest(self) -> float:
        """The least score of the words in their list."""
        words = self.candidates.raw["lexical"]
        return min((words[id] or 0.0 for id in self.candidates.lists["lexical"]), default=0.0)

    @property
    def final(self) -> FinalRequest:
        """The whole search by these scores."""
        lowest = self.lowest if self.cut else 0.0
        return FinalRequest(self.page.search, self.words, lowest, self.candidates.units)

    @property
    def best(self) -> float | None:
        return self.scores[self.ids[0]] if self.ids else None

    def give_scores(self, hits: Sequence[Json]) -> None:
        """Set the scores of the page's hits, in place. Behind the candidates, scores fall with those of the words."""
        tail = [hit for hit in hits if hit["_id"] not in self.scores]
        for hit in hits:
            if hit["_id"] in self.scores:
                hit["_score"] = self.scores[hit["_id"]]
        if not tail:
            return
        least = self.scores[self.ids[-1]] if self.ids else 0.0
        behind = shaping.behind([hit["_score"] for hit in tail], least, self.lowest)
        for hit, score in zip(tail, behind, strict=True):
            hit["_score"] = score


def slot_scores(scores: Mapping[str, float], unit: float) -> dict[str, float]:
    """The scores of candidates in place of those of a text, of which the best has the score `unit`; never nothing."""
    top = max(scores.values(), default=0.0)
    scale = unit / top if unit > 0 and top > 0 else 1.0
    scaled = {id: score * scale for id, score in scores.items()}
    least = 3 * BEHIND * last(scaled)
    return {id: max(score, least) for id, score in scaled.items()}


def last(scores: Mapping[str, float]) -> float:
    """The least score of a candidate that has one. The words' other matches come behind it."""
    return min((score for score in scores.values() if score > 0), default=1.0)


def decides(scores: Sequence[float], start: int, end: int, others: float) -> bool:
    """Whether the candidates from `start` to `end` are a page, whoever computes it.

    scores: best first. others: what no other product's score is above; 0 where there are no others. Other pages of the
    search may be computed by the cluster, which orders products of the same score in another way. So a page must not
    end between two of them.
    """
    if others and (end > len(scores) or not scores[end - 1] > others * (1 + _ALIKE)):
        return False
    ends = [at for at in (start, end) if 0 < at < len(scores)]
    return all(scores[at - 1] - scores[at] > _ALIKE * abs(scores[at - 1]) for at in ends)
