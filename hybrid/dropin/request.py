"""The data types of the drop-in: a search as a shop sends it, and its stages on the way to an answer.

`ShopSearch` is any search in one form: parameters of the address are moved into the body. A search that can be ranked
is a `RankedSearch`. The cluster's reply to the searches for its candidates is a `CandidateReply`, which is read as
`ShopCandidates`. A `PageRequest` asks for the products of its page, which come as `PageHits`.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import orjson

from hybrid.contracts import IndexProfile
from hybrid.dropin.limits import whole
from hybrid.dropin.lines import Line, Straight
from hybrid.dropin.recognise import Recognised
from hybrid.errors import RefusedError
from hybrid.search.evidence import NONE, Evidence
from hybrid.search.ports import Candidates
from hybrid.search.preparation import Prepared
from hybrid.searches import Words
from hybrid.signals import LEXICAL

#: A JSON object: a shop's body, or an answer of the cluster. Body is read only.
Body = Mapping[str, Any]
Json = dict[str, Any]
#: Parameters of the address, or of a line of `_msearch`.
Params = Mapping[str, Any]

#: Parameters that a line of `_msearch` takes as well: where and how to search.
ROUTE = frozenset(
    {
        "allow_no_indices", "allow_partial_search_results", "expand_wildcards", "ignore_throttled",
        "ignore_unavailable", "preference", "request_cache", "routing", "search_type", "ccs_minimize_roundtrips",
    }
)  # fmt: skip
#: Parameters of the whole answer, which `_msearch` takes in its address.
ANSWER = frozenset(
    {
        "error_trace", "human", "max_concurrent_shard_requests", "pre_filter_shard_size", "rest_total_hits_as_int",
        "typed_keys",
    }
)  # fmt: skip
#: Parameters that shape the answer here, once it is ranked.
SHAPE = frozenset({"filter_path", "pretty"})
#: Parameters that only the cluster's own search understands.
PLAIN = frozenset(
    {
        "force_synthetic_source", "include_named_queries_score", "min_compatible_shard_node",
        "suggest_field", "suggest_mode", "suggest_size", "suggest_text",
    }
)  # fmt: skip
#: Parameters of a single search that change how the cluster works, and not what it answers.
PACE = frozenset({"batched_reduce_size"})
MSEARCH = ANSWER | SHAPE
MSEARCH |= {"ccs_minimize_roundtrips", "include_named_queries_score", "max_concurrent_searches", "search_type"}

_QUERY_STRING = {
    "analyzer": "analyzer",
    "analyze_wildcard": "analyze_wildcard",
    "default_operator": "default_operator",
    "df": "default_field",
    "lenient": "lenient",
}
_FLAGS = ("version", "seq_no_primary_term", "explain", "track_scores")
_BODY = frozenset(
    {
        "_source", "_source_excludes", "_source_includes", "docvalue_fields", "from", "q", "size", "sort", "stats",
        "stored_fields", "terminate_after", "timeout", "track_total_hits", *_FLAGS, *_QUERY_STRING,
    }
)  # fmt: skip
_REFUSED = {
    "scroll": "a scroll would hold resources on the cluster; page with from and size, or search_after",
    "source": "send the search as the body of the request",
    "source_content_type": "send the search as the body of the request",
}
_TIME = re.compile(r"(\d+)(nanos|micros|ms|s|m|h|d)")
_TOOK = re.compile(rb'"took":(\d+),(?="responses"|"timed_out")')
_SECONDS = {"nanos": 1e-9, "micros": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


@dataclass(frozen=True)
class IncomingSearch:
    """One search as the shop sent it. params: of the address, or of its line of `_msearch`."""

    index: str
    body: Body
    params: Mapping[str, str]


@dataclass(frozen=True)
class ShopSearch:
    """index: one name. body: the whole search. route: see ROUTE. plain: see PLAIN. pace: see PACE."""

    index: str
    body: Body
    route: Params = field(default_factory=dict)
    plain: Mapping[str, str] = field(default_factory=dict)
    pace: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, incoming: IncomingSearch, timeout_s: float) -> ShopSearch:
        """From the body and the parameters; `timeout` is added, or cut to timeout_s.

        Raises:
            RefusedError: a parameter that is not served, or of a wrong kind.
        """
        index, params = incoming.index, incoming.params
        for name in params:
            if name in _REFUSED:
                raise RefusedError(f"parameter [{name}] is not served here: {_REFUSED[name]}")
            if name not in ROUTE | ANSWER | SHAPE | PLAIN | PACE | _BODY:
                raise RefusedError(f"request [/{index}/_search] contains unrecognized parameter: [{name}]")
        merged = {**incoming.body, **_from_address(params)}
        merged["timeout"] = bounded(merged.get("timeout"), timeout_s)
        return cls(
            index,
            merged,
            {name: value for name, value in params.items() if name in ROUTE},
            {name: value for name, value in params.items() if name in PLAIN},
            {name: value for name, value in params.items() if name in PACE},
        )


@dataclass(frozen=True)
class RankedSearch:
    """One search whose hits are to be ranked.

    analysis: the words of its query, and their place. key: of its index, body and route. words: what they are looked
    for as. until: when the words are to be looked up anew, by the monotonic clock, in seconds.
    """

    search: ShopSearch
    analysis: Recognised
    prepared: Prepared
    key: bytes
    words: Words
    until: float = math.inf

    @property
    def profile(self) -> IndexProfile:
        return self.prepared.profile

    @property
    def body(self) -> Body:
        return self.search.body

    @property
    def vectors(self) -> Mapping[str, np.ndarray]:
        """Signal -> vector (dims,) of length 1, of the signals that are searched."""
        return self.prepared.vectors

    @property
    def line(self) -> Line | None:
        """Of its query, where hits can tell points of it: a word's score there is by the words of its shard alone."""
        line = self.analysis.line
        return line if line and (self.profile.shards == 1 or line.zero is None) else None

    @cached_property
    def evidence(self) -> Evidence:
        """What the words are worth; NONE where they have no weight, or are not all that the query may stand for."""
        certain = not (self.analysis.alternatives or self.words.unfinished)
        return self.prepared.evidence if certain and self.prepared.prediction.weights.get(LEXICAL) else NONE

    @cached_property
    def candidates_key(self) -> bytes:
        """The key of everything that decides the candidates, their cosines and their evidence."""
        parts = [self.body.get(name) for name in ("query", "post_filter", "min_score")]
        return candidates_key(self.profile, [*parts, self.words, self.evidence, self.search.route], self.vectors)


def candidates_key(profile: IndexProfile, search: Sequence[Any], vectors: Mapping[str, np.ndarray]) -> bytes:
    """The key of an index and of everything that decides the candidates and their cosines. search: JSON."""
    models = [(name, profile.signals[name].version) for name in vectors]
    digest = hashlib.blake2b(orjson.dumps([profile.index, profile.concrete, models, search]), digest_size=16)
    for vector in vectors.values():
        digest.update(vector.tobytes())
    return digest.digest()


class Version(NamedTuple):
    """Names one version of a document while its index lives. concrete: the index itself, not its alias."""

    concrete: str
    seq_no: int
    primary_term: int


class Cosines(NamedTuple):
    """One product beside the vectors of a search, as it was in one version: signal -> cosine, None without a vector.

    evidence: signal -> raw score of its words (hybrid.search.evidence). It changes a little with every write to the
    index, as what a word is worth does.
    """

    version: Version
    by_signal: Mapping[str, float | None]
    evidence: Mapping[str, float | None] = {}


class SignalSearch(NamedTuple):
    """The search for the candidates of one signal; signal "": for the best score of a part of the shop's query."""

    signal: str
    body: Json


@dataclass(frozen=True)
class Reply:
    """An answer of the cluster as it came. warning: its `Warning` header, if any."""

    status: int
    body: bytes
    warning: str | None = None


@dataclass(frozen=True)
class CandidateReply:
    """The cluster's reply to the searches for candidates of several searches, not read yet.

    known: for each search, product id -> the cosines that the same search computed a moment ago. parts: for each
    search, the searches that were sent. guessed: the answer to a whole search that was sent with them. lined: whether
    the hits tell the points of their lines, of searches that have one.
    """

    searches: Sequence[RankedSearch]
    known: Sequence[Mapping[str, Cosines]]
    parts: Sequence[Sequence[SignalSearch]]
    params: Params
    reply: Reply
    guessed: Json | None = None
    lined: bool = False

    def split(self) -> CandidateReply:
        """The same, with the last answer of the reply as `guessed`."""
        read = orjson.loads(self.reply.body)
        *responses, guessed = read["responses"]
        body = orjson.dumps({"took": read["took"], "responses": responses})
        return replace(self, reply=replace(self.reply, body=body), guessed=guessed)

    def without_times(self) -> bytes:
        """The reply without the times that it took, which differ where nothing else does."""
        body = _TOOK.sub(b"", self.reply.body)
        if self.lined or self.searches[0].analysis.query is None:
            return body
        return orjson.dumps(orjson.loads(body))  # numbers as they are after `split`

    def took_ms(self) -> int:
        """Milliseconds, as the cluster says."""
        match = _TOOK.search(self.reply.body)
        return int(match[1]) if match else 0


@dataclass
class ShopCandidates(Candidates):
    """Candidates of one search of a shop.

    answer: the cluster's answer to the shop's search, without hits. versions: product id -> the version in the answer.
    units: the best score of each text of the shop's query, where more than words decides. lines: product id -> its
    line, where the layer computes the shop's boosts; tops: the best score of each of `Line.points`.
    doubtful: a search failed or had no hits, so not every answer names its index.
    repeatable: the same reply of the cluster gives the same candidates, because they depend on that reply alone or on
    versions that it names.
    """

    answer: Json = field(default_factory=dict)
    versions: dict[str, Version] = field(default_factory=dict)
    units: list[float] = field(default_factory=list)
    lines: Mapping[str, Straight] | None = None
    tops: list[float] = field(default_factory=list)
    doubtful: bool = False
    repeatable: bool = True


@dataclass(frozen=True)
class PageRequest:
    """Which products to show of a search: `ids`, then `rest` of those behind all `ranked`, from the `start`th on.

    versions: product id -> the version that the search for candidates saw.
    """

    search: RankedSearch
    versions: Mapping[str, Version]
    ids: Sequence[str]
    ranked: Sequence[str]
    start: int
    rest: int


class FinalRequest(NamedTuple):
    """A search that the cluster computes whole, with other scores of its words; see dropin_bodies.final."""

    search: RankedSearch
    scores: Mapping[str, float]
    lowest: float
    units: Sequence[float]


class PageHits(NamedTuple):
    """The hits of a page in its order, without products that were deleted meanwhile.

    until: when the cached documents of these versions expire, by the monotonic clock, in seconds.
    """

    hits: list[Json]
    until: float


def bounded(timeout: Any, limit_s: float) -> str:
    """A timeout in the notation of Elasticsearch, at most limit_s."""
    match = _TIME.fullmatch(str(timeout)) if timeout is not None else None
    seconds = float(match[1]) * _SECONDS[match[2]] if match else limit_s
    return str(timeout) if match and seconds <= limit_s else f"{round(limit_s * 1000)}ms"


def flag(name: str, value: Any) -> bool:
    """A flag of the address; alone it means true.

    Raises:
        RefusedError: neither true nor false.
    """
    if value in ("", "true", True):
        return True
    if value in ("false", False):
        return False
    raise RefusedError(f"Failed to parse value [{value}] as only [true] or [false] are allowed for [{name}]")


def _from_address(params: Mapping[str, str]) -> dict[str, Any]:
    body: dict[str, Any] = {}
    for name in ("from", "size", "terminate_after"):
        if name in params:
            body[name] = whole(name, params[name])
    for name in _FLAGS:
        if name in params:
            body[name] = flag(name, params[name])
    for name in ("docvalue_fields", "stored_fields", "stats"):
        if name in params:
            body[name] = params[name].split(",")
    if "timeout" in params:
        body["timeout"] = params["timeout"]
    if "track_total_hits" in params:
        track = params["track_total_hits"]
        body["track_total_hits"] = whole("track_total_hits", track) if track.isdigit() else flag("", track)
    if "sort" in params:
        pairs = [part.partition(":") for part in params["sort"].split(",")]
        body["sort"] = [{name: {"order": order}} if order else name for name, _, order in pairs]
    source = _source(params)
    if source is not None:
        body["_source"] = source
    if "q" in params:
        options = {key: params[name] for name, key in _QUERY_STRING.items() if name in params}
        body["query"] = {"query_string": {"query": params["q"], **options}}
    elif stray := sorted(set(params) & set(_QUERY_STRING)):
        raise RefusedError(f"parameter [{stray[0]}] belongs to [q]")
    return body


def _source(params: Mapping[str, str]) -> Any:
    source = params.get("_source")
    includes, excludes = params.get("_source_includes"), params.get("_source_excludes")
    if source in ("true", "false") and not includes and not excludes:
        return source == "true"
    if source and source not in ("true", "false"):
        includes = includes or source
    if not includes and not excludes:
        return None
    filter = {}
    if includes:
        filter["includes"] = includes.split(",")
    if excludes:
        filter["excludes"] = excludes.split(",")
    return filter
