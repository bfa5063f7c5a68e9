"""Facts about a search, and their English."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pytest

from hybrid.facts import ENGLISH, Counted, Note, NoteKind, Reason
from hybrid.search.features import FEATURES
from hybrid.search.kinds import FLAGS
from hybrid.search.page import counted

#: A note of each kind, with what that kind carries.
NOTES = (
    Note("untrained_script", "text", "minilm", "Han"),
    Note("unknown_words", "text", "tfidf"),
    Note("not_searched", "image", value=0.031),
    Note("no_match", "lexical"),
    Note("same_score", "text"),
    Note("weak_match", "text", value=0.051),
    Note("no_vectors", "image"),
    Note("not_asked", "audio"),
    Note("unknown_code", "code", code="TN-9999"),
    Note("below_floor", "text", value=0.447),
)


def test_there_is_a_note_of_each_kind() -> None:
    assert [note.kind for note in NOTES] == list(get_args(NoteKind))


def test_every_feature_has_a_reason_for_more_and_for_less() -> None:
    assert tuple(ENGLISH.reasons) == FEATURES
    texts = [str(Reason(feature, more, "text", 0.1)) for feature in FEATURES for more in (True, False)]
    assert len(set(texts)) == 2 * len(FEATURES)
    assert tuple(ENGLISH.kinds) == FLAGS and not set(FLAGS) & set(FEATURES)


@pytest.mark.parametrize(
    ("fact", "text"),
    [
        (Reason("several words", True, "text", 0.3), "text +0.30, because the query has several words"),
        (Reason("has digits", False, "lexical", -0.123), "lexical -0.12, because the query has no digits"),
        (Reason("sentence", True, "text", 0.3), "text +0.30, because the query is a sentence"),
        (NOTES[0], "text: minilm was not trained on Han text"),
        (NOTES[1], "text: tfidf knows none of these words"),
        (NOTES[2], "image: not searched, its weight would be 0.03"),
        (NOTES[3], "lexical: no match"),
        (NOTES[4], "text: the same score for every candidate"),
        (NOTES[5], "text: counts less, its best score is only 0.05"),
        (NOTES[6], "image: the file took no part, for the products of this index have no such vectors"),
        (NOTES[7], "audio: the file took no part, for the chosen system or weights leave it out"),
        (
            Counted("matching", ("text", "image"), 200),
            "products with one of the words, and the 200 nearest by text and by image",
        ),
        (Counted("all", (), 200), "all products"),
        (Counted(None, ("audio",), 30), "the 30 nearest by audio"),
        (Counted(None, (), 30), "nothing, for no part of the query could be compared"),
    ],
)
def test_english(fact: Reason | Note | Counted, text: str) -> None:
    assert str(fact) == text
    assert fact.to_json()["text"] == text


def test_json_has_the_fact_beside_the_text() -> None:
    note = NOTES[2].to_json()
    assert {**note, "text": ""} == {
        "kind": "not_searched", "signal": "image", "encoder": None, "script": None, "code": None, "value": 0.031,
        "text": "",
    }  # fmt: skip
    assert Reason("has a photo", True, "fused", 0.5).to_json() == {
        "feature": "has a photo", "more": True, "signal": "fused", "change": 0.5,
        "text": "fused +0.50, because there is a photo",
    }  # fmt: skip


def test_what_a_search_counts() -> None:
    assert counted("red lamp", {"text": 0}, 20) == Counted("matching", ("text",), 20)
    assert counted("", {}, 20) == Counted("all", (), 20)
    assert counted(None, ["image"], 20) == replace(counted("x", ["image"], 20), words=None)
