"""One search, from request to answer. Knows no Elasticsearch client: it is given a retrieval."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from hybrid import analysis, fusion
from hybrid.contracts import (
    SYSTEMS,
    Degradation,
    Encoder,
    Hit,
    IndexProfile,
    SearchAnswer,
    SearchRequest,
    SignalScore,
    values_at,
)
from hybrid.errors import ClusterUnreachableError, EncoderError, HybridError, MediaError, UsageError

logger = logging.getLogger(__name__)

#: Default weights of system `fixed`. Text against words: a plateau from 0.06 to 0.12 on chorus (README, figures).
#: A photo is the stronger statement of what is wanted than the words beside it.
FIXED_WEIGHTS = {"lexical": 0.88, "text": 0.12, "image": 1.5}
FIXED_VERSION = "fixed-1"

#: Pages end here, as they do in Elasticsearch itself.
MAX_WINDOW = 10_000

_CACHED_VECTORS = 2_000
_HIGHLIGHTED = ("title", "description")


class RetrievedLike(Protocol):
    """See hybrid.elastic.retrieval.Retrieved."""

    lists: dict[str, list[str]]
    raw: dict[str, dict[str, float | None]]
    matched: int
    total: int
    facets: dict[str, list[dict[str, Any]]]
    failed: dict[str, str]


class RetrievalLike(Protocol):
    """What search needs of the index."""

    def profile(self, index: str) -> IndexProfile: ...
    def indices(self) -> list[str]: ...
    def retrieve(
        self,
        profile: IndexProfile,
        terms: str | None,
        vectors: Mapping[str, np.ndarray],
        filters: Mapping[str, Any],
        facets: Sequence[str],
        depth: int,
    ) -> RetrievedLike: ...
    def tail(
        self,
        profile: IndexProfile,
        terms: str,
        filters: Mapping[str, Any],
        exclude: Sequence[str],
        start: int,
        size: int,
    ) -> list[tuple[str, float]]: ...
    def sources(self, index: str, ids: Sequence[str]) -> dict[str, dict[str, Any]]: ...
    def suggest(self, index: str, prefix: str, size: int) -> list[dict[str, Any]]: ...


class Searcher:
    """Answers searches over the indices that the layer made. Thread-safe; one a process."""

    def __init__(self, retrieval: RetrievalLike, get_encoder: Callable[[str], Encoder], depth: int) -> None:
        self._retrieval = retrieval
        self._get_encoder = get_encoder
        self._depth = depth
        self._vectors: OrderedDict[tuple[str, str], np.ndarray] = OrderedDict()
        self._lock = threading.Lock()

    def profile(self, index: str) -> IndexProfile:
        """What the layer knows of an index; see hybrid.elastic.indices.read_profile for errors."""
        return self._retrieval.profile(index)

    def indices(self) -> list[str]:
        """Names of the indices that can be searched."""
        return self._retrieval.indices()

    def product(self, index: str, id: str) -> dict[str, Any] | None:
        """The shop's own document, or None."""
        return self._retrieval.sources(index, [id]).get(id)

    def suggest(self, index: str, prefix: str, size: int = 8) -> list[dict[str, Any]]:
        """Completions of what was typed so far: {"text", "id", "kind"} each, best first."""
        wanted = analysis.fold(prefix.strip())
        if not wanted:
            return []
        return [{**option, "kind": "product"} for option in self._retrieval.suggest(index, wanted, size)]

    def search(self, request: SearchRequest) -> SearchAnswer:
        """Answer a request; parts that fail are left out, and named in `degraded`.

        Raises:
            UsageError: the request itself is wrong.
            IndexMissingError, IndexConflictError: no such index, or not one of the layer's.
            ClusterError: Elasticsearch cannot answer even the plain keyword search.
        """
        started = time.perf_counter()
        system = _check(request)
        profile = self.profile(request.index)
        degraded: list[Degradation] = []
        notes: list[str] = []
        vectors = self._query_vectors(request, system, profile, degraded, notes)
        terms = self._terms(request, system, profile, vectors)
        facets = profile.fields.facets if request.facets is None else request.facets
        retrieved = self._retrieve(profile, terms, vectors, request, facets, degraded)
        ranking = self._rank(request, system, retrieved, terms)
        lexical_tail = terms is not None and system not in ("text", "image")
        page_hits = self._page(request, profile, ranking, retrieved, terms if lexical_tail else None)
        return SearchAnswer(
            total=retrieved.total,
            hits=self._hits(page_hits, profile, request),
            facets={facet: retrieved.facets.get(facet, []) for facet in facets},
            page=request.page,
            size=request.size,
            system=system,
            weights=ranking.weights,
            weights_version="request" if request.weights else FIXED_VERSION,
            total_counts=_total_counts(terms, vectors, self._depth),
            degraded=degraded,
            notes=[*notes, *ranking.notes],
            took_ms=round((time.perf_counter() - started) * 1000, 2),
        )

    def _terms(
        self, request: SearchRequest, system: str, profile: IndexProfile, vectors: Mapping[str, np.ndarray]
    ) -> str | None:
        """The words to look for; "" to browse everything; None where words take no part."""
        weight = 1.0 if request.weights is None else request.weights.get("lexical", 0.0)
        alone = system in ("text", "image") and vectors
        if alone or (vectors and weight == 0):
            return None
        terms = _words(request.q, profile)
        return terms if terms or not vectors else None

    def _query_vectors(
        self,
        request: SearchRequest,
        system: str,
        profile: IndexProfile,
        degraded: list[Degradation],
        notes: list[str],
    ) -> dict[str, np.ndarray]:
        if system == "bm25":
            return {}
        vectors: dict[str, np.ndarray] = {}
        for name, signal in profile.signals.items():
            if system in ("text", "image") and name != system:
                continue
            if request.weights is not None and request.weights.get(name, 0.0) <= 0:
                continue
            try:
                encoder = self._encoder(signal.encoder)
                vector = self._vector(name, encoder, request, notes)
                if vector is None:
                    continue
                if encoder.version != signal.version:
                    reason = f"the index was encoded by {signal.version}, this process has {encoder.version}"
                    degraded.append(Degradation(name, reason))
                    continue
                vectors[name] = vector
            except MediaError:
                raise  # the shopper's own picture is broken: say so, instead of answering something else
            except (EncoderError, RuntimeError, MemoryError) as error:
                logger.warning("signal %s left out: %s", name, error)
                degraded.append(Degradation(name, str(error).split("\n", 1)[0]))
        return vectors

    def _encoder(self, spec: str) -> Encoder:
        try:
            return self._get_encoder(spec)
        except UsageError as error:  # the index names an encoder that this process does not know
            raise EncoderError(str(error)) from error

    def _vector(self, name: str, encoder: Encoder, request: SearchRequest, notes: list[str]) -> np.ndarray | None:
        if name == "image" and request.image is not None:
            from hybrid.media import open_image

            photo: np.ndarray = encoder.encode_images([open_image(request.image)])[0]
            return photo
        if not request.q.strip() or "text" not in encoder.modalities:
            return None
        script = analysis.script_of(request.q)
        if encoder.scripts is not None and script and script not in encoder.scripts:
            notes.append(f"{name}: {encoder.name} was not trained on {script} text")
            return None
        return self._cached(encoder, request.q.strip())

    def _cached(self, encoder: Encoder, text: str) -> np.ndarray:
        key = (encoder.version, text)
        with self._lock:
            if key in self._vectors:
                self._vectors.move_to_end(key)
                return self._vectors[key]
        vector: np.ndarray = encoder.encode_texts([text])[0]
        with self._lock:
            self._vectors[key] = vector
            while len(self._vectors) > _CACHED_VECTORS:
                self._vectors.popitem(last=False)
        return vector

    def _retrieve(
        self,
        profile: IndexProfile,
        terms: str | None,
        vectors: Mapping[str, np.ndarray],
        request: SearchRequest,
        facets: Sequence[str],
        degraded: list[Degradation],
    ) -> RetrievedLike:
        def ask(words: str | None, with_vectors: Mapping[str, np.ndarray]) -> RetrievedLike:
            return self._retrieval.retrieve(profile, words, with_vectors, request.filters, facets, self._depth)

        try:
            retrieved = ask(terms, vectors)
        except (ClusterUnreachableError, UsageError):
            raise
        except HybridError as error:
            if not vectors:
                raise
            logger.warning("answering by keywords alone: %s", error)
            degraded.append(Degradation("vectors", str(error)))
            return ask(_words(request.q, profile), {})
        degraded.extend(Degradation(part, reason) for part, reason in retrieved.failed.items())
        return retrieved

    def _rank(self, request: SearchRequest, system: str, retrieved: RetrievedLike, terms: str | None) -> fusion.Ranking:
        raw = retrieved.raw
        if terms == "" and set(raw) <= {"lexical"}:  # browsing: the index's own order, no scores
            order = retrieved.lists.get("lexical", [])
            return fusion.Ranking(order, dict.fromkeys(order, 0.0), {})
        if system == "rrf" and len(retrieved.lists) > 1:
            return fusion.rrf(retrieved.lists, raw)
        given = request.weights or FIXED_WEIGHTS
        return fusion.weighted(raw, fusion.normalised({name: given.get(name, 0.0) for name in raw}))

    def _page(
        self,
        request: SearchRequest,
        profile: IndexProfile,
        ranking: fusion.Ranking,
        retrieved: RetrievedLike,
        tail_terms: str | None,
    ) -> list[tuple[str, dict[str, SignalScore]]]:
        """(id, signals) of this page: the fused list, then the rest of the matches by words alone."""
        start = (request.page - 1) * request.size
        page = [(id, ranking.signals(id)) for id in ranking.ids[start : start + request.size]]
        wanted = min(request.size, retrieved.total - start) - len(page)
        if tail_terms is not None and wanted > 0:
            offset = max(0, start - len(ranking.ids))
            tail = self._retrieval.tail(profile, tail_terms, request.filters, ranking.ids, offset, wanted)
            first_rank = len(retrieved.lists.get("lexical", ())) + offset + 1
            page += [
                (id, ranking.tail_signals(raw, rank) if tail_terms else {})
                for rank, (id, raw) in enumerate(tail, first_rank)
            ]
        return page

    def _hits(
        self, page: Sequence[tuple[str, dict[str, SignalScore]]], profile: IndexProfile, request: SearchRequest
    ) -> list[Hit]:
        sources = self._retrieval.sources(profile.index, [id for id, _ in page])
        wanted = frozenset(analysis.query_terms(request.q, profile.language).split())
        return [
            Hit(
                id=id,
                score=fusion.total(signals),
                signals=signals,
                source=sources[id],
                highlight=_highlights(sources[id], profile, wanted) if wanted else {},
            )
            for id, signals in page
            if id in sources  # else deleted between the two requests
        ]


def _check(request: SearchRequest) -> str:
    """The system to use.

    Raises:
        UsageError: unknown system or signal, negative weights, a page out of reach.
    """
    system = request.system or "fixed"
    if system not in SYSTEMS:
        raise UsageError(f"no system {system!r}; known: {', '.join(SYSTEMS)}")
    if request.page < 1 or request.size < 1:
        raise UsageError("page and size count from 1")
    if request.page * request.size > MAX_WINDOW:
        raise UsageError(f"page {request.page} of {request.size} is out of reach: {MAX_WINDOW} products at most")
    for name, weight in (request.weights or {}).items():
        if name not in FIXED_WEIGHTS:
            raise UsageError(f"no signal {name!r} to weigh; signals: {', '.join(FIXED_WEIGHTS)}")
        if not 0 <= weight < float("inf"):
            raise UsageError(f"weight of {name}: a number from 0 up is wanted")
    if request.weights is not None and sum(request.weights.values()) == 0:
        raise UsageError("all weights are 0; give at least one signal a weight")
    if system == "image" and request.image is None and not request.q.strip():
        raise UsageError("system image needs a photo")
    return system


def _words(query: str, profile: IndexProfile) -> str:
    """What the lexical signal looks for: analysed here, unless the shop's own fields are, by the cluster."""
    return query.strip() if profile.lexical_fields else analysis.query_terms(query, profile.language)


def _total_counts(terms: str | None, vectors: Mapping[str, Any], depth: int) -> str:
    nearest = f"the {depth} nearest by {' and by '.join(vectors)}" if vectors else ""
    if terms is None:
        return nearest
    words = "products with one of the words" if terms else "all products"
    return f"{words}, and {nearest}" if nearest else words


def _highlights(source: Mapping[str, Any], profile: IndexProfile, wanted: frozenset[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for role in _HIGHLIGHTED:
        for path in profile.fields.roles.get(role, ()):
            for value in values_at(source, path):
                marked = analysis.highlight(analysis.plain_text(str(value)), wanted, profile.language)
                if marked and role not in found:
                    found[role] = marked
    return found
