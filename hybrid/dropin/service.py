"""The drop-in `_search`, from a shop's request to its answer. Knows no Elasticsearch client: it is given a transport."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import orjson
from cachetools import LRUCache

from hybrid.contracts import IndexProfile, SearchRequest
from hybrid.dropin import answer as shaping
from hybrid.dropin.limits import MAX_SEARCHES, check, check_filter_path
from hybrid.dropin.recognise import recognise
from hybrid.dropin.repeats import Made, Repeats
from hybrid.dropin.request import ANSWER, SHAPE, ShopSearch, flag
from hybrid.errors import ClusterTimeoutError, ClusterUnreachableError, HybridError, IndexMovedError, RefusedError
from hybrid.search.consistency import moved_error, tries
from hybrid.search.preparation import Prepared

logger = logging.getLogger(__name__)

#: Candidates of each signal: on chorus 20 to 200 give the same nDCG@10,
#: whatever the weight of the vectors, and fewer are faster.
DEPTH = 30
_INDICES_TTL_S = 5.0
_ASKS = 1_000
_FLOOR = 0.0011  # see hybrid.elastic.retrieval.dropin_bodies: what a product has that the layer's words do not find

RANKED = "ranked"


class SearcherLike(Protocol):
    """See hybrid.search.searcher.Searcher."""

    def indices(self) -> list[str]: ...
    def profile(self, index: str) -> IndexProfile: ...
    def moved(self, profile: IndexProfile) -> bool: ...
    def prepare(self, request: SearchRequest, profile: IndexProfile) -> Prepared: ...
    def holds(self, prepared: Prepared) -> bool: ...


class TransportLike(Protocol):
    """See hybrid.elastic.retrieval.transport.Transport."""

    def search(self, index: str, body: Mapping[str, Any], params: Mapping[str, Any]) -> Any: ...
    def msearch(self, searches: Sequence[tuple[Any, Any]], params: Mapping[str, Any]) -> Any: ...
    def gather(self, asks: Sequence[Any], params: Mapping[str, Any], depth: int) -> Any: ...
    def candidates(self, gathered: Any) -> tuple[list[Any], int]: ...
    def pages(
        self, wanted: Sequence[Any], params: Mapping[str, Any]
    ) -> tuple[list[tuple[list[dict[str, Any]], float]], int]: ...
    def ask(self, prepared: Prepared, search: ShopSearch, seen: Any) -> Any: ...
    def page(self, ask: Any, found: Any, ids: Sequence[str], ranked: Sequence[str], start: int, rest: int) -> Any: ...
    def without_layer(self, body: Mapping[str, Any]) -> dict[str, Any]: ...
    def hide(self, body: Mapping[str, Any], answer: dict[str, Any]) -> None: ...
    def hidden(self, body: Mapping[str, Any], answer: bytes) -> bytes: ...
    def score_names(self) -> tuple[str, str]: ...


@dataclass(frozen=True)
class Outcome:
    """An answer: its HTTP status, its JSON, and for each search what happened (`ranked`, or `passed; why`)."""

    status: int
    body: bytes
    how: tuple[str, ...]
    warning: str | None = None


@dataclass
class _Plan:
    """One search on its way: with an `ask` it is to be ranked, without one it passes. key: of all that it asks for."""

    search: ShopSearch
    how: str
    ask: Any = None
    prepared: Prepared | None = None
    key: bytes = b""


class DropIn:
    """Answers `_search` and `_msearch` over the indices of the layer. Thread-safe; one a process."""

    def __init__(
        self,
        searcher: SearcherLike,
        transport: TransportLike,
        timeout_s: float,
        served: Sequence[str] = (),
        depth: int = DEPTH,
    ) -> None:
        self._searcher = searcher
        self._transport = transport
        self._timeout_s = timeout_s
        self._served = frozenset(served)
        self._depth = min(depth, DEPTH)
        self._repeats = Repeats()
        #: What was to be ranked a moment ago, by search.
        self._asks: LRUCache[bytes, tuple[Any, Prepared]] = LRUCache(_ASKS)
        self._known: tuple[float, frozenset[str]] = (float("-inf"), frozenset())
        self._lock = threading.Lock()

    # -- what is asked ---------------------------------------------------------------------------------------

    def search(self, index: str, body: Mapping[str, Any], params: Mapping[str, str]) -> Outcome:
        """One search.

        Raises:
            RefusedError: it must not reach the cluster, and did not.
            ClusterError: Elasticsearch cannot be asked at all.
        """
        check_filter_path(params.get("filter_path", ""))
        outer = {name: value for name, value in params.items() if name in ANSWER | SHAPE}
        (plan,), answers = self._answers([self._taken(index, body, params)], _upstream(outer))
        if 0 in answers:
            return Outcome(200, _shaped(answers[0], outer), (plan.how,))
        wanted = plan.search
        reply = self._transport.search(index, wanted.body, {**wanted.route, **wanted.plain, **outer})
        return Outcome(reply.status, self._transport.hidden(wanted.body, reply.body), (plan.how,), reply.warning)

    def msearch(
        self, searches: Sequence[tuple[str, Mapping[str, Any], Mapping[str, str]]], params: Mapping[str, str]
    ) -> Outcome:
        """Several at once: (index, body, line of the header) each; those that pass go in one `_msearch`.

        Raises:
            RefusedError: one of them must not reach the cluster; then none does.
            ClusterError: Elasticsearch cannot be asked at all.
        """
        if not searches:
            raise RefusedError("Validation Failed: 1: no requests added;", "action_request_validation_exception")
        if len(searches) > MAX_SEARCHES:
            raise RefusedError(f"at most [{MAX_SEARCHES}] searches in one request, found [{len(searches)}]")
        check_filter_path(params.get("filter_path", ""))
        started = time.perf_counter()
        upstream = _upstream(params)
        plans, answers = self._answers([self._taken(*search) for search in searches], upstream)
        passing = [place for place in range(len(plans)) if place not in answers]
        warning = None
        if passing:
            lines = [
                ({"index": plans[at].search.index, **plans[at].search.route}, plans[at].search.body) for at in passing
            ]
            reply = self._transport.msearch(lines, upstream)
            warning = reply.warning
            if reply.status != 200:
                return Outcome(reply.status, reply.body, tuple(plan.how for plan in plans), warning)
            for place, one in zip(passing, orjson.loads(reply.body)["responses"], strict=True):
                self._transport.hide(plans[place].search.body, one)
                answers[place] = one
        responses = [{**answers[place], "status": answers[place].get("status", 200)} for place in range(len(plans))]
        took = round((time.perf_counter() - started) * 1000)
        whole = _shaped({"took": took, "responses": responses}, params)
        return Outcome(200, whole, tuple(plan.how for plan in plans), warning)

    def _taken(self, index: str, body: Mapping[str, Any], params: Mapping[str, str]) -> ShopSearch:
        if index not in self._allowed():
            raise RefusedError(f"index [{index}] is not served here", "security_exception", 403)
        search = ShopSearch.of(index, body, params, self._timeout_s)
        check(index, search.body)
        return ShopSearch(index, self._transport.without_layer(search.body), search.route, search.plain)

    def _allowed(self) -> frozenset[str]:
        """The layer's indices, at most five seconds old: a name from outside is looked up here, not in the cluster."""
        with self._lock:
            asked, known = self._known
        if time.monotonic() - asked < _INDICES_TTL_S:
            return known
        found = frozenset(self._searcher.indices())
        known = found & self._served if self._served else found
        with self._lock:
            self._known = (time.monotonic(), known)
        return known

    # -- what is made of it ----------------------------------------------------------------------------------

    def _answers(
        self, searches: Sequence[ShopSearch], params: Mapping[str, Any]
    ) -> tuple[list[_Plan], dict[int, dict[str, Any]]]:
        """A plan for each search, and the answers, by place, of those that are ranked.

        Each is of one index, also while an alias is moved to another; see hybrid.search.consistency.
        """
        for left in tries():
            plans = [self._plan(search) for search in searches]
            ranking = {place: plan for place, plan in enumerate(plans) if plan.ask is not None}
            try:
                ranked = self._rank(list(ranking.values()), params) if ranking else {}
                return plans, {place: ranked[at] for at, place in enumerate(ranking) if at in ranked}
            except ClusterUnreachableError:
                raise
            except Exception as error:  # the one place where the layer's own failure must not become the shop's
                if left and self._again(error, ranking.values()):
                    continue
                for plan in ranking.values():
                    plan.how = _failed(error)
                break
        return plans, {}

    def _again(self, error: Exception, plans: Iterable[_Plan]) -> bool:
        """Whether a failure comes of a move, so that a new plan may do better."""
        if isinstance(error, ClusterTimeoutError):
            return False  # as in hybrid.search.consistency: a cluster that does not answer cannot be asked
        try:
            # Asked in any case: it is what makes the searcher forget the profile.
            moved = self._moved(plans)
        except HybridError as other:  # the search passes, and hears from the cluster itself what is wrong
            logger.warning("drop-in: not told whether an alias moved, %s", other)
            moved = False
        return moved or isinstance(error, IndexMovedError)

    def _moved(self, plans: Iterable[_Plan]) -> bool:
        """Whether a name stands for another index than when its search was planned."""
        profiles = {plan.search.index: plan.prepared.profile for plan in plans if plan.prepared is not None}
        # All are asked: each that moved is forgotten.
        return any([self._searcher.moved(profile) for profile in profiles.values()])

    def _plan(self, search: ShopSearch) -> _Plan:
        """Decide whether a search is ranked, and encode its words; whatever fails, it passes."""
        if search.plain:
            return _Plan(search, f"passed; parameter {min(search.plain)}")
        try:
            key = orjson.dumps([search.index, search.body, search.route])
            with self._lock:
                ask, prepared = self._asks.get(key, (None, None))
            if prepared is not None and self._searcher.holds(prepared):
                return _Plan(search, RANKED, ask, prepared, key)
            profile = self._searcher.profile(search.index)
            seen = recognise(search.body, profile.fields.types)
            if seen.passes:
                return _Plan(search, f"passed; {seen.passes}")
            if not profile.signals:
                return _Plan(search, "passed; the index has no vectors")
            prepared = self._searcher.prepare(SearchRequest(search.index, seen.words), profile)
            lost = "; ".join(f"{one.part}: {one.reason}" for one in prepared.degraded)
            if lost and not prepared.every_vector:
                return _Plan(search, f"passed; degraded: {lost}")
            if not prepared.every_term:
                return _Plan(search, "passed; no words that the layer knows")
            how = f"{RANKED}; degraded: {lost}" if lost else RANKED
            ask = self._transport.ask(prepared, search, seen)
            with self._lock:
                self._asks[key] = ask, prepared
            return _Plan(search, how, ask, prepared, key)
        except ClusterUnreachableError:
            raise
        except Exception as error:  # as in `search`
            return _Plan(search, _failed(error))

    def _rank(self, plans: Sequence[_Plan], params: Mapping[str, Any]) -> dict[int, dict[str, Any]]:
        """Answers by place; a plan whose words find nothing is left out, and says so.

        Raises:
            IndexMovedError: a part of an answer is of another index than the rest.
        """
        gathered = self._transport.gather([plan.ask for plan in plans], params, self._depth)
        repeat = _repeat(plans[0], gathered) if len(plans) == 1 else None
        if repeat is not None:
            same = self._repeats.get(*repeat)
            if same is not None:
                return {0: {**same, "took": gathered.took()}}
        founds, took = self._transport.candidates(gathered)
        pages: list[tuple[int, Any, Callable[[list[dict[str, Any]]], None]]] = []
        answers: dict[int, dict[str, Any]] = {}
        # Where nothing is found, or not all that is sought, no hit tells the index: then the cluster is asked.
        doubtful = [plan for plan, found in zip(plans, founds, strict=True) if found.doubtful or found.failed]
        for place, (plan, found) in enumerate(zip(plans, founds, strict=True)):
            if found.scores and not shaping.has_words(found.raw, _FLOOR):
                plan.how = "passed; the layer's words find nothing of what matches"
                continue
            if found.failed:
                lost = "; ".join(f"{part}: {why}" for part, why in found.failed.items())
                plan.how += f"; degraded: {lost}" if plan.how == RANKED else f"; {lost}"
            answers[place] = found.answer
            page, fill = self._page(plan, found)
            pages.append((place, page, fill))
        shown, again = self._transport.pages([page for _, page, _ in pages], params)
        doubtful += [
            plans[place] for (place, page, _), (hits, _) in zip(pages, shown, strict=True) if len(hits) < len(page.ids)
        ]
        if self._moved(doubtful):
            raise moved_error(doubtful[0].search.index)
        for (place, _, fill), (hits, until) in zip(pages, shown, strict=True):
            fill(hits)
            answers[place]["hits"]["hits"] = hits
            answers[place]["took"] = took + again
            self._transport.hide(plans[place].search.body, answers[place])
            if repeat is not None and until and founds[place].alone and not doubtful:
                self._repeats.put(*repeat, answers[place], until)
        return answers

    def _page(self, plan: _Plan, found: Any) -> tuple[Any, Callable[[list[dict[str, Any]]], None]]:
        """What to fetch for a page, and what gives its hits their scores."""
        if plan.prepared is None:
            raise ValueError("a search that passes has no page")
        ranking = plan.prepared.fused(found.raw, found.stand_ins)
        scores, ids = ranking.scores, ranking.ids
        seen = plan.ask.seen
        if seen.adds or seen.inner is not None:
            inner, shop = (found.named.get(name, {}) for name in self._transport.score_names())
            scores = shaping.boosted(
                scores,
                found.raw["lexical"],
                found.scores,
                inner if seen.inner is not None else None,
                shop if seen.adds else None,
            )
            ids = shaping.order(scores)
        start, size = int(plan.search.body.get("from", 0)), int(plan.search.body.get("size", 10))
        here = ids[start : start + size]
        lexical = found.lists["lexical"]
        # All that matches are candidates, unless the list of words was cut.
        rest = size - len(here) if len(lexical) >= self._depth else 0
        last = scores[ids[-1]] if ids else 0.0

        def fill(hits: list[dict[str, Any]]) -> None:
            tail = [hit for hit in hits if hit["_id"] not in scores]
            for hit in hits:
                if hit["_id"] in scores:
                    hit["_score"] = scores[hit["_id"]]
            lowest = min((found.scores[id] for id in lexical), default=0.0) if tail else 0.0
            for hit, score in zip(tail, shaping.behind([hit["_score"] for hit in tail], last, lowest), strict=True):
                hit["_score"] = score

        found.answer["hits"]["max_score"] = scores[ids[0]] if ids else None
        return self._transport.page(plan.ask, found, here, ids, max(0, start - len(ids)), rest), fill


def _repeat(plan: _Plan, gathered: Any) -> tuple[bytes, Made] | None:
    """(key of a search, all that its answer is made of): see hybrid.dropin.repeats."""
    if plan.prepared is None or gathered.reply.status != 200:
        return None
    weighed = plan.prepared.profile, plan.prepared.asked.weights, plan.prepared.model.version
    return plan.key, (gathered.told(), plan.ask.seen, plan.how, *weighed)


def _upstream(params: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in params.items() if name not in SHAPE}


def _shaped(answer: dict[str, Any], params: Mapping[str, str]) -> bytes:
    shaped = shaping.filtered(answer, params["filter_path"]) if params.get("filter_path") else answer
    pretty = "pretty" in params and flag("pretty", params["pretty"])
    return orjson.dumps(shaped, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE if pretty else 0)


def _failed(error: Exception) -> str:
    """Say that the layer failed; what was not foreseen goes to the log whole."""
    if isinstance(error, HybridError):
        logger.warning("drop-in: passed on, %s", error)
        return f"passed; degraded: {error}"
    logger.error("drop-in: passed on after an unexpected error", exc_info=error)
    return f"passed; degraded: {type(error).__name__}"
