"""How words that stand together stand in the terms of a text, which has more terms than words."""

from __future__ import annotations

import re
import unicodedata

from hybrid.searches import Reading
from hybrid.text import analysis
from hybrid.text.segments import HAN, Term

_MARKS = re.compile(r"[\W_]+")
_HAN = re.compile(rf"[{HAN}]+")


def readings(text: str, *languages: str) -> tuple[Reading, ...]:
    """The ways in which a phrase may stand in the terms of products; any of them is the phrase.

    Terms are compared as the index compares them, so a phrase of `running shoes` finds `Running shoe` as well. A
    compound stands beside its parts: usb-c is found as `usb c` too, and the other way round. Chinese is read by its
    words, and scripts that are indexed by pairs of characters by these. languages: of the products' texts.
    """
    text = unicodedata.normalize("NFC", text)
    found: dict[Reading, None] = {}
    for language in languages or ("en",):
        for form in dict.fromkeys((text, _MARKS.sub(" ", text).strip())):
            terms = list(analysis.analyse(form, language, characters=True))
            if terms:
                found[Reading(" ".join(term.text for term in terms))] = None
                if not form.isascii() and (units := _units(terms, language)):
                    found[units] = None
    return tuple(found)


def _units(terms: list[Term], language: str) -> Reading | None:
    """The words of scripts without spaces, without those that lie inside them: what lies inside depends on the words
    around. None where there are no others inside."""
    units: list[int] = []
    pairs, end = 0, 0
    for at, term in enumerate(terms):
        longest = all(term.end >= other.end for other in terms[at:] if other.start == term.start)
        pair = len(term.text) == 2 and (language == "ja" or not _HAN.fullmatch(term.text)) and not term.text.isascii()
        if pair or (longest and term.start >= end):
            units.append(at)
            pairs += pair
            end = max(end, term.end)
    if len(units) == len(terms):
        return None
    gaps = units[-1] - units[0] + 1 - len(units)
    # Pairs overlap, so that they stand in order only where the characters do, whatever other terms are between them.
    return Reading(" ".join(terms[at].text for at in units), gaps + pairs if len(units) > 1 else 0)
