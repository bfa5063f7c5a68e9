"""Every error says what it means, survives a pickle round trip (Celery needs it) and is one line."""

from __future__ import annotations

import inspect
import pickle

import pytest

from hybrid import errors

CLASSES = [item for _, item in inspect.getmembers(errors, inspect.isclass) if issubclass(item, errors.HybridError)]


@pytest.mark.parametrize("kind", CLASSES)
def test_pickle_and_one_line(kind: type[errors.HybridError]) -> None:
    error = kind("two\nlines")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind
    assert str(again) == str(error) == "two lines"


@pytest.mark.parametrize("kind", CLASSES)
def test_each_says_what_it_means_in_a_sentence(kind: type[errors.HybridError]) -> None:
    said = (vars(kind).get("__doc__") or "").split("\n\n")[0].strip()  # its own, not that of its base
    assert said[:1].isupper() and said.endswith("."), said
    assert len(said.split()) >= 8, said


def test_media_error_keeps_its_reason() -> None:
    again = pickle.loads(pickle.dumps(errors.MediaError("too big", "image_too_large")))
    assert (str(again), again.reason) == ("too big", "image_too_large")


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    assert errors.__doc__ is not None
    missing = [kind.__name__ for kind in CLASSES if kind.__name__ not in errors.__doc__]
    assert missing == []
