"""Reads candidates from product indices, with the raw score of every present signal, in one round trip."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from elasticsearch import Elasticsearch

from hybrid import vectors as coding
from hybrid.contracts import IndexProfile, Prior
from hybrid.elastic.client import error_reason, translated
from hybrid.elastic.indices.lifecycle import Indices
from hybrid.elastic.indices.products import Products, unread
from hybrid.elastic.retrieval import bodies, cosines, lexical
from hybrid.elastic.retrieval import codes as product_codes
from hybrid.elastic.retrieval import evidence as named
from hybrid.elastic.retrieval import lookalikes as likes
from hybrid.elastic.retrieval import numbers as own
from hybrid.elastic.retrieval.collected import Collected, broken, identify, score, strays
from hybrid.elastic.retrieval.facets import facet_fields, merged_facet
from hybrid.elastic.retrieval.profiles import Profiles
from hybrid.elastic.retrieval.vocabularies import Vocabularies
from hybrid.errors import ClusterError, UsageError
from hybrid.search import floor, imputation
from hybrid.search.consistency import moved_error
from hybrid.search.evidence import NONE, Evidence
from hybrid.search.ports import NO_LIMITS, Limits, Retrieved
from hybrid.searches import Words
from hybrid.signals import CODE, title_of
from hybrid.text.completions import Typed
from hybrid.text.vocabulary import Vocabulary


@dataclass(frozen=True)
class _CandidateSearch:
    """One search for candidates. without: the id of a product to leave out."""

    profile: IndexProfile
    words: Words
    vectors: Mapping[str, np.ndarray]
    filters: Mapping[str, Any]
    facets: Sequence[str]
    depth: int
    without: str = ""
    evidence: Evidence = NONE
    limits: Limits = NO_LIMITS
    priors: Sequence[Prior] = ()

    @property
    def titled(self) -> list[str]:
        """The signals whose titles are compared too; a product that is searched for its likes is compared whole."""
        return [] if self.without else [name for name in self.vectors if self.profile.signals[name].titles]

    @property
    def alone(self) -> bool:
        """Whether there is one vector and no words, and one view a product, so that the score gives the cosine."""
        if self.words.terms is not None or len(self.vectors) != 1 or self.titled:
            return False
        return all(self.profile.signals[name].views == 1 for name in self.vectors)

    @property
    def browses(self) -> bool:
        """Whether neither words nor a vector tell products apart."""
        return self.words.terms == "" and not self.vectors

    @property
    def clauses(self) -> list[dict[str, Any]]:
        clauses = bodies.filters_body(self.filters, self.profile.searchable)
        clauses += lexical.conditions(self.words, self.profile.lexical_fields)
        return [*clauses, {"bool": {"must_not": {"ids": {"values": [self.without]}}}}] if self.without else clauses

    @property
    def query(self) -> dict[str, Any] | None:
        """The lexical query, where there are words."""
        return lexical.query(self.words, self.profile.lexical_fields) if self.words.terms else None


class Retrieval:
    """Reads product indices. Thread-safe. Profiles are cached for five seconds.

    A method that takes a profile answers from the index that the profile is of, or drops the cached profile and raises
    IndexMovedError. See hybrid.search.consistency.
    """

    def __init__(self, client: Elasticsearch, clock: Callable[[], float] = time.monotonic) -> None:
        """clock: seconds that only go forward."""
        self._client = client
        self._indices, self._products = Indices(client), Products(client, patience_s=0)
        self._profiles = Profiles(client, clock)
        self._vocabularies = Vocabularies(client, clock)
        self.coverage = likes.Coverage(clock)

    def profile(self, index: str) -> IndexProfile:
        """The index's profile, at most five seconds old.

        Where the layer served the name, and the name has moved to an index without the layer, this is a stand-in, by
        which the words are searched; see `IndexProfile.without_layer`.
        """
        return self._profiles.get(index)

    def forget(self) -> None:
        """Drop the cached profiles and vocabularies, and the cached counts of products without a vector."""
        self._profiles.forget()
        self._vocabularies.forget()
        self.coverage.forget()

    def moved(self, profile: IndexProfile) -> bool:
        """Ask the cluster whether the profile's name stands for another index now. If so, drop the cached profile.

        False where the name stood for several indices when the profile was read.

        Raises:
            IndexMissingError: the name stands for no index.
        """
        return self._profiles.moved(profile)

    def superseded(self, profile: IndexProfile) -> bool:
        """Whether the cache has no profile of the name, or one of another index. Sends no request."""
        return self._profiles.superseded(profile)

    def _require_index(self, profile: IndexProfile, answers: Sequence[dict[str, Any]]) -> None:
        """Check that the answers are of the profile's index, as far as their hits say.

        Raises:
            IndexMovedError: an answer is of another index.
        """
        if strays(answers, profile.concrete):
            self._profiles.drop(profile)
            raise moved_error(profile.index)
        if any(map(broken, answers)) and self.moved(profile):
            raise moved_error(profile.index)

    def indices(self) -> list[str]:
        return self._indices.names()

    def served(self) -> frozenset[str]:
        """Every name that searches from outside may use."""
        return self._profiles.served()

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
        """One `_msearch`: the lexical list (no terms: no lexical signal) and one list a vector signal.

        lookalikes: whether to find products without a vector by like words, and to impute scores for missing vectors.
        without: the id of a product that is left out. evidence: what the words are worth, see hybrid.search.evidence.
        limits: what candidates need that only vectors find. priors: the numbers to read of every candidate, which order
        the products where there are no words and no vectors.

        A facet that is filtered on counts all its values, so that a shopper can choose another one: its counts are
        those of the same search without that filter.

        Raises:
            UsageError: a filter or a facet that the index does not have.
            IndexMovedError: an answer is of another index than the profile.
            ClusterError: no part could be answered.
        """
        filtered = [facet for facet in facets if facet in filters]
        plain = [facet for facet in facets if facet not in filters]
        groups = [_CandidateSearch(profile, words, vectors, filters, plain, depth, without, evidence, limits, priors)]
        for facet in filtered:
            others = {field: condition for field, condition in filters.items() if field != facet}
            groups.append(_CandidateSearch(profile, words, vectors, others, [facet], depth, without, NONE, limits))
        searches = [self._searches(group) for group in groups]
        everything = [search for group in searches for search in group]
        by_name = bool(evidence.places)
        answers = self._msearch(profile, everything, words.terms, by_name)
        if not all(identify(answer) for answer in answers):
            with_ids = [(name, bodies.with_ids(body)) for name, body in everything]
            answers = self._msearch(profile, with_ids, words.terms, by_name)
        retrieved, *counted = [
            self._read(group, [(name, answers.pop(0)) for name, _ in searched], lookalikes)
            for group, searched in zip(groups, searches, strict=True)
        ]
        for facet, group in zip(filtered, counted, strict=True):
            retrieved.facets[facet] = group.facets[facet]
        return retrieved

    def _searches(self, search: _CandidateSearch) -> list[tuple[str, dict[str, Any]]]:
        """(signal, body) of each search."""
        profile, depth, clauses = search.profile, search.depth, search.clauses
        aggs = bodies.facet_aggs(search.facets, profile.searchable)
        doc_values = facet_fields(search.facets, profile)
        if search.alone:
            ((name, vector),) = search.vectors.items()
            body = bodies.nearest_search(name, _listed(vector), clauses, depth, profile.shards, doc_values)
            return [(name, own.add(body, search.priors))]
        codes = list(search.vectors)
        searches = []
        if search.words.terms is not None:
            query = lexical.query(search.words, profile.lexical_fields)
            body = bodies.lexical_search(query, clauses, codes, depth, aggs)
            searches.append(("lexical", own.browse(body, search.priors) if search.browses else body))
        for name, vector in search.vectors.items():
            body = bodies.vector_search(
                name, _listed(vector), search.query, clauses, codes, depth, profile.shards, doc_values
            )
            searches.append((name, body))
        if search.words.codes and search.query:
            body = product_codes.search(search.words.codes, search.query, clauses, codes, doc_values)
            searches.append((CODE, body))
        return [
            (name, own.add(named.add(body, search.evidence, profile.shards), search.priors)) for name, body in searches
        ]

    def _read(
        self, search: _CandidateSearch, answers: Sequence[tuple[str, dict[str, Any]]], lookalikes: bool
    ) -> Retrieved:
        collected = Collected.of(answers)
        hits, retrieved = collected.hits, Retrieved(lists=collected.lists, failed=collected.failed)
        if len(retrieved.failed) == len(answers):
            if search.filters and all(answer.get("status") == 400 for _, answer in answers):
                # The rest of the search is the layer's own. A field of the shop's mapping may have a format of its own.
                reason = next(iter(retrieved.failed.values()))
                raise UsageError(f"filters: {search.profile.index} does not take a value of them ({reason})")
            raise ClusterError(f"Elasticsearch could not search {search.profile.index}: {retrieved.failed}")
        by_signal: dict[str, dict[str, float | None]] = {}
        beside = named.of_hits(hits, search.evidence)
        for name, vector in search.vectors.items():
            if name in retrieved.failed:
                continue
            if search.alone:
                by_signal[name] = _by_score(hits)
            else:
                by_signal[name], retrieved.views[name] = cosines.of_hits(hits, search.profile, name, vector)
            if name in search.titled:
                beside[title_of(name)] = cosines.of_titles(hits, search.profile, name, vector, by_signal[name])
        score(retrieved, hits, search.words.terms, by_signal, beside)
        if lookalikes:
            self._impute(retrieved, hits, search)
        if CODE in retrieved.lists:
            found = product_codes.scores(dict(answers)[CODE])
            retrieved.raw[CODE] = product_codes.everywhere(retrieved.raw, found)
        floor.drop(retrieved, search.limits)
        own.score(retrieved, hits, search.priors)
        by_words = answers[0][1] if search.words.terms is not None and "lexical" in retrieved.lists else None
        self._count(retrieved, hits, search.profile, search.facets, by_words)
        return retrieved

    def _msearch(
        self,
        profile: IndexProfile,
        searches: Sequence[tuple[str, dict[str, Any]]],
        terms: str | None,
        named: bool = False,
    ) -> list[dict[str, Any]]:
        head = bodies.header(profile, terms or "")
        operations = [part for _, body in searches for part in (head, body)]
        with translated(profile.index):
            # The score of a named query costs a search of its own for each hit: it is requested only where it is read.
            answer = self._client.msearch(searches=operations, include_named_queries_score=named or None)
        responses = list(answer["responses"])
        self._require_index(profile, responses)
        return responses

    def _impute(self, retrieved: Retrieved, hits: dict[str, dict[str, Any]], search: _CandidateSearch) -> None:
        """Add products that no vector can find, and impute missing scores."""
        profile = search.profile
        signals = [name for name in search.vectors if name in retrieved.raw]
        if not signals:
            return

        def ask(searches: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
            return self._msearch(profile, [("", body) for body in searches], search.words.terms, named=True)

        doc_values = [*facet_fields(search.facets, profile), *own.fields(search.priors)]
        try:
            lookalikes = likes.find(
                profile,
                retrieved.raw,
                signals,
                search.query,
                search.clauses,
                doc_values,
                search.depth,
                search.evidence,
                self.coverage,
                ask,
            )
        except ClusterError as error:
            retrieved.failed["imputation"] = str(error)
            return
        hits.update(lookalikes.hits)
        if "lexical" in retrieved.raw:
            retrieved.raw["lexical"].update({id: float(hit["_score"]) for id, hit in lookalikes.hits.items()})
            for name, found in named.of_hits(lookalikes.hits, search.evidence).items():
                retrieved.raw[name].update(found)
        for name in signals:
            scores = retrieved.raw[name]
            by_code, nearest = cosines.of_hits(lookalikes.hits, profile, name, search.vectors[name])
            scores.update(by_code)
            if name in search.titled:
                of_titles = retrieved.raw[title_of(name)]
                of_titles.update(cosines.of_titles(lookalikes.hits, profile, name, search.vectors[name], by_code))
            retrieved.views.setdefault(name, {}).update(nearest)
            missing = [id for id, score in scores.items() if score is None]
            estimates = imputation.estimate(scores, lookalikes.donors.get(name, ()), lookalikes.words, missing)
            if estimates:
                retrieved.imputed[name] = estimates
            if estimates and name in search.titled:
                retrieved.imputed[title_of(name)] = imputation.estimate(
                    of_titles, lookalikes.donors[name], lookalikes.words, missing
                )
        # A product without any score of a vector signal, true or imputed, is no candidate.
        for id in lookalikes.hits:
            if not any(
                retrieved.raw[name][id] is not None or id in retrieved.imputed.get(name, ()) for name in signals
            ):
                for scores in retrieved.raw.values():
                    scores.pop(id, None)

    def _count(
        self,
        retrieved: Retrieved,
        hits: Mapping[str, dict[str, Any]],
        profile: IndexProfile,
        facets: Sequence[str],
        by_words: dict[str, Any] | None,
    ) -> None:
        candidates = {id for scores in retrieved.raw.values() for id in scores}
        if by_words is None:
            others = candidates
        else:
            retrieved.matched = int(by_words["hits"]["total"]["value"])
            scores = retrieved.raw["lexical"]
            in_list = set(retrieved.lists["lexical"])
            others = {id for id in candidates if id not in in_list and not scores[id]}
        retrieved.total = retrieved.matched + len(others)
        aggregations = by_words.get("aggregations", {}) if by_words else {}
        for facet in facets:
            values = [hits[id].get("fields", {}).get(facet, []) for id in others]
            fields = profile.searchable
            retrieved.facets[facet] = merged_facet(
                aggregations.get(facet), values, fields.types[facet], fields.paths.get(facet, "")
            )

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
        """(id, BM25) of the lexical matches that come after the fused list. priors: see `retrieve`."""
        search = _CandidateSearch(profile, words, {}, filters, (), 0)
        query = lexical.query(words, profile.lexical_fields)
        body = bodies.tail_search(query, search.clauses, exclude, start, size)
        body = own.browse(body, priors) if search.browses else body
        answer = self._msearch(profile, [("lexical", body)], words.terms)[0]
        if "error" in answer:
            raise ClusterError(f"Elasticsearch could not search {profile.index}: {error_reason(answer)[1]}")
        return [(hit["_id"], float(hit["_score"])) for hit in answer["hits"]["hits"]]

    def sources(self, profile: IndexProfile, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        """id -> the shop's own document, with the tags where the index has any, and without the rest of the layer."""
        if not ids:
            return {}
        hidden = ["hybrid"] if profile.tags is None else [*unread(), "hybrid.id", "hybrid.meta"]
        with translated(profile.index):
            docs = self._client.mget(index=profile.index, ids=list(ids), source_excludes=hidden)["docs"]
        # A document that is not there says its index too. One that failed is a broken answer.
        self._require_index(profile, [{"hits": {"hits": docs}}, *(doc for doc in docs if "error" in doc)])
        return {doc["_id"]: doc["_source"] for doc in docs if doc.get("found")}

    def vectors(self, profile: IndexProfile, id: str) -> dict[str, np.ndarray]:
        """Signal -> vector (dims,) of a product, for the signals of which it has a vector."""
        codes = self._products.codes(profile.index, [id])[id].by_signal
        decoded = {name: coding.decode_code(codes.get(name), one.dims) for name, one in profile.signals.items()}
        return {name: vector for name, vector in decoded.items() if vector is not None}

    def views_at(self, profile: IndexProfile, ids: Sequence[str]) -> dict[str, dict[str, list[float]]]:
        """id -> signal -> the place of each view: the number of a picture, or the second of a video's frame."""
        names = [name for name, signal in profile.signals.items() if signal.views > 1]
        fields = [f"hybrid.meta.{name}.at" for name in names]
        with translated(profile.index):
            docs = self._client.mget(index=profile.index, ids=list(ids), source_includes=fields)["docs"]
        metas = {doc["_id"]: doc["_source"].get("hybrid", {}).get("meta", {}) for doc in docs if doc.get("found")}
        return {id: {name: (meta.get(name) or {}).get("at") or [] for name in names} for id, meta in metas.items()}

    def completing(self, profile: IndexProfile, typed: Typed, size: int) -> dict[str, dict[str, Any]]:
        """id -> the title fields of products that have the typed words, in any order."""
        with translated(profile.index):
            answer = self._client.search(index=profile.index, **bodies.completion_search(typed, profile.fields, size))
        return {hit["_id"]: hit.get("_source", {}) for hit in answer["hits"]["hits"]}

    def vocabulary(self, profile: IndexProfile) -> Vocabulary | None:
        """How common each word of the index is, as of its last count; None where it was not counted yet."""
        return None if profile.without_layer else self._vocabularies.get(profile.index)


def _listed(vector: np.ndarray) -> list[float]:
    return list(vector.astype(np.float32).tolist())


def _by_score(hits: Mapping[str, dict[str, Any]]) -> dict[str, float | None]:
    """id -> cosine by the score of a knn query."""
    return {id: bodies.cosine(hit["_score"]) for id, hit in hits.items()}
