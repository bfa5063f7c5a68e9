"""Answers of one generation, while an alias is moved from an index to the one that takes its place.

An answer takes several round trips, and begins with the profile of the index. All round trips go to the alias, so the
first search after a move is of the new index. Every hit names its index, and so does every shard that failed: another
index than the profile's shows the move without a request. The search is then repeated from a new profile: a move costs
one repetition. Where there are no hits, or where an error came, the cluster is asked which index the alias names now.

One case goes unnoticed: an alias that is moved away and back between two round trips of one answer, where both searches
in between have no hits.
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

Result = TypeVar("Result")


class ProfilesLike(Protocol):
    """See hybrid.elastic.retrieval.candidates.Retrieval."""

    def profile(self, index: str) -> IndexProfile: ...
    def moved(self, profile: IndexProfile) -> bool: ...
    def superseded(self, profile: IndexProfile) -> bool: ...


def settled(attempt: Callable[[], Result], moved: Callable[[Exception], bool]) -> Result:
    """The result of `attempt`, which is repeated while its errors come of a move.

    moved: whether an error comes of a move. It is called for each error but the last, and never where the cluster does
    not answer. The first repetition comes at once, each later one after a pause.

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


def whole(profiles: ProfilesLike, index: str, make: Callable[[IndexProfile], Result]) -> Result:
    """The result of `make` for the profile of an index, where all of the result is of the profile's index.

    `make` raises IndexMovedError where it notices a move. `make` may call functions that repeat themselves after a
    move: then its profile may be older than its result, which counts as a move too. Its other errors may come of the
    move (a filter on a field that only the new index has), so the cluster is asked before such an error is raised.

    Raises:
        IndexMovedError: the alias does not stand still.
    """
    profile: IndexProfile | None = None

    def attempt() -> Result:
        nonlocal profile
        profile = None
        profile = profiles.profile(index)
        result = make(profile)
        if profiles.superseded(profile):
            raise moved_error(index)
        return result

    def moved(error: Exception) -> bool:
        if isinstance(error, IndexMovedError):
            return True
        return profile is not None and isinstance(error, HybridError) and profiles.moved(profile)

    return settled(attempt, moved)


def moved_error(index: str) -> IndexMovedError:
    return IndexMovedError(f"{index!r} was moved to another index during the search; search again")
