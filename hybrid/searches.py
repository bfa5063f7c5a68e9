"""What is asked of a search, and what is answered. Plain data: no I/O, no heavy imports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from hybrid.facts import Counted, Note, Reason
from hybrid.signals import SIGNALS

LEARNED_SYSTEMS = ("global", "gate", "attention")


def parts() -> tuple[str, ...]:
    """What a search can do without when it fails.

    "vectors": all signals but the words; "imputation": the scores of products that have no vector; "weights": those
    that were learned.
    """
    return ("lexical", *SIGNALS, "vectors", "imputation", "weights")


def unweighted_systems() -> tuple[str, ...]:
    """Systems that weigh nothing: words alone, each signal alone, and reciprocal rank fusion."""
    return ("bm25", *(name for name, signal in SIGNALS.items() if signal.of is None), "rrf")


def systems() -> tuple[str, ...]:
    """Every way to search that a request may name."""
    return (*unweighted_systems(), "fixed", *LEARNED_SYSTEMS)


@dataclass(frozen=True, slots=True)
class SignalScore:
    """What one signal gave one hit. contribution = weight * scaled; raw is None where the product has nothing for
    that signal (no vector), and then scaled is what products most like it in words have, or weight is 0."""

    raw: float | None
    scaled: float
    weight: float
    contribution: float


@dataclass(frozen=True)
class SearchRequest:
    """One search. filters: field -> value, list of values (any of), or {"gte": x, "lte": y}.

    like: id of a product whose own vectors are searched by, in place of words and files; it is not among the hits.
    weights: signal -> non-negative number, overriding the system's; alpha: the same for words and one kind of
    vector, as the vector's share; weights_version: published weights other than the active ones. facets: field
    paths, or None for the index's own. page counts from 1; size is hits a page. bare: hits without their documents.
    quick: words are searched by words alone, as the server is busy.
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


@dataclass
class SearchAnswer:
    """total counts the set named by `total_counts`; it and the facets are the same on every page.

    notes: why signals were left out or lowered. reasons: what in the query moved the weights, strongest first.
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
    took_ms: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """Facts with their English `text`."""
        return {
            **asdict(self),
            "total_counts": self.total_counts.to_json(),
            "notes": [note.to_json() for note in self.notes],
            "reasons": [reason.to_json() for reason in self.reasons],
        }
