"""The words of a catalogue: how common each term is, and each word as shoppers type it. Pure."""

from __future__ import annotations

import base64
import math
import re
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import orjson

from hybrid.text import analysis
from hybrid.text.codes import KEYS
from hybrid.text.folding import fold
from hybrid.text.mistakes import Speller
from hybrid.text.segments import HAN, HANGUL, KANA

#: Flags of a term: some product has it in its title, as a category, as a brand.
TITLE, CATEGORY, BRAND = 1, 2, 4
#: Most terms, and most words, that are kept. The rarest are left out.
LIMIT = 50_000
#: Nobody looks for a word that so large a share of the products has, where there are more than a few: with, for, the.
_EVERYWHERE, _FEW = 0.25, 20
#: The same in small catalogues.
_JOINING = frozenset("and are for from has its not the that this was with you your".split())  # noqa: SIM905
#: Characters of a text in which words are looked for: what comes later in a long description is the same words again.
_READ = 4_000
#: Words of letters alone, of scripts that set spaces between words. Numbers and codes are not corrected.
_WORD = re.compile(rf"(?<![\w])[^\W\d_{HAN}{KANA}{HANGUL}]{{2,32}}(?![\w])")


@dataclass(frozen=True)
class Vocabulary:
    """How common each word is in a catalogue.

    products: how many were counted. terms: term of `hybrid.terms` -> (products with it, products with it in the title,
    flags). words: word as it is typed, in small letters and folded -> (products with it, products with it in the
    title); of letters alone.
    """

    products: int = 0
    terms: Mapping[str, tuple[int, int, int]] = field(default_factory=dict)
    words: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    @classmethod
    def count(cls, documents: Iterable[Mapping[str, str]], limit: int = LIMIT) -> Vocabulary:
        """From the `hybrid.terms` of products; the rarest terms are left out where there are more than `limit`."""
        counter = Counting()
        for document in documents:
            counter.add(document)
        return counter.vocabulary(limit)

    def products_with(self, terms: str) -> int:
        """Products that have the commonest of some terms (space-separated, as a query's are)."""
        return max((self.terms[term][0] for term in terms.split() if term in self.terms), default=0)

    def worth(self, *terms: str) -> tuple[float, float]:
        """The inverse document frequency, as in BM25, of the commonest of these terms: in all text, and in titles."""
        counts = [self.terms.get(term, (0, 0, 0)) for term in terms]
        return self._idf(max(count[0] for count in counts)), self._idf(max(count[1] for count in counts))

    def _idf(self, count: int) -> float:
        return math.log1p((self.products - count + 0.5) / (count + 0.5))

    def flags_of(self, terms: str) -> int:
        """All flags of some terms."""
        flags = 0
        for term in terms.split():
            flags |= self.terms[term][2] if term in self.terms else 0
        return flags

    @cached_property
    def speller(self) -> Speller:
        """Finds the words of the catalogue that a mistyped word may stand for."""
        most = max(_FEW, self.products * _EVERYWHERE)
        return Speller({word: n for word, n in self.words.items() if n[0] <= most and word not in _JOINING})

    def to_text(self) -> str:
        """Packed for storing: base64 of compressed JSON."""
        packed = zlib.compress(orjson.dumps([self.products, self.terms, self.words]), 6)
        return base64.b64encode(packed).decode("ascii")

    @classmethod
    def from_text(cls, text: str) -> Vocabulary:
        """Raises ValueError where it was not made by `to_text`."""
        try:
            products, terms, words = orjson.loads(zlib.decompress(base64.b64decode(text, validate=True)))
            counts = {term: (int(a), int(b), int(c)) for term, (a, b, c) in terms.items()}
            return cls(int(products), counts, {word: (int(a), int(b)) for word, (a, b) in words.items()})
        except (zlib.error, TypeError, AttributeError) as error:
            raise ValueError(f"no vocabulary: {error}") from error


class Counting:
    """Counts a vocabulary, product by product."""

    def __init__(self) -> None:
        self._products = 0
        self._anywhere: Counter[str] = Counter()
        self._titles: Counter[str] = Counter()
        self._words: Counter[str] = Counter()
        self._words_of_titles: Counter[str] = Counter()
        self._flags: dict[str, int] = {}

    def add(self, document: Mapping[str, str], titles: Iterable[str] = (), texts: Iterable[str] = ()) -> None:
        """Count a product. document: its `hybrid.terms`; titles, texts: what words are read from as they are typed."""
        self._products += 1
        seen: set[str] = set()
        for name, text in document.items():
            if name == KEYS:
                continue
            words = set(text.split())
            seen |= words
            flag = {"title": TITLE, "category": CATEGORY, "brand": BRAND}.get(name, 0)
            for word in words if flag else ():
                self._flags[word] = self._flags.get(word, 0) | flag
            if flag == TITLE:
                self._titles.update(words)
        self._anywhere.update(seen)
        named = _words_of(titles)
        self._words_of_titles.update(named)
        self._words.update(named | _words_of(texts))

    def vocabulary(self, limit: int = LIMIT) -> Vocabulary:
        """What was counted, without the rarest where there are more than `limit`."""
        common = _common(self._anywhere, limit)
        terms = {term: (count, self._titles[term], self._flags.get(term, 0)) for term, count in common}
        words = {word: (count, self._words_of_titles[word]) for word, count in _common(self._words, limit)}
        return Vocabulary(self._products, terms, words)


def typed_words(text: str) -> list[str]:
    """The words of a text of letters alone, in small letters and folded; `MX` of `MX-500` is one, `X5` is none.

    >>> typed_words("Wireless mouse X5, <b>für Büros</b>")
    ['wireless', 'mouse', 'fur', 'buros']
    """
    return _WORD.findall(fold(analysis.plain_text(text)))


def _words_of(texts: Iterable[str]) -> set[str]:
    return set(typed_words("\n".join(text[:_READ] for text in texts)))


def _common(counts: Counter[str], limit: int) -> list[tuple[str, int]]:
    """The commonest, ties by name."""
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:limit]
