"""Every fact of a search has words in every language of the pages."""

from __future__ import annotations

import re

import pytest

from hybrid.facts import Counted, Reason
from hybrid.search.features import FEATURES
from hybrid.search.kinds import FLAGS
from hybrid.searches import Degradation, parts
from hybrid.signals import SIGNALS
from tests.search.test_facts import NOTES
from web import facts
from web.strings import LANGUAGES, signal_label

_HAN = re.compile(r"[\u4e00-\u9fff]")
REASONS = [Reason(feature, more, "text", 0.1) for feature in FEATURES for more in (True, False)]
REASONS += [Reason(kind, True, "text", 0.1) for kind in FLAGS]
COUNTS = [
    Counted("matching", ("text", "image"), 200),
    Counted("matching", (), 200),
    Counted("all", ("fused",), 200),
    Counted("all", (), 200),
    Counted(None, ("video",), 200),
    Counted(None, (), 200),
]


def test_there_is_a_wording_for_each_language() -> None:
    assert tuple(facts.WORDINGS) == LANGUAGES


@pytest.mark.parametrize("lang", LANGUAGES)
def test_every_kind_of_every_fact_has_words(lang: str) -> None:
    texts = [
        *(facts.reason(reason, lang) for reason in REASONS),
        *(facts.note(note, lang) for note in NOTES),
        *(facts.counted(count, lang) for count in COUNTS),
        *(facts.degraded(Degradation(part, ""), lang) for part in parts()),
    ]
    assert len(set(texts)) == len(texts)  # each says something of its own
    for text in texts:
        assert text and "{" not in text and "None" not in text
        assert bool(_HAN.search(text)) == (lang == "zh"), text


@pytest.mark.parametrize("lang", LANGUAGES)
def test_every_signal_has_a_name(lang: str) -> None:
    for name in ("lexical", *SIGNALS):
        assert signal_label(name, lang) != name


def test_facts_name_signals_as_the_page_does() -> None:
    reason = Reason("several words", True, "text", 0.3)
    assert facts.reason(reason, "en") == "Meaning +0.30, because the query has several words"
    assert facts.reason(reason, "zh") == "语义 +0.30：查询含多个词"
    assert (
        facts.counted(COUNTS[0], "en")
        == "products with one of the words, and the 200 nearest by meaning and by picture"
    )
    assert facts.counted(COUNTS[0], "zh") == "含任一词语的商品，以及按语义、图片最接近的 200 件"
