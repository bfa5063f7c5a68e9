"""What a request may hold. One model for query strings, forms and JSON, so that they cannot drift apart.

Lists and maps may come as JSON values or in the short form that fits a query string:
`facets=brand,price`, `weights=text=.6,lexical=.4`, `filters={"brand":"HP"}`.
"""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from hybrid.catalogue.languages import AUTO
from hybrid.contracts import MAX_ID_BYTES
from hybrid.signals import SIGNALS
from hybrid.text.stems import languages
from hybrid.text.synonyms import MAX_BYTES
from web.openapi import OF_SEARCHES, Described
from web.params import MAX_QUERY_CHARS, IndexName, OneOf, Params, Picture, Weight, example

SignalName = Annotated[str, OneOf(lambda: SIGNALS)]
LanguageName = Annotated[str, OneOf(lambda: (AUTO, *languages()))]

#: Describes a call of the admin's interface for programs.
Call = partial(Described, errors=(*OF_SEARCHES, 401, 403, 429), token="admin")


class ChosenFailures(Params):
    """Dead letters by their ids."""

    model_config = example(dead_letters=["shop:p-102:image"])

    dead_letters: list[str] = Field(max_length=1_000, description="ids of dead letters")


class FailuresPage(Params):
    """A page of the failures of one reason."""

    index: IndexName
    reason: str = Field(max_length=100)
    page: int = Field(1, ge=1, le=200)


class SignIn(Params):
    """An account of the admin page."""

    model_config = example(name="ed", password="correct horse battery")

    name: str = Field(max_length=64)
    password: str = Field(max_length=200)


class Rating(Params):
    """How well a product answers a query, in a judgment list; rating again replaces."""

    model_config = example(index="shop", list="lamps", query="desk lamp", product="p-102", rating=3)

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
    """One search under two systems: "" for the active weights, "own", a system, or a version of the weights."""

    model_config = example(index="shop", q="desk lamp", left="bm25", right="gate-2")

    index: IndexName | None = Field(None, description="default: the configured or only one")
    q: str = Field("", max_length=MAX_QUERY_CHARS)
    image: Picture = None
    left: str = Field("bm25", max_length=100)
    right: str = Field("", max_length=100)
    left_weights: dict[str, Weight] = Field(default_factory=dict, description='of "own"')
    right_weights: dict[str, Weight] = Field(default_factory=dict, description='of "own"')


class RunAction(Params):
    """An action on an index."""

    model_config = example(do="start", what="reindex")

    do: Literal["plan", "start", "sync", "pause", "resume", "swap", "cancel", "rollback", "drop", "go_on"]
    what: Literal["attach", "reindex"] = Field("reindex", description="plan, start: what")
    shards: int | None = Field(None, ge=1, le=1024, description="reindex: as now if none")
    signals: list[SignalName] | None = Field(None, description="vectors; as now, or guessed, if none")
    language: LanguageName | None = Field(None, description="of the words; auto: each field's, from its values")
    swap: bool | None = Field(
        None, description="start: end with the swap, or when verified; true if none. resume: as it was started if none"
    )
    sure: bool = Field(False, description="cancel, rollback, drop: has to be true")

    @field_validator("shards", "language", mode="before")
    @classmethod
    def _empty(cls, value: Any) -> Any:
        return None if value == "" else value


class DeletedProducts(Params):
    """Products to delete."""

    model_config = example(products=["p-102", "p-103"])

    products: list[Annotated[str, Field(min_length=1, max_length=MAX_ID_BYTES)]] = Field(
        min_length=1, max_length=1_000, description="ids"
    )


class PointParams(Params):
    """A change of the active version."""

    model_config = example(instead_of="gate-2")

    instead_of: str = Field(
        min_length=1, max_length=100, description="the active version when it was decided; another by now: refused"
    )


class VersionParams(Params):
    """A version of a trained model."""

    model_config = example(version="gate-2")

    version: str = Field(min_length=1, max_length=100, description="a version of a trained model, e.g. gate-2")


class ApplyParams(PointParams, VersionParams):
    """A version that is to be active."""

    model_config = example(version="gate-2", instead_of="fixed-1")


class SynonymsParams(Params):
    """The synonyms of an index, as a whole."""

    model_config = example(text="sofa, couch, settee\ntrainers => running shoes", instead_of=0)

    text: str = Field(max_length=MAX_BYTES, description="a rule a line, in the format of Elasticsearch and Solr")
    instead_of: int = Field(ge=0, description="the version that was shown, 0 for none; another by now: refused")


class NoSynonymsParams(Params):
    """The version of the synonyms to remove."""

    model_config = example(instead_of=3)

    instead_of: int = Field(ge=0, description="the version that was shown; another by now: refused")


class PriorsParams(Params):
    """The numbers of products that are to count in searches."""

    model_config = example(fields=["rating", "price:less"])

    fields: list[str] = Field(
        max_length=10, description="numbers and dates of the index, with `:less` where less is better; none: no number"
    )


class TrainParams(Params):
    """A training: the kind of weights, and the data."""

    model_config = example(kind="kinds", judgments="lamps")

    kind: Literal["global", "kinds", "gate", "attention"] = "kinds"
    judgments: str | None = Field(
        None, max_length=64, description="a judgment list; gate and attention can do without: synthetic queries decide"
    )
    synthetic: int = Field(600, ge=0, le=20_000, description="queries to make up from the catalogue")
    folds: int = Field(5, ge=2, le=20, description="parts of the cross-validation")
    repeats: int = Field(4, ge=1, le=50, description="times that it is done, shuffled anew")


class EvaluationParams(Params):
    """An evaluation: the list, and the systems."""

    model_config = example(index="shop", judgments="lamps", systems=["bm25", "gate-2"])

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
