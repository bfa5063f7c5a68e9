"""Answers of one generation, while an alias is moved from an index to the one that takes its place.

An answer takes several round trips, and is made from a profile that was read before them. All of them go to the alias,
so the first search after a move is of the new index; and every hit tells the index it is of, so what is not of the
profile's is noticed without asking. Then the answer is made anew, from a new profile: a move costs a repetition. Where
no hit tells, since there are none or an error came, the cluster is asked what the name stands for now.

What that cannot tell: an alias that is moved away and back between two round trips of one answer, both of whose
searches in between found nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol, TypeVar

from hybrid.contracts import IndexProfile
from hybrid.errors import ClusterTimeoutError, ClusterUnreachableError, HybridError, IndexMovedError

#: One repetition is the rule. More are for an alias that moves again and again, and for a cluster whose nodes do not
#: all know of the move yet.
_TRIES = 10
_PAUSE_S = 0.02

Made = TypeVar("Made")


class ProfilesLike(Protocol):
    """See hybrid.elastic.retrieval.candidates.Retrieval."""

    def profile(self, index: str) -> IndexProfile: ...
    def moved(self, profile: IndexProfile) -> bool: ...
    def superseded(self, profile: IndexProfile) -> bool: ...


def settled(attempt: Callable[[], Made], moved: Callable[[Exception], bool]) -> Made:
    """What `attempt` makes, tried again while its errors come of a move.

    moved: whether this error does; asked of each but the last, and never of a cluster that does not answer. The first
    repetition comes at once, each other after a pause.

    Raises: the error of the last try, or the first that does not come of a move.
    """
    for left in reversed(range(_TRIES)):
        try:
            return attempt()
        except (ClusterUnreachableError, ClusterTimeoutError):
            raise  # a cluster that does not answer cannot be asked
        except Exception as error:
            if not left or not moved(error):
                raise
        if left < _TRIES - 1:
            time.sleep(_PAUSE_S)
    raise AssertionError("the last try returns or raises")


def whole(profiles: ProfilesLike, index: str, make: Callable[[IndexProfile], Made]) -> Made:
    """What `make` makes from the profile of an index, all of it from the index that the profile is of.

    `make` raises IndexMovedError where it notices a move. It may call what is repeated by itself: then the profile that
    `make` was given may be older than what it made, which counts as moved too. Its other errors may come of the move
    (a filter on a field that only the new index has), so before one is believed, the cluster is asked.

    Raises:
        IndexMovedError: the alias does not stand still.
    """
    profile: IndexProfile | None = None

    def attempt() -> Made:
        nonlocal profile
        profile = None
        profile = profiles.profile(index)
        made = make(profile)
        if profiles.superseded(profile):
            raise moved_error(index)
        return made

    def moved(error: Exception) -> bool:
        if isinstance(error, IndexMovedError):
            return True
        return profile is not None and isinstance(error, HybridError) and profiles.moved(profile)

    return settled(attempt, moved)


def moved_error(index: str) -> IndexMovedError:
    return IndexMovedError(f"{index!r} was moved to another index during the search; search again")
