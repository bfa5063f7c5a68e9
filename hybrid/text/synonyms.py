"""Synonyms that a merchandiser gives: the file's format, and which words of a query have any. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from hybrid.errors import SynonymsError
from hybrid.text import analysis
from hybrid.text.segments import Term

MAX_BYTES = 1_000_000
MAX_RULES = 10_000
#: Entries of one rule, and characters of one entry.
MAX_ENTRIES, MAX_CHARS = 50, 100
#: Words of a query that synonyms are searched for, and synonyms of each.
MAX_PLACES, MAX_OTHERS = 10, 20

_ARROW = re.compile(r"(?<!\\)=>")
_COMMA = re.compile(r"(?<!\\)[,，]")
_ESCAPED = re.compile(r"\\(.)")


class Rule(NamedTuple):
    """typed -> others: who types one of the first also looks for the others. Two-way: both are the same."""

    typed: tuple[str, ...]
    others: tuple[str, ...]


class Place(NamedTuple):
    """Words of a query that have synonyms: text[start:end] of it. others: the synonyms as the file has them."""

    text: str
    start: int
    end: int
    others: tuple[str, ...]


def parse(text: str) -> list[Rule]:
    """The rules of a file in the format of Elasticsearch and Solr.

    `sofa, couch, settee` is two-way, `trainers => running shoes, sneakers` is one-way, and a line that begins with # is
    a comment. A backslash takes a comma or an arrow as it is.

    Raises:
        SynonymsError: the line that is none, or the limit that is passed.
    """
    if len(text.encode()) > MAX_BYTES:
        raise SynonymsError(f"synonyms: more than {MAX_BYTES:,} bytes; leave some out")
    rules: list[Rule] = []
    for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), 1):
        plain = line.strip()
        if not plain or plain.startswith("#"):
            continue
        sides = _ARROW.split(plain)
        if len(sides) > 2:
            raise SynonymsError(f"synonyms, line {number}: more than one =>; make a line of each")
        typed, others = (_entries(side, number) for side in (sides[0], sides[-1]))
        if len(sides) == 1 and len(typed) == 1:
            raise SynonymsError(
                f"synonyms, line {number}: {typed[0]!r} stands alone; write `one, other` or `one => other`"
            )
        rules.append(Rule(typed, others))
        if len(rules) > MAX_RULES:
            raise SynonymsError(f"synonyms, line {number}: more than {MAX_RULES:,} rules; leave some out")
    return rules


def _entries(side: str, number: int) -> tuple[str, ...]:
    entries = [" ".join(_ESCAPED.sub(r"\1", one).split()) for one in _COMMA.split(side)]
    for one in entries:
        if not any(map(str.isalnum, one)):
            raise SynonymsError(f"synonyms, line {number}: {one!r} is no word; words stand between commas and =>")
        if len(one) > MAX_CHARS:
            raise SynonymsError(f"synonyms, line {number}: an entry of more than {MAX_CHARS} characters")
    if len(entries) > MAX_ENTRIES:
        raise SynonymsError(f"synonyms, line {number}: more than {MAX_ENTRIES} entries; make two lines of it")
    return tuple(dict.fromkeys(entries))


class Synonyms:
    """Rules made ready for queries in some languages. Immutable.

    >>> Synonyms(parse("sofa, couch"), "en").places("red sofas")
    [Place(text='sofas', start=4, end=9, others=('couch',))]
    """

    def __init__(self, rules: Iterable[Rule] = (), *languages: str) -> None:
        self._languages = languages or ("en",)
        self._by_terms: dict[tuple[str, tuple[str, ...]], dict[str, None]] = {}
        self._longest = 0
        for rule in rules:
            for entry in rule.typed:
                for language in self._languages:
                    for form in _forms(analysis.analyse(entry, language)):
                        terms = tuple(term.text for term in form)
                        self._longest = max(self._longest, len(terms))
                        self._by_terms.setdefault((language, terms), {}).update(dict.fromkeys(rule.others))

    def __bool__(self) -> bool:
        return bool(self._by_terms)

    def places(self, query: str) -> list[Place]:
        """The words of a query that have synonyms, in order; of those that overlap the longest.

        Words are compared by their terms, in each language, so that `Sofas` is `sofa`. A part of a word (the `shirt` of
        t-shirt, the 运动 of 运动鞋) is none.
        """
        if not self._by_terms:
            return []
        found: dict[tuple[int, int], dict[str, None]] = {}
        for language in self._languages:
            terms = list(analysis.analyse(query, language))
            for form in _forms(terms):
                for start, end, entries in self._found(form, language):
                    if not any(
                        term.start <= start and end <= term.end and (term.start, term.end) != (start, end)
                        for term in terms
                    ):
                        found.setdefault((start, end), {}).update(entries)
        places: list[Place] = []
        for start, end in sorted(found, key=lambda span: (span[0] - span[1], span[0])):
            text = query[start:end]
            own = set(analysis.query_terms(text, *self._languages).split())
            others = tuple(one for one in found[start, end] if not self._within(one, own))[:MAX_OTHERS]
            if others and all(end <= place.start or place.end <= start for place in places):
                places.append(Place(text, start, end, others))
        return sorted(places, key=lambda place: place.start)[:MAX_PLACES]

    def _within(self, entry: str, terms: set[str]) -> bool:
        """Whether an entry says no more than these terms do."""
        return terms.issuperset(analysis.query_terms(entry, *self._languages).split())

    def _found(self, terms: Sequence[Term], language: str) -> Iterable[tuple[int, int, dict[str, None]]]:
        for at in range(len(terms)):
            for length in range(1, min(self._longest, len(terms) - at) + 1):
                side = terms[at : at + length]
                others = self._by_terms.get((language, tuple(term.text for term in side)))
                if others:
                    yield min(term.start for term in side), max(term.end for term in side), others


def _forms(terms: Iterable[Term]) -> list[list[Term]]:
    """The terms of a text, and these without the compounds among them: T-Shirts is t-shirt by its parts alone."""
    whole = list(terms)
    parts = [
        term
        for term in whole
        if not any(term.start <= one.start < one.end <= term.end and len(one.text) < len(term.text) for one in whole)
    ]
    return [form for form in ([whole] if parts == whole else [whole, parts]) if form]
