"""The drop-in's way to the cluster: candidates and pages of searches, or a search as it is, byte for byte."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import numpy as np
import orjson
from elasticsearch import ApiError, Elasticsearch

from hybrid.contracts import IndexProfile
from hybrid.dropin.recognise import Recognised
from hybrid.elastic.client import error_reason, translated
from hybrid.elastic.retrieval import bodies, dropin_bodies
from hybrid.elastic.retrieval.candidates import Retrieved, broken, identify, score, strays
from hybrid.elastic.retrieval.cosines import Known, KnownCosines, of_hits
from hybrid.elastic.retrieval.lookalikes import Gaps
from hybrid.elastic.retrieval.shown import ShownHits, Version
from hybrid.errors import ClusterError, ClusterUnreachableError
from hybrid.search.consistency import moved_error

if TYPE_CHECKING:
    from hybrid.dropin.request import ShopSearch
    from hybrid.search.preparation import Prepared

_JSON = "application/json"
_NDJSON = "application/x-ndjson"
_TOOK = re.compile(rb'"took":(\d+),(?="responses"|"timed_out")')
_LINE = orjson.OPT_APPEND_NEWLINE | orjson.OPT_SERIALIZE_NUMPY


@dataclass(frozen=True)
class Reply:
    """An answer of the cluster as it came. warning: its `Warning` header, if any."""

    status: int
    body: bytes
    warning: str | None = None


@dataclass(frozen=True)
class Ask:
    """One search whose hits are to be ranked. terms: the words as the layer's lexical query takes them."""

    profile: IndexProfile
    body: Mapping[str, Any]
    route: Mapping[str, Any]
    seen: Recognised
    terms: str
    vectors: Mapping[str, np.ndarray]

    def query(self) -> dict[str, Any]:
        """The shop's query, scored by the layer's words."""
        return dropin_bodies.scored(self.body["query"], self.seen, self.words())

    def words(self) -> dict[str, Any]:
        """The layer's lexical query."""
        return bodies.lexical_query(self.terms, self.profile.lexical_fields)

    def header(self) -> dict[str, Any]:
        return {**bodies.header(self.profile, self.terms), **self.route}

    @cached_property
    def key(self) -> bytes:
        """Of what decides which candidates it has, and how near they are; see KnownCosines."""
        parts = [self.body.get(name) for name in ("query", "post_filter", "min_score")]
        return KnownCosines.key(self.profile, [*parts, self.terms, self.route], self.vectors)


@dataclass
class Found:
    """Candidates of one search.

    answer: the cluster's answer to the shop's search, with no hits. raw: signal -> product id -> raw score.
    stand_ins: the same, of what stands in for a missing vector. lists: signal -> product ids. named: score name ->
    product id -> score (see dropin_bodies). scores: product id -> `_score` of the shop's query with the layer's words.
    doubtful: a search failed or found nothing, so that not every answer tells the index that it is of.
    alone: all of it was made of one reply, so that the same reply makes the same; or of versions that it names.
    """

    answer: dict[str, Any]
    lists: dict[str, list[str]] = field(default_factory=dict)
    raw: dict[str, dict[str, float | None]] = field(default_factory=dict)
    stand_ins: dict[str, dict[str, float]] = field(default_factory=dict)
    named: dict[str, dict[str, float]] = field(default_factory=dict)
    scores: dict[str, float] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    versions: dict[str, Version] = field(default_factory=dict)
    doubtful: bool = False
    alone: bool = True


@dataclass(frozen=True)
class Gathered:
    """The cluster's reply to the searches for candidates.

    known, searches: of each ask, what the same search computed a moment ago, and (signal, body) of each search.
    """

    asks: Sequence[Ask]
    known: Sequence[Known]
    searches: Sequence[Sequence[tuple[str, dict[str, Any]]]]
    params: Mapping[str, Any]
    reply: Reply

    @property
    def lines(self) -> list[tuple[Ask, Mapping[str, Any]]]:
        return [(ask, body) for ask, group in zip(self.asks, self.searches, strict=True) for _, body in group]

    def told(self) -> bytes:
        """The reply without the times that it took, which differ where nothing else does."""
        return _TOOK.sub(b"", self.reply.body)

    def took(self) -> int:
        """Milliseconds."""
        found = _TOOK.search(self.reply.body)
        return int(found[1]) if found else 0


@dataclass(frozen=True)
class Page:
    """Which products to show of a search: `ids`, then `rest` of those behind all `ranked`, from the `start`th on.

    versions: product id -> the version that the candidates' search saw.
    """

    ask: Ask
    versions: Mapping[str, Version]
    ids: Sequence[str]
    ranked: Sequence[str] = ()
    start: int = 0
    rest: int = 0


class _Candidates:
    """The answers to an ask's searches. known: what the same search computed a moment ago.

    Raises:
        ClusterError: the shop's own search has none.
    """

    def __init__(self, ask: Ask, known: Known, answers: Sequence[tuple[str, dict[str, Any]]]) -> None:
        if "error" in answers[0][1]:
            reason = error_reason(answers[0][1])[1]
            raise ClusterError(f"Elasticsearch could not search {ask.profile.index}: {reason}")
        self.ask, self.known, self.answers = ask, known, answers
        self.retrieved = Retrieved()
        self.hits: dict[str, dict[str, Any]] = {}
        for name, one in answers:
            if "error" in one:
                self.retrieved.failed[name] = ": ".join(error_reason(one))
                continue
            for hit in one["hits"]["hits"]:
                self.hits.setdefault(hit["_id"], hit)
            self.retrieved.lists[name] = [hit["_id"] for hit in one["hits"]["hits"]]
        self.versions = {id: _version(hit) for id, hit in self.hits.items() if "_seq_no" in hit}
        #: Those whose cosines have to be computed.
        self.unknown = [id for id in self.hits if id not in known or known[id][0] != self.versions.get(id)]


class Transport:
    """Talks to the cluster with bytes. Thread-safe.

    Candidates and pages are of the index that the ask's profile is of, as far as their hits tell; else they raise
    IndexMovedError. See hybrid.search.consistency.
    """

    def __init__(self, client: Elasticsearch) -> None:
        self._client = client
        self._shown = ShownHits()
        self._cosines = KnownCosines()

    def search(self, index: str, body: Mapping[str, Any], params: Mapping[str, Any]) -> Reply:
        """One search as it is; an error of the cluster is its answer.

        Raises:
            ClusterUnreachableError, ClusterError: no answer.
        """
        return self._send(f"/{quote(index, safe='')}/_search", orjson.dumps(body), params, _JSON)

    def msearch(
        self, searches: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]], params: Mapping[str, Any]
    ) -> Reply:
        """(header, body) of each search; raises as `search` does."""
        # A vector goes as the shortest numbers that mean its float32, half the bytes of those of a list.
        lines = b"".join(orjson.dumps(part, option=_LINE) for search in searches for part in search)
        return self._send("/_msearch", lines, params, _NDJSON)

    def gather(self, asks: Sequence[Ask], params: Mapping[str, Any], depth: int) -> Gathered:
        """One `_msearch` for the candidates of every ask.

        Raises:
            ClusterUnreachableError, ClusterError: no answer.
        """
        known = [self._cosines.get(ask.key) for ask in asks]
        searches = [
            self._searches(ask, depth, [] if told else list(ask.vectors)) for ask, told in zip(asks, known, strict=True)
        ]
        if any(ask.seen.adds or ask.seen.inner is not None for ask in asks):
            params = {**params, "include_named_queries_score": "true"}
        lines = [(ask.header(), body) for ask, group in zip(asks, searches, strict=True) for _, body in group]
        return Gathered(asks, known, searches, params, self.msearch(lines, params))

    def candidates(self, gathered: Gathered) -> tuple[list[Found], int]:
        """The candidates of every ask, and the milliseconds taken.

        Another `_msearch` where candidates lack a vector, for the words of those that are like them; and one where a
        search was made a moment ago, and has candidates now that it did not have then.

        Raises:
            ClusterError: the cluster takes none of it, or cannot answer one of the asks.
        """
        lines, params = gathered.lines, gathered.params
        answers, took = self._answers(lines, gathered.reply)
        identified = all([identify(answer) for answer in answers])
        if not identified:  # products that the layer has not written yet
            answers, again = self._many([(ask, bodies.with_ids(body)) for ask, body in lines], params)
            took += again
        rest = iter(answers)
        found = [
            _Candidates(ask, told, [(name, next(rest)) for name, _ in group])
            for ask, told, group in zip(gathered.asks, gathered.known, gathered.searches, strict=True)
        ]
        lacking = [one for one in found if one.known and one.unknown]
        took += self._read_codes(lacking, params)
        read = [self._read(one) for one in found]
        for one in read:
            one.alone = identified and not lacking
        return read, took + self._stand_in(gathered.asks, read, params)

    def _read_codes(self, lacking: Sequence[_Candidates], params: Mapping[str, Any]) -> int:
        """Give candidates the codes that their search was not asked for. Milliseconds taken."""
        if not lacking:
            return 0
        lines = [(one.ask, dropin_bodies.codes(one.ask.body, one.unknown, list(one.ask.vectors))) for one in lacking]
        answers, took = self._many(lines, params)
        for one, answer in zip(lacking, answers, strict=True):
            if "error" in answer:
                raise ClusterError(f"Elasticsearch could not search {one.ask.profile.index}: {error_reason(answer)[1]}")
            # What is not read now is not remembered either.
            for id in one.unknown:
                one.versions.pop(id, None)
            for hit in answer["hits"]["hits"]:
                one.hits[hit["_id"]]["fields"] = hit.get("fields", {})
                one.versions[hit["_id"]] = _version(hit)
        return took

    def _stand_in(self, asks: Sequence[Ask], founds: Sequence[Found], params: Mapping[str, Any]) -> int:
        """Scores for candidates without a vector: they change their places, not what matches. Milliseconds taken."""
        wanted = []
        for ask, found in zip(asks, founds, strict=True):
            gaps = Gaps.of(found.raw, ask.vectors)
            body = gaps.search()
            if body is not None:
                wanted.append((found, gaps, (ask, body)))
        if not wanted:
            return 0
        try:
            answers, took = self._many([line for _, _, line in wanted], params)
            for (found, gaps, _), answer in zip(wanted, answers, strict=True):
                found.stand_ins = gaps.filled(answer)
        except ClusterUnreachableError:
            raise
        except ClusterError as error:
            for found, _, _ in wanted:
                found.failed["stand-ins"] = str(error)
            return 0
        return took

    def pages(
        self, wanted: Sequence[Page], params: Mapping[str, Any]
    ) -> tuple[list[tuple[list[dict[str, Any]], float]], int]:
        """One `_msearch`: the hits of each page in its order, milliseconds taken. Products gone meanwhile are left out.

        With the hits, until when the same versions may be shown as they are: by the monotonic clock, in seconds.

        Raises:
            ClusterError: the cluster cannot answer one of them.
        """
        lines: list[tuple[Ask, Mapping[str, Any]]] = []
        known = [self._known(page) for page in wanted]
        for page, (_, shown, _) in zip(wanted, known, strict=True):
            missing = [id for id in page.ids if id not in shown]
            if missing:
                lines.append((page.ask, dropin_bodies.page(page.ask.body, missing)))
            if page.rest:
                query = page.ask.query()
                body = dropin_bodies.tail(page.ask.body, query, page.ranked, page.start, page.rest)
                lines.append((page.ask, body))
        answers, took = self._many(lines, params) if lines else ([], 0)
        rest = iter(answers)
        pages = []
        for page, (key, shown, until) in zip(wanted, known, strict=True):
            alone = page.ask.body.get("_source") == dropin_bodies.SHOP_ALONE
            if any(id not in shown for id in page.ids):
                for hit in _hits(next(rest), alone):
                    shown[hit["_id"]] = hit
                    if key is not None:
                        self._shown.put(key, hit["_id"], page.versions.get(hit["_id"]), hit)
            hits = [shown[id] for id in page.ids if id in shown]
            if page.rest:
                hits += _hits(next(rest), alone)
                until = 0.0  # of what is behind the candidates no version is told
            pages.append((hits, until))
        return pages, took

    def _known(self, page: Page) -> tuple[bytes | None, dict[str, dict[str, Any]], float]:
        """(key of the page's look, its hits that were shown a moment ago, until when the page may be shown again)."""
        look = dropin_bodies.look(page.ask.body)
        if look is None:
            return None, {}, 0.0
        key = ShownHits.key(page.ask.profile.index, look)
        found, until = self._shown.get(key, {id: page.versions.get(id) for id in page.ids})
        return key, found, until if all(id in page.versions for id in page.ids) else 0.0

    def ask(self, prepared: Prepared, search: ShopSearch, seen: Recognised) -> Ask:
        """What `candidates` takes for a search whose words are encoded and weighed."""
        return Ask(
            prepared.profile, search.body, search.route, seen, prepared.every_term or "", prepared.vectors
        )  # fmt: skip

    def page(self, ask: Ask, found: Found, ids: Sequence[str], ranked: Sequence[str], start: int, rest: int) -> Page:
        """What `pages` takes."""
        return Page(ask, found.versions, ids, ranked, start, rest)

    def without_layer(self, body: Mapping[str, Any]) -> dict[str, Any]:
        return dropin_bodies.without_layer(body)

    def hide(self, body: Mapping[str, Any], answer: dict[str, Any]) -> None:
        """Take the layer's fields out of an answer to this body, in place, where a wildcard asked for them."""
        if dropin_bodies.may_show_layer(body):
            dropin_bodies.hide_layer(answer)

    def hidden(self, body: Mapping[str, Any], answer: bytes) -> bytes:
        """The same for an answer as it came."""
        if not dropin_bodies.may_show_layer(body):
            return answer
        read = orjson.loads(answer)
        dropin_bodies.hide_layer(read)
        return orjson.dumps(read)

    def score_names(self) -> tuple[str, str]:
        """Names in Found.named: of the score that the shop multiplies, and of the shop's own words."""
        return dropin_bodies.INNER, dropin_bodies.SHOP

    def _searches(self, ask: Ask, depth: int, codes: Sequence[str]) -> list[tuple[str, dict[str, Any]]]:
        query = ask.query()
        scoring = dropin_bodies.beside(query, ask.seen, ask.words())
        searches = [("lexical", dropin_bodies.counted(ask.body, query, codes, depth))]
        for name, vector in ask.vectors.items():
            numbers = np.ascontiguousarray(vector, dtype=np.float32)
            body = dropin_bodies.nearest(ask.body, scoring, name, numbers, codes, depth, ask.profile.shards)
            searches.append((name, body))
        return searches

    def _read(self, found: _Candidates) -> Found:
        ask, hits, retrieved = found.ask, found.hits, found.retrieved
        score(retrieved, hits, ask.terms, self._told(found))
        named: dict[str, dict[str, float]] = {}
        for id, hit in hits.items():
            for name, value in (hit.get("matched_queries") or {}).items():
                named.setdefault(name, {})[id] = float(value)
        kept = retrieved.raw["lexical"]
        scores = {id: value or 0.0 for id, value in kept.items()}
        if dropin_bodies.TEXT in named:
            retrieved.raw["lexical"] = {id: named[dropin_bodies.TEXT].get(id, 0.0) for id in kept}
        doubtful = not hits or any(broken(one) for _, one in found.answers)
        answer = found.answers[0][1]
        answer.pop("status", None)
        answer["hits"]["hits"] = []
        return Found(
            answer, retrieved.lists, retrieved.raw, retrieved.stand_ins, named, scores, retrieved.failed,
            found.versions, doubtful,
        )  # fmt: skip

    def _told(self, found: _Candidates) -> dict[str, dict[str, float | None]]:
        """Signal -> product id -> cosine of every candidate; those that had to be computed are remembered."""
        names = [name for name in found.ask.vectors if name not in found.retrieved.failed]
        new = {id: found.hits[id] for id in found.unknown}
        told: dict[str, dict[str, float | None]] = {}
        for name in names:
            told[name] = {id: found.known[id][1].get(name) for id in found.hits if id not in new}
            if new:
                told[name] |= of_hits(new, found.ask.profile, name, found.ask.vectors[name])[0]
        remembered = {
            id: (found.versions[id], {name: told[name][id] for name in names}) for id in new if id in found.versions
        }
        if remembered and len(names) == len(found.ask.vectors):
            self._cosines.put(found.ask.key, remembered)
        return told

    def _many(
        self, searches: Sequence[tuple[Ask, Mapping[str, Any]]], params: Mapping[str, Any]
    ) -> tuple[list[dict[str, Any]], int]:
        """Answers in order, and the milliseconds taken."""
        return self._answers(searches, self.msearch([(ask.header(), body) for ask, body in searches], params))

    def _answers(
        self, searches: Sequence[tuple[Ask, Mapping[str, Any]]], reply: Reply
    ) -> tuple[list[dict[str, Any]], int]:
        answer = orjson.loads(reply.body)
        if reply.status != 200:
            raise ClusterError(f"Elasticsearch answered {reply.status}: {error_reason(answer)[1]}")
        for (ask, _), one in zip(searches, answer["responses"], strict=True):
            if strays([one], ask.profile.concrete):
                raise moved_error(ask.profile.index)
        return answer["responses"], int(answer["took"])

    def _send(self, path: str, body: bytes, params: Mapping[str, Any], kind: str) -> Reply:
        with translated():
            try:
                answer = self._client.perform_request(
                    "POST", path, params=params, headers={"accept": _JSON, "content-type": kind}, body=body
                )
            except ApiError as error:
                return Reply(error.meta.status, _bytes(error.body), error.meta.headers.get("warning"))
        return Reply(answer.meta.status, _bytes(answer.body), answer.meta.headers.get("warning"))


def _hits(answer: dict[str, Any], alone: bool) -> list[dict[str, Any]]:
    """Hits of a page; alone: their documents are whole, and the layer's object is to be taken out."""
    if "error" in answer:
        raise ClusterError(f"Elasticsearch could not fetch a page: {error_reason(answer)[1]}")
    found: list[dict[str, Any]] = answer["hits"]["hits"]
    if alone:
        dropin_bodies.sources_alone(found)
    return found


def _version(hit: Mapping[str, Any]) -> Version:
    return hit["_index"], hit["_seq_no"], hit["_primary_term"]


def _bytes(body: Any) -> bytes:
    return body if isinstance(body, bytes) else orjson.dumps(body)
