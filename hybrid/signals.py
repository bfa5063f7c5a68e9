"""The table of vector signals: a new one is an entry here.

A signal is one source of evidence beside the words: a vector for each product, and one for the query where the query
has anything to compare it with. Only the names that the REST API takes are listed by hand, and a test compares them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

#: The signal of words, which has no vector.
LEXICAL = "lexical"
#: Most pictures, or frames, of one product that a signal looks at: each is 2 bytes a dimension for searches to read.
MAX_VIEWS = 6


@dataclass(frozen=True, slots=True)
class Signal:
    """How one signal is read from a product, encoded, asked by a query, scaled and weighed.

    modality: what an encoder must take for it: "text", "image" or "audio"; of what is derived, of the query alone.
    role: the role of the fields that name its files; None where it is made of texts, or of other signals.
    file: what these files are: "image" (several pictures), "video" (frames of one) or "audio" (one recording).
    setting: the setting that names its encoder, or encoder: the spec of the only one that it has.
    asked_by: the parts of a query that it understands, of "words", "picture" and "sound"; the first that there is makes
        the query's vector, or all of them where `blends` says so.
    span: the cosines that scale to 0 and to 1, where no learned weights say others. weak: a best scaled score under
        this lowers its weight in proportion.
    weight: how much it counts before anything was learned; weight_by_picture: where the query has a picture.
    weight_alike: for products that are to be like a product.
    parts: the signals that it is made of, in the order of its hash; it has no input of its own then.
    held: products whose inputs are held decoded at a time, for files are large; None: as many as there are.
    """

    modality: str
    asked_by: tuple[str, ...]
    weight: float
    role: str | None = None
    file: str | None = None
    setting: str | None = None
    encoder: str | None = None
    blends: bool = False
    span: tuple[float, float] = (0.0, 1.0)
    weak: float = 0.10
    weight_by_picture: float | None = None
    weight_alike: float = 1.0
    parts: tuple[str, ...] = ()
    held: int | None = None

    @property
    def files_each(self) -> int:
        """How many files of a product it is made of at most."""
        return MAX_VIEWS if self.file == "image" else 1

    def spec(self, settings: object) -> str:
        """Which encoder it has by these settings."""
        return self.encoder if self.encoder is not None else str(getattr(settings, self.setting or ""))


#: By name, in the order in which they are made: what is derived stands behind its parts.
SIGNALS: dict[str, Signal] = {
    # Text against words: a plateau from 0.06 to 0.15 on chorus (README).
    "text": Signal("text", ("words",), setting="text_encoder", weight=0.12, weak=0.15),
    # A photo, and more so a sound, is the stronger statement of what is wanted than the words beside it.
    "image": Signal(
        "image", ("picture", "words"), role="image", file="image", setting="image_encoder", weight=1.5, held=64
    ),
    # A video is seen as its frames.
    "video": Signal(
        "image", ("picture", "words"), role="video", file="video", setting="image_encoder", weight=1.5, held=8
    ),
    "audio": Signal("audio", ("sound",), role="audio", file="audio", setting="audio_encoder", weight=3.0, held=32),
    # One vector a product, of its text's and its picture's, in the space of a published alignment. What was learned of
    # photos tells more than their looks.
    "fused": Signal(
        "image", ("picture", "words"), blends=True, weight=0.12, weight_by_picture=6.0, weight_alike=2.0,
        parts=("text", "image"),
    ),
}  # fmt: skip


def of_files() -> Iterator[tuple[str, Signal]]:
    """The signals that are made of files, by name."""
    return ((name, signal) for name, signal in SIGNALS.items() if signal.role is not None)


def fixed_weight(name: str, by_picture: bool = False) -> float:
    """How much a signal, or one of several of its kind ("text.title"), counts before anything was learned."""
    kind = name.partition(".")[0]
    if kind == LEXICAL:
        return 0.88
    signal = SIGNALS.get(kind)
    if signal is None:
        return 0.0
    return signal.weight_by_picture if by_picture and signal.weight_by_picture is not None else signal.weight


def weak(name: str) -> float:
    """The best scaled score under which a signal's weight falls in proportion."""
    kind = name.partition(".")[0]
    return 0.15 if kind == LEXICAL else SIGNALS[kind].weak if kind in SIGNALS else 0.0
