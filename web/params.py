"""Reads a request's fields from wherever they are: query string, form, multipart or JSON."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from flask import Request
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import CoreSchema, core_schema
from typing_extensions import TypedDict
from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import BadRequest, RequestEntityTooLarge, UnsupportedMediaType

from hybrid.contracts import MEDIA
from hybrid.errors import UsageError
from hybrid.media import decode_data_url
from hybrid.searches import UNDERSTANDS, SearchRequest, systems, unweighted_systems
from web.requests import read_json


def fields_of(request: Request) -> dict[str, Any]:
    """The fields of a GET or POST as one plain map, not yet checked.

    Raises:
        UsageError: a field is given twice, or the body is not what it says it is.
    """
    if request.method in ("GET", "HEAD"):
        return from_pairs(request.args)
    if request.args:
        raise UsageError(f"{next(iter(request.args))}: send the fields in the body, not in the address")
    if request.mimetype == "application/json":
        return _from_json(request)
    if request.mimetype in ("multipart/form-data", "application/x-www-form-urlencoded"):
        data = from_pairs(request.form)
        for name, files in request.files.lists():
            chosen = [file for file in files if file.filename or file.content_length]
            if not chosen:
                continue  # a form sends an empty part for a file that was not chosen
            if name not in MEDIA or len(chosen) > 1 or name in data:
                raise UsageError(f"{name}: one file a field is taken, in the fields {', '.join(MEDIA)}")
            data[name] = chosen[0].read()
        return data
    raise UnsupportedMediaType("send application/json, multipart/form-data or a plain form")


def json_of(request: Request) -> dict[str, Any]:
    """The fields of a request that takes JSON alone, not yet checked.

    Raises:
        UsageError: the body is no JSON object, or there are fields in the address as well.
        UnsupportedMediaType: it is of another type.
    """
    wanted(request, "application/json")
    return fields_of(request)


def wanted(request: Request, mimetype: str) -> None:
    """Raises UnsupportedMediaType: the body is of another type, or does not say of which."""
    if request.mimetype != mimetype:
        raise UnsupportedMediaType(f"send {mimetype}")


def from_pairs(pairs: MultiDict[str, str]) -> dict[str, Any]:
    """Fields of a query string or form; repeated `filter=brand:HP` are gathered under `filters`.

    Empty values are left out, as forms send them for what was not filled in.
    """
    data: dict[str, Any] = {}
    chosen: dict[str, list[str]] = {}
    for name, values in pairs.lists():
        if name == "filter":
            for value in values:
                field, colon, chosen_value = value.partition(":")
                if not colon or not field or not chosen_value:
                    raise UsageError(f"filter: {value!r} is not field:value")
                chosen.setdefault(field, []).append(chosen_value)
        elif name == "facets":
            data[name] = ",".join(values)
        elif len(values) > 1:
            raise UsageError(f"{name}: given {len(values)} times")
        elif values[0]:
            data[name] = values[0]
    if chosen:
        if "filters" in data:
            raise UsageError("filter: use either filter or filters")
        data["filters"] = {field: values if len(values) > 1 else values[0] for field, values in chosen.items()}
    return data


def _from_json(request: Request) -> dict[str, Any]:
    try:
        data = request.get_json()
    except BadRequest as error:
        raise UsageError("body: not valid JSON") from error
    if not isinstance(data, dict):
        raise UsageError("body: must be a JSON object")
    return data


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
        description=f"a {noun}, up to 10 MB: a file in multipart, else a base64 data URL",
        json_schema_extra={"contentEncoding": "base64", "examples": [example]},
    )


@dataclass(frozen=True)
class OneOf:
    """Of a text field: it is one of `names`. They are looked up at each check, for a table may grow."""

    names: Callable[[], Iterable[str]]

    def check(self, value: str) -> str:
        known = tuple(self.names())
        if value not in known:
            raise ValueError(f"must be one of {', '.join(known)}")
        return value

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {**handler(schema), "enum": list(self.names())}


System = Annotated[str, OneOf(systems)]
UnderstandName = Annotated[str, OneOf(lambda: UNDERSTANDS)]
UnweightedSystem = Annotated[str, OneOf(unweighted_systems)]

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


def example(**fields: Any) -> ConfigDict:
    """The configuration of a model whose description has an example."""
    return ConfigDict(json_schema_extra={"examples": [fields]})


class SearchParams(Params):
    """One search."""

    model_config = example(q="desk lamp", filters={"brand": ["Lumen", "Strato"], "price": {"lte": 99.5}}, size=10)

    index: IndexName | None = Field(None, description="index to search; default: the configured or the only one")
    q: str = Field("", max_length=MAX_QUERY_CHARS, description="query text; empty and no image: browse all")
    image: Picture = None
    video: Video = None
    audio: Sound = None
    filters: dict[str, Scalar | list[Scalar] | RangeFilter] = Field(
        default_factory=dict,
        description="field to value, list of values (any of), or {gte, lte}; as JSON where it is text",
        examples=[{"brand": ["HP", "Canon"], "price": {"gte": 10, "lte": 99.5}}],
    )
    facets: list[str] | None = Field(
        None,
        max_length=50,
        description="fields to count; default: the index's own; where it is text, separated by commas, none: empty",
    )
    page: int = Field(1, ge=1, description="from 1; page x size is at most 10,000")
    size: int = Field(10, ge=1, le=100, description="hits a page")
    weights: dict[str, float] | None = Field(
        None,
        description="signal to non-negative number, overriding the system's; where it is text, name=number,name=number",
        examples=[{"text": 0.6}],
    )
    alpha: float | None = Field(
        None, ge=0, le=1, description="instead of weights, where words meet one kind of vector: the vector's share"
    )
    weights_version: str | None = Field(
        None, max_length=100, description="published weights other than the active ones; send it for later pages"
    )
    system: System | None = Field(
        None, description="how the signals are combined; default: the active weights for the index"
    )
    explain: bool = Field(False, description="ask for the longer explanation")
    understand: list[UnderstandName] = Field(
        list(UNDERSTANDS),
        description="what is read from q beside words; as text: separated by commas; false: nothing, true: all",
        examples=[["phrases", "exclusions"]],
    )
    correct: bool = Field(True, description="whether mistyped words are also searched as what they may stand for")
    user: str | None = Field(None, max_length=200, description="the shop's id of the visitor")
    session: str | None = Field(None, max_length=200, description="the shop's id of the visit")

    @field_validator("filters", mode="before")
    @classmethod
    def _check_filters(cls, value: Any) -> Any:
        if isinstance(value, str):
            try:
                value = read_json(value)
            except ValueError as error:
                raise ValueError(f"not valid JSON: {error}") from None
        if not isinstance(value, dict):
            raise ValueError("must be an object of field to value")
        if len(value) > 50:
            raise ValueError("at most 50 fields")
        for name, condition in value.items():
            _check_filter(name, condition)
        return value

    @field_validator("facets", mode="before")
    @classmethod
    def _split_facets(cls, value: Any) -> Any:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    @field_validator("understand", mode="before")
    @classmethod
    def _read_understand(cls, value: Any) -> Any:
        if isinstance(value, bool | str) and str(value).lower() in ("true", "false"):
            return list(UNDERSTANDS) if str(value).lower() == "true" else []
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
            understand=tuple(self.understand),
            correct=self.correct,
        )


class SimilarParams(Params):
    """Products like a product."""

    model_config = example(size=4)

    index: IndexName | None = Field(None, description="default: the configured or the only one")
    size: int = Field(10, ge=1, le=100, description="how many products at most")
    system: UnweightedSystem | None = Field(
        None, description="by one kind of vector alone; default: by all that the product has"
    )


class SuggestParams(Params):
    """Completions of what has been typed so far."""

    model_config = example(q="desk la", size=8)

    q: str = Field("", max_length=200, description="what has been typed so far")
    index: IndexName | None = Field(None, description="default: the configured or the only one")
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


def _check_filter(name: str, condition: Any) -> None:
    if not name:
        raise ValueError("a field has no name")
    if isinstance(condition, dict):
        unknown = sorted(set(condition) - {"gte", "lte"})
        if unknown or not condition:
            raise ValueError(f"{name} must have gte, lte or both" + (f", not {unknown[0]}" if unknown else ""))
        if not all(_is_scalar(bound) and not isinstance(bound, bool) for bound in condition.values()):
            raise ValueError(f"{name} has a bound that is neither a number nor a date")
    elif isinstance(condition, list):
        if not condition or len(condition) > MAX_VALUES or not all(_is_scalar(item) for item in condition):
            raise ValueError(f"{name} must be a list of 1 to {MAX_VALUES} plain values")
    elif not _is_scalar(condition):
        raise ValueError(f"{name} must be a value, a list of values, or {{gte, lte}}")


def validate(model: type[P], data: Any) -> P:
    """The checked parameters.

    Raises:
        UsageError: one line that names each field that is wrong.
    """
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise UsageError("; ".join(_one_line(model, detail) for detail in error.errors()[:5])) from None


def page_of(text: str, most: int) -> int:
    """The number of a page, from 1.

    Raises:
        UsageError: it is none from 1 to `most`.
    """
    if not text.isdecimal() or len(text) > 9 or not 1 <= int(text) <= most:
        raise UsageError(f"page: must be a number from 1 to {most:,}")
    return int(text)


class _Named(Params):
    index: IndexName


def checked_index(index: str) -> str:
    """The name of an index, as it stands in an address.

    Raises:
        UsageError: it is no name of one index.
    """
    return validate(_Named, {"index": index}).index


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
