"""One search, from request to answer. The module knows no Elasticsearch client: the caller hands over a retrieval."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence, Sized
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from hybrid.catalogue.stock import in_stock
from hybrid.contracts import GetEncoder, IndexProfile, Prior
from hybrid.errors import (
    ClusterUnreachableError,
    HybridError,
    IndexConflictError,
    IndexMovedError,
    UsageError,
)
from hybrid.facts import Note
from hybrid.search import floor, fusion, numbers, suggestions, weights
from hybrid.search.consistency import Result, moved_error, whole
from hybrid.search.evidence import NONE, Evidence
from hybrid.search.page import counted, highlights
from hybrid.search.ports import NO_LIMITS, PublishedLike, RetrievalLike, Retrieved
from hybrid.search.preparation import Prepared, Preparer, _fused, _query, _words, check, counts_priors
from hybrid.search.synonyms import PublishedSynonyms
from hybrid.search.understanding import understand
from hybrid.search.weights import Prediction
from hybrid.searches import (
    Codes,
    Degradation,
    Hit,
    SearchAnswer,
    SearchRequest,
    SignalScore,
    Words,
)
from hybrid.signals import CODE, SIGNALS
from hybrid.text import analysis

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class QueryCandidates:
    """The query, and the scores of its candidates.

    raw: signal -> product id -> raw score (None: the product has nothing for that signal). imputed: the scores that
    count in place of None. bounds, span, priors: of the words, of the encoders and of the products' numbers, see
    hybrid.search.fusion.Scaling.
    """

    query: weights.Query
    raw: fusion.RawScores
    imputed: fusion.ImputedScores
    bounds: Mapping[str, float] = field(default_factory=dict)
    span: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    priors: tuple[Prior, ...] = ()


class Searcher:
    """Answers searches over the indices that the layer made. Thread-safe; one a process."""

    def __init__(
        self,
        retrieval: RetrievalLike,
        get_encoder: GetEncoder,
        depth: int,
        published: PublishedLike | None = None,
        synonyms: PublishedSynonyms | None = None,
    ) -> None:
        self._retrieval = retrieval
        self._published = published
        self._depth = depth
        self._preparer = Preparer(retrieval, get_encoder, published, synonyms)

    def profile(self, index: str) -> IndexProfile:
        """What the layer knows of an index; see hybrid.elastic.indices.lifecycle.read_profile for errors."""
        profile = self._retrieval.profile(index)
        if profile.without_layer:
            raise IndexConflictError(profile.without_layer)
        return profile

    def moved(self, profile: IndexProfile) -> bool:
        """Whether the name stands for another index than the profile's now; asks the cluster."""
        return self._retrieval.moved(profile)

    def whole(self, index: str, make: Callable[[IndexProfile], Result]) -> Result:
        """The result of `make`, where the profile and every search are of one index behind the alias."""
        return whole(self._retrieval, index, make)

    def indices(self) -> list[str]:
        """Names of the indices that can be searched."""
        return self._retrieval.indices()

    def served(self) -> frozenset[str]:
        """Every name that a search from outside may use."""
        return self._retrieval.served()

    def product(self, index: str, id: str) -> dict[str, Any] | None:
        """The shop's own document, or None."""
        return self.whole(index, lambda profile: self._retrieval.sources(profile, [id])).get(id)

    def suggest(self, index: str, prefix: str, size: int = 8) -> list[dict[str, Any]]:
        """Completions of what was typed so far: {"text", "id", "kind"} each, best first."""
        return suggestions.suggest(self._retrieval, index, prefix, size)

    def search(self, request: SearchRequest) -> SearchAnswer:
        """Answer a request; parts that fail are left out, and named in `degraded`.

        Raises:
            UsageError: the request itself is wrong.
            IndexMissingError, IndexConflictError: no such index, or not one of the layer's.
            ClusterError: Elasticsearch cannot answer even the plain keyword search.
            IndexMovedError: the alias does not stand still.
        """
        started = time.perf_counter()
        quick = request.quick and bool(request.q.strip()) and not request.by_media and request.system != "bm25"
        if quick:
            check(request)
            request = _by_words(request)
        answer = self.whole(request.index, lambda profile: self._search(request, profile))
        if quick:
            answer.degraded.append(Degradation("busy", "too many searches at once"))
        answer.took_ms = round((time.perf_counter() - started) * 1000, 2)
        return answer

    def _search(self, request: SearchRequest, profile: IndexProfile) -> SearchAnswer:
        if profile.without_layer:
            check(request)
            request = _by_words(request)
        request, understood = understand(request, profile)
        ready = self.prepare(request, profile)
        system, model, prediction = ready.system, ready.model, ready.prediction
        words, vectors, notes = ready.words, ready.vectors, ready.notes
        facets = profile.fields.facets if request.facets is None else request.facets
        retrieved, degraded = self._retrieve(profile, words, vectors, request, facets, ready.evidence, ready.priors)
        by_hand = request.weights is not None or request.alpha is not None
        skipped = [note for note in notes if note.kind == "not_searched"]
        if skipped and not any(retrieved.lists.values()):
            # The signals with large weights find nothing: the signals that were left out may find something.
            words, vectors = ready.every_word, ready.every_vector
            notes = [note for note in notes if note not in skipped]
            prediction = Prediction(dict.fromkeys([*(["lexical"] if words.terms is not None else []), *vectors], 1.0))
            retrieved, again = self._retrieve(profile, words, vectors, request, facets, ready.evidence)
            degraded = [*degraded, *again]
        if words.codes:
            prediction = weights.with_codes(prediction)
        ranking = self._rank(system, retrieved, words.terms, prediction, model.shares, ready)
        lexical_tail = words.terms is not None and system not in SIGNALS
        page_hits = self._page(request, profile, ranking, retrieved, words if lexical_tail else None, ready.priors)
        hits = self._hits(page_hits, profile, request, words)
        if not request.bare:
            self._add_nearest_views(hits, profile, retrieved)
        self._check_not_moved(profile, hits)
        return SearchAnswer(
            total=retrieved.total,
            hits=hits,
            facets={facet: retrieved.facets.get(facet, []) for facet in facets},
            page=request.page,
            size=request.size,
            system=model.kind if request.system is None and not by_hand else system,
            weights=fusion.by_kind(ranking.weights),
            weights_version="request" if by_hand else model.version,
            total_counts=counted(words.terms, vectors, self._depth),
            degraded=[*_without_layer(profile), *ready.degraded, *degraded],
            notes=[*notes, *_without_code(ranking.notes, words.codes), *floor.notes(retrieved)],
            reasons=prediction.reasons,
            understood=[*understood, *ready.understood],
            corrected=ready.corrected,
        )

    def _check_not_moved(self, profile: IndexProfile, hits: Sized) -> None:
        """Without hits, nothing tells which index was searched: check that the alias still names the profile's index.

        Raises:
            IndexMovedError: it names another.
        """
        if not hits and self.moved(profile):
            raise moved_error(profile.index)

    def prepare(self, request: SearchRequest, profile: IndexProfile) -> Prepared:
        """See hybrid.search.preparation.Preparer.prepare."""
        return self._preparer.prepare(request, profile)

    def holds(self, prepared: Prepared) -> bool:
        """Whether the same words would be prepared the same now: the profile, weights and synonyms are the same."""
        index = prepared.profile.index
        if prepared.degraded or self._published is None or self._retrieval.profile(index) is not prepared.profile:
            return False
        model, problem = self._published.active(index)
        if self._preparer.synonyms(prepared.profile) is not prepared.synonyms:
            return False
        return model is prepared.model and not problem

    def candidates(self, request: SearchRequest) -> QueryCandidates | None:
        """What training learns from: the query as the weights see it, and every candidate's raw scores.

        The result is None where the query has no signal at all. Raises as `search` does.
        """
        return self.whole(request.index, lambda profile: self._candidates(request, profile))

    def _candidates(self, request: SearchRequest, profile: IndexProfile) -> QueryCandidates | None:
        if profile.without_layer:
            raise IndexConflictError(profile.without_layer)
        request, _ = understand(request, profile)
        read = self._preparer.read(request, "fixed", profile)
        words, vectors = read.words, read.encoded.vectors
        if not words.terms and not vectors:
            return None
        evidence = self._preparer.evidence(request.q, words, profile)
        priors = numbers.of(profile) if counts_priors(request, "fixed") else ()
        retrieved, _ = self._retrieve(profile, words, vectors, request, (), evidence, priors)
        self._check_not_moved(profile, [id for ids in retrieved.lists.values() for id in ids])
        query = _query(read.meant, read.terms_meant, vectors)
        span = self._preparer.spans(profile)
        return QueryCandidates(query, retrieved.raw, retrieved.imputed, evidence.bounds, span, priors)

    def _retrieve(
        self,
        profile: IndexProfile,
        words: Words,
        vectors: Mapping[str, np.ndarray],
        request: SearchRequest,
        facets: Sequence[str],
        evidence: Evidence,
        priors: Sequence[Prior] = (),
    ) -> tuple[Retrieved, list[Degradation]]:
        """(candidates, the parts that failed)."""
        if words.terms is None and not vectors:
            return Retrieved(), []

        def ask(words: Words, with_vectors: Mapping[str, np.ndarray]) -> Retrieved:
            # Reciprocal rank fusion ranks what is in a list: a product that is in none has no place in it.
            lookalikes = request.system != "rrf"
            # How near a photo or a product comes to others is not known from words.
            of_words = not (request.by_media or request.like)
            limits = floor.limits(profile, request.q, words.terms, with_vectors) if of_words else NO_LIMITS
            return self._retrieval.retrieve(
                profile, words, with_vectors, request.filters, facets, self._depth, lookalikes, request.like,
                evidence if words.terms else NONE, limits, priors,
            )  # fmt: skip

        try:
            retrieved = ask(words, vectors)
        except (ClusterUnreachableError, IndexMovedError, UsageError):
            raise
        except HybridError as error:
            if not vectors:
                raise
            logger.warning("answering by keywords alone: %s", error)
            alone = words if words.terms is not None else replace(words, terms=_words(request.q, profile))
            return ask(alone, {}), [Degradation("vectors", str(error))]
        return retrieved, [Degradation(part, reason) for part, reason in retrieved.failed.items()]

    def _rank(
        self,
        system: str,
        retrieved: Retrieved,
        terms: str | None,
        prediction: Prediction,
        shares: Mapping[str, float],
        ready: Prepared,
    ) -> fusion.Ranking:
        raw = retrieved.raw
        if not raw:
            return fusion.Ranking([], {}, {})
        if terms == "" and set(raw) <= {"lexical", *(prior.signal for prior in ready.priors)}:
            # Browsing: by the products' own numbers, else in the index's own order; no scores.
            order = retrieved.lists.get("lexical", [])
            order = numbers.browsed(order, raw, ready.priors) if ready.priors else order
            return fusion.Ranking(order, dict.fromkeys(order, 0.0), {})
        if system == "rrf" and len(retrieved.lists) > 1:
            return fusion.rrf(retrieved.lists, raw)
        return _fused(raw, prediction, shares, ready.scaling, retrieved.imputed)

    def _page(
        self,
        request: SearchRequest,
        profile: IndexProfile,
        ranking: fusion.Ranking,
        retrieved: Retrieved,
        tail_words: Words | None,
        priors: Sequence[Prior],
    ) -> list[tuple[str, dict[str, SignalScore]]]:
        """(id, signals) of this page: the fused list, then the rest of the matches by words alone."""
        start = (request.page - 1) * request.size
        page = [(id, ranking.signals(id)) for id in ranking.ids[start : start + request.size]]
        missing = min(request.size, retrieved.total - start) - len(page)
        if tail_words is not None and missing > 0:
            offset = max(0, start - len(ranking.ids))
            excluded = [*ranking.ids, request.like] if request.like else ranking.ids
            tail = self._retrieval.tail(profile, tail_words, request.filters, excluded, offset, missing, priors)
            first_rank = len(retrieved.lists.get("lexical", ())) + offset + 1
            page += [
                (id, ranking.tail_signals(raw, rank) if tail_words.terms else {})
                for rank, (id, raw) in enumerate(tail, first_rank)
            ]
        return page

    def _hits(
        self,
        page: Sequence[tuple[str, dict[str, SignalScore]]],
        profile: IndexProfile,
        request: SearchRequest,
        words: Words,
    ) -> list[Hit]:
        if request.bare:
            return [Hit(id=id, score=fusion.total(signals), signals=signals, source={}) for id, signals in page]
        sources = self._retrieval.sources(profile, [id for id, _ in page])
        query_terms = frozenset(analysis.query_terms(request.q, *profile.languages).split())
        if not profile.lexical_fields:
            query_terms = query_terms.union(*(one.terms.split() for one in words.alternatives))
        return [
            Hit(
                id=id,
                score=fusion.total(signals),
                signals=signals,
                source=sources[id],
                highlight=highlights(sources[id], profile, query_terms) if query_terms else {},
                in_stock=in_stock(sources[id], profile.fields),
            )
            for id, signals in page
            if id in sources  # else deleted between the two requests
        ]

    def _add_nearest_views(self, hits: Sequence[Hit], profile: IndexProfile, retrieved: Retrieved) -> None:
        """Add to each hit which of its several pictures or frames was nearest to the query."""
        seen = {name: views for name, views in retrieved.views.items() if views}
        ids = [hit.id for hit in hits if any(hit.id in views for views in seen.values())]
        if not ids:
            return
        try:
            at = self._retrieval.views_at(profile, ids)
        except HybridError as error:
            logger.warning("the nearest picture of each hit is unknown: %s", error)
            return
        for hit in hits:
            for name, views in seen.items():
                known = at.get(hit.id, {}).get(name, [])
                number = views.get(hit.id, len(known))
                if number < len(known):
                    hit.nearest[name] = known[number]


def _by_words(request: SearchRequest) -> SearchRequest:
    """The same search by words alone."""
    return replace(request, system="bm25", weights=None, alpha=None, weights_version=None)


def _without_code(notes: Sequence[Note], codes: Codes | None) -> list[Note]:
    """The notes, where a code that was looked for is named if no product has it, and only if it can be nothing else."""
    if codes is None:
        return list(notes)
    missing = any(note.signal == CODE and note.kind == "no_match" for note in notes)
    unknown = [Note("unknown_code", CODE, code=codes.certain)] if missing and codes.certain else []
    return [*(note for note in notes if note.signal != CODE), *unknown]


def _without_layer(profile: IndexProfile) -> list[Degradation]:
    return [Degradation("vectors", profile.without_layer)] if profile.without_layer else []
