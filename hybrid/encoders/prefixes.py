"""What is known of families of text models: what they were trained to find in front of a query, and of a text that is
to be found, and between which cosines a query and a product lie. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

#: Of queries, for the Chinese models of BGE: "generate a representation of this sentence to retrieve related texts".
BGE_ZH = "为这个句子生成表示以用于检索相关文章："


#: Of bge-small-zh-v1.5 on the sample catalogue, where the best cosines of queries are at 0.6 and half of all at 0.36.
BGE_ZH_SPAN = (0.29, 0.62)


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


#: As PREFIXES. That of E5 is of its authors, who trained at a temperature of 0.01.
SPANS = ((re.compile(r"\be5\b"), (0.7, 1.0)), (re.compile(r"\bbge\b.*\bzh\b"), BGE_ZH_SPAN))


def prefixes_of(name: str, prompts: Mapping[str, str | None]) -> Prefixes:
    """The prefixes of a model. name: its hub name, or its folder. prompts: those that the model itself states.

    >>> prefixes_of("intfloat/multilingual-e5-small", {})
    Prefixes(query='query: ', text='passage: ')
    """
    stated = {key: text for key, text in prompts.items() if text}
    if stated:
        of_texts = (stated[key] for key in ("document", "passage", "corpus") if key in stated)
        return Prefixes(stated.get("query", ""), next(of_texts, ""))
    return next((prefixes for pattern, prefixes in PREFIXES if pattern.search(_plain(name))), Prefixes())


def span_of(name: str) -> tuple[float, float] | None:
    """The cosines that scale to 0 and to 1, where they are known for a model's family.

    >>> span_of("intfloat/multilingual-e5-small"), span_of("all-MiniLM-L6-v2")
    ((0.7, 1.0), None)
    """
    return next((span for pattern, span in SPANS if pattern.search(_plain(name))), None)


def _plain(name: str) -> str:
    return Path(name).name.lower().replace("_", "-")
