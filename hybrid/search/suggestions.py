"""Completions of what a shopper has typed so far."""

from __future__ import annotations

from typing import Any

from hybrid.catalogue.documents import role_values
from hybrid.search.ports import RetrievalLike
from hybrid.text.completions import Typed, offers

#: Titles looked at for each requested completion: several products share a text.
_COMPLETING = 5


def suggest(retrieval: RetrievalLike, index: str, prefix: str, size: int) -> list[dict[str, Any]]:
    """Completions of a prefix: {"text", "id", "kind"} each, best first."""
    typed = Typed.of(prefix)
    if not typed.words:
        return []
    profile = retrieval.profile(index)
    completions: dict[str, str] = {}
    for spelling in (typed, typed.forgiven()):
        if spelling is not None and len(completions) < size:
            sources = retrieval.completing(profile, spelling, _COMPLETING * size)
            titles = [
                (id, str(title))
                for id, source in sources.items()
                for title in role_values(source, profile.fields, "title")
            ]
            for text, id in offers(titles, spelling):
                completions.setdefault(text, id)
    return [{"text": text, "id": id, "kind": "product"} for text, id in list(completions.items())[:size]]
