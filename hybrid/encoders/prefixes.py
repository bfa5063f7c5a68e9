"""What models of texts were trained to find in front of a query, and of a text that is to be found. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

#: Of queries, for the Chinese models of BGE: "generate a representation of this sentence to retrieve related texts".
BGE_ZH = "为这个句子生成表示以用于检索相关文章："


class Prefixes(NamedTuple):
    """In front of a query, and of a text that is to be found."""

    query: str = ""
    text: str = ""


#: By how a model's name is written, for families whose models seldom say it themselves.
PREFIXES = (
    (re.compile(r"\be5\b.*\binstruct\b"), Prefixes("Instruct: Given a search query, find matching products\nQuery: ")),
    (re.compile(r"\be5\b"), Prefixes("query: ", "passage: ")),
    (re.compile(r"\bbge\b.*\bzh\b"), Prefixes(BGE_ZH)),
    (re.compile(r"\bbge\b.*\ben\b"), Prefixes("Represent this sentence for searching relevant passages: ")),
)


def prefixes_of(name: str, prompts: Mapping[str, str | None]) -> Prefixes:
    """The prefixes of a model. name: its hub name, or its folder. prompts: those that the model itself states.

    >>> prefixes_of("intfloat/multilingual-e5-small", {})
    Prefixes(query='query: ', text='passage: ')
    """
    stated = {key: text for key, text in prompts.items() if text}
    if stated:
        of_texts = (stated[key] for key in ("document", "passage", "corpus") if key in stated)
        return Prefixes(stated.get("query", ""), next(of_texts, ""))
    last = Path(name).name.lower().replace("_", "-")
    return next((prefixes for pattern, prefixes in PREFIXES if pattern.search(last)), Prefixes())
