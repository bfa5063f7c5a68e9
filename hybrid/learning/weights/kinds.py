"""Kinds of learned weights: what each needs, and which are compared."""

from __future__ import annotations

from hybrid.errors import UsageError
from hybrid.search.weights import PREDICTED
from hybrid.searches import LEARNED_SYSTEMS


def up_to(kind: str) -> list[str]:
    """The kinds that are compared where this one is to be trained: the simpler ones, and itself.

    >>> up_to("attention")
    ['global', 'kinds', 'attention']
    """
    before = LEARNED_SYSTEMS[: LEARNED_SYSTEMS.index(kind)]
    return [*(one for one in before if one not in PREDICTED), kind]


def check(kind: str, judged: bool) -> None:
    """Raises UsageError: no such kind, or one that learns from judged queries alone, and there are none."""
    if kind not in LEARNED_SYSTEMS:
        raise UsageError(f"no kind {kind!r} to train; kinds: {', '.join(LEARNED_SYSTEMS)}")
    if not judged and kind not in PREDICTED:
        raise UsageError(
            f"{kind} weights learn from judged queries alone; give judgments, or train {' or '.join(PREDICTED)}, which "
            "learns from synthetic queries as well"
        )
