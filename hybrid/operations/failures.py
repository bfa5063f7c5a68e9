"""What is done about dead letters: trying their products again, and forgetting them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hybrid.elastic.stores.dead_letters import DeadLetters
from hybrid.operations.orders import Work
from hybrid.services import Services

#: Order slot of trying all products of a reason again; beside the runs that change an index.
KIND = "retry"


def slot(index: str) -> str:
    return f"{KIND}:{index}"


def retry(services: Services, index: str, letters: Sequence[Mapping[str, Any]]) -> int:
    """Try the products of these letters again, on the workers; how many.

    Raises:
        IndexMissingError, IndexConflictError: the index is gone, or not the layer's.
        NodeError, ClusterUnreachableError: no broker answers; the products wait, and the next sync queues them.
    """
    profile = services.searcher.profile(index)
    waiting = services.ingester.retry(profile, letters)
    if waiting:
        services.queue.enrich(index, KIND, waiting, patient=False)
    return len(waiting)


def retry_all(work: Work) -> dict[str, Any]:
    """The order: try every product of a reason again. Options: reason."""
    services, reason = work.services, str(work.options["reason"])
    total = services.dead_letters.counts(work.index).get(reason, 0)
    queued = seen = 0
    for letters in services.dead_letters.batches(work.index, reason, services.settings.batch_size):
        queued += retry(services, work.index, letters)
        seen += len(letters)
        work.counted(reason, seen, max(total, seen))
    return {"reason": reason, "letters": seen, "queued": queued}


def dismiss_all(dead_letters: DeadLetters, index: str, reason: str) -> int:
    """Forget all letters of a reason; how many. The products stay as they are."""
    count = 0
    for letters in dead_letters.batches(index, reason, 5_000):
        dead_letters.dismiss([letter["id"] for letter in letters])
        count += len(letters)
    return count


def csv_rows(dead_letters: DeadLetters, index: str, reason: str) -> Iterator[list[str]]:
    """A header and all letters of a reason, fit for a spreadsheet: no cell is a formula."""
    columns = ["index", "product", "signal", "reason", "message", "at"]
    yield columns
    for letters in dead_letters.batches(index, reason, 1_000):
        for letter in letters:
            yield [_cell(str(letter.get(column, ""))) for column in columns]


def _cell(text: str) -> str:
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text
