"""How a search was handled, as the header `X-Hybrid` says it."""

from __future__ import annotations

import pytest

from hybrid.dropin.handling import RANKED, Handling, passed
from hybrid.searches import Degradation

TEXT, IMAGE = Degradation("text", "the model is gone"), Degradation("image", "a shard failed")


@pytest.mark.parametrize(
    ("handling", "header"),
    [
        (RANKED, "ranked"),
        (passed("no query"), "passed; no query"),
        (RANKED.without([]), "ranked"),
        (RANKED.without([TEXT]).without([IMAGE]), "ranked; degraded: text: the model is gone; image: a shard failed"),
        (Handling(False, error="KeyError"), "passed; degraded: KeyError"),
        (Handling(False, lost=(TEXT,)), "passed; degraded: text: the model is gone"),
    ],
)
def test_the_header_says_what_happened_and_what_was_lost(handling: Handling, header: str) -> None:
    assert str(handling) == header
