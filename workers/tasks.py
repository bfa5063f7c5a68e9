"""The tasks. Each takes ids and plain JSON, and may run twice."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from celery import shared_task

from hybrid.errors import (
    ClusterError,
    EncoderError,
    HybridError,
    IndexConflictError,
    IndexMissingError,
    WriteBlockedError,
)
from hybrid.ingest.queue import ENRICH_TASK, ORDER_TASK, PUSH, SYNC_TASK
from hybrid.operations.orders import call_abandoned, start
from hybrid.operations.reindex.recovery import recover_all
from hybrid.operations.sync import dispatch_sync
from hybrid.operations.vocabulary import keep_in_step
from hybrid.services import Services

logger = logging.getLogger(__name__)

#: What a sync of all indices looks after first.
_MENDED: tuple[tuple[str, Callable[[Services], Any]], ...] = (
    ("a swap that was left in the middle", recover_all),
    ("orders that nobody works on", call_abandoned),
)
MAX_LOSSES = 3
MAX_RETRIES = 6


@shared_task(  # type: ignore[untyped-decorator]
    bind=True,
    name=ENRICH_TASK,
    # IndexConflictError: this process may have a profile from before an attach, some seconds ago. Where this machine
    # has other models for good, the products stay pending, and the log says why.
    autoretry_for=(ClusterError, WriteBlockedError, IndexConflictError),
    max_retries=MAX_RETRIES,
    retry_backoff=2,
    retry_backoff_max=60,
    retry_jitter=True,
)
def enrich(self: Any, index: str, job: str, ids: list[str], losses: int = 0) -> dict[str, Any]:
    """Give a batch of products the vectors that they wait for.

    A batch that came back because its worker was lost is split in halves, down to the one product that
    kills workers. After MAX_LOSSES tries that product gets a dead letter, and is not tried again.
    """
    try:
        return _enrich(self, index, job, ids, losses)
    except IndexMissingError:
        logger.warning("index %s is gone; batch of %d dropped", index, len(ids))
        return {"dropped": len(ids)}


def _enrich(self: Any, index: str, job: str, ids: list[str], losses: int) -> dict[str, Any]:
    services = self.app.hybrid_services
    profile = services.searcher.profile(index)
    if self.request.delivery_info.get("redelivered") and not self.request.retries:
        return isolate(self, index, job, ids, losses + 1)
    try:
        report = services.ingester.enrich(profile, job, ids)
    except EncoderError as error:
        services.ingester.give_up(profile, job, ids, "encoder_failed", str(error))
        logger.error("batch of %d given up: %s", len(ids), error)
        return {"failed": {"encoder_failed": len(ids)}}
    if job == PUSH:  # a run counts the words at its end
        keep_in_step(services.cluster, index)
    logger.info("%s: %s encoded, %s failed", index, dict(report.encoded), dict(report.failed))
    return {"encoded": dict(report.encoded), "failed": dict(report.failed)}


@shared_task(bind=True, name=ORDER_TASK)  # type: ignore[untyped-decorator]
def order(self: Any, slot: str) -> None:
    """Begin an order of the admin page, in a process of its own that outlives this worker."""
    start(self.app.hybrid_services, slot)


@shared_task(bind=True, name=SYNC_TASK)  # type: ignore[untyped-decorator]
def sync(self: Any, index: str | None = None) -> dict[str, Any]:
    """Find what changed in an index (all of the layer's if none is named), and queue it for encoding.

    A sync of all indices first ends a swap of `hybrid reindex` whose process died in the middle, for a shop's writes
    wait for it. It also goes on with orders of the admin page whose process died.

    An error in one index does not stop the sync of the others. The next run tries the index again.
    """
    services = self.app.hybrid_services
    done: dict[str, Any] = {}
    for what, mend in () if index else _MENDED:
        try:
            mend(services)
        except HybridError as error:
            logger.error("%s: %s", what, error)
    for name in [index] if index else services.searcher.indices():
        try:
            report = dispatch_sync(services, name)
        except HybridError as error:
            logger.error("sync of %s: %s", name, error)
            done[name] = {"error": str(error)}
            continue
        logger.info("%s", report.summary())
        done[name] = {"looked": report.looked, "written": report.written, "waiting": report.waiting}
    return done


def isolate(task: Any, index: str, job: str, ids: list[str], losses: int) -> dict[str, Any]:
    """Split a batch whose worker was lost, or give up its one product after MAX_LOSSES losses."""
    if len(ids) == 1 and losses > MAX_LOSSES:
        services = task.app.hybrid_services
        message = f"the worker was lost {losses} times while encoding this product"
        services.ingester.give_up(services.searcher.profile(index), job, ids, "worker_lost", message)
        return {"failed": {"worker_lost": 1}}
    middle = max(1, len(ids) // 2)
    # Only a single product's losses count: a batch is split for what one of its products may have done.
    counted = losses if len(ids) == 1 else 0
    for part in (ids[:middle], ids[middle:]):
        if part:
            task.apply_async(args=[index, job, part], kwargs={"losses": counted})
    return {"split": len(ids)}
