"""Actions on dead letters: retry their products, dismiss them, export them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hybrid.elastic.stores.dead_letters import DeadLetters
from hybrid.operations.orders import Work
from hybrid.services import Services

#: Kind of the orders that retry all products of a reason. Their slot is another one than that of runs.
KIND = "retry"


def slot(index: str) -> str:
    return f"{KIND}:{index}"


def retry(services: Services, index: str, dead_letters: Sequence[Mapping[str, Any]]) -> int:
    """Try the products of these dead letters again, on the workers; returns how many.

    Raises:
        IndexMissingError, IndexConflictError: the index is gone, or not the layer's.
        NodeError, ClusterUnreachableError: no broker answers; the products wait, and the next sync queues them.
    """
    profile = services.searcher.profile(index)
    waiting = services.ingester.retry(profile, dead_letters)
    if waiting:
        services.queue.enrich(index, KIND, waiting, patient=False)
    return len(waiting)


def retry_all(work: Work) -> dict[str, Any]:
    """Perform the order to retry every product of a reason. Options: reason."""
    services, reason = work.services, str(work.options["reason"])
    total = services.dead_letters.counts(work.index).get(reason, 0)
    queued = seen = 0
    for batch in services.dead_letters.batches(work.index, reason, services.settings.batch_size):
        queued += retry(services, work.index, batch)
        seen += len(batch)
        work.counted(reason, seen, max(total, seen))
    return {"reason": reason, "letters": seen, "queued": queued}


def dismiss_all(dead_letters: DeadLetters, index: str, reason: str) -> int:
    """Delete all dead letters of a reason; returns how many. The products stay as they are."""
    count = 0
    for batch in dead_letters.batches(index, reason, 5_000):
        dead_letters.dismiss([dead_letter["id"] for dead_letter in batch])
        count += len(batch)
    return count


def csv_rows(dead_letters: DeadLetters, index: str, reason: str) -> Iterator[list[str]]:
    """A header and all dead letters of a reason, as rows for a spreadsheet. No cell is a formula."""
    columns = ["index", "product", "signal", "reason", "message", "at"]
    yield columns
    for batch in dead_letters.batches(index, reason, 1_000):
        for dead_letter in batch:
            yield [_cell(str(dead_letter.get(column, ""))) for column in columns]


def _cell(text: str) -> str:
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text
