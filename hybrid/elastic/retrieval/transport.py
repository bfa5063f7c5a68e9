"""Requests of the drop-in to the cluster: candidates and pages of searches, or a shop's search byte for byte."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import quote

import orjson
from elasticsearch import ApiError, Elasticsearch

from hybrid.contracts import IndexProfile
from hybrid.dropin import own_field
from hybrid.dropin.lines import Straight
from hybrid.dropin.request import (
    Body,
    CandidateReply,
    Cosines,
    FinalRequest,
    Json,
    PageHits,
    PageRequest,
    Params,
    RankedSearch,
    Reply,
    ShopCandidates,
    ShopSearch,
    SignalSearch,
)
from hybrid.dropin.spelling import Met, Mistyped
from hybrid.elastic.client import connect, error_reason, translated
from hybrid.elastic.retrieval import bodies, dropin_bodies, dropin_searches, dropin_words, evidence
from hybrid.elastic.retrieval import codes as product_codes
from hybrid.elastic.retrieval.collected import broken, identify, score, strays
from hybrid.elastic.retrieval.cosines import KnownCosines, of_hits
from hybrid.elastic.retrieval.dropin_answers import Answers, unanswered
from hybrid.elastic.retrieval.hit_cache import HitCache
from hybrid.elastic.retrieval.lookalikes import Gaps
from hybrid.errors import ClusterError, ClusterUnreachableError
from hybrid.search.consistency import moved_error
from hybrid.search.evidence import ALL
from hybrid.settings import Settings
from hybrid.signals import CODE

_JSON = "application/json"
_NDJSON = "application/x-ndjson"
#: Hits tell the scores of named clauses. That costs a search of its own for each hit and name.
_NAMED_SCORES = {"include_named_queries_score": "true"}
_LINE = orjson.OPT_APPEND_NEWLINE | orjson.OPT_SERIALIZE_NUMPY

#: Product id -> raw score.
Scores = dict[str, float | None]


class _Line(NamedTuple):
    """One search of an `_msearch`, and the shop's search that it is made for."""

    search: RankedSearch
    body: Body


class _CachedPage(NamedTuple):
    """The cached hits of a page. key: for the look of its hits; None where the page is not cached.

    until: when the hits expire, in seconds of the monotonic clock.
    """

    key: bytes | None
    hits: dict[str, Json]
    until: float


class Transport:
    """Talks to the cluster with bytes. Thread-safe.

    Candidates and pages are of the index that the search's profile is of. Where a hit is of another index, the method
    raises IndexMovedError. See hybrid.search.consistency.
    """

    @classmethod
    def connect(cls, settings: Settings, url: str, hasty: bool = False) -> Transport:
        """A transport over a client of its own, which passes bytes through unchanged.

        hasty: see hybrid.elastic.client.HastyTransport.

        Raises:
            UsageError: the address or the credentials cannot be used.
        """
        return cls(connect(settings, url, verbatim=True, hasty=hasty))

    def __init__(self, client: Elasticsearch) -> None:
        self._client = client
        self._hit_cache = HitCache()
        self._cosines = KnownCosines()

    def search(self, index: str, body: Body, params: Params) -> Reply:
        """One search, sent unchanged. An error of the cluster is its answer.

        Raises:
            ClusterUnreachableError, ClusterError: no answer.
        """
        return self._send(f"/{quote(index, safe='')}/_search", orjson.dumps(body), params, _JSON)

    def msearch(self, searches: Sequence[tuple[Params, Body]], params: Params) -> Reply:
        """(header, body) of each search; raises as `search` does."""
        # A vector is sent as the shortest numbers that mean its float32: half the bytes of a list of floats.
        lines = b"".join(orjson.dumps(part, option=_LINE) for search in searches for part in search)
        return self._send("/_msearch", lines, params, _NDJSON)

    def gather(
        self, searches: Sequence[RankedSearch], params: Params, depth: int, guess: FinalRequest | None = None
    ) -> CandidateReply:
        """One `_msearch` for the candidates of every search, at most `depth` of each signal.

        guess: a whole search that is sent with them, in the hope that the candidates are those of last time.

        Raises:
            ClusterUnreachableError, ClusterError: no answer.
        """
        known = [self._cosines.get(search.candidates_key) for search in searches]
        told = any(search.evidence.places and not one for search, one in zip(searches, known, strict=True))
        if told:  # the hits of a whole search would tell the scores of the shop's own names too
            guess = None
        # A search that was computed whole a moment ago is so again: its candidates did not decide the page.
        lined = not guess and any(search.line for search in searches)
        params = {**params, **_NAMED_SCORES} if lined or told else params
        parts = [
            dropin_searches.candidates(search, depth, bool(one), lined)
            for search, one in zip(searches, known, strict=True)
        ]
        lines = [*_lines(searches, parts), *([_final(guess)] if guess else [])]
        gathered = CandidateReply(searches, known, parts, params, self._send_lines(lines, params), lined=lined)
        return gathered.split() if guess and gathered.reply.status == 200 else gathered

    def candidates(self, gathered: CandidateReply) -> tuple[list[ShopCandidates], int]:
        """The candidates of every search, and the milliseconds taken.

        This sends another `_msearch` where candidates lack a vector, to read the words of these and of their donors. It
        sends one more where cosines of an equal search are cached, and the search has new candidates.

        Raises:
            ClusterError: the cluster refuses the request, or cannot answer one of the searches.
        """
        lines, params = _lines(gathered.searches, gathered.parts), gathered.params
        answers, took_ms = _answers(lines, gathered.reply)
        identified = all([identify(answer) for answer in answers])
        if not identified:  # products that the layer has not written yet
            answers, again_ms = self._many([_Line(search, bodies.with_ids(body)) for search, body in lines], params)
            took_ms += again_ms
        rest = iter(answers)
        read = [
            Answers.of(search, known, parts, [next(rest) for _ in parts])
            for search, known, parts in zip(gathered.searches, gathered.known, gathered.parts, strict=True)
        ]
        lacking = [one for one in read if one.unread_searches]
        took_ms += self._read_unread(lacking, params)
        repeatable = identified and not lacking
        candidates = [self._candidates(one, repeatable, gathered.lined) for one in read]
        return candidates, took_ms + self._impute(gathered.searches, candidates, params)

    def _read_unread(self, lacking: Sequence[Answers], params: Params) -> int:
        """Read what the hits of a search that is known do not tell: codes and evidence. Milliseconds taken."""
        if not lacking:
            return 0
        lines = [_Line(one.search, body) for one in lacking for body in one.unread_searches]
        told = any(one.search.evidence.places for one in lacking)
        answers, took_ms = self._many(lines, {**params, **_NAMED_SCORES} if told else params)
        rest = iter(answers)
        for one in lacking:
            one.read([next(rest) for _ in one.unread_searches])
        return took_ms

    def _impute(self, searches: Sequence[RankedSearch], candidates: Sequence[ShopCandidates], params: Params) -> int:
        """Impute scores of candidates without a vector. They change places, not what matches. Milliseconds taken."""
        lacking: list[tuple[ShopCandidates, Gaps]] = []
        lines: list[_Line] = []
        for search, one in zip(searches, candidates, strict=True):
            gaps = Gaps.of(one.raw, search.vectors)
            body = gaps.search()
            if body is not None:
                lacking.append((one, gaps))
                lines.append(_Line(search, body))
        if not lines:
            return 0
        try:
            answers, took_ms = self._many(lines, params)
            for (one, gaps), answer in zip(lacking, answers, strict=True):
                one.imputed = gaps.filled(answer)
        except ClusterUnreachableError:
            raise
        except ClusterError as error:
            for one, _ in lacking:
                one.failed["imputation"] = str(error)
            return 0
        return took_ms

    def finals(self, requests: Sequence[FinalRequest], params: Params) -> tuple[list[Json], int]:
        """One `_msearch`: the answers to whole searches with other scores of their words, and the milliseconds taken.

        Raises:
            ClusterError: the cluster cannot answer one of them.
        """
        answers, took_ms = self._many([_final(one) for one in requests], params) if requests else ([], 0)
        for one, answer in zip(requests, answers, strict=True):
            if "error" in answer:
                raise unanswered(one.search, answer)
        return answers, took_ms

    def met(self, search: ShopSearch, profile: IndexProfile, words: Sequence[str]) -> Met:
        """Which of the words anything has that the search matches.

        Raises:
            ClusterUnreachableError, ClusterError: no answer.
        """
        body = dropin_words.met(search.body, words, profile.lexical_fields)
        (answer,) = self._ask(profile, [body], search.route)
        if "error" in answer:
            raise ClusterError(f"Elasticsearch could not search {profile.index}: {error_reason(answer)[1]}")
        return dropin_words.read_met(answer, words)

    def similar(self, profile: IndexProfile, words: Sequence[Mistyped], fields: Sequence[str]) -> Mapping[str, str]:
        """Mistyped word -> the word of the index that is most like it, where there is one.

        Raises:
            ClusterUnreachableError, ClusterError: no answer.
        """
        # Where a field of the shop does not exist, the layer's do.
        return dropin_words.read_similar(self._ask(profile, dropin_words.similar(words, fields), {}), words)

    def indexed(self, index: str, fields: Sequence[str]) -> bool:
        """Whether the index has one of the fields. Names may have wildcards.

        Raises:
            ClusterUnreachableError, ClusterError: no answer.
        """
        params = {"fields": ",".join(fields)}
        with translated(index):
            answer = self._client.perform_request(
                "GET", f"/{quote(index, safe='')}/_field_caps", params=params, headers={"accept": _JSON}
            )
        return bool(orjson.loads(_bytes(answer.body))["fields"])

    def _ask(self, profile: IndexProfile, searches: Sequence[Body], route: Params) -> list[Json]:
        """The answers to searches of one index."""
        reply = self.msearch([({"index": profile.index, **route}, body) for body in searches], {})
        read = orjson.loads(reply.body)
        if reply.status != 200:
            raise ClusterError(f"Elasticsearch answered {reply.status}: {error_reason(read)[1]}")
        answers: list[Json] = read["responses"]
        return answers

    def pages(self, requests: Sequence[PageRequest], params: Params) -> tuple[list[PageHits], int]:
        """One `_msearch`: the hits of each page, and the milliseconds taken.

        Raises:
            ClusterError: the cluster cannot answer one of them.
        """
        lines: list[_Line] = []
        cached_pages = [self._cached_page(page) for page in requests]
        for page, (_, hits_by_id, _) in zip(requests, cached_pages, strict=True):
            missing = [id for id in page.ids if id not in hits_by_id]
            if missing:
                lines.append(_Line(page.search, dropin_bodies.page(page.search.body, missing)))
            if page.rest:
                query, body = dropin_searches.query(page.search), page.search.body
                lines.append(_Line(page.search, dropin_bodies.tail(body, query, page.ranked, page.start, page.rest)))
        answers, took_ms = self._many(lines, params) if lines else ([], 0)
        rest = iter(answers)
        pages = []
        for page, (key, hits_by_id, until) in zip(requests, cached_pages, strict=True):
            whole = page.search.body.get("_source") == own_field.SHOP_ALONE
            if any(id not in hits_by_id for id in page.ids):
                for hit in _hits(next(rest), whole):
                    hits_by_id[hit["_id"]] = hit
                    if key is not None:
                        self._hit_cache.put(key, hit["_id"], page.versions.get(hit["_id"]), hit)
            hits = [hits_by_id[id] for id in page.ids if id in hits_by_id]
            if page.rest:
                hits += _hits(next(rest), whole)
                until = 0.0  # the versions of hits after the candidates are not known
            pages.append(PageHits(hits, until))
        return pages, took_ms

    def _cached_page(self, page: PageRequest) -> _CachedPage:
        look = dropin_bodies.look(page.search.body)
        if look is None:
            return _CachedPage(None, {}, 0.0)
        key = HitCache.key(page.search.profile.index, look)
        hits, until = self._hit_cache.get(key, {id: page.versions.get(id) for id in page.ids})
        return _CachedPage(key, hits, until if all(id in page.versions for id in page.ids) else 0.0)

    def _candidates(self, answers: Answers, repeatable: bool, lined: bool) -> ShopCandidates:
        search, hits, answer = answers.search, answers.collected.hits, answers.whole[0]
        lined = lined and search.line is not None
        candidates = ShopCandidates(
            lists=answers.collected.lists,
            failed=answers.collected.failed,
            answer=answer,
            versions=answers.versions,
            doubtful=not hits or any(map(broken, answers.whole)),
            repeatable=repeatable,
            units=answers.units[:1] if lined else answers.units,
            tops=answers.units[1:] if lined else [],
            lines={id: Straight.of_hit(hit) for id, hit in hits.items()} if lined else None,
        )
        score(candidates, hits, search.words.terms, *self._scores(answers))
        if CODE in candidates.lists:
            candidates.raw[CODE] = product_codes.everywhere(candidates.raw, answers.coded)
        answer.pop("status", None)
        answer["hits"]["hits"] = []
        return candidates

    def _scores(self, answers: Answers) -> tuple[dict[str, Scores], dict[str, Scores]]:
        """Signal -> product id -> cosine of every candidate, and the same of the evidence of words.

        What was computed goes into the cache.
        """
        search, hits, known, versions = answers.search, answers.collected.hits, answers.known, answers.versions
        names = [name for name in search.vectors if name not in answers.collected.failed]
        new = {id: answers.told[id] for id in answers.unread}
        by_signal: dict[str, Scores] = {}
        for name in names:
            by_signal[name] = {id: known[id].by_signal.get(name) for id in hits if id not in new}
            if new:
                by_signal[name] |= of_hits(new, search.profile, name, search.vectors[name])[0]
        changed = {**new, **{id: answers.told[id] for id in answers.stale}}
        told = evidence.of_hits(changed, search.evidence)
        for name, scores in told.items():
            scores.update({id: known[id].evidence.get(name) for id in hits if id not in changed})
        computed = {id: Cosines(versions[id], _of(id, by_signal), _of(id, told)) for id in changed if id in versions}
        if computed and len(names) == len(search.vectors):
            self._cosines.put(search.candidates_key, computed)
        # An index may lack the field of all text. BM25 over the fields is all that is known of its words then.
        return by_signal, told if any(told.get(ALL, {}).values()) else {}

    def _many(self, lines: Sequence[_Line], params: Params) -> tuple[list[Json], int]:
        """Answers in order, and the milliseconds taken."""
        return _answers(lines, self._send_lines(lines, params))

    def _send_lines(self, lines: Sequence[_Line], params: Params) -> Reply:
        return self.msearch([(_header(search), body) for search, body in lines], params)

    def _send(self, path: str, body: bytes, params: Params, kind: str) -> Reply:
        with translated():
            try:
                answer = self._client.perform_request(
                    "POST", path, params=params, headers={"accept": _JSON, "content-type": kind}, body=body
                )
            except ApiError as error:
                return Reply(error.meta.status, _bytes(error.body), error.meta.headers.get("warning"))
        return Reply(answer.meta.status, _bytes(answer.body), answer.meta.headers.get("warning"))


def _final(request: FinalRequest) -> _Line:
    """A whole search, with other scores of its words."""
    search, scores = request.search, request.scores
    words = dropin_searches.words(search)
    return _Line(
        search, dropin_bodies.final(search.body, search.analysis, words, scores, request.lowest, request.units)
    )


def _header(search: RankedSearch) -> Json:
    return {**bodies.header(search.profile, search.words.terms or ""), **search.search.route}


def _lines(searches: Sequence[RankedSearch], parts: Sequence[Sequence[SignalSearch]]) -> list[_Line]:
    return [_Line(search, part.body) for search, group in zip(searches, parts, strict=True) for part in group]


def _answers(lines: Sequence[_Line], reply: Reply) -> tuple[list[Json], int]:
    """The answers of a reply, in order, and the milliseconds taken."""
    read = orjson.loads(reply.body)
    if reply.status != 200:
        raise ClusterError(f"Elasticsearch answered {reply.status}: {error_reason(read)[1]}")
    for line, answer in zip(lines, read["responses"], strict=True):
        if strays([answer], line.search.profile.concrete):
            raise moved_error(line.search.profile.index)
    return read["responses"], int(read["took"])


def _hits(answer: Json, whole: bool) -> list[Json]:
    """The hits of a page. whole: whether their documents have the layer's field, which is taken out here."""
    if "error" in answer:
        raise ClusterError(f"Elasticsearch could not fetch a page: {error_reason(answer)[1]}")
    hits: list[Json] = answer["hits"]["hits"]
    if whole:
        own_field.drop_from_sources(hits)
    return hits


def _of(id: str, scores: Mapping[str, Scores]) -> Scores:
    return {name: by_id[id] for name, by_id in scores.items()}


def _bytes(body: Any) -> bytes:
    return body if isinstance(body, bytes) else orjson.dumps(body)
