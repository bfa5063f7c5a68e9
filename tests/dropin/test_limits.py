"""Which patterns of a search visit every term of a field."""

from __future__ import annotations

from typing import Any

import pytest

from hybrid.dropin.limits import Limits, check
from hybrid.errors import RefusedError


def regexp(pattern: str) -> dict[str, Any]:
    return {"regexp": {"name": {"value": pattern}}}


def text(words: str) -> dict[str, Any]:
    return {"query_string": {"query": words}}


ANYWHERE = [
    *map(text, ("*a", "+*a", "-*a", "!?a", '"*a"', "(b)*a", "name:*a",
        "/.*a/", "name:/[a-z]*x/", "b OR /a*x/", "/.*a")),
    *map(regexp, (
        ".*a", "[a-z]*x", "[^a]x", "@x", "().*x", "(.*)x", "~(a)", "<1-9>x", "a*x", "a?x", "a{0,3}x", "#", "a|.*x",
        "(a|.*)x", "&", "|a", "")),
    {"wildcard": {"name": "*a"}},
    {"wildcard": {"name": {"wildcard": "?a"}}},
]  # fmt: skip
FROM_A_LETTER = [
    *map(text, ("a*", "+lam?", "name:a*b", "/lamp.*/", "red lamp", "/a\\/.*/", "wi-fi* +a")),
    *map(regexp, ("lamp.*", "a+x", "(red|blue).*", "\\.x", "\\*a.*")),
    {"wildcard": {"name": "a*b"}},
]


@pytest.mark.parametrize("query", ANYWHERE, ids=str)
def test_a_pattern_without_a_first_letter_is_counted(query: dict[str, Any]) -> None:
    with pytest.raises(RefusedError, match="HYBRID_DROPIN_LEADING_WILDCARDS"):
        check("shop", {"query": query}, Limits(leading=0))
    with pytest.raises(RefusedError, match="HYBRID_DROPIN_PATTERNS"):
        check("shop", {"query": query}, Limits(patterns=0))
    check("shop", {"query": query}, Limits(leading=1, patterns=1))


@pytest.mark.parametrize("query", FROM_A_LETTER, ids=str)
def test_a_pattern_with_a_first_letter_is_not(query: dict[str, Any]) -> None:
    check("shop", {"query": query}, Limits(leading=0))
