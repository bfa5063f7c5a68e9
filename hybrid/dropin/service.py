"""The drop-in `_search`, from a shop's request to its answer. The module knows a transport, no Elasticsearch client."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import orjson
from cachetools import LRUCache, TTLCache

from hybrid.dropin import answer as shaping
from hybrid.dropin import own_field
from hybrid.dropin.handling import RANKED, Handling, passed
from hybrid.dropin.limits import DEFAULTS, MAX_SEARCHES, Limits, check, check_filter_path
from hybrid.dropin.order import Order
from hybrid.dropin.ports import SearcherLike, TransportLike
from hybrid.dropin.recognise import recognise
from hybrid.dropin.repeats import Origin, Repeats
from hybrid.dropin.request import (
    ANSWER,
    SHAPE,
    Body,
    CandidateReply,
    FinalRequest,
    IncomingSearch,
    Json,
    Params,
    RankedSearch,
    ShopCandidates,
    ShopSearch,
    flag,
)
from hybrid.dropin.spelling import beside, meant
from hybrid.errors import ClusterUnreachableError, HybridError, IndexConflictError, IndexMovedError, RefusedError
from hybrid.search.consistency import moved_error, settled
from hybrid.searches import Degradation, SearchRequest

logger = logging.getLogger(__name__)

#: Candidates of each signal. On chorus 20 to 200 give the same nDCG@10, whatever the weights; fewer are faster.
DEPTH = 30
_INDICES_TTL_S = 5.0
_RANKED_SEARCHES = 1_000
#: How long mistyped and unfinished words of a search stand for what the index had, in seconds.
_WORDS_TTL_S = 60.0
_MAX_FIELDS = 50
#: How long a whole search is sent along with the search for its candidates, in seconds.
_FINALS_TTL_S = 10.0


@dataclass(frozen=True)
class Outcome:
    """An answer: its HTTP status, its JSON, and how each search was handled."""

    status: int
    body: bytes
    handled: tuple[Handling, ...]
    warning: str | None = None


@dataclass
class _Plan:
    """A search that passes to the cluster unchanged. handling: why."""

    search: ShopSearch
    handling: Handling


@dataclass
class _RankedPlan(_Plan):
    """A search that is to be ranked. Where something fails, it passes after all."""

    ranked: RankedSearch


class _LastFinal(NamedTuple):
    """A whole search that was sent, and what its scores depend on."""

    origin: Origin
    request: FinalRequest


class DropIn:
    """Answers `_search` and `_msearch` over the indices of the layer. Thread-safe; one a process."""

    def __init__(
        self,
        searcher: SearcherLike,
        transport: TransportLike,
        timeout_s: float,
        served: Sequence[str] = (),
        depth: int = DEPTH,
        limits: Limits = DEFAULTS,
    ) -> None:
        self._searcher = searcher
        self._transport = transport
        self._timeout_s = timeout_s
        self._served = frozenset(served)
        self._depth = min(depth, DEPTH)
        self._limits = limits
        self._repeats = Repeats()
        #: The searches that the cluster computed whole last, by key.
        self._finals: TTLCache[bytes, _LastFinal] = TTLCache(_RANKED_SEARCHES, _FINALS_TTL_S)
        #: The searches that were ranked last, by key.
        self._ranked: LRUCache[bytes, RankedSearch] = LRUCache(_RANKED_SEARCHES)
        self._known: tuple[float, frozenset[str]] = (float("-inf"), frozenset())
        self._lock = threading.Lock()

    # -- requests --------------------------------------------------------------------------------------------

    def search(self, index: str, body: Body, params: Mapping[str, str], busy: bool = False) -> Outcome:
        """One search. busy: the server has no time to rank it, so it passes.

        Raises:
            RefusedError: it must not reach the cluster, and did not.
            ClusterError: Elasticsearch cannot be asked at all.
        """
        check_filter_path(params.get("filter_path", ""))
        outer = {name: value for name, value in params.items() if name in ANSWER | SHAPE}
        (plan,), answers = self._answers([self._accepted(IncomingSearch(index, body, params))], _upstream(outer), busy)
        if 0 in answers:
            return Outcome(200, _shaped(answers[0], outer), (plan.handling,))
        search = plan.search
        reply = self._transport.search(index, search.body, {**search.route, **search.plain, **search.pace, **outer})
        return Outcome(reply.status, own_field.hidden(search.body, reply.body), (plan.handling,), reply.warning)

    def msearch(self, searches: Sequence[IncomingSearch], params: Mapping[str, str], busy: bool = False) -> Outcome:
        """Several at once; those that pass go in one `_msearch`. busy: all pass.

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
        plans, answers = self._answers([self._accepted(search) for search in searches], upstream, busy)
        passing = [place for place in range(len(plans)) if place not in answers]
        warning = None
        if passing:
            lines = [
                ({"index": plans[at].search.index, **plans[at].search.route}, plans[at].search.body) for at in passing
            ]
            reply = self._transport.msearch(lines, upstream)
            warning = reply.warning
            if reply.status != 200:
                return Outcome(reply.status, reply.body, tuple(plan.handling for plan in plans), warning)
            for place, one in zip(passing, orjson.loads(reply.body)["responses"], strict=True):
                own_field.hide(plans[place].search.body, one)
                answers[place] = one
        responses = [{**answers[place], "status": answers[place].get("status", 200)} for place in range(len(plans))]
        took = round((time.perf_counter() - started) * 1000)
        whole = _shaped({"took": took, "responses": responses}, params)
        return Outcome(200, whole, tuple(plan.handling for plan in plans), warning)

    def serves(self, index: str) -> bool:
        """Whether searches of an index are answered here."""
        return index in self._allowed()

    def forget_names(self) -> None:
        """Ask the cluster for the names that are served before the next search."""
        with self._lock:
            self._known = (float("-inf"), frozenset())

    def _accepted(self, incoming: IncomingSearch) -> ShopSearch:
        if incoming.index not in self._allowed():
            raise RefusedError(f"index [{incoming.index}] is not served here", "security_exception", 403)
        search = ShopSearch.of(incoming, self._timeout_s)
        check(search.index, search.body, self._limits)
        return replace(search, body=own_field.without_layer(search.body))

    def _allowed(self) -> frozenset[str]:
        """The names that are served, cached for five seconds: a name from outside is looked up here and not there.

        A name that has moved to an index without the layer is among them: its searches pass.
        """
        with self._lock:
            read_at, known = self._known
        if time.monotonic() - read_at < _INDICES_TTL_S:
            return known
        known = self._searcher.served()
        if self._served:
            known &= self._served
        with self._lock:
            self._known = (time.monotonic(), known)
        return known

    # -- answers ---------------------------------------------------------------------------------------------

    def _answers(
        self, searches: Sequence[ShopSearch], params: Params, busy: bool
    ) -> tuple[list[_Plan], dict[int, Json]]:
        """A plan for each search, and the answers, by place, of those that are ranked.

        Each is of one index, also while an alias is moved to another; see hybrid.search.consistency.
        """
        if busy:
            return [_Plan(search, passed("busy")) for search in searches], {}
        plans: list[_Plan] = []  # of the last try

        def attempt() -> dict[int, Json]:
            plans[:] = [self._plan(search) for search in searches]
            return self._rank(
                {place: plan for place, plan in enumerate(plans) if isinstance(plan, _RankedPlan)}, params
            )

        try:
            return plans, settled(attempt, lambda error: self._comes_of_a_move(error, plans))
        except ClusterUnreachableError:
            raise
        except Exception as error:  # the one place where the layer's own failure must not become the shop's
            for plan in plans:
                if isinstance(plan, _RankedPlan):
                    plan.handling = _failed(error)
            return plans, {}

    def _comes_of_a_move(self, error: Exception, plans: Sequence[_Plan]) -> bool:
        """Whether new plans may do better than these."""
        try:
            # Called in any case: the call makes the searcher forget the profile.
            moved = self._moved([plan for plan in plans if isinstance(plan, _RankedPlan)])
        except HybridError as other:  # the search passes, and its answer has the cluster's own error
            logger.warning("drop-in: unknown whether an alias moved, %s", other)
            moved = False
        return moved or isinstance(error, IndexMovedError)

    def _moved(self, plans: Sequence[_RankedPlan]) -> bool:
        """Whether a name stands for another index than when its search was planned."""
        profiles = {plan.search.index: plan.ranked.profile for plan in plans}
        # All are checked: the searcher forgets each profile that moved.
        return any([self._searcher.moved(profile) for profile in profiles.values()])

    def _plan(self, search: ShopSearch) -> _Plan:
        """Decide whether a search is ranked, and encode its words. Where anything fails, the search passes."""
        if search.plain:
            return _Plan(search, passed(f"parameter {min(search.plain)}"))
        try:
            key = orjson.dumps([search.index, search.body, search.route])
            with self._lock:
                ranked = self._ranked.get(key)
            if ranked is not None and time.monotonic() < ranked.until and self._searcher.holds(ranked.prepared):
                return _RankedPlan(search, RANKED, ranked)
            profile = self._searcher.profile(search.index)
            analysis = recognise(search.body, profile.fields.types)
            if analysis.passes:
                return _Plan(search, passed(analysis.passes))
            if not profile.signals:
                return _Plan(search, passed("the index has no vectors"))
            words, unfinished, until = analysis.words, "", math.inf
            if analysis.loose:
                read = meant(search, profile, analysis, self._transport)
                words, unfinished, until = read.words, read.unfinished, time.monotonic() + _WORDS_TTL_S
            prepared = self._searcher.prepare(SearchRequest(search.index, words, correct=False), profile)
            if prepared.degraded and not prepared.every_vector:
                return _Plan(search, Handling(False, lost=tuple(prepared.degraded)))
            if not prepared.every_word.terms:
                return _Plan(search, passed("no words that the layer knows"))
            asked = beside(prepared.every_word, analysis.alternatives, unfinished, profile)
            ranked = RankedSearch(search, analysis, prepared, key, asked, until)
            with self._lock:
                self._ranked[key] = ranked
            return _RankedPlan(search, RANKED.without(prepared.degraded), ranked)
        except ClusterUnreachableError:
            raise
        except IndexConflictError as error:  # the index is without the layer: said in each answer, logged when read
            return _Plan(search, Handling(False, error=str(error)))
        except Exception as error:  # as in `_answers`
            return _Plan(search, _failed(error))

    def _rank(self, plans: Mapping[int, _RankedPlan], params: Params) -> dict[int, Json]:
        """Answers by place; a plan whose words find nothing is left out, and says so.

        Raises:
            IndexMovedError: a part of an answer is of another index than the rest.
        """
        if not plans:
            return {}
        only, plan = next(iter(plans.items()))
        before = self._last_final(plan) if len(plans) == 1 else None
        gathered = self._transport.gather(
            [plan.ranked for plan in plans.values()], params, self._depth, before.request if before else None
        )
        origin: Origin | None = None
        if len(plans) == 1 and gathered.reply.status == 200:
            origin = _origin(plan, gathered)
            same = self._repeats.get(plan.ranked.key, origin)
            if same is not None:
                return {only: {**same, "took": gathered.took_ms()}}
            if before and before.origin == origin and _sound(plan, gathered.guessed):
                return {only: _shops(plan, gathered.guessed or {}, gathered.took_ms())}
        read, took_ms = self._transport.candidates(gathered)
        by_place = dict(zip(plans, read, strict=True))
        # Where hits are missing, no hit may name the index: then the cluster is asked whether the alias moved.
        doubtful = [plans[place] for place, one in by_place.items() if one.doubtful or one.failed]
        orders: dict[int, Order] = {}
        for place, candidates in by_place.items():
            plan = plans[place]
            if reason := self._in_vain(plan, candidates):
                plan.handling = passed(reason)
                continue
            if candidates.failed:
                lost = [Degradation(part, reason) for part, reason in candidates.failed.items()]
                plan.handling = plan.handling.without(lost)
            orders[place] = Order.of(plan.ranked, candidates, self._depth)
        answers = self._whole(plans, orders, params, took_ms)
        if only in answers and origin is not None and orders[only].candidates.repeatable and not doubtful:
            with self._lock:
                self._finals[plans[only].ranked.key] = _LastFinal(origin, orders[only].final)
        orders = {place: order for place, order in orders.items() if place not in answers}
        doubtful += [plans[place] for place, answer in answers.items() if not answer["hits"]["hits"]]
        pages, pages_took_ms = self._transport.pages([order.page for order in orders.values()], params)
        page_of = dict(zip(orders, pages, strict=True))
        doubtful += [plans[place] for place, page in page_of.items() if len(page.hits) < len(orders[place].page.ids)]
        if self._moved(doubtful):
            raise moved_error(doubtful[0].search.index)
        for place, order in orders.items():
            plan, (hits, until) = plans[place], page_of[place]
            order.give_scores(hits)
            answer = answers[place] = order.candidates.answer
            answer["hits"]["max_score"], answer["hits"]["hits"] = order.best, hits
            answer["took"] = took_ms + pages_took_ms
            own_field.hide(plan.search.body, answer)
            if origin is not None and until and order.candidates.repeatable and not doubtful:
                self._repeats.put(plan.ranked.key, origin, answer, until)
        return answers

    def _in_vain(self, plan: _RankedPlan, candidates: ShopCandidates) -> str:
        """Why a search is not ranked whose words find nothing, or ""."""
        search, fields = plan.search, plan.ranked.analysis.fields[:_MAX_FIELDS]
        if candidates.raw["lexical"]:
            return "" if shaping.has_words(candidates.raw) else "the layer's words find nothing of what matches"
        if fields and not candidates.failed and not self._transport.indexed(search.index, fields):
            return "no field of the query is indexed"
        return ""

    def _whole(
        self, plans: Mapping[int, _RankedPlan], orders: Mapping[int, Order], params: Params, took_ms: int
    ) -> dict[int, Json]:
        """By place, the answers to searches that the cluster computes whole: the candidates do not decide the page."""
        places = [place for place, order in orders.items() if not order.decided]
        found, final_ms = self._transport.finals([orders[place].final for place in places], params)
        return {
            place: _shops(plans[place], answer, took_ms + final_ms) for place, answer in zip(places, found, strict=True)
        }

    def _last_final(self, plan: _RankedPlan) -> _LastFinal | None:
        """What the cluster computed whole for an equal search a moment ago."""
        with self._lock:
            return self._finals.get(plan.ranked.key)


def _sound(plan: _RankedPlan, guessed: Json | None) -> bool:
    """Whether an answer has hits, and all of them are of the plan's index."""
    hits = (guessed or {}).get("hits", {}).get("hits", [])
    concrete = plan.ranked.profile.concrete
    return (
        bool(hits)
        and not (guessed or {}).get("_shards", {}).get("failed")
        and all(hit["_index"] == concrete for hit in hits)
    )


def _shops(plan: _RankedPlan, answer: Json, took_ms: int) -> Json:
    """The cluster's answer to a whole search as the shop's, in place."""
    answer.pop("status", None)
    answer["took"] = took_ms
    if plan.search.body.get("_source") == own_field.SHOP_ALONE:
        own_field.drop_from_sources(answer["hits"]["hits"])
    own_field.hide(plan.search.body, answer)
    return answer


def _origin(plan: _RankedPlan, gathered: CandidateReply) -> Origin:
    """Everything that the plan's answer depends on; see hybrid.dropin.repeats."""
    prepared = plan.ranked.prepared
    weights, version = prepared.prediction.weights, prepared.model.version
    return Origin(gathered.without_times(), plan.ranked.analysis, plan.handling, prepared.profile, weights, version)


def _upstream(params: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in params.items() if name not in SHAPE}


def _shaped(answer: Json, params: Mapping[str, str]) -> bytes:
    shaped = shaping.filtered(answer, params["filter_path"]) if params.get("filter_path") else answer
    pretty = "pretty" in params and flag("pretty", params["pretty"])
    return orjson.dumps(shaped, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE if pretty else 0)


def _failed(error: Exception) -> Handling:
    """A search passes for the layer's failure. An unexpected error goes to the log with its traceback."""
    if isinstance(error, HybridError):
        logger.warning("drop-in: passed on, %s", error)
        return Handling(False, error=str(error))
    logger.error("drop-in: passed on after an unexpected error", exc_info=error)
    return Handling(False, error=type(error).__name__)
