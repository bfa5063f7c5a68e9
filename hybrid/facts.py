"""What a search found out about itself: facts, and how a language words them.

The core makes facts. They become words at the edge: `str()` is the English of the command line and of the `text` of
JSON answers; the pages have wordings of their own (web.facts).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

#: untrained_script: the encoder was not trained on text of that script. unknown_words: it knows none of the words.
#: not_searched: the signal's weight would be too small. no_match: no candidate has a score above zero.
#: same_score: all candidates have the same. weak_match: the best scaled score is so low that the signal counts less.
#: no_vectors: the query has a file, and the index nothing to compare it with. not_asked: the system, or the
#: weights of the request, leave the file out. unknown_code: no product has the code that the query names. below_floor:
#: products were left out that only this signal found, and that are not near enough.
NoteKind = Literal[
    "untrained_script",
    "unknown_words",
    "not_searched",
    "no_match",
    "same_score",
    "weak_match",
    "no_vectors",
    "not_asked",
    "unknown_code",
    "below_floor",
]


@dataclass(frozen=True, slots=True)
class Reason:
    """A feature of the query that moved the weights, or its kind.

    feature: one of hybrid.search.features.FEATURES, or of hybrid.search.kinds.FLAGS. more: whether the query has more
    of the feature than the judged queries have on average, or less. signal: the one whose weight it moved most, by
    `change`.
    """

    feature: str
    more: bool
    signal: str
    change: float

    def __str__(self) -> str:
        return ENGLISH.reason(self)

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "text": str(self)}


@dataclass(frozen=True, slots=True)
class Note:
    """Why a signal was left out, or counts less than its weight.

    encoder, script: of untrained_script and unknown_words. code: of unknown_code, as it was typed. value: the weight of
    not_searched, the best scaled score of weak_match, the least cosine of below_floor.
    """

    kind: NoteKind
    signal: str
    encoder: str | None = None
    script: str | None = None
    code: str | None = None
    value: float | None = None

    def __str__(self) -> str:
        return ENGLISH.note(self)

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "text": str(self)}


@dataclass(frozen=True, slots=True)
class Counted:
    """The set of products that a total counts: those by words, and the `depth` nearest by each of the signals.

    words: "matching" one of the words, "all" products, or None where words took no part. Without words and signals it
    is empty: nothing in the query could be compared.
    """

    words: Literal["matching", "all"] | None
    signals: tuple[str, ...]
    depth: int

    def __str__(self) -> str:
        return ENGLISH.counted(self)

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "text": str(self)}


#: What a signal is called; the command line and JSON have its own name.
Label = Callable[[str], str]


@dataclass(frozen=True)
class Wording:
    """Facts in one language.

    reasons: feature -> what is said of a query that has more of it, and less. kinds: kind of query -> what is said of
    it. because: joins the change and the reason.
    notes: kind -> template. words, nearest, both, beside, nothing: the parts of `counted`; beside joins signals.
    """

    reasons: Mapping[str, tuple[str, str]]
    kinds: Mapping[str, str]
    because: str
    notes: Mapping[NoteKind, str]
    words: Mapping[str, str]
    nearest: str
    beside: str
    both: str
    nothing: str

    def reason(self, fact: Reason, label: Label = str) -> str:
        reason = self.kinds.get(fact.feature) or self.reasons[fact.feature][0 if fact.more else 1]
        return self.because.format(signal=label(fact.signal), change=fact.change, reason=reason)

    def note(self, fact: Note, label: Label = str) -> str:
        return self.notes[fact.kind].format(
            signal=label(fact.signal), encoder=fact.encoder, script=fact.script, value=fact.value, code=fact.code
        )

    def counted(self, fact: Counted, label: Label = str) -> str:
        signals = self.beside.join(map(label, fact.signals))
        nearest = self.nearest.format(depth=fact.depth, signals=signals) if signals else ""
        words = self.words[fact.words] if fact.words else ""
        return self.both.format(words=words, nearest=nearest) if words and nearest else words or nearest or self.nothing


ENGLISH = Wording(
    reasons={
        "several words": ("the query has several words", "the query is a single word"),
        "number of words": ("the query has more words than usual", "the query has fewer words than usual"),
        "letters a word": ("its words are longer than usual", "its words are shorter than usual"),
        "has digits": ("the query has digits", "the query has no digits"),
        "looks like a part number": ("it looks like a part number", "it does not look like a part number"),
        "words of speech": ("it reads more like a sentence than usual", "it reads less like a sentence than usual"),
        "Chinese": ("the query is in Chinese", "the query is not in Chinese"),
        "not Latin": ("it is not in Latin script", "it uses no script other than Latin"),
        "unknown words": (
            "more of its words than usual are not in the catalogue",
            "fewer of its words than usual are not in the catalogue",
        ),
        "rarest word": ("its rarest word is more common than usual", "its rarest word is rarer than usual"),
        "commonest word": (
            "its most common word is more common than usual",
            "its most common word is rarer than usual",
        ),
        "words in titles": (
            "its words are in titles more often than usual",
            "its words are in titles less often than usual",
        ),
        "names a category": ("the query names a category", "the query names no category"),
        "names a brand": ("the query names a brand", "the query names no brand"),
        "only category and brand": (
            "it names a category or a brand and nothing else",
            "it names more than a category or a brand",
        ),
        "has a photo": ("there is a photo", "there is no photo"),
        **{
            f"meaning {axis}": (
                f"its meaning is higher than usual on learned axis {axis}",
                f"its meaning is lower than usual on learned axis {axis}",
            )
            for axis in range(1, 5)
        },
    },
    kinds={
        "single word": "the query is one word",
        "sentence": "the query is a sentence",
        "code": "the query is a code",
        "other script": "the query is in a script other than Latin",
        "photo": "the search is by a photo",
        "photo and words": "the search is by a photo with words",
    },
    because="{signal} {change:+.2f}, because {reason}",
    notes={
        "untrained_script": "{signal}: {encoder} was not trained on {script} text",
        "unknown_words": "{signal}: {encoder} knows none of these words",
        "not_searched": "{signal}: not searched, its weight would be {value:.2f}",
        "no_match": "{signal}: no match",
        "same_score": "{signal}: the same score for every candidate",
        "weak_match": "{signal}: counts less, its best score is only {value:.2f}",
        "no_vectors": "{signal}: the file took no part, for the products of this index have no such vectors",
        "not_asked": "{signal}: the file took no part, for the chosen system or weights leave it out",
        "unknown_code": "no product has the code {code}",
        "below_floor": "{signal}: products under a cosine of {value:.2f} were left out, as not near enough",
    },
    words={"matching": "products with one of the words", "all": "all products"},
    nearest="the {depth} nearest by {signals}",
    beside=" and by ",
    both="{words}, and {nearest}",
    nothing="nothing, for no part of the query could be compared",
)
