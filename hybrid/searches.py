"""What is asked of a search, and what is answered. Plain data: no I/O, no heavy imports."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from hybrid.facts import Counted, Note, Reason
from hybrid.signals import CODE, SIGNALS

#: Simplest first.
LEARNED_SYSTEMS = ("global", "kinds", "gate", "attention")
#: What the words of a search may ask for beside being words; see hybrid.search.understanding.
UNDERSTANDS = ("phrases", "exclusions", "price")


def parts() -> tuple[str, ...]:
    """What a search can do without when it fails.

    "vectors": all signals but the words; "imputation": the scores of products that have no vector; "weights": those
    that were learned.
    """
    return ("lexical", CODE, *SIGNALS, "vectors", "imputation", "weights")


def unweighted_systems() -> tuple[str, ...]:
    """Systems that weigh nothing: words alone, each signal alone, and reciprocal rank fusion."""
    return ("bm25", *(name for name, signal in SIGNALS.items() if signal.of is None), "rrf")


def systems() -> tuple[str, ...]:
    """Every way to search that a request may name."""
    return (*unweighted_systems(), "fixed", *LEARNED_SYSTEMS)


@dataclass(frozen=True, slots=True)
class Alternative:
    """Other words beside those of a query: a synonym, a correction, another text of a shop's query.

    terms: the other words. weight: what their score is multiplied by. of: the words of the query in whose place they
    count, as these stand side by side in its terms; then a product must have all of the other words, and those that
    the query has elsewhere do not count again. "": they count beside the whole query, each for itself.
    """

    terms: str
    weight: float
    of: str = ""


@dataclass(frozen=True, slots=True)
class Reading:
    """One way in which words stand together: these terms in this order, with at most so many others between them."""

    terms: str
    gaps: int = 0


@dataclass(frozen=True, slots=True)
class Codes:
    """The codes that a query may name, see hybrid.text.codes.

    forms: (form, raw score, whether a product's code may go on after it) of all that products are looked for by.
    certain: what can be nothing but a code, as it was typed; "" where nothing is sure.
    """

    forms: tuple[tuple[str, float, bool], ...]
    certain: str = ""


@dataclass(frozen=True, slots=True)
class Words:
    """The words of a query, with their alternatives, as the lexical query takes them.

    terms: "" to browse all products; None where words take no part in the scores. unfinished: a term that is the
    beginning of a word. phrases, excluded: what a product must have, and must not have, whichever signal finds it;
    each by one of its readings. codes: those that the query may name.
    """

    terms: str | None = None
    alternatives: tuple[Alternative, ...] = ()
    unfinished: str = ""
    phrases: tuple[tuple[Reading, ...], ...] = ()
    excluded: tuple[tuple[Reading, ...], ...] = ()
    codes: Codes | None = None

    def beside(self, alternatives: Iterable[Alternative], unfinished: str = "") -> Words:
        """The same with more alternatives."""
        return replace(self, alternatives=(*self.alternatives, *alternatives), unfinished=unfinished)

    def unscored(self) -> Words:
        """The same where words take no part in the scores; what a product must have stays."""
        return Words(phrases=self.phrases, excluded=self.excluded)


@dataclass(frozen=True, slots=True)
class SignalScore:
    """What one signal gave one hit. contribution = weight * scaled; raw is None where the product has nothing for
    that signal (no vector), and then scaled is what products most like it in words have, or weight is 0. Of a prior,
    scaled is then that of the catalogue's median."""

    raw: float | None
    scaled: float
    weight: float
    contribution: float


def by_kind(signals: Mapping[str, SignalScore]) -> dict[str, SignalScore]:
    """The scores of a hit by kind of signal: several signals of words are one, with the raw score of the first."""
    kinds: dict[str, SignalScore] = {}
    for name, part in signals.items():
        before = kinds.get(kind := name.partition(".")[0])
        if before is None:
            kinds[kind] = part
            continue
        weight, contribution = before.weight + part.weight, before.contribution + part.contribution
        kinds[kind] = SignalScore(before.raw, contribution / weight if weight else 0.0, weight, contribution)
    return kinds


@dataclass(frozen=True)
class SearchRequest:
    """One search. filters: field -> value, list of values (any of), or {"gte": x, "lte": y}.

    like: id of a product whose own vectors are searched by, in place of words and files; it is not among the hits.
    weights: signal -> non-negative number, overriding the system's; alpha: the same for words and one kind of
    vector, as the vector's share; weights_version: published weights other than the active ones. facets: field
    paths, or None for the index's own. page counts from 1; size is hits a page. bare: hits without their documents.
    quick: words are searched by words alone, as the server is busy. correct: whether mistyped words are also searched
    as what they may stand for. understand: which of UNDERSTANDS is read from q. phrases, excluded: words that stand
    together in every product found, and words that stand in none; those of q are added to these.
    """

    index: str
    q: str = ""
    image: bytes | None = None
    video: bytes | None = None
    audio: bytes | None = None
    like: str = ""
    filters: Mapping[str, Any] = field(default_factory=dict)
    facets: tuple[str, ...] | None = None
    page: int = 1
    size: int = 10
    weights: Mapping[str, float] | None = None
    alpha: float | None = None
    weights_version: str | None = None
    system: str | None = None
    explain: bool = False
    bare: bool = False
    quick: bool = False
    understand: tuple[str, ...] = UNDERSTANDS
    phrases: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    correct: bool = True

    @property
    def by_media(self) -> bool:
        """Whether it is by a photo, a video or a sound, with or without words."""
        return self.image is not None or self.video is not None or self.audio is not None

    def under(self, name: str) -> SearchRequest:
        """The same search under a system, or under a published version of weights, whichever has that name."""
        if name in systems():
            return replace(self, system=name)
        return replace(self, system=None, weights_version=name)


@dataclass
class Hit:
    id: str
    score: float
    signals: dict[str, SignalScore]
    source: dict[str, Any]
    highlight: dict[str, str] = field(default_factory=dict)  # role -> HTML-escaped text with <mark>
    #: Signal -> which of several pictures, from 0, or at which second of the video the frame, was nearest.
    nearest: dict[str, float] = field(default_factory=dict)
    #: Whether the product can be had; None where its document does not say.
    in_stock: bool | None = None


@dataclass(frozen=True, slots=True)
class Degradation:
    """A part that failed, so that the answer was made without it. part: one of PARTS."""

    part: str
    reason: str


_SIGNS = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}


@dataclass(frozen=True, slots=True)
class Understood:
    """What a part of the typed words was taken for.

    text: that part, as it was typed. field, filter: of a price; applied: False where a filter of the request on the
    field won. others: of a synonym, the words that were searched beside it.
    """

    kind: Literal["phrase", "exclusion", "price", "synonym"]
    text: str
    field: str | None = None
    filter: Mapping[str, float] | None = None
    applied: bool = True
    others: tuple[str, ...] = ()

    def __str__(self) -> str:
        bounds = " and ".join(f"{_SIGNS[key]} {value:g}" for key, value in (self.filter or {}).items())
        said = {
            "phrase": "these words side by side",
            "exclusion": "left out",
            "price": f"{self.field} {bounds}" + ("" if self.applied else " (the filter of the request counts instead)"),
            "synonym": f"also {', '.join(self.others)}",
        }
        return f"{self.text}: {said[self.kind]}"


@dataclass(frozen=True, slots=True)
class Corrected:
    """A query that may be mistyped. typed: as it was sent. also: as it was searched beside that."""

    typed: str
    also: str


@dataclass
class SearchAnswer:
    """total counts the set named by `total_counts`; it and the facets are the same on every page.

    weights: of kinds of signals, summing to 1; each hit has its signals. notes: why signals were left out or
    lowered. reasons: what in the query moved the weights, strongest first. understood: what of the words was more than
    words. corrected: None where the query was searched as it was typed alone.
    """

    total: int
    hits: list[Hit]
    facets: dict[str, list[dict[str, Any]]]  # field -> [{"value": v, "count": n}], most frequent first
    page: int
    size: int
    system: str
    weights: dict[str, float]
    weights_version: str
    total_counts: Counted
    degraded: list[Degradation] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    reasons: list[Reason] = field(default_factory=list)
    understood: list[Understood] = field(default_factory=list)
    took_ms: float = 0.0
    corrected: Corrected | None = None

    def to_json(self) -> dict[str, Any]:
        """Facts with their English `text`."""
        return {
            **asdict(self),
            "total_counts": self.total_counts.to_json(),
            "notes": [note.to_json() for note in self.notes],
            "reasons": [reason.to_json() for reason in self.reasons],
        }
