"""Ends swaps whose process died in the middle of them: by its guardian, by the schedule, or by the next run."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from hybrid.elastic.stores.models import WEIGHTS
from hybrid.errors import HybridError
from hybrid.operations.reindex.running import FINAL, KIND, leased, restore_weights
from hybrid.operations.reindex.transfer import Transfer, let_go
from hybrid.services import Services

logger = logging.getLogger(__name__)

_NOTHING = "nothing was left to do"


def recover(services: Services, index: str) -> str:
    """End a swap whose process died in the middle of it, forwards if the aliases moved. Returns the outcome in words.

    Raises:
        JobError: its process lives.
    """
    if not any(_is_left(state) for _, state in services.jobs.of(KIND, index)):
        return _NOTHING
    with leased(services.cluster, index) as lease:
        outcome = _NOTHING
        for job, state in services.jobs.of(KIND, index):
            if not _is_left(state):
                continue
            if services.cluster.generations.has_moved(index, state["new"]):
                Transfer(services, job, state, lease).finish_alone()
                outcome = f"{state['new']} is in use"
            else:
                let_go(services.cluster.generations, services.jobs, job, state)
                restore_weights(services.jobs, services.models(WEIGHTS), index, job)
                services.jobs.update(job, status="failed", error="its process ended in the middle of the swap")
                outcome = f"{state['old']} stays in use"
        return outcome


def _is_left(state: Mapping[str, Any]) -> bool:
    return state["phase"] in ("swap", "drained") and state["status"] not in FINAL


def recover_all(services: Services) -> None:
    """`recover` for every index; for the schedule of `hybrid worker --beat`, where no guardian was left."""
    for index in sorted({state["index"] for state in services.jobs.open(KIND, FINAL) if _is_left(state)}):
        try:
            if services.cluster.lease(index).holder() is None:
                logger.warning("the swap of %s was left in the middle: %s", index, recover(services, index))
        except HybridError as error:  # the other indices must not wait for this one
            logger.error("cannot end the swap of %s: %s", index, error)
