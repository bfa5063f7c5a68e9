"""How a search was handled: ranked, or passed to the cluster unchanged."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from hybrid.searches import Degradation


@dataclass(frozen=True)
class Handling:
    """What happened to one search. Its text is the value of the header `X-Hybrid`.

    passes: why the search passes, or "". error: the layer's failure that made it pass, or "". lost: parts that failed,
    so that it was ranked without them, or not at all.
    """

    ranked: bool
    passes: str = ""
    error: str = ""
    lost: tuple[Degradation, ...] = ()

    def without(self, lost: Iterable[Degradation]) -> Handling:
        """The same, with more parts that failed."""
        return replace(self, lost=(*self.lost, *lost))

    def __str__(self) -> str:
        degraded = "; ".join(
            [*([self.error] if self.error else []), *(f"{one.part}: {one.reason}" for one in self.lost)]
        )
        parts = ["ranked" if self.ranked else "passed", self.passes, f"degraded: {degraded}" if degraded else ""]
        return "; ".join(part for part in parts if part)


RANKED = Handling(True)


def passed(reason: str) -> Handling:
    """A search that passes for a reason of its own, as the shop would expect."""
    return Handling(False, reason)
