"""What a request may hold. One model for query strings, forms and JSON, so that they cannot drift apart.

Lists and maps may come as JSON values or in the short form that fits a query string:
`facets=brand,price`, `weights=text=.6,lexical=.4`, `filters={"brand":"HP"}`.
"""

from __future__ import annotations

import json
import math
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator
from typing_extensions import TypedDict
from werkzeug.exceptions import RequestEntityTooLarge

from hybrid.contracts import SearchRequest
from hybrid.errors import UsageError
from hybrid.media import decode_data_url

MAX_FILE_BYTES = 10 * 1024 * 1024
#: Elasticsearch's default index.max_result_window: no page reaches past it.
MAX_WINDOW = 10_000
MAX_QUERY_CHARS = 1_000
MAX_VALUES = 200

Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Scalar = str | int | float | bool
P = TypeVar("P", bound="Params")


class RangeFilter(TypedDict, total=False):
    """At least one bound, both inclusive."""

    gte: int | float | str
    lte: int | float | str


#: No wildcard, comma or leading dot: one index, and never one of the cluster's own.
IndexName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]*$", max_length=255)]


def _decoder(kind: str, noun: str) -> BeforeValidator:
    """Of a field that takes a file: a base64 data URL, or bytes."""

    def decode(value: Any) -> Any:
        if isinstance(value, str):
            value = decode_data_url(value, kind)
        if isinstance(value, bytes):
            if not value:
                raise ValueError(f"the {noun} is empty")
            if len(value) > MAX_FILE_BYTES:
                raise RequestEntityTooLarge(f"{kind}: larger than 10 MB; send a smaller {noun}")
        return value

    return BeforeValidator(decode)


def _described(noun: str, example: str) -> Any:
    return Field(
        description=f"a {noun}, up to 10 MB: a base64 data URL in JSON, a file in multipart",
        json_schema_extra={"contentEncoding": "base64", "examples": [example]},
    )


Picture = Annotated[
    bytes | None, _decoder("image", "picture"), _described("picture", "data:image/jpeg;base64,/9j/4AAQ...")
]
Video = Annotated[bytes | None, _decoder("video", "video"), _described("video", "data:video/mp4;base64,AAAAIGZ0...")]
Sound = Annotated[
    bytes | None, _decoder("audio", "recording"), _described("recording", "data:audio/mpeg;base64,SUQzBAA...")
]


class Params(BaseModel):
    """Base of all parameter models: unknown fields are refused, so a typing error is never ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class SearchParams(Params):
    """One search."""

    index: IndexName | None = Field(None, description="index to search; default: the configured or only one")
    q: str = Field("", max_length=MAX_QUERY_CHARS, description="query text; empty and no image: browse all")
    image: Picture = None
    video: Video = None
    audio: Sound = None
    filters: dict[str, Scalar | list[Scalar] | RangeFilter] = Field(
        default_factory=dict,
        description="field to value, list of values (any of), or {gte, lte}",
        examples=[{"brand": ["HP", "Canon"], "price": {"gte": 10, "lte": 99.5}}],
    )
    facets: list[str] | None = Field(None, max_length=50, description="fields to count; default: the index's own")
    page: int = Field(1, ge=1, description="from 1; page x size is at most 10,000")
    size: int = Field(10, ge=1, le=100, description="hits a page")
    weights: dict[str, float] | None = Field(
        None, description="signal to non-negative number, overriding the system's", examples=[{"text": 0.6}]
    )
    alpha: float | None = Field(
        None, ge=0, le=1, description="instead of weights, where words meet one kind of vector: the vector's share"
    )
    weights_version: str | None = Field(
        None, max_length=100, description="published weights other than those in force; send it for later pages"
    )
    system: (
        Literal["bm25", "text", "image", "video", "audio", "fused", "rrf", "fixed", "global", "gate", "attention"]
        | None
    ) = Field(None, description="how the signals are combined; default: the weights in force for the index")
    explain: bool = Field(False, description="ask for the longer explanation")
    user: str | None = Field(None, max_length=200, description="the shop's id of the visitor")
    session: str | None = Field(None, max_length=200, description="the shop's id of the visit")

    @field_validator("filters", mode="before")
    @classmethod
    def _check_filters(cls, value: Any) -> Any:
        if isinstance(value, str):
            try:
                value = json.loads(value)
            except json.JSONDecodeError as error:
                raise ValueError(f"not valid JSON (column {error.colno}): {error.msg}") from None
        if not isinstance(value, dict):
            raise ValueError("must be an object of field to value")
        if len(value) > 50:
            raise ValueError("at most 50 fields")
        for name, wanted in value.items():
            _check_filter(name, wanted)
        return value

    @field_validator("facets", mode="before")
    @classmethod
    def _split_facets(cls, value: Any) -> Any:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    @field_validator("weights", mode="before")
    @classmethod
    def _split_weights(cls, value: Any) -> Any:
        return parse_weights(value) if isinstance(value, str) else value

    @field_validator("weights")
    @classmethod
    def _check_weights(cls, value: dict[str, float] | None) -> dict[str, float] | None:
        if value is None:
            return None
        for name, weight in value.items():
            if not math.isfinite(weight) or weight < 0:
                raise ValueError(f"{name} must be a number of at least 0")
        if not any(value.values()):
            raise ValueError("at least one must be above 0")
        return value

    @model_validator(mode="after")
    def _check_mix(self) -> SearchParams:
        if self.weights is not None and self.alpha is not None:
            raise ValueError("alpha: give weights or alpha, not both")
        return self

    @model_validator(mode="after")
    def _check_window(self) -> SearchParams:
        if self.page * self.size > MAX_WINDOW:
            raise ValueError(f"page: page x size must be at most {MAX_WINDOW:,}; narrow the search instead")
        return self

    def to_request(self, index: str) -> SearchRequest:
        """The core's request; `index` stands in where the caller named none."""
        return SearchRequest(
            index=self.index or index,
            q=self.q,
            image=self.image,
            video=self.video,
            audio=self.audio,
            filters=self.filters,
            facets=None if self.facets is None else tuple(self.facets),
            page=self.page,
            size=self.size,
            weights=self.weights,
            alpha=self.alpha,
            weights_version=self.weights_version,
            system=self.system,
            explain=self.explain,
        )


class SimilarParams(Params):
    """Products like a product."""

    index: IndexName | None = Field(None, description="default: the configured or only one")
    size: int = Field(10, ge=1, le=100, description="how many products at most")
    system: Literal["bm25", "text", "image", "video", "audio", "fused", "rrf"] | None = Field(
        None, description="by one kind of vector alone; default: by all that the product has"
    )


class SuggestParams(Params):
    """Completions of what has been typed so far."""

    q: str = Field("", max_length=200, description="what has been typed so far")
    index: IndexName | None = Field(None, description="default: the configured or only one")
    size: int = Field(8, ge=1, le=20, description="how many completions at most")


def parse_weights(value: str) -> dict[str, str]:
    """`text=.6,lexical=.4` as a map; the numbers are checked by the model."""
    weights: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in value.split(","))):
        name, equals, number = part.partition("=")
        if not equals or not name.strip():
            raise ValueError(f"{part!r} is not name=number")
        if name.strip() in weights:
            raise ValueError(f"{name.strip()} is given twice")
        weights[name.strip()] = number.strip()
    return weights


def _is_scalar(value: Any) -> bool:
    if isinstance(value, str):
        return len(value) <= 1_000
    return isinstance(value, bool) or (isinstance(value, int | float) and math.isfinite(value))


def _check_filter(name: str, wanted: Any) -> None:
    if not name:
        raise ValueError("a field has no name")
    if isinstance(wanted, dict):
        unknown = sorted(set(wanted) - {"gte", "lte"})
        if unknown or not wanted:
            raise ValueError(f"{name} must have gte, lte or both" + (f", not {unknown[0]}" if unknown else ""))
        if not all(_is_scalar(bound) and not isinstance(bound, bool) for bound in wanted.values()):
            raise ValueError(f"{name} has a bound that is neither a number nor a date")
    elif isinstance(wanted, list):
        if not wanted or len(wanted) > MAX_VALUES or not all(_is_scalar(item) for item in wanted):
            raise ValueError(f"{name} must be a list of 1 to {MAX_VALUES} plain values")
    elif not _is_scalar(wanted):
        raise ValueError(f"{name} must be a value, a list of values, or {{gte, lte}}")


class ChosenFailures(Params):
    """Letters by their ids."""

    letters: list[str] = Field(max_length=1_000, description="ids of letters")


class FailuresPage(Params):
    """A page of the failures of one reason."""

    index: IndexName
    reason: str = Field(max_length=100)
    page: int = Field(1, ge=1, le=200)


class SignIn(Params):
    """An account of the admin page."""

    name: str = Field(max_length=64)
    password: str = Field(max_length=200)


class Rating(Params):
    """How well a product answers a query, in a judgment list; rating again replaces."""

    index: IndexName
    list: str = Field(max_length=64, description="name of the list; a new name makes one")
    query: str = Field("", max_length=MAX_QUERY_CHARS, description="words; none where a photo alone is judged")
    image: Picture = None
    product: str = Field(min_length=1, max_length=512)
    rating: Literal[0, 1, 2, 3] | None = Field(description="0: no answer, to 3: exactly that; null takes it back")

    @model_validator(mode="after")
    def _check_query(self) -> Rating:
        if not self.query.strip() and self.image is None:
            raise ValueError("query: give words, a photo in image, or both")
        return self


class TryParams(Params):
    """One search under two systems: "" for the weights in force, "own", a system, or a version of the weights."""

    index: IndexName | None = Field(None, description="default: the configured or only one")
    q: str = Field("", max_length=MAX_QUERY_CHARS)
    image: Picture = None
    left: str = Field("bm25", max_length=100)
    right: str = Field("", max_length=100)
    left_weights: dict[str, Weight] = Field(default_factory=dict, description='of "own"')
    right_weights: dict[str, Weight] = Field(default_factory=dict, description='of "own"')


class RunAction(Params):
    """What is to be done with an index."""

    do: Literal["plan", "start", "sync", "pause", "resume", "swap", "cancel", "rollback", "drop", "go_on"]
    what: Literal["attach", "reindex"] = Field("reindex", description="plan, start: what")
    shards: int | None = Field(None, ge=1, le=1024, description="reindex: as now if none")
    signals: list[Literal["text", "image", "video", "audio", "fused"]] | None = Field(
        None, description="vectors; as now, or guessed, if none"
    )
    language: Literal["en", "zh"] | None = None
    swap: bool | None = Field(
        None, description="start: end with the swap, or when verified; true if none. resume: as it was started if none"
    )
    sure: bool = Field(False, description="cancel, rollback, drop: has to be true")

    @field_validator("shards", "language", mode="before")
    @classmethod
    def _empty(cls, value: Any) -> Any:
        return None if value == "" else value


class PointParams(Params):
    """A change of what is in force."""

    instead_of: str = Field(
        min_length=1, max_length=100, description="the version in force when it was decided; another by now: refused"
    )


class PromoteParams(PointParams):
    version: str = Field(min_length=1, max_length=100, description="a version of the weights, e.g. gate-2")


class TrainParams(Params):
    """What is to be learned, and from what."""

    kind: Literal["global", "gate", "attention"] = "gate"
    judgments: str | None = Field(None, max_length=64, description="a judgment list; none: made-up queries decide")
    made_up: int = Field(600, ge=0, le=20_000, description="queries to make up from the catalogue")
    folds: int = Field(5, ge=2, le=20, description="parts of the cross-validation")
    repeats: int = Field(4, ge=1, le=50, description="times that it is done, shuffled anew")


class EvaluationParams(Params):
    """What is to be measured."""

    index: IndexName
    judgments: str = Field(min_length=1, max_length=64, description="a judgment list of the index")
    systems: list[str] = Field(
        min_length=1, max_length=20, description="systems, or versions of the weights, e.g. bm25,gate,gate-2"
    )
    folds: int = Field(
        0, ge=0, le=20, description="2 or more: learned kinds answer queries that they have not seen, in so many folds"
    )

    @field_validator("systems", mode="before")
    @classmethod
    def _split_systems(cls, value: Any) -> Any:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def validate(model: type[P], data: Any) -> P:
    """The checked parameters.

    Raises:
        UsageError: one line that names each field that is wrong.
    """
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise UsageError("; ".join(_one_line(model, detail) for detail in error.errors()[:5])) from None


def _one_line(model: type[BaseModel], detail: Any) -> str:
    where = ".".join(str(part) for part in detail["loc"])
    if detail["type"] == "extra_forbidden":
        return f"{where}: unknown field; known are {', '.join(model.model_fields)}"
    if detail["type"] == "literal_error":
        known = str(detail["ctx"]["expected"]).replace("'", "").replace(" or ", ", ")
        return f"{where}: must be one of {known}"
    if detail["type"] == "string_pattern_mismatch":
        return f"{where}: not the name of one index (lower case letters, digits, - _ .)"
    message = detail["msg"].removeprefix("Value error, ").removeprefix("Input ")
    message = message[:1].lower() + message[1:]
    return f"{where}: {message}" if where else message
