"""Text analysis in Python, so that a term means the same on every cluster.

Free clusters, managed ones and the embedded engine differ in the analyzers they carry. The layer therefore
analyses product texts and queries itself (Snowball stemmers, jieba for Chinese, part numbers kept whole and
split, accents folded) and stores space-separated terms in fields with the built-in `whitespace` analyzer.

Words of the language's own script are stemmed; Chinese is segmented whatever the language; so one catalogue
may mix English and Chinese and a query in either finds its products.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any, NamedTuple

import es_mappings
from hybrid.errors import UsageError

#: Changes with the terms of a text; see also `hybrid.catalogue.documents.WORDS_VERSION`.
ANALYSIS_VERSION = "2"

_HAN = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_KANA_HANGUL = "\u3040-\u30ff\uac00-\ud7af"
# A Chinese run, a run of kana or hangul, or a word: letters and digits joined by single inner marks, so that
# a part number (dv7-1211ea, 006R90321, 0.5/4) stays one word until it is split below.
_TOKEN = re.compile(
    rf"(?P<han>[{_HAN}]+)|(?P<cjk>[{_KANA_HANGUL}]+)"
    rf"|(?P<word>[^\W_{_HAN}{_KANA_HANGUL}]+(?:[-_./'’+&][^\W_{_HAN}{_KANA_HANGUL}]+)*)"
)
_PART = re.compile(r"[^\W_]+")
_DECIMAL = re.compile(r"\d+[.]\d+")
_HAN_CHAR = re.compile(rf"[{_HAN}]")
# Tags, comments, and styles and scripts with what is in them: in HTML they go on to their end tag, or to the end.
_TAG = re.compile(r"<(style|script)\b[^<>]*>.*?(?:</\1\s*>|\Z)|</?[a-z][^<>]*>|<!--.*?-->", re.DOTALL | re.IGNORECASE)
_MAX_TERM = 64  # characters; longer words are cut: nobody types them, and they would bloat the dictionary


class Term(NamedTuple):
    """One term of a text and the slice of the text that it came from."""

    text: str
    start: int
    end: int


def languages() -> list[str]:
    """Codes of the languages that have a stemmer here."""
    return sorted(es_mappings.load("languages"))


def tokens(text: str) -> Iterator[re.Match[str]]:
    """A text's words as they stand, with their inner marks, and its runs of Chinese and of kana or hangul.

    `lastgroup` of each says which: "word", "han", "cjk".
    """
    return _TOKEN.finditer(text)


def parts(word: str) -> list[str]:
    """The parts of a compound.

    >>> parts("dv7-1211ea")
    ['dv7', '1211ea']
    """
    return _PART.findall(word)


def analyse(text: str, language: str = "en") -> Iterator[Term]:
    """The terms of a text in order, with their offsets.

    A compound such as `dv7-1211ea` gives itself without marks (`dv71211ea`) and each of its parts.

    Raises:
        UsageError: no stemmer for that language.
    """
    for match in tokens(text):
        yield from _terms_of(match, language)


def terms(values: Iterable[Any], language: str = "en") -> str:
    """Space-separated terms of several values, as stored in a `whitespace` field."""
    return " ".join(term.text for value in values for term in analyse(_plain(value), language))


@lru_cache(maxsize=4096)  # shoppers repeat queries, and Chinese is segmented by a dictionary
def query_terms(text: str, language: str = "en") -> str:
    """The same analysis for a query, each term once and in order.

    The single letters of a compound (t-shirt, usb-c) are left to the compound: a word must not count three times.
    """
    analysed = list(analyse(text, language))
    wholes = [term for term in analysed if any(term.start <= part.start < part.end < term.end for part in analysed)]
    remaining = [
        term.text
        for term in analysed
        if len(term.text) > 1
        or not term.text.isascii()
        or not any(whole.start <= term.start and term.end <= whole.end for whole in wholes)
    ]
    return " ".join(dict.fromkeys(remaining))


def is_chinese(text: str) -> bool:
    """Whether Han characters make up most of the letters of a text."""
    characters = [char for char in text if char.isalpha()]
    return bool(characters) and sum(1 for char in characters if _HAN_CHAR.match(char)) * 2 > len(characters)


def script_of(text: str) -> str:
    """The script of most letters: "Latin", "Han", "Cyrillic", …; "" where there is no letter."""
    if text.isascii():
        return "Latin" if any(map(str.isalpha, text)) else ""
    counts: dict[str, int] = {}
    for char in text:
        if char.isalpha():
            script = _script_of_char(char)
            counts[script] = counts.get(script, 0) + 1
    return max(counts, key=lambda script: counts[script]) if counts else ""


def highlight(text: str, marked_terms: frozenset[str], language: str = "en") -> str | None:
    """HTML-escaped text with <mark> around the words that have one of the terms; None where no word has.

    >>> highlight("Running shoes", frozenset({"shoe"}))
    'Running <mark>shoes</mark>'
    """
    spans: list[tuple[int, int]] = []
    for term in _marked(text, marked_terms, language):
        if spans and term.start < spans[-1][1]:
            spans[-1] = (min(spans[-1][0], term.start), max(spans[-1][1], term.end))
        else:
            spans.append((term.start, term.end))
    if not spans:
        return None
    pieces, position = [], 0
    for start, end in spans:
        pieces += [html.escape(text[position:start]), "<mark>", html.escape(text[start:end]), "</mark>"]
        position = end
    return "".join([*pieces, html.escape(text[position:])])


def fold(text: str) -> str:
    """Lower case, compatibility forms unified, accents removed.

    >>> fold("Café ＡＢＣ")
    'cafe abc'
    """
    if text.isascii():
        return text.lower()
    folded = unicodedata.normalize("NFKD", text).casefold()
    return unicodedata.normalize("NFC", "".join(c for c in folded if unicodedata.category(c) != "Mn"))


def plain_text(text: str) -> str:
    """The text without HTML tags, styles, scripts and entities, which exports carry in their descriptions.

    >>> plain_text("Core&trade; 2 Duo<br />2.3 GHz")
    'Core™ 2 Duo 2.3 GHz'
    """
    if "<" in text:
        text = _TAG.sub(" ", text)
    return html.unescape(text) if "&" in text else text


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return ""  # "true" says nothing without its field's name
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return plain_text(str(value))


def _marked(text: str, marked_terms: frozenset[str], language: str) -> Iterator[Term]:
    """Those of the terms of a text that are to be marked."""
    chinese = [term for term in marked_terms if _HAN_CHAR.match(term)]
    for match in tokens(text):
        # Chinese is slow to segment, and most runs of it have none of the terms.
        if match.lastgroup == "han" and not any(term in _simplified_in_place(match.group()) for term in chinese):
            continue
        yield from (term for term in _terms_of(match, language) if term.text in marked_terms)


def _terms_of(match: re.Match[str], language: str) -> Iterator[Term]:
    """The terms of one of `tokens`, with their offsets in the text."""
    inside: Iterable[Term]
    if match.lastgroup == "han":
        inside = _segment_chinese(match.group())
    elif match.lastgroup == "cjk":
        inside = _bigrams(match.group())
    else:
        inside = _words(match.group(), language)
    start = match.start()
    return (Term(term.text, start + term.start, start + term.end) for term in inside)


@lru_cache(maxsize=50_000)  # the words of a catalogue repeat; about 20 MB
def _words(word: str, language: str) -> tuple[Term, ...]:
    return tuple(_word_terms(word, language))


def _word_terms(word: str, language: str) -> Iterator[Term]:
    if _DECIMAL.fullmatch(word):  # 43.2 is one number, not the part number 432
        yield Term(word, 0, len(word))
        return
    parts = [(m.group(), m.start(), m.end()) for m in _PART.finditer(word)]
    if len(parts) > 1:
        if len(parts) == 2 and parts[1][0].lower() in {"s", "t", "re", "ll", "ve"} and word[len(parts[0][0])] in "'’":
            parts = parts[:1]  # the possessive and short forms: shop's -> shop
        else:
            joined = "".join(part for part, _, _ in parts)
            if any(char.isdigit() for char in joined) or len(parts) <= 3:
                yield Term(fold(joined)[:_MAX_TERM], 0, len(word))
    for part, part_start, part_end in parts:
        yield Term(_stem(part, language)[:_MAX_TERM], part_start, part_end)


def _stem(word: str, language: str) -> str:
    folded = fold(word)
    if any(char.isdigit() for char in folded):
        return folded
    return str(_stemmer(language).stemWord(folded))


@lru_cache(maxsize=32)
def _stemmer(language: str) -> Any:
    import snowballstemmer  # uses the C stemmers of PyStemmer where they are installed

    known = es_mappings.load("languages")
    if language not in known:
        raise UsageError(f"no text analysis for language {language!r}; known: {', '.join(sorted(known))}")
    return snowballstemmer.stemmer(known[language]["stemmer"])


def _segment_chinese(run: str) -> Iterator[Term]:
    simplified = _simplified_in_place(run)
    # Words, and the pairs of characters inside a longer word: 雨伞 must find 晴雨伞, which is one word. Pairs across
    # words are left out: 红色运动鞋 would find every sports watch by its 色运.
    words = [(start, end) for _, start, end in _jieba().tokenize(simplified, mode="search")]
    spans = {*words, *((at, at + 2) for start, end in words if end - start > 2 for at in range(start, end - 1))}
    for start, end in sorted(spans):
        yield Term(simplified[start:end], start, end)


def _bigrams(run: str) -> Iterator[Term]:
    if len(run) == 1:
        yield Term(run, 0, 1)
    for start in range(len(run) - 1):
        yield Term(run[start : start + 2], start, start + 2)


def _simplified_in_place(run: str) -> str:
    """A run of Han characters in simplified ones, as long as it was, so that offsets still fit."""
    simplified = _to_simplified(run)
    if len(simplified) != len(run):  # a phrase rule changed the length
        simplified = "".join(_to_simplified(char)[:1] or char for char in run)
    return simplified


@lru_cache(maxsize=100_000)
def _to_simplified(text: str) -> str:
    return str(_converter().convert(text))


@lru_cache(maxsize=1)
def _converter() -> Any:
    import opencc

    return opencc.OpenCC("t2s")


@lru_cache(maxsize=1)
def _jieba() -> Any:
    # Loaded at the first Chinese text only: its dictionary takes about a second and 100 MB.
    import logging

    import jieba

    jieba.setLogLevel(logging.WARNING)
    tokenizer = jieba.Tokenizer()
    tokenizer.initialize()
    return tokenizer


@lru_cache(maxsize=20_000)
def _script_of_char(char: str) -> str:
    if _HAN_CHAR.match(char):
        return "Han"
    name = unicodedata.name(char, "")
    return name.split(" ", 1)[0].capitalize() if name else ""
