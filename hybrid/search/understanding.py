"""What the words of a search ask for beside being words: phrases, exclusions, a price. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from hybrid.contracts import IndexProfile
from hybrid.searches import Reading, SearchRequest, Understood, Words
from hybrid.text import operators, prices
from hybrid.text.phrases import readings

#: Whatever is understood has one of these: most queries have none, and are left alone at once.
_ASKS = re.compile(r"[\d\"＂“”„«»「『〝−－-]")
#: Quotes that are no part of the words any more.
_QUOTES = str.maketrans(dict.fromkeys('"“”„«»「」『』〝〞〟＂', " "))


def understand(request: SearchRequest, profile: IndexProfile) -> tuple[SearchRequest, list[Understood]]:
    """The search that the words ask for, and what of them was understood; the same request where nothing was.

    The words of a phrase stay words, without their marks. Excluded words and price words are none any more. A query of
    exclusions alone browses everything else. The price is a filter on the first number field of that role; where there
    is none, price words are words. A filter of the request on that field wins over the words.
    """
    query = request.q
    if not (request.understand and _ASKS.search(query)) or request.like:
        return request, []
    found = operators.find(query)
    phrases = found.phrases if "phrases" in request.understand else ()
    excluded = found.excluded if "exclusions" in request.understand else ()
    masked = _blanked(query, [(part.start, part.end) for part in (*phrases, *excluded)], "\x00")
    field = _price_field(profile) if "price" in request.understand else ""
    price = prices.find(masked) if field else None
    if not (phrases or excluded or price):
        return request, []
    rest = query
    for part in phrases:
        inner = query[part.start : part.end].translate(_QUOTES)
        rest = rest[: part.start] + inner + rest[part.end :]
    rest = _blanked(rest, [*((part.start, part.end) for part in excluded), *(price.spans if price else ())], " ")
    read = [Understood("phrase", part.typed) for part in phrases]
    read += [Understood("exclusion", part.typed) for part in excluded]
    filters = request.filters
    if price:
        applied = field not in filters
        read.append(Understood("price", price.text, field, price.bounds, applied))
        filters = {**filters, field: price.bounds} if applied else filters
    asked = replace(
        request,
        q=" ".join(rest.split()),
        filters=filters,
        phrases=tuple(part.text for part in phrases),
        excluded=tuple(part.text for part in excluded),
        understand=(),
    )
    return asked, read


def conditions(request: SearchRequest, profile: IndexProfile) -> Words:
    """The phrases and exclusions of a request as the index has them; no other words."""

    def read(texts: Iterable[str]) -> tuple[tuple[Reading, ...], ...]:
        if profile.lexical_fields:
            return tuple((Reading(text),) for text in texts)
        return tuple(found for text in texts if (found := readings(text, *profile.languages)))

    return Words(phrases=read(request.phrases), excluded=read(request.excluded))


def _price_field(profile: IndexProfile) -> str:
    """The first number field of the role price; "" where the catalogue has none."""
    types = profile.fields.types
    return next((path for path in profile.fields.roles.get("price", ()) if types.get(path) in ("long", "double")), "")


def _blanked(text: str, spans: Iterable[tuple[int, int]], mark: str) -> str:
    """The text with these spans blanked, as long as it was."""
    for start, end in spans:
        text = text[:start] + mark * (end - start) + text[end:]
    return text
