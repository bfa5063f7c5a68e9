"""Compounds of German, Dutch, Swedish, Danish, Norwegian and Finnish, taken apart: Regenjacke is a Jacke for Regen.

The parts must be common words of the language, by the frequencies that `wordfreq` carries, so that a product's terms do
not depend on which other products there are. Of several ways to split, that of the commonest parts is taken (Koehn and
Knight, "Empirical methods for compound splitting", EACL 2003).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, lru_cache

from hybrid.text.folding import fold

#: What may stand between two parts, the longest first: a part that begins with it is no better reading.
_LINKS: dict[str, tuple[str, ...]] = {
    "de": ("es", "en", "s", "n", "e", ""),
    "nl": ("en", "s", "e", "n", ""),
    "sv": ("s", ""),
    "da": ("s", "e", ""),
    "no": ("s", "e", ""),
    "fi": ("n", ""),
}
#: Of `wordfreq`, where it has another code.
_CODES = {"no": "nb"}
#: Letters of a part: shorter words are found in too many others by chance.
_MIN = 4
#: A word that is common itself is taken apart only if its parts are this many times as common: `Gesundheit` is not.
_RATIO = 3.0
#: A link costs this factor.
_LINKED = 0.5
#: What their parts do not tell: gloves are no shoes.
_WHOLE = frozenset(
    """handschuh handschuhe handschuhen handschoen handschoenen eisenbahn fernseher schildkrote schildkroten rentier
    staubecken urinstinkt maulwurf ohrfeige wellness augenblick pullover computer polyester""".split()  # noqa: SIM905
)


@lru_cache(maxsize=20_000)
def parts(word: str, language: str) -> tuple[str, ...]:
    """The parts of a compound, folded; none where the word is no compound, or the language has none.

    >>> parts("Schreibtischlampe", "de"), parts("Gesundheit", "de")
    (('schreibtisch', 'lampe'), ())
    """
    links = _LINKS.get(language)
    if links is None or len(word) < 2 * _MIN or not word.isalpha():
        return ()
    folded = fold(word)
    if folded in _WHOLE:
        return ()
    words = _frequencies(language)
    score, found = _split(folded, words, links)
    own = words.get(folded, 0.0)
    return found if score > _RATIO * own else ()


def _split(word: str, words: Mapping[str, float], links: tuple[str, ...]) -> tuple[float, tuple[str, ...]]:
    """(geometric mean of the parts' frequencies, parts) of the best split in two, or in three; (0, ()) for none."""
    best: tuple[float, tuple[str, ...]] = (0.0, ())
    for at in range(_MIN, len(word) - _MIN + 1):
        tail = words.get(word[at:])
        if tail is None:
            continue
        for link in links:
            head = word[: at - len(link)]
            if not word[:at].endswith(link) or len(head) < _MIN:
                continue
            if head in words:
                heads: tuple[str, ...] = (head,)
                first = words[head]
            elif len(head) >= 2 * _MIN:
                first, heads = _split(head, words, links)
            else:
                continue
            if not heads:
                continue
            score = (first * tail) ** 0.5 * (_LINKED if link else 1.0)
            # skrivbord-s-lampa, and not skrivbord-slampa
            linked = best[1] and heads == best[1][:-1] and best[1][-1].endswith(word[at:])
            if score > best[0] or (linked and link):
                best = score, (*heads, word[at:])
    return best


@cache
def _frequencies(language: str) -> Mapping[str, float]:
    """Folded word -> its frequency, of words that are met once in a million."""
    from wordfreq import get_frequency_dict  # 0.3 seconds, at the first text in such a language

    known: dict[str, float] = {}
    for word, frequency in get_frequency_dict(_CODES.get(language, language), "small").items():
        if len(word) >= _MIN and word.isalpha():
            folded = fold(word)
            known[folded] = max(frequency, known.get(folded, 0.0))
    return known
