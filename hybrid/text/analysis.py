"""Text analysis in Python, so that a term means the same on every cluster.

Free clusters, managed ones and the embedded engine differ in the analyzers they carry. The layer therefore
analyses product texts and queries itself (stemmers, dictionaries of Chinese and Japanese, part numbers kept whole and
split, letters folded) and stores space-separated terms in fields with the built-in `whitespace` analyzer.

Latin words in a language of another script are stemmed as English; Chinese is segmented whatever the language; so one
catalogue may mix English and Chinese and a query in either finds its products.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator
from functools import lru_cache
from typing import Any

from hybrid.text import compounds, measures, segments
from hybrid.text.folding import fold
from hybrid.text.measures import Measure
from hybrid.text.segments import HAN, HAN_CHAR, HANGUL, KANA, Term
from hybrid.text.stems import folded_word, is_one_word, stems

#: Changes with the terms of a text; see also `hybrid.catalogue.documents.words_version`.
ANALYSIS_VERSION = "4"

_CJK = f"{HAN}{KANA}{HANGUL}"
_MARKS = "\u0300-\u036f\u0483-\u0487\u064b-\u065f\u0670"  # accents that are written after their letter
_LETTERS = rf"[^\W_{_CJK}]+(?:[{_MARKS}]+[^\W_{_CJK}]*)*"
# A word: letters and digits joined by single inner marks, so that a part number (dv7-1211ea, 006R90321, 0.5/4) stays
# one word until it is split below.
_WORD = rf"(?P<word>{_LETTERS}(?:[-_./'’+&]{_LETTERS})*)"
# A Chinese run, a run of kana or hangul, or a word.
_TOKEN = re.compile(rf"(?P<han>[{HAN}]+)|(?P<cjk>[{KANA}{HANGUL}]+)|{_WORD}")
# In Japanese, kanji and kana make words together.
_JAPANESE_TOKEN = re.compile(rf"(?P<ja>[{HAN}{KANA}々〆]+)|(?P<cjk>[{HANGUL}]+)|{_WORD}")
_PART = re.compile(rf"[^\W_]+(?:[{_MARKS}]+[^\W_]*)*")
_DECIMAL = re.compile(r"\d+[.]\d+")
#: Things whose name may end in 子: who looks for 鞋子 means 运动鞋 as well.
_THINGS = frozenset("鞋裙裤帽杯盘瓶袜靴椅桌柜箱袋刀叉勺盒梯被毯垫帘镜梳")
# Tags, and comments, styles and scripts with what is in them: in HTML these go on to their end mark, or to the end.
_TAG = re.compile(
    r"<(style|script)\b[^<>]*>.*?(?:</\1\s*>|\Z)|</?[a-z][^<>]*>|<!--.*?(?:-->|\Z)", re.DOTALL | re.IGNORECASE
)
_MAX_TERM = 64  # characters; longer words are cut: nobody types them, and they would bloat the dictionary


_VALUE = 32  # characters of a text that is probably the value of an attribute


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


def analyse(text: str, language: str = "en", characters: bool = False) -> Iterator[Term]:
    """The terms of a text in order, with their offsets.

    A compound such as `dv7-1211ea` gives itself without marks (`dv71211ea`) and each of its parts; see
    hybrid.text.measures for sizes. characters: as products have them, with the single characters inside Chinese,
    Japanese and Korean words, and each number of a size.

    Raises:
        UsageError: no analysis for that language.
    """
    for token in _tokens(text, language):
        yield from _terms_of(token, text, language, characters)


def terms(values: Iterable[Any], language: str = "en") -> str:
    """Space-separated terms of several values, as stored in a `whitespace` field."""
    return " ".join(filter(None, (_stored(_plain(value), language) for value in values)))


@lru_cache(maxsize=4096)  # shoppers repeat queries, and Chinese is segmented by a dictionary
def query_terms(text: str, *languages: str) -> str:
    """The same analysis for a query, each term once and in order. languages: of the products' texts; English if none.

    The single letters of a compound (t-shirt, usb-c) are left to the compound: a word must not count three times.
    """
    text = unicodedata.normalize("NFC", text)
    analysed = [term for language in languages or ("en",) for term in analyse(text, language)]
    if len(languages) > 1:
        analysed.sort(key=lambda term: term.start)
    wholes = [term for term in analysed if any(term.start <= part.start < part.end < term.end for part in analysed)]
    remaining = [
        text
        for term in analysed
        if len(term.text) > 1
        or not term.text.isascii()
        or not any(whole.start <= term.start and term.end <= whole.end for whole in wholes)
        for text in _with_thing(term.text)
    ]
    return " ".join(dict.fromkeys(remaining))


def _with_thing(term: str) -> tuple[str, ...]:
    return (term, term[0]) if len(term) == 2 and term[1] == "子" and term[0] in _THINGS else (term,)


def version(languages: Collection[str]) -> str:
    """Of the terms of texts in these languages: it differs where this process lacks a dictionary that others have."""
    return f"{ANALYSIS_VERSION}+sudachi" if "ja" in languages and segments.has_japanese() else ANALYSIS_VERSION


def lacks(languages: Collection[str]) -> list[str]:
    """What is not installed here of that which these languages are read best with, and how to get it."""
    if "ja" in languages and not segments.has_japanese():
        return ["Japanese is found by pairs of characters, not by words: pip install 'hybrid-search[ja]' brings words"]
    return []


def is_chinese(text: str) -> bool:
    """Whether Han characters make up most of the letters of a text."""
    characters = [char for char in text if char.isalpha()]
    return bool(characters) and sum(1 for char in characters if HAN_CHAR.match(char)) * 2 > len(characters)


def says_something(text: str) -> bool:
    """Whether a text has a letter, a digit or a picture (an emoji), and not marks alone.

    >>> [says_something(text) for text in ("usb-c", "65", "🎧", "...", "")]
    [True, True, True, False, False]
    """
    return any(char.isalnum() or unicodedata.category(char) == "So" for char in text)


#: The share of kana among the characters of Chinese and Japanese, from which on a text is Japanese.
KANA_SHARE = 0.1


def script_of(text: str) -> str:
    """The script of most letters: "Latin", "Han", "Cyrillic", …; "" where there is no letter.

    A Han character counts as much as a word of another script, and beside kana it is Japanese, of the script of that.

    >>> script_of("Nike Air Max 男子运动鞋"), script_of("set of 6 tea cups 茶"), script_of("無線イヤホン")
    ('Han', 'Latin', 'Katakana')
    """
    if text.isascii():
        return "Latin" if any(map(str.isalpha, text)) else ""
    counts: dict[str, int] = {}
    for char in text:
        if char.isalpha():
            script = _script_of_char(char)
            counts[script] = counts.get(script, 0) + 1
    if han := counts.get("Han"):
        kana = {script: counts[script] for script in ("Hiragana", "Katakana") if script in counts}
        if sum(kana.values()) >= KANA_SHARE * (han + sum(kana.values())):
            return max(kana, key=lambda script: kana[script])
        if han >= sum(match.lastgroup == "word" and any(map(str.isalpha, match.group())) for match in tokens(text)):
            return "Han"
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


def plain_text(text: str) -> str:
    """The text without HTML tags, styles, scripts and entities, which exports carry in their descriptions.

    >>> plain_text("Core&trade; 2 Duo<br />2.3 GHz")
    'Core™ 2 Duo 2.3 GHz'
    """
    if "<" in text:
        text = _TAG.sub(" ", text)
    text = html.unescape(text) if "&" in text else text
    return unicodedata.normalize(
        "NFC", text
    )  # accents that are written apart, as by some systems, belong to their letter


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return ""  # "true" says nothing without its field's name
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return plain_text(str(value))


def _marked(text: str, marked_terms: frozenset[str], language: str) -> Iterator[Term]:
    """Those of the terms of a text that are to be marked."""
    chinese = [term for term in marked_terms if HAN_CHAR.match(term)]
    for token in _tokens(text, language):
        if isinstance(token, re.Match) and not _may_have(token, marked_terms, chinese, language):
            continue
        terms = _terms_of(token, text, language, characters=True)
        yield from (term for term in terms if term.text in marked_terms)


def _may_have(token: re.Match[str], terms: frozenset[str], chinese: Collection[str], language: str) -> bool:
    """Whether a word or a run of a text may have one of the terms: the places of most are not worth computing."""
    if token.lastgroup == "word":
        return not terms.isdisjoint([term.text for term in _words(token.group(), language)])
    if token.lastgroup == "han":  # slow to cut
        simplified = segments.simplified_in_place(token.group())
        return any(term in simplified for term in chinese)
    return True


def _tokens(text: str, language: str) -> Iterator[re.Match[str] | Measure]:
    """The sizes of a text, and the words and runs between them."""
    pattern = _JAPANESE_TOKEN if language == "ja" else _TOKEN
    at = 0
    for measure in measures.find(text, language):
        yield from pattern.finditer(text, at, measure.start)
        yield measure
        at = measure.end
    yield from pattern.finditer(text, at)


def _terms_of(match: re.Match[str] | Measure, text: str, language: str, characters: bool) -> Iterator[Term]:
    """The terms of one of `_tokens` of the text, with their offsets in it."""
    if isinstance(match, Measure):
        yield from match.product_terms(text, language) if characters else match.query_terms()
        return
    run, start = match.group(), match.start()
    if match.lastgroup == "word":
        inside: Iterable[Term] = _words(run, language)
    else:
        if match.lastgroup == "han":
            run = segments.simplified_in_place(run)
        inside = list(_SEGMENTERS[str(match.lastgroup)](run))
        if characters:
            inside = sorted([*inside, *segments.characters(run, inside)], key=lambda term: term.start)
    yield from (Term(term.text, start + term.start, start + term.end) for term in inside)


_SEGMENTERS = {"han": segments.chinese, "cjk": segments.pairs, "ja": segments.japanese}


def _stored(text: str, language: str) -> str:
    """The terms of `analyse`, joined. Quicker, for their places are not asked for."""
    return _of_value(text, language) if len(text) <= _VALUE else _joined_terms(text, language)


@lru_cache(maxsize=20_000)  # the values of attributes repeat; about 5 MB
def _of_value(text: str, language: str) -> str:
    return _joined_terms(text, language)


def _joined_terms(text: str, language: str) -> str:
    found = []
    for token in _tokens(text, language):
        if isinstance(token, re.Match) and token.lastgroup == "word":
            found.append(_joined(token.group(), language))
        else:
            found += [term.text for term in _terms_of(token, text, language, characters=True)]
    return " ".join(filter(None, found))


@lru_cache(maxsize=50_000)  # the words of a catalogue repeat; about 10 MB
def _joined(word: str, language: str) -> str:
    return " ".join(term.text for term in _word_terms(word, language))


@lru_cache(maxsize=10_000)
def _words(word: str, language: str) -> tuple[Term, ...]:
    return tuple(_word_terms(word, language))


def _word_terms(word: str, language: str) -> Iterator[Term]:
    if _DECIMAL.fullmatch(word):  # 43.2 is one number, not the part number 432
        yield Term(fold(word), 0, len(word))
        return
    if is_one_word(word, language):
        yield from (Term(stem[:_MAX_TERM], 0, len(word)) for stem in stems(word, language))
        return
    parts = [(m.group(), m.start(), m.end()) for m in _PART.finditer(word)]
    if len(parts) > 1:
        if len(parts) == 2 and parts[1][0].lower() in {"s", "t", "re", "ll", "ve"} and word[len(parts[0][0])] in "'’":
            parts = parts[:1]  # the possessive and short forms: shop's -> shop
        else:
            joined = "".join(part for part, _, _ in parts)
            if (any(char.isdigit() for char in joined) or len(parts) <= 3) and (whole := folded_word(joined)):
                yield Term(whole[:_MAX_TERM], 0, len(word))
    for part, start, end in parts:
        if size := measures.of_word(part):
            yield Term(size, start, end)
            continue
        for one in compounds.parts(part, language):
            yield from (Term(stem[:_MAX_TERM], start, end) for stem in stems(one, language))
        yield from (Term(stem[:_MAX_TERM], start, end) for stem in stems(part, language))


@lru_cache(maxsize=20_000)
def _script_of_char(char: str) -> str:
    if HAN_CHAR.match(char):
        return "Han"
    name = unicodedata.name(char, "")
    return name.split(" ", 1)[0].capitalize() if name else ""
