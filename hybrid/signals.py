"""The table of vector signals: an entry here makes a new signal.

A signal is one source of evidence beside the words: a vector for each product, and one for the query where the query
has anything to compare.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

#: The signal of words, which has no vector.
LEXICAL = "lexical"
#: The signal of part numbers and ids, in play where a query may name one.
CODE = "code"
#: Its weight against 1 for all others: who types a code wants that product, whatever else mentions it.
CODE_WEIGHT = 10.0
#: The kind of signals that are numbers of the products themselves, such as `prior.rating`: see hybrid.search.numbers.
PRIOR = "prior"
#: The share of the whole that they have together before any training: it orders what is found about equally well. On a
#: real catalogue a number that says nothing costs 0.002 nDCG@10, and one that says something gains more than that.
PRIOR_WEIGHT = 0.03
#: Most pictures, or frames, of one product that a signal looks at: each is 2 bytes a dimension for searches to read.
MAX_VIEWS = 6


@dataclass(frozen=True, slots=True)
class Signal:
    """How one signal is read from a product, encoded, asked by a query, scaled and weighed.

    modality: the input that its encoder takes: "text", "image" or "audio"; of a derived signal, of the query.
    role: the role of the fields that name its files; None where its input is text or other signals.
    file: what these files are: "image" (several pictures), "video" (frames of one) or "audio" (one recording).
    of: the kind, where it is one of several of a kind: the name that stands for all of them in a request.
    scripts: the scripts of the texts that it is made of and asked by; None: those that its encoder was trained on.
    setting: the setting that names its encoder. encoder: its spec, where there is only one.
    asked_by: the parts of a query that it understands, of "words", "picture" and "sound". The first that the query has
        makes the query's vector; with `blends`, all of them do.
    span: the cosines that scale to 0 and to 1, where neither learned weights nor its encoder say others.
    weak: a best scaled score under this lowers its weight in proportion.
    weight: its weight before any training; weight_by_picture: where the query has a picture.
    weight_alike: for products that are to be like a product.
    parts: the signals that it is computed from, in the order of its hash; it has no input of its own then.
    at_once: products whose inputs are decoded in memory at a time, because files are large; None: no limit.
    """

    modality: str
    asked_by: tuple[str, ...]
    weight: float
    role: str | None = None
    file: str | None = None
    of: str | None = None
    scripts: frozenset[str] | None = None
    setting: str | None = None
    encoder: str | None = None
    blends: bool = False
    span: tuple[float, float] = (0.0, 1.0)
    weak: float = 0.10
    weight_by_picture: float | None = None
    weight_alike: float = 1.0
    parts: tuple[str, ...] = ()
    at_once: int | None = None

    @property
    def files_each(self) -> int:
        """The most files of a product that it encodes."""
        return MAX_VIEWS if self.file == "image" else 1

    def spec(self, settings: object) -> str:
        """The spec of its encoder by these settings."""
        return self.encoder if self.encoder is not None else str(getattr(settings, self.setting or ""))


#: By name, in the order of encoding: a derived signal comes after its parts.
SIGNALS: dict[str, Signal] = {
    # Text against words: a plateau from 0.2 to 0.4 over several catalogues (docs/benchmarks.md).
    "text": Signal("text", ("words",), setting="text_encoder", weight=0.28, weak=0.15),
    # Chinese texts beside those that the encoder of `text` reads. A product may have both, a query has mostly one. They
    # count as much as words or more: BM25 finds less in Chinese, and this encoder more.
    "text_zh": Signal(
        "text", ("words",), of="text", scripts=frozenset({"Han"}), setting="text_zh_encoder", weight=1.0,
        weight_by_picture=0.12, weak=0.15,
    ),
    # A photo says more about the intended product than the words beside it, and a sound even more.
    "image": Signal(
        "image", ("picture", "words"), role="image", file="image", setting="image_encoder", weight=1.5, at_once=64
    ),
    # A video is seen as its frames.
    "video": Signal(
        "image", ("picture", "words"), role="video", file="video", setting="image_encoder", weight=1.5, at_once=8
    ),
    "audio": Signal("audio", ("sound",), role="audio", file="audio", setting="audio_encoder", weight=3.0, at_once=32),
    # One vector a product, from the vectors of its text and its picture, in the space of a published alignment. The
    # learned vectors of photos find more than the image vectors do.
    "fused": Signal(
        "image", ("picture", "words"), blends=True, weight=0.12, weight_by_picture=6.0, weight_alike=2.0,
        parts=("text", "image"),
    ),
}  # fmt: skip


def of_files() -> Iterator[tuple[str, Signal]]:
    """The signals that are made of files, by name."""
    return ((name, signal) for name, signal in SIGNALS.items() if signal.role is not None)


def kind_of(name: str) -> str:
    """What a request calls a signal and others of its kind: "text" for "text_zh" and for "text.title"."""
    entry = SIGNALS.get(name)
    return entry.of if entry is not None and entry.of is not None else name.partition(".")[0]


def title_of(name: str) -> str:
    """The signal that compares the title alone, beside a signal of texts: "text.title" for "text"."""
    return f"{name}.title"


def has_titles(settings: object, name: str) -> bool:
    """Whether these settings give titles vectors of their own beside those of this signal, which is one of texts."""
    signal = SIGNALS[name]
    of_texts = signal.modality == "text" and signal.role is None and not signal.parts
    return of_texts and bool(getattr(settings, "title_vectors", False))


def weighs(weights: Mapping[str, float], name: str) -> bool:
    """Whether weights that somebody states give any to a signal: by its name, its kind's, or that of a part of it."""
    if weights.get(name, weights.get(kind_of(name), 0.0)) > 0:
        return True
    return any(weight > 0 and "." in part and part.partition(".")[0] == name for part, weight in weights.items())


def fixed_weight(name: str, by_picture: bool = False) -> float:
    """The weight of a signal, or of one of several of its kind ("text.title"), before any training."""
    kind = name.partition(".")[0]
    if kind == LEXICAL:
        return 0.72
    if kind == PRIOR:
        return PRIOR_WEIGHT
    signal = SIGNALS.get(kind)
    if signal is None:
        return 0.0
    return signal.weight_by_picture if by_picture and signal.weight_by_picture is not None else signal.weight


def weak(name: str) -> float:
    """The best scaled score under which a signal's weight falls in proportion."""
    kind = name.partition(".")[0]
    if kind == LEXICAL:
        # A share of what the query's words are worth: less than this is one of its commonest words.
        return 0.05 if name == LEXICAL else 0.0
    return SIGNALS[kind].weak if kind in SIGNALS else 0.0
