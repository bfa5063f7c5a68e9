"""What is tried again while an alias moves, and what is not."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from hybrid.contracts import FieldMap, IndexProfile
from hybrid.errors import (
    ClusterError,
    ClusterTimeoutError,
    ClusterUnreachableError,
    HybridError,
    IndexMovedError,
    UsageError,
)
from hybrid.search import consistency
from hybrid.search.consistency import moved_error, settled, whole


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    slept: list[float] = []
    monkeypatch.setattr(consistency.time, "sleep", slept.append)
    return slept


def failing(*errors: Exception) -> tuple[Callable[[], str], list[int]]:
    """(what fails with these errors in turn, then answers; a number for each time that it was called)."""
    calls: list[int] = []
    left: Iterator[Exception] = iter(errors)

    def attempt() -> str:
        calls.append(len(calls))
        error = next(left, None)
        if error is not None:
            raise error
        return "answer"

    return attempt, calls


def test_the_first_repetition_comes_at_once_and_each_other_after_a_pause(pauses: list[float]) -> None:
    for failures, expected in ((0, 0), (1, 0), (2, 1), (9, 8)):
        pauses.clear()
        attempt, calls = failing(*[moved_error("shop")] * failures)
        assert settled(attempt, lambda error: True) == "answer"
        assert (len(calls), pauses) == (failures + 1, [consistency._PAUSE_S] * expected)


def test_an_alias_that_does_not_stand_still_ends_in_the_last_error(pauses: list[float]) -> None:
    errors = [UsageError(str(number)) for number in range(20)]
    judged: list[Exception] = []
    attempt, calls = failing(*errors)
    with pytest.raises(UsageError) as failed:
        settled(attempt, lambda error: not judged.append(error))
    assert failed.value is errors[consistency._TRIES - 1]
    assert len(calls) == consistency._TRIES
    assert judged == errors[: consistency._TRIES - 1]


@pytest.mark.parametrize("error", [ClusterUnreachableError("gone"), ClusterTimeoutError("slow")])
def test_a_cluster_that_does_not_answer_is_asked_nothing(error: HybridError) -> None:
    attempt, calls = failing(error)
    judged: list[Exception] = []
    with pytest.raises(type(error)):
        settled(attempt, lambda error: not judged.append(error))
    assert (len(calls), judged) == (1, [])


class Profiles:
    """An alias that moves: each of `indices` is what it stands for when its profile is read."""

    def __init__(self, *indices: str) -> None:
        self.indices = list(indices)
        self.read: list[str] = []
        self.asked = 0

    def profile(self, index: str) -> IndexProfile:
        self.read.append(self.indices[min(len(self.read), len(self.indices) - 1)])
        return IndexProfile(index, FieldMap({}), {}, "en", "", concrete=self.read[-1])

    def moved(self, profile: IndexProfile) -> bool:
        self.asked += 1
        return profile.concrete != self.indices[-1]

    def superseded(self, profile: IndexProfile) -> bool:
        return profile.concrete == "superseded"


def test_an_error_is_believed_once_the_cluster_says_that_nothing_moved(pauses: list[float]) -> None:
    def make(profile: IndexProfile) -> str:
        if profile.concrete != "new":
            raise ClusterError("no such field")
        return profile.concrete

    profiles = Profiles("old", "new")
    assert (whole(profiles, "shop", make), profiles.read, profiles.asked) == ("new", ["old", "new"], 1)
    still = Profiles("old")
    with pytest.raises(ClusterError, match="no such field"):
        whole(still, "shop", make)
    assert (still.read, still.asked) == (["old"], 1)


def test_what_was_made_of_a_superseded_profile_is_made_anew(pauses: list[float]) -> None:
    profiles = Profiles("superseded", "new")
    assert whole(profiles, "shop", lambda profile: profile.concrete) == "new"
    with pytest.raises(IndexMovedError):
        whole(Profiles("superseded"), "shop", lambda profile: profile.concrete)


def test_a_mistake_of_ours_is_no_move() -> None:
    profiles = Profiles("old", "new")

    def make(profile: IndexProfile) -> str:
        raise KeyError("a mistake of ours")

    with pytest.raises(KeyError):
        whole(profiles, "shop", make)
    assert (profiles.read, profiles.asked) == (["old"], 0)
