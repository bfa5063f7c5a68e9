"""What the answers of a search tell of the index that they came from. Pure. See hybrid.coherence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


def strays(answers: Iterable[Mapping[str, Any]], concrete: str) -> bool:
    """Whether a hit is of another index than this one; "": any index will do."""
    if not concrete:
        return False
    return not {hit["_index"] for answer in answers if "hits" in answer for hit in answer["hits"]["hits"]} <= {concrete}


def broken(answer: Mapping[str, Any]) -> bool:
    """Whether a search or a part of it failed, as it does where the index behind the alias is gone or another one."""
    return "error" in answer or bool(answer.get("_shards", {}).get("failed"))
