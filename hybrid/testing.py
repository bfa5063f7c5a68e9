"""Doubles for tests without a cluster and without models: an index in memory, an encoder, weights, a clock.

They are what Hybrid's own tests use. A search on three products:

>>> from hybrid import SearchRequest
>>> from hybrid.search.searcher import Searcher
>>> shop = MemoryRetrieval([
...     {"id": "p1", "title": "red mug", "brand": "Aurora"},
...     {"id": "p2", "title": "blue mug", "brand": "Casa"},
...     {"id": "p3", "title": "lamp", "brand": "Casa"},
... ])
>>> searcher = Searcher(shop, shop.encoder, depth=10)
>>> answer = searcher.search(SearchRequest("shop", q="red mug"))
>>> [hit.id for hit in answer.hits]
['p1', 'p2', 'p3']
>>> answer.hits[0].signals["lexical"].raw  # it has both words
2.0
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hybrid.catalogue.documents import role_values, terms_of, text_input, words_version
from hybrid.contracts import ROLES, Encoder, FieldMap, Floor, IndexProfile, Prior, VectorSignal, values_at
from hybrid.encoders.toy import Toy
from hybrid.errors import ClusterError, HybridError, IndexMissingError, UsageError
from hybrid.search import numbers
from hybrid.search.consistency import moved_error
from hybrid.search.evidence import NONE, Evidence
from hybrid.search.floor import LATIN, drop
from hybrid.search.imputation import donors, estimate
from hybrid.search.ports import NO_LIMITS, Limits, RetrievalLike, Retrieved
from hybrid.search.weights import PinnedWeights
from hybrid.searches import Codes, Reading, Words
from hybrid.settings import Settings
from hybrid.signals import SIGNALS
from hybrid.text import codes as product_codes
from hybrid.text.completions import Typed, offers
from hybrid.text.vocabulary import Counting, Vocabulary

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["FakeClock", "MemoryRetrieval", "PinnedWeights", "ToyEncoder"]

#: Roles whose fields are searched or displayed, but neither filtered on nor counted.
_PROSE = ("id", "title", "description", "image", "video", "audio", "url")


class ToyEncoder(Toy):
    """Texts that share words are close, pictures that share colours are close. It loads no model, and can fail.

    The registry knows it as "toy:DIMS". error: raised by every call while it is set. batches: how many inputs each
    call had.

    >>> encoder = ToyEncoder(32)
    >>> red_mug, mug, lamp = encoder.encode_texts(["red mug", "mug", "lamp"])
    >>> bool(red_mug @ mug > red_mug @ lamp), round(float(mug @ mug), 3)
    (True, 1.0)
    >>> encoder.batches
    [3]
    """

    def __init__(self, dims: int = 64, version: str | None = None, error: HybridError | None = None) -> None:
        # It needs no settings, so neither the environment nor a file is read for them.
        super().__init__(f"toy:{dims}", str(dims), Settings.model_construct())
        self.version = version or self.version
        self.error = error
        self.batches: list[int] = []

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        self._count(texts)
        return super().encode_texts(texts)

    def encode_images(self, images: Sequence[Image.Image]) -> np.ndarray:
        self._count(images)
        return super().encode_images(images)

    def _count(self, inputs: Sequence[Any]) -> None:
        if self.error is not None:
            raise self.error
        self.batches.append(len(inputs))


class FakeClock:
    """A clock that moves only by `advance`; in place of `time.monotonic`, in seconds.

    >>> clock = FakeClock()
    >>> clock.advance(2.5)
    >>> clock()
    2.5
    """

    def __init__(self, now: float = 0.0) -> None:
        self._now = now

    def __call__(self) -> float:
        return self._now

    def advance(self, seconds: float) -> None:
        self._now += seconds


class MemoryRetrieval(RetrievalLike):
    """An index of a few products in memory, with scores that can be worked out by hand. Not thread-safe.

    products: the shop's documents. Each has an "id"; a field plays the role of its name ("title", "brand", ...), and
    every other field than texts and files can be filtered on and counted.

    How a product scores by a signal:

    - lexical: one point for each word of the query that it has, by the analysis of a real index.
    - text: the cosine of the encoder's vectors, of the query and of the product's title and description.
    - any signal named in `vectors` (signal -> id -> unit vector): the cosine; a product that is not named has none.
    - any signal named in `scores` (signal -> id -> raw score): that number, whatever the query is; a product that is
      not named, or has None, has no vector. By "lexical" it does not match.

    Scores of products without a vector are imputed, as on a cluster. floors: signal -> the least cosine of a product
    that no word finds (hybrid.search.floor). priors: numbers of products that count. failing: signal -> why
    the cluster cannot search it. error: raised by every search while it is set. searches: the signals of each search.

    >>> shop = MemoryRetrieval(
    ...     [{"id": "p1", "title": "red mug"}, {"id": "p2", "title": "mug"}, {"id": "p3", "title": "lamp"}],
    ...     scores={"image": {"p1": 0.2, "p3": 0.9}},
    ... )
    >>> query = {"image": shop.encoder("").encode_texts(["any"])[0]}
    >>> candidates = shop.retrieve(shop.profile("shop"), Words("mug"), query, {}, [], depth=10)
    >>> candidates.lists
    {'lexical': ['p1', 'p2'], 'image': ['p3', 'p1']}
    >>> candidates.raw["image"]
    {'p1': 0.2, 'p2': None, 'p3': 0.9}
    >>> candidates.matched, candidates.total
    (2, 3)
    """

    def __init__(
        self,
        products: Iterable[Mapping[str, Any]],
        *,
        index: str = "shop",
        encoder: Encoder | None = None,
        scores: Mapping[str, Mapping[str, float | None]] | None = None,
        vectors: Mapping[str, Mapping[str, np.ndarray]] | None = None,
        failing: Mapping[str, str] | None = None,
        floors: Mapping[str, float] | None = None,
        priors: Sequence[Prior] = (),
    ) -> None:
        self._encoder = encoder or ToyEncoder()
        self._index = index
        self._scores, self._fixed_vectors = dict(scores or {}), dict(vectors or {})
        self._floors, self._priors = dict(floors or {}), priors
        self._generation = 0
        self.failing = dict(failing or {})
        self.error: HybridError | None = None
        self.searches: list[list[str]] = []
        self.move(products)

    def encoder(self, spec: str) -> Encoder:
        """The encoder of every signal, whatever its spec; what a Searcher takes as its second argument."""
        return self._encoder

    def move(self, products: Iterable[Mapping[str, Any]]) -> None:
        """Let the name stand for another index, of these products, as the end of a reindex does."""
        rows = [dict(product) for product in products]
        self._products = {str(row["id"]): row for row in sorted(rows, key=lambda row: str(row["id"]))}
        self._generation += 1
        fields = _fields(rows)
        names = {*self._scores, *self._fixed_vectors, "text"} - {"lexical"}
        one = VectorSignal(self._encoder.name, self._encoder.version, self._encoder.dims)
        signals = {name: one for name in SIGNALS if name in names}
        floors = {name: Floor(self._encoder.version, {LATIN: cosine}) for name, cosine in self._floors.items()}
        self._profile = IndexProfile(
            self._index, fields, signals, "en", words_version(["en"]), floors=floors, priors=tuple(self._priors),
            concrete=f"{self._index}-{self._generation:06}",
        )  # fmt: skip
        terms = {id: terms_of(row, self._profile) for id, row in self._products.items()}
        self._keys = {id: by_field.pop(product_codes.KEYS, "") for id, by_field in terms.items()}
        self._texts = {id: tuple(by_field.values()) for id, by_field in terms.items()}
        self._words = {id: frozenset(" ".join(texts).split()) for id, texts in self._texts.items()}
        counting = Counting()
        for id, row in self._products.items():
            titles = [str(value) for value in role_values(row, fields, "title")]
            counting.add(terms[id], titles, [value for value in row.values() if isinstance(value, str)])
        # Scores of words that were made up have no bound that a vocabulary could tell.
        self._vocabulary = None if "lexical" in self._scores else counting.vocabulary()
        self._vectors = dict(self._fixed_vectors)
        if "text" not in {*self._fixed_vectors, *self._scores}:
            texts = {id: text_input(row, fields, self._encoder) for id, row in self._products.items()}
            ids_with_text = [id for id, text in texts.items() if text]
            rows_of_text = self._encoder.encode_texts([texts[id] for id in ids_with_text])
            self._vectors["text"] = dict(zip(ids_with_text, rows_of_text, strict=True))

    # -- what search needs of an index, see hybrid.search.ports --------------------------------------------------

    def profile(self, index: str) -> IndexProfile:
        """The one index's profile.

        Raises:
            IndexMissingError: it has another name.
        """
        if index != self._index:
            raise IndexMissingError(f"there is no index {index!r}; this one is {self._index!r}")
        return self._profile

    def moved(self, profile: IndexProfile) -> bool:
        return profile.concrete != self._profile.concrete

    def superseded(self, profile: IndexProfile) -> bool:
        return self.moved(profile)

    def indices(self) -> list[str]:
        return [self._index]

    def served(self) -> frozenset[str]:
        return frozenset(self.indices())

    def retrieve(
        self,
        profile: IndexProfile,
        words: Words,
        vectors: Mapping[str, np.ndarray],
        filters: Mapping[str, Any],
        facets: Sequence[str],
        depth: int,
        lookalikes: bool = True,
        without: str = "",
        evidence: Evidence = NONE,
        limits: Limits = NO_LIMITS,
        priors: Sequence[Prior] = (),
    ) -> Retrieved:
        """The candidates of a search, in the form of a cluster; of the evidence of words they have the first signal.

        Raises:
            UsageError: a filter or a facet on a field that no product has.
            IndexMovedError: the profile is of another generation.
            ClusterError: no part could be answered.
        """
        self.searches.append([*(["lexical"] if words.terms is not None else []), *vectors])
        self._hold(profile)
        fields = profile.fields
        for facet in facets:
            if facet not in fields.types:
                raise UsageError(f"no facet {facet!r}; facets: {', '.join(sorted(fields.types)) or 'none'}")
        ids = self._filtered(filters, without, words)
        candidates = self._candidates(words, vectors, ids, depth, lookalikes, limits)
        if words.codes and "lexical" in candidates.lists:
            self._add_codes(candidates, words, words.codes, vectors, ids)
        numbers.score(candidates.raw, candidates.imputed, priors, lambda id, at: values_at(self._products[id], at))
        for facet in facets:
            # As on a cluster, a facet that is filtered on still counts its other values.
            others = {field: condition for field, condition in filters.items() if field != facet}
            counted, among = candidates, self._filtered(others, without, words)
            if facet in filters:
                counted = self._candidates(words, vectors, among, depth, lookalikes, limits)
            candidates.facets[facet] = self._counts(facet, self._total(words, counted, among))
        matched = self._matching(words, ids) if "lexical" in candidates.lists else []
        candidates.matched = len(matched)
        candidates.total = len(self._total(words, candidates, ids))
        return candidates

    def _add_codes(
        self,
        candidates: Retrieved,
        words: Words,
        codes: Codes,
        vectors: Mapping[str, np.ndarray],
        ids: Sequence[str],
    ) -> None:
        """The products that have one of the codes, and every candidate's score by them."""
        found = {id: raw for id in ids if (raw := product_codes.raw(codes, self._keys[id]))}
        candidates.lists["code"] = _best_first(found)
        for name, scored in candidates.raw.items():
            for id in found:
                scored[id] = (
                    self._lexical(id, words) or 0.0 if name == "lexical" else self._raw(name, id, vectors[name])
                )
        known = {id for scored in candidates.raw.values() for id in scored}
        candidates.raw["code"] = {id: found.get(id, 0.0) for id in sorted(known)}

    def tail(
        self,
        profile: IndexProfile,
        words: Words,
        filters: Mapping[str, Any],
        exclude: Sequence[str],
        start: int,
        size: int,
        priors: Sequence[Prior] = (),
    ) -> list[tuple[str, float]]:
        self._hold(profile)
        matched = self._matching(words, [id for id in self._filtered(filters, "", words) if id not in set(exclude)])
        return [(id, self._lexical(id, words) or 0.0) for id in matched][start : start + size]

    def sources(self, profile: IndexProfile, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        self._hold(profile)
        return {id: self._products[id] for id in ids if id in self._products}

    def vectors(self, profile: IndexProfile, id: str) -> dict[str, np.ndarray]:
        return {name: by_id[id] for name, by_id in self._vectors.items() if id in by_id}

    def views_at(self, profile: IndexProfile, ids: Sequence[str]) -> dict[str, dict[str, list[float]]]:
        return {}  # no product has several pictures here

    def completing(self, profile: IndexProfile, typed: Typed, size: int) -> dict[str, dict[str, Any]]:
        titles = [
            (id, str(title))
            for id, row in self._products.items()
            for title in role_values(row, profile.fields, "title")
        ]
        return {id: self._products[id] for id, title in titles if offers([(id, title)], typed)}

    def vocabulary(self, profile: IndexProfile) -> Vocabulary | None:
        return self._vocabulary

    # -- scores ----------------------------------------------------------------------------------------------------

    def _hold(self, profile: IndexProfile) -> None:
        if self.error is not None:
            raise self.error
        if self.moved(profile):
            raise moved_error(profile.index)

    def _lexical(self, id: str, words: Words) -> float | None:
        """Points of a product for the words; None where it does not match."""
        if not words.terms:
            return 0.0
        if "lexical" in self._scores:
            return self._scores["lexical"].get(id)
        own, typed = self._words[id], words.terms.split()
        points = float(sum(term in own for term in typed))
        for one in words.alternatives:
            others = one.terms.split()
            if own.issuperset(others) and own.isdisjoint(one.of.split()):
                points += one.weight * len(set(others) - set(typed))
        return points or None

    def _raw(self, signal: str, id: str, vector: np.ndarray) -> float | None:
        if signal in self._scores:
            return self._scores[signal].get(id)
        own = self._vectors.get(signal, {}).get(id)
        return float(own @ vector) if own is not None else None

    def _matching(self, words: Words, ids: Iterable[str]) -> list[str]:
        """Products that match the words, best first."""
        if words.terms is None:
            return []
        return _best_first({id: points for id in ids if (points := self._lexical(id, words)) is not None})

    def _candidates(
        self,
        words: Words,
        vectors: Mapping[str, np.ndarray],
        ids: Sequence[str],
        depth: int,
        lookalikes: bool,
        limits: Limits,
    ) -> Retrieved:
        retrieved = Retrieved(failed={name: why for name, why in self.failing.items() if name in vectors})
        if words.terms is not None and "lexical" in self.failing:
            retrieved.failed["lexical"] = self.failing["lexical"]
        elif words.terms is not None:
            retrieved.lists["lexical"] = self._matching(words, ids)[:depth]
        scores = {
            name: {id: self._raw(name, id, vector) for id in ids}
            for name, vector in vectors.items()
            if name not in retrieved.failed
        }
        for name, scored in scores.items():
            retrieved.lists[name] = _best_first({id: raw for id, raw in scored.items() if raw is not None})[:depth]
        if retrieved.failed and not retrieved.lists:
            raise ClusterError(f"no part of {self._index} could be searched: {retrieved.failed}")
        if lookalikes:
            for name, scored in scores.items():
                listed = {id: scored[id] for ranked in retrieved.lists.values() for id in ranked}
                missing = [id for id, raw in scored.items() if raw is None]
                estimates = estimate(listed, donors(listed), self._words, missing)
                if estimates:
                    retrieved.imputed[name] = estimates
        listed_or_likely = [*retrieved.lists.values(), *retrieved.imputed.values()]
        candidates = sorted({id for group in listed_or_likely for id in group})
        if "lexical" in retrieved.lists:
            retrieved.raw["lexical"] = {id: self._lexical(id, words) or 0.0 for id in candidates}
        for name, scored in scores.items():
            retrieved.raw[name] = {id: scored[id] for id in candidates}
        drop(retrieved, limits)
        return retrieved

    def _total(self, words: Words, candidates: Retrieved, ids: Sequence[str]) -> list[str]:
        """Ids of the set that a total and the facets count: what matches the words, and every other candidate."""
        matched = self._matching(words, ids) if "lexical" in candidates.lists else []
        return sorted({*matched, *(id for scores in candidates.raw.values() for id in scores)})

    # -- fields ----------------------------------------------------------------------------------------------------

    def _filtered(self, filters: Mapping[str, Any], without: str, words: Words) -> list[str]:
        types = self._profile.fields.types
        for field in filters:
            if field not in types:
                raise UsageError(f"cannot filter on {field!r}; fields: {', '.join(sorted(types)) or 'none'}")
        return [
            id
            for id, row in self._products.items()
            if id != without
            and all(self._has(id, readings) for readings in words.phrases)
            and not any(self._has(id, readings) for readings in words.excluded)
            and all(
                any(_passes(value, condition) for value in values_at(row, field))
                for field, condition in filters.items()
            )
        ]

    def _has(self, id: str, readings: Iterable[Reading]) -> bool:
        """Whether the product has one of the readings in one field, its words side by side."""
        return any(f" {one.terms} " in f" {text} " for one in readings for text in self._texts[id])

    def _counts(self, facet: str, ids: Sequence[str]) -> list[dict[str, Any]]:
        values = [value for id in ids for value in values_at(self._products[id], facet)]
        if self._profile.fields.types[facet] in ("long", "double"):
            if not values:
                return []
            return [{"min": float(min(values)), "max": float(max(values)), "count": len(values)}]
        counts = {value: values.count(value) for value in values}
        ordered = sorted(counts.items(), key=lambda item: (-item[1], str(item[0])))
        return [{"value": value, "count": count} for value, count in ordered]


def _fields(rows: Sequence[Mapping[str, Any]]) -> FieldMap:
    names = list(dict.fromkeys(name for row in rows for name in row))
    types = {name: _type([value for row in rows for value in values_at(row, name)]) for name in names}
    return FieldMap(
        roles={role: (role,) for role in ROLES if role in names},
        types={name: kind for name, kind in types.items() if kind and name not in _PROSE},
        facets=tuple(role for role in ("category", "brand", "color", "tags") if role in names),
    )


def _type(values: Sequence[Any]) -> str:
    """The type in the index; "" where there are no values, or of several types."""
    kinds = {type(value) for value in values}
    if kinds == {int, float}:
        return "double"
    named = {bool: "boolean", int: "long", float: "double", str: "keyword"}
    return named.get(kinds.pop(), "") if len(kinds) == 1 else ""


def _passes(value: Any, condition: Any) -> bool:
    if isinstance(condition, Mapping):
        tests = {"gte": value.__ge__, "gt": value.__gt__, "lte": value.__le__, "lt": value.__lt__}
        return all(tests[key](bound) is True for key, bound in condition.items())
    return value in condition if isinstance(condition, list | tuple) else value == condition


def _best_first(scores: Mapping[str, float]) -> list[str]:
    """By score, ties by id."""
    return sorted(scores, key=lambda id: (-scores[id], id))
