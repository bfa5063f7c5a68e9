"""Nouns that travel between the parts. Plain data: no I/O, no heavy imports."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

import orjson

from hybrid.signals import PRIOR, SIGNALS

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

#: What a catalogue field is for, in words. Several source fields may share a role (`title=name+name_zh`).
ROLES = {
    "id": "identifies the product; must be there",
    "title": "searched, weighs most; must be there",
    "description": "searched; long texts that nobody named as well",
    "brand": "searched; a facet",
    "category": "searched; a facet, in which a parent (Home) finds its children (Home > Kitchen)",
    "tags": "searched; a facet",
    "color": "searched; a facet",
    "code": "model and part numbers, SKUs of variants; searched whole and in parts",
    "attributes": "searched",
    "price": "a number, what is paid now; a filter and a facet",
    "regular_price": "a number, what is paid without a sale; shown struck through",
    "currency": "a code such as EUR; shown with the price",
    "stock": "pieces left, or words that say yes or no; shown when there is none",
    "rating": "a number; shown, and a filter",
    "date": "a date; a filter",
    "image": "pictures of the product",
    "video": "a video of the product",
    "audio": "a sound of the product",
    "url": "link to the product's page",
}

#: Roles whose text is searched, in order of weight. `code` is a model or part number.
TEXT_ROLES = ("title", "code", "brand", "category", "tags", "color", "description", "attributes")

FUSED = "fused"
#: The kinds of files that a search may bring along, and that a product's fields may name.
MEDIA = ("image", "video", "audio")
#: The predicted tags of a product, in `hybrid.tags`. No signal, but waited for and made anew like one.
TAGS = "tags"
#: What can be filtered on and counted of them.
TAGS_FIELD = "hybrid.tags.name"


@dataclass(frozen=True, slots=True)
class Product:
    """One catalogue row. `source` is the shop's own document, untouched; `line` counts from 1."""

    id: str
    source: dict[str, Any]
    line: int


#: Elasticsearch's own limit on an _id.
MAX_ID_BYTES = 512
#: The mark before the decimals of a column's numbers; "" where it has both, and only what can be one thing is read.
Mark = Literal[".", ",", ""]
#: Between the levels of a category's path, as it is stored: "Home > Kitchen > Pots".
LEVEL = " > "
#: Types of fields that hold numbers; those of a shop's own template too.
NUMBERS = ("long", "double", "float", "integer", "short", "byte", "half_float", "scaled_float", "unsigned_long")


@dataclass(frozen=True, slots=True)
class Reject:
    """A row that could not be taken: where it stands, a typed reason, and a sentence."""

    line: int
    reason: str
    message: str
    row: str = ""


@dataclass(frozen=True)
class FieldMap:
    """Which source fields play which role, and how they are indexed.

    roles: role -> source field paths (dotted for nested fields), e.g. {"title": ("name", "name_zh")}.
    types: source field path -> "keyword" | "long" | "double" | "date" | "boolean", the fields that are
        indexed as they are (facets, filters, sorting); all other source fields live in _source alone.
    facets: source field paths offered as facets, most useful first.
    marks: source field path -> the mark before decimals, of numbers that are written for people (1.299,00) and are
        read as numbers before they are indexed; "" where a column has both.
    lists: source field path -> what is between the values of one text ("summer, sale").
    paths: source field path -> what is between the levels of a category; it is indexed with all levels above it.
    flags: source field paths of words that mean yes or no ("In stock"), which are indexed as true and false.
    languages: source field path -> the language of its words, where that is another than the index's.
    """

    roles: Mapping[str, tuple[str, ...]]
    types: Mapping[str, str] = field(default_factory=dict)
    facets: tuple[str, ...] = ()
    marks: Mapping[str, Mark] = field(default_factory=dict)
    lists: Mapping[str, str] = field(default_factory=dict)
    paths: Mapping[str, str] = field(default_factory=dict)
    flags: tuple[str, ...] = ()
    languages: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def canonical(self) -> bytes:
        """The same for the same map, whatever the order of its keys; part of every document's fingerprint."""
        return orjson.dumps(self.to_json(), option=orjson.OPT_SORT_KEYS)

    def to_json(self) -> dict[str, Any]:
        return {
            "roles": {role: list(paths) for role, paths in self.roles.items()},
            **{name: dict(getattr(self, name)) for name in ("types", "marks", "lists", "paths")},
            **{name: list(getattr(self, name)) for name in ("facets", "flags")},
            # Left out where there are none, so that fingerprints of before are what they were.
            **({"languages": dict(self.languages)} if self.languages else {}),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> FieldMap:
        return cls(
            roles={role: tuple(paths) for role, paths in data["roles"].items()},
            types=dict(data.get("types", {})),
            facets=tuple(data.get("facets", ())),
            marks=dict(data.get("marks", {})),
            lists=dict(data.get("lists", {})),
            paths=dict(data.get("paths", {})),
            flags=tuple(data.get("flags", ())),
            languages=dict(data.get("languages", {})),
        )


def values_at(source: Mapping[str, Any], path: str) -> Iterator[Any]:
    """Every scalar under a dotted path, lists and nested objects flattened.

    A key that itself contains dots wins over the nested reading.

    >>> list(values_at({"offer": [{"price": 3}, {"price": 4}]}, "offer.price"))
    [3, 4]
    """
    if path in source:
        yield from _scalars(source[path])
        return
    head, _, rest = path.partition(".")
    if rest and head in source:
        inner = source[head]
        for item in inner if isinstance(inner, list) else [inner]:
            if isinstance(item, Mapping):
                yield from values_at(item, rest)


def _scalars(value: Any) -> Iterator[Any]:
    if isinstance(value, str | int | float):  # nearly all of them
        if value != "":
            yield value
    elif isinstance(value, Mapping):
        # By name: Elasticsearch gives the keys of a document in this order or that.
        for _, item in sorted(value.items()):
            yield from _scalars(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _scalars(item)
    elif value is not None:
        yield value


@dataclass(frozen=True, slots=True)
class VectorSignal:
    """A vector signal of an index: which encoder filled it. `encoder` is a registry spec.

    views: how many pictures of a product, or frames of a video, have a vector of their own at most; a product is as
    near as the nearest of them. titles: whether a title has a vector of its own beside that of all text.
    """

    encoder: str
    version: str
    dims: int
    views: int = 1
    titles: bool = False

    @property
    def made_by(self) -> str:
        """What the state of a product's vector names as its encoder, where nothing is to be made anew."""
        return f"{self.version}+titles" if self.titles else self.version

    def to_json(self) -> dict[str, Any]:
        """Without `titles` where there are none, so that profiles of before are what they were."""
        return {name: value for name, value in asdict(self).items() if name != "titles" or value}


@dataclass(frozen=True, slots=True)
class Floor:
    """How near a vector must be to bring a product where no word matches; see hybrid.search.floor.

    version: of the encoder that it was calibrated with; it says nothing of another one's vectors. cosines: script of
    the query -> the least cosine.
    """

    version: str
    cosines: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Prior:
    """A number or a date of the products that counts beside what they are found by; see hybrid.search.numbers.

    field: of the shop's documents. less: whether less of it is better; of a date, whether older is. quantiles: (value,
    share of the catalogue's values below it) of a number, rising; () of a date. typical: the median of the catalogue,
    which a product without a value has; of a date, the median age in days, which is its half life.
    """

    field: str
    less: bool
    quantiles: tuple[tuple[float, float], ...]
    typical: float

    @property
    def signal(self) -> str:
        return f"{PRIOR}.{self.field}"

    @property
    def is_date(self) -> bool:
        return not self.quantiles

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Prior:
        quantiles = tuple((float(value), float(share)) for value, share in data["quantiles"])
        return cls(str(data["field"]), bool(data["less"]), quantiles, float(data["typical"]))


@dataclass(frozen=True, slots=True)
class TagsUse:
    """The tags of an index: the version of the model, and the signals whose vectors it looks at; looks: not at the
    vectors, but at what they were made of (pictures)."""

    version: str
    parts: tuple[str, ...]
    reads_pictures: bool = False

    def to_json(self) -> dict[str, Any]:
        return {
            "version": self.version,
            "parts": list(self.parts),
            **({"reads_pictures": True} if self.reads_pictures else {}),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> TagsUse:
        return cls(data["version"], tuple(data["parts"]), bool(data.get("reads_pictures", False)))


@dataclass(frozen=True)
class IndexProfile:
    """What the layer knows of an index that it made or is attached to; stored in the mapping's `_meta.hybrid`.

    index is the name that people use (an alias); media_root the folder of the product pictures.
    lexical_fields: the shop's own analysed fields that the words are searched in, with boosts ("name^3"); empty
    for the layer's `hybrid.terms`. tags: the model of tags that is applied to it. attached: the index is the shop's
    own, and the layer only adds its field.
    concrete: the one index behind the name that this was read from, "" where several are; the same layer behind
    another index is the same profile, so it is neither stored nor compared.
    floors: signal -> its floor, of the signals that have one. It follows from the documents, so it is not compared.
    priors: the numbers of products that count, in the order in which they were named; not compared either.
    without_layer: why the words alone can be searched, and the cure, where the layer has no part in the index behind
    the name; "" where it has. Such a profile is made for a search, and never stored.
    """

    index: str
    fields: FieldMap
    signals: Mapping[str, VectorSignal]
    language: str
    analysis: str
    media_root: str | None = None
    lexical_fields: tuple[str, ...] = ()
    shards: int = 1
    attached: bool = False
    tags: TagsUse | None = None
    concrete: str = field(default="", compare=False)
    without_layer: str = field(default="", compare=False)
    floors: Mapping[str, Floor] = field(default_factory=dict, compare=False)
    priors: tuple[Prior, ...] = field(default=(), compare=False)

    def to_json(self) -> dict[str, Any]:
        return {
            "fields": self.fields.to_json(),
            "signals": {name: signal.to_json() for name, signal in self.signals.items()},
            "language": self.language,
            "analysis": self.analysis,
            "media_root": self.media_root,
            "lexical_fields": list(self.lexical_fields),
            "attached": self.attached,
            # Left out where there are none, so that profiles of before are what they were.
            **({"tags": self.tags.to_json()} if self.tags else {}),
            **({"floors": {name: asdict(floor) for name, floor in self.floors.items()}} if self.floors else {}),
            **({"priors": [asdict(prior) for prior in self.priors]} if self.priors else {}),
        }

    @classmethod
    def from_json(cls, index: str, data: Mapping[str, Any], shards: int = 1, concrete: str = "") -> IndexProfile:
        return cls(
            index=index,
            fields=FieldMap.from_json(data["fields"]),
            # In the order of the contract: Elasticsearch gives mapping metadata back in its own.
            signals={name: VectorSignal(**data["signals"][name]) for name in SIGNALS if name in data["signals"]},
            language=data["language"],
            analysis=data["analysis"],
            media_root=data.get("media_root"),
            lexical_fields=tuple(data.get("lexical_fields", ())),
            shards=shards,
            attached=bool(data.get("attached", False)),
            tags=TagsUse.from_json(tags) if (tags := data.get("tags")) else None,
            concrete=concrete,
            floors={name: Floor(**floor) for name, floor in data.get("floors", {}).items()},
            priors=tuple(map(Prior.from_json, data.get("priors", ()))),
        )

    @property
    def languages(self) -> tuple[str, ...]:
        """The languages of its words, each once, that of the index first: a query is read in all of them."""
        return tuple(dict.fromkeys((self.language, *self.fields.languages.values())))

    def language_of(self, path: str) -> str:
        """The language of a source field."""
        return self.fields.languages.get(path, self.language)

    @cached_property
    def searchable(self) -> FieldMap:
        """The fields that searches filter on and count: the shop's, and the layer's tags where there are any.

        Its `paths` are those whose documents do not have the levels above: the layer writes these to its own indices.
        """
        types = {**self.fields.types, TAGS_FIELD: "keyword"} if self.tags else self.fields.types
        return replace(self.fields, types=types, paths=self.fields.paths if self.attached else {})


@runtime_checkable
class Encoder(Protocol):
    """Turns texts, pictures or sounds into unit vectors. Loads its model on first use, not on construction.

    name: what the registry knows it by, e.g. "minilm".
    version: changes whenever the same input could give another vector; stored beside every vector.
    dims: length of a vector (may load the model for hub models).
    modalities: the kinds of input it takes, of {"text", "image", "audio"}.
    scripts: the scripts of text it was trained on, e.g. {"Latin"}; None means any.
    span: the cosines of a query and a product that scale to 0 and to 1: what they have that have nothing in common,
        and what the best pairs have; None where nobody measured them.
    """

    name: str
    modalities: frozenset[str]

    @property
    def scripts(self) -> frozenset[str] | None: ...

    @property
    def span(self) -> tuple[float, float] | None: ...

    @property
    def version(self) -> str: ...

    @property
    def dims(self) -> int: ...

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        """(len(texts), dims) float32, rows of unit length, of texts that are to be found."""

    def encode_queries(self, texts: Sequence[str]) -> np.ndarray:
        """The same of queries, for models that were trained to read them otherwise than what is to be found."""

    def encode_images(self, images: Sequence[Image.Image]) -> np.ndarray:
        """(len(images), dims) float32, rows of unit length."""

    def encode_sounds(self, sounds: Sequence[np.ndarray]) -> np.ndarray:
        """(len(sounds), dims) float32, rows of unit length. Each is mono, float32 in [-1, 1], 16,000 a second."""


#: The encoder of a spec such as "minilm"; its model is loaded at first use.
GetEncoder = Callable[[str], Encoder]


class Fuser(Protocol):
    """See hybrid.encoders.trained.alignment.AlignedEncoder."""

    @property
    def version(self) -> str: ...

    def product(self, parts: Mapping[str, np.ndarray | None]) -> np.ndarray | None: ...


class Tagger(Protocol):
    """See hybrid.encoders.trained.tags.PublishedTags."""

    @property
    def version(self) -> str: ...

    def tags(self, parts: Mapping[str, np.ndarray | None]) -> list[dict[str, Any]]: ...

    def look(self, pictures: Sequence[Sequence[Image.Image]]) -> list[list[dict[str, Any]]]: ...
