"""What the API promises of its answers: one model an answer, for the description at `/openapi.json`.

Views answer with what the core gives, and nothing is validated while they do: the web tests hold every answer
that they get to these models.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field

from hybrid.facts import NoteKind


class Counted(BaseModel):
    """The set of products that a total counts: those by words, and the `depth` nearest by each of the signals."""

    words: Literal["matching", "all"] | None = Field(
        description="products with one of the words, all products, or null where words took no part",
        examples=["matching"],
    )
    signals: list[str] = Field(examples=[["text"]])
    depth: int = Field(examples=[200])
    text: str = Field(
        description="the same in English", examples=["products with one of the words, and the 200 nearest by text"]
    )


class Note(BaseModel):
    """Why a signal was left out, or counts less than its weight."""

    kind: NoteKind
    signal: str = Field(examples=["image"])
    encoder: str | None = Field(description="of untrained_script and unknown_words")
    script: str | None = Field(description="of untrained_script and unknown_words")
    code: str | None = Field(description="of unknown_code, as it was typed")
    value: float | None = Field(
        description="the weight of not_searched, the best scaled score of weak_match, the least cosine of below_floor",
        examples=[0.03],
    )
    text: str = Field(description="the same in English")


class Reason(BaseModel):
    """A feature of the query that moved the weights, or its kind."""

    feature: str = Field(description="a feature, or a kind of query", examples=["has digits"])
    more: bool = Field(description="whether the query has more of it than the judged queries have on average")
    signal: str = Field(description="the one whose weight it moved most", examples=["lexical"])
    change: float = Field(description="of that weight", examples=[0.12])
    text: str = Field(description="the same in English")


class SignalScore(BaseModel):
    """What one signal gave one hit."""

    raw: float | None = Field(description="in the signal's own unit; null where the product has nothing for it")
    scaled: float = Field(description="raw in [0, 1]; where raw is null, what like products have, or a number's median")
    weight: float = Field(description="the signal's weight in this answer")
    contribution: float = Field(description="weight x scaled; the contributions of a hit sum to its score")


class Hit(BaseModel):
    """One product."""

    id: str = Field(examples=["p-102"])
    score: float = Field(examples=[0.93])
    signals: dict[str, SignalScore] = Field(
        description="signal -> its part in the score",
        examples=[
            {
                "lexical": {"raw": 12.4, "scaled": 1.0, "weight": 0.4, "contribution": 0.4},
                "text": {"raw": 0.71, "scaled": 0.883, "weight": 0.6, "contribution": 0.53},
            }
        ],
    )
    source: dict[str, Any] = Field(
        description="the shop's own document", examples=[{"title": "Desk lamp", "brand": "Lumen", "price": 89.0}]
    )
    highlight: dict[str, str] = Field(
        description="role of a field -> its text as HTML, with <mark> around the words of the query",
        examples=[{"title": "Desk <mark>lamp</mark>"}],
    )
    nearest: dict[str, float] = Field(
        description="signal -> which of several pictures, from 0, or the second of the video's frame, was nearest",
        examples=[{"image": 1.0}],
    )
    in_stock: bool | None = Field(
        description="whether it can be had, whatever form its document says it in; null where it does not say",
        examples=[True],
    )


class FacetValue(BaseModel):
    """One value of a facet, and how many products have it."""

    value: str | float | bool
    count: int


class FacetRange(BaseModel):
    """What a facet of numbers or dates spans, and over how many values; dates in milliseconds since 1970."""

    min: float
    max: float
    count: int


class Degradation(BaseModel):
    """A part that failed, so that the answer was made without it."""

    part: str = Field(examples=["image"])
    reason: str = Field(examples=["the model cannot be loaded"])


class Understood(BaseModel):
    """What a part of the typed words was taken for."""

    kind: Literal["phrase", "exclusion", "price", "synonym"]
    text: str = Field(description="that part, as it was typed", examples=["under 50"])
    field: str | None = Field(description="of a price: the field that it filters", examples=["price"])
    filter: dict[str, float] | None = Field(
        description="of a price: its bounds, of gt, gte, lt and lte", examples=[{"lt": 50.0}]
    )
    applied: bool = Field(description="false where a filter of the request on the field won", examples=[True])
    others: list[str] = Field(description="of a synonym: the words that were searched beside it", examples=[[]])


class Corrected(BaseModel):
    """A query that may be mistyped."""

    typed: str = Field(description="as it was sent", examples=["desk lmap"])
    also: str = Field(description="as it was searched beside that", examples=["desk lamp"])


class SearchAnswer(BaseModel):
    """A page of hits. total and facets are the same on every page."""

    total: int = Field(description="products in the set that total_counts names", examples=[36])
    hits: list[Hit] = Field(description="best first")
    facets: dict[str, list[FacetValue | FacetRange]] = Field(
        description="field -> its values, most frequent first, or its one range",
        examples=[{"brand": [{"value": "Lumen", "count": 12}], "price": [{"min": 18.0, "max": 1349.0, "count": 36}]}],
    )
    page: int = Field(examples=[1])
    size: int = Field(examples=[10])
    system: str = Field(description="how the signals were combined", examples=["gate"])
    weights: dict[str, float] = Field(
        description="signal -> weight; they sum to 1", examples=[{"lexical": 0.4, "text": 0.6}]
    )
    weights_version: str = Field(description="send it for later pages", examples=["gate-2"])
    total_counts: Counted = Field(description="the set that total counts")
    degraded: list[Degradation] = Field(description="empty where nothing failed", examples=[[]])
    notes: list[Note] = Field(description="why a signal was left out or lowered", examples=[[]])
    reasons: list[Reason] = Field(description="what in the query moved the weights, strongest first", examples=[[]])
    understood: list[Understood] = Field(description="what of q was more than words")
    took_ms: float = Field(examples=[41.7])
    corrected: Corrected | None = Field(
        description="null where the query was searched as it was typed alone; `correct=false` asks for that"
    )


class Suggestion(BaseModel):
    """A title that goes on from what has been typed."""

    text: str = Field(examples=["Desk lamp"])
    id: str = Field(description="of the product", examples=["p-102"])
    kind: Literal["product"]


class Suggestions(BaseModel):
    """Completions, best first."""

    index: str = Field(examples=["shop"])
    q: str = Field(examples=["desk la"])
    suggestions: list[Suggestion]


class Pushed(BaseModel):
    """What became of one document."""

    id: str = Field(examples=["p-102"])
    result: Literal["created", "updated", "unchanged", "deleted", "not_found", "error"]
    reason: str | None = Field(None, description="of an error: its type")
    message: str | None = Field(None, description="of an error: what the cluster says")


class PushAnswer(BaseModel):
    """One result a document, in the order sent."""

    index: str = Field(examples=["shop"])
    errors: bool = Field(description="whether any document failed", examples=[False])
    waiting: int = Field(description="documents that wait for a vector", examples=[1])
    queued: bool = Field(
        description="whether the workers know of them; if not, the next sync finds them", examples=[True]
    )
    results: list[Pushed]


class ActiveModel(BaseModel):
    """Which version of a kind of model an index uses."""

    version: str | None = Field(description="null: no model of the kind", examples=["shop-text-2"])
    since: str | None = Field(description="null: it is not known", examples=["2026-11-02T09:30:00Z"])
    before: str | None = Field(
        description='the version that a rollback makes active, "none" for no model; null: no rollback is possible',
        examples=["shop-text-1"],
    )


class ModelApplied(BaseModel):
    """The result of applying a version, or of rolling back."""

    active: ActiveModel
    notified: bool | None = Field(
        description="whether a worker was notified of the order; null: it is done already", examples=[True]
    )


class Alive(BaseModel):
    """The process lives."""

    status: Literal["alive"]


class Part(BaseModel):
    """One part that search needs."""

    ok: bool = Field(examples=[True])
    version: str | None = Field(None, description="of Elasticsearch, where it answers", examples=["9.2.1"])
    reason: str | None = Field(None, description="why it is not ok")


class Readiness(BaseModel):
    """Whether searches can be answered."""

    ready: bool = Field(examples=[True])
    parts: dict[str, Part] = Field(examples=[{"elasticsearch": {"ok": True, "version": "9.2.1"}}])


class ErrorDetail(BaseModel):
    """What is wrong."""

    type: str = Field(description="class of the error", examples=["UsageError"])
    reason: str = Field(
        description="one line: what is wrong and what to do", examples=["size: should be less than or equal to 100"]
    )


class Error(BaseModel):
    """Every error answer but those of the drop-in, whatever its status."""

    error: ErrorDetail


class ClusterInfo(BaseModel):
    """Which Elasticsearch this is."""

    name: str = Field(examples=["hybrid"])
    cluster_name: str = Field(examples=["hybrid"])
    version: dict[str, str] = Field(examples=[{"number": "9.2.1", "build_flavor": "default"}])
    tagline: str = Field(examples=["You Know, for Search"])


class ClusterCause(BaseModel):
    """What is wrong."""

    type: str = Field(examples=["illegal_argument_exception"])
    reason: str = Field(examples=["request [/es/shop/_search] contains unrecognized parameter: [sort_by]"])


class ClusterErrorDetail(ClusterCause):
    """What is wrong, and its cause."""

    root_cause: list[ClusterCause]


class ClusterError(BaseModel):
    """An error answer of the drop-in, as Elasticsearch shapes its own."""

    error: ClusterErrorDetail
    status: int = Field(examples=[400])
