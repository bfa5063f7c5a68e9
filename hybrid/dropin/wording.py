"""Reads one clause of a shop's query that searches for words: which words, where, and what they exclude. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

FIELD_TEXT = ("match", "match_phrase", "match_phrase_prefix", "match_bool_prefix")
FIELDS_TEXT = ("multi_match", "combined_fields", "simple_query_string", "query_string")
#: A boost that is so many times that of the words is more than any score of words: the shop pins products with it.
PIN_RATIO = 1000.0

_UNFINISHED = ("match_phrase_prefix", "match_bool_prefix", "phrase_prefix", "bool_prefix")
#: The operators of a simple_query_string -> the bits of its `flags` that turn them on.
_FLAGS = {
    "AND": 1, "NOT": 2, "OR": 4, "PREFIX": 8, "PHRASE": 16, "PRECEDENCE": 32, "ESCAPE": 64, "WHITESPACE": 128,
    "FUZZY": 256, "NEAR": 512, "SLOP": 512,
}  # fmt: skip
_ALL, _NONE = -1, 0
#: What ends a word, where its operator is on.
_MARKS = {"+": "AND", "|": "OR", "(": "PRECEDENCE", ")": "PRECEDENCE", " ": "WHITESPACE", '"': "PHRASE"}


class Passes(Exception):
    """The query is not one that can be ranked anew; the message is the reason."""


class Said(NamedTuple):
    """The words of one text clause.

    boost: how much they count. fields: names without boosts. fuzzy: the fuzziness, "" where there is none. prefix:
    letters that must be right. unfinished: whether the last word may be the beginning of one.
    """

    words: str
    fields: tuple[str, ...] = ()
    boost: float = 1.0
    fuzzy: str = ""
    prefix: int = 0
    unfinished: bool = False
    alternative: bool = False


def said(kind: str, clause: Mapping[str, Any]) -> Said:
    """The words of a clause of FIELD_TEXT or FIELDS_TEXT.

    Raises:
        Passes: it has operators whose meaning the words alone do not keep, or is no such clause.
    """
    return _field_text(kind, clause) if kind in FIELD_TEXT else _fields_text(kind, clause)


def excluded(clause: Mapping[str, Any]) -> str:
    """The words and phrases that a simple_query_string excludes, or "".

    Raises:
        Passes: as `said`.
    """
    text = _plain(clause.get("query"))
    return " ".join(text[start + 1 : end] for start, end in _negated(text, _flags(clause)))


def field_boosts(clause: Mapping[str, Any]) -> dict[str, float]:
    """Field -> boost of a clause of FIELDS_TEXT."""
    named = clause.get("fields") or clause.get("default_field", "*")
    boosts: dict[str, float] = {}
    for one in named if isinstance(named, list) else [named]:
        name, _, boost = str(one).partition("^")
        boosts[name] = number(boost) if boost else 1.0
    return boosts


def number(value: Any) -> float:
    """A finite number that may be given as text; 1 for what is none, which the cluster refuses."""
    try:
        given = float(value)
    except (TypeError, ValueError, OverflowError):
        return 1.0
    return given if math.isfinite(given) else 1.0


def folded(text: str) -> str:
    """A text as it is compared with others: one is in another only as whole words."""
    return f" {' '.join(text.casefold().split())} "


def distinct(texts: Iterable[str]) -> list[str]:
    """The texts without those that are a part of another."""
    kept: dict[str, str] = {}
    for text in texts:
        new = folded(text)
        if not any(new in known for known in kept):
            kept = {known: other for known, other in kept.items() if known not in new}
            kept[new] = text
    return list(kept.values())


def _field_text(kind: str, clause: Mapping[str, Any]) -> Said:
    fields = [name for name in clause if name not in ("boost", "_name")]
    if len(fields) != 1:
        raise Passes("a query that is not recognised")
    spec = clause[fields[0]]
    options = spec if isinstance(spec, dict) else {"query": spec}
    boost = number(options.get("boost", 1.0)) * number(clause.get("boost", 1.0))
    return Said(
        _plain(options.get("query")), (fields[0],), boost, _fuzzy(options), _prefix(options), kind in _UNFINISHED
    )


def _fields_text(kind: str, clause: Mapping[str, Any]) -> Said:
    boosts = field_boosts(clause)
    words = typed = _plain(clause.get("query"))
    lowest = min(boosts.values(), default=1.0)
    boost = max((one for one in boosts.values() if one < PIN_RATIO * lowest), default=1.0)
    fuzzy = _fuzzy(clause)
    unfinished = str(clause.get("type")) in _UNFINISHED
    if kind == "simple_query_string":
        flags = _flags(clause)
        words = _simple(typed, flags)
        marked = re.search(r"\w~(\d?)(?!\d)", typed) if flags & _FLAGS["FUZZY"] else None
        fuzzy = "" if marked is None else marked[1] or "2"
        unfinished = unfinished or (typed.endswith("*") and bool(flags & _FLAGS["PREFIX"]))
    elif kind == "query_string":
        words, fuzzy = _lucene(typed), ""  # its operator ~ passes
    return Said(words, tuple(boosts), boost * number(clause.get("boost", 1.0)), fuzzy, _prefix(clause), unfinished)


def _fuzzy(options: Mapping[str, Any]) -> str:
    """ "1", "2", "auto", or "" for none."""
    given = str(options.get("fuzziness", "")).strip().lower()
    if given.startswith("auto"):
        return "auto"
    return str(min(round(number(given)), 2)) if given and number(given) >= 1 and given[0].isdigit() else ""


def _prefix(options: Mapping[str, Any]) -> int:
    return max(0, round(number(options.get("prefix_length", 0))))


def _plain(value: Any) -> str:
    if not isinstance(value, str | int | float):
        raise Passes("a query that is not recognised")
    return " ".join(str(value).split())


def _flags(clause: Mapping[str, Any]) -> int:
    """The operators of a simple_query_string that are on, as bits."""
    given = clause.get("flags", _ALL)
    if isinstance(given, int):
        return given
    bits = _NONE
    for name in str(given).upper().split("|"):
        if name == "NONE":
            return _NONE
        if name in ("ALL", ""):
            return _ALL
        if name not in _FLAGS:
            raise Passes("a query that is not recognised")
        bits |= _FLAGS[name]
    return bits


def _negated(text: str, flags: int) -> list[tuple[int, int]]:
    """(start, end) of each `-` and the word or phrase that it excludes, as Lucene's SimpleQueryParser finds them.

    A `-` is an operator only where a word could begin, and only right before it: with white space behind it, it says
    nothing.

    Raises:
        Passes: what is excluded depends on other operators: `-(`, `(-`, `|-`, `--`.
    """
    if not flags & _FLAGS["NOT"]:
        return []
    marks = {mark for mark, name in _MARKS.items() if flags & _FLAGS[name]}
    escapes = bool(flags & _FLAGS["ESCAPE"])
    spans: list[tuple[int, int]] = []
    at, minus, depth, before = 0, -1, 0, ""  # before: the last mark that is no white space, "-" of what is excluded
    while at < len(text):
        char = text[at]
        if char == "-":
            if minus >= 0:
                raise Passes("a word that is excluded twice")
            minus, at = at, at + 1
            continue
        end = _phrase_end(text, at, escapes) if char == '"' and char in marks else 0
        if not end and char not in marks:
            end = _word_end(text, at, marks, escapes)
        if end:
            if minus >= 0:
                if depth or before == "|":
                    raise Passes("words that are excluded beside other operators")
                spans.append((minus, end))
            before = "-" if minus >= 0 else ""
        else:
            if (char == "(" and minus >= 0) or (char == "|" and before == "-"):
                raise Passes("words that are excluded beside other operators")
            depth += (char == "(") - (char == ")" and depth > 0)
            before = char if char != " " else before
        at, minus = end or at + 1, -1
    return spans


def _phrase_end(text: str, start: int, escapes: bool) -> int:
    """Where the phrase ends that begins here; 0 where its second mark is missing: then the first says nothing."""
    at = start + 1
    while at < len(text):
        if text[at] == '"':
            return at + 1
        at += 2 if escapes and text[at] == "\\" else 1
    return 0


def _word_end(text: str, start: int, marks: set[str], escapes: bool) -> int:
    at = start
    while at < len(text) and text[at] not in marks:
        at += 2 if escapes and text[at] == "\\" else 1
    return min(at, len(text))


def _simple(text: str, flags: int) -> str:
    """The words of a simple_query_string, without its operators and without the excluded words."""
    kept, last = [], 0
    for start, end in _negated(text, flags):
        kept.append(text[last:start])
        last = end
    text = " ".join([*kept, text[last:]])
    text = re.sub(r"(?:^|(?<=\s))-(?=\s|$)", " ", text)
    if flags & (_FLAGS["FUZZY"] | _FLAGS["NEAR"]):
        text = re.sub(r"~\d*", " ", text)
    return " ".join(re.sub(r'(?:^|(?<=[\s(]))\+|[|"*()\\]', " ", text).split())


def _lucene(text: str) -> str:
    """The words of a query_string that has only words, phrases, AND, OR and boosts."""
    if re.search(r"[:/\\{}\[\]~*?!]|\bNOT\b|&&|\|\||(?:^|[\s(])-", text):
        raise Passes("a query_string with operators")
    text = re.sub(r"\^[\d.]+", " ", re.sub(r"\b(?:AND|OR)\b", " ", text))
    return " ".join(re.sub(r'(?:^|(?<=[\s(]))\+|["()]', " ", text).split())
