"""The process of an order, `python -m workers.orders SLOT`, and the table of what each kind of order does.

An order whose process died is begun again, and goes on where it was."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Mapping
from typing import Any

from hybrid.errors import JobError
from hybrid.operations import attach as attaching
from hybrid.operations import failures, orders
from hybrid.operations.orders import Perform, Work
from hybrid.operations.reindex import control, planning, running
from hybrid.operations.sync import run_sync
from hybrid.services import Services, build_services

#: The options that decide how an index is built. None: as the index is, or as guessed.
_DECIDED = ("signals", "language")
_LEASE_S = 150.0


def sync(work: Work) -> Mapping[str, Any]:
    """Options: none."""
    return run_sync(work.services, work.index, report=work.show).to_json()


def attach(work: Work) -> Mapping[str, Any]:
    """Options: signals, language."""
    plan = attaching.plan_attach(work.services, work.index, **_decided(work))
    return attaching.run_attach(work.services, plan, report=work.show, ordered=work.ordered).to_json()


def reindex(work: Work) -> Mapping[str, Any]:
    """Options: shards, signals, language, swap."""
    _wait_for_lease(work)
    if work.again:
        for job, state in work.services.jobs.of(running.KIND, work.index):
            if state.get("ordered") != work.ordered:
                continue
            if state["status"] in running.FINAL:  # the process died after the reindex, and before the order ended
                return {"job": job, "index": work.index, "status": state["status"]}
            return resume(work)
    plan = planning.plan_reindex(work.services, work.index, shards=work.options.get("shards"), **_decided(work))
    options = running.Options(swap=work.options.get("swap", True), ordered=work.ordered)
    return running.run_reindex(work.services, plan, options, work.show).to_json()


def resume(work: Work) -> Mapping[str, Any]:
    """Options: swap."""
    _wait_for_lease(work)
    options = running.Options(swap=work.options.get("swap", True))
    return running.resume(work.services, work.index, options, work.show).to_json()


def rollback(work: Work) -> Mapping[str, Any]:
    """Options: none."""
    _wait_for_lease(work)
    return control.rollback(work.services, work.index, work.show, work.ordered)


def drop(work: Work) -> Mapping[str, Any]:
    """Options: none. Deletes the index that was kept for a rollback."""
    try:
        return {"dropped": control.drop(work.services, work.index)}
    except JobError:
        if work.again:
            return {"dropped": []}
        raise


def plan(work: Work) -> Mapping[str, Any]:
    """Plan an attach or a reindex. Options: what, and the options of that. Changes nothing of the shop's."""
    services, index = work.services, work.index
    if work.options["what"] == "attach":
        attached = attaching.plan_attach(services, index, **_decided(work))
        shop, report, estimate = attached.shop, attached.to_json(), attaching.estimate(services, attached)
    else:
        planned = planning.plan_reindex(services, index, shards=work.options.get("shards"), **_decided(work))
        shop, report = planned.shop, {"blockers": [], **planned.to_json()}
        estimate = planning.estimate(services, planned)
    return {**report, "fingerprint": shop.fingerprint, "estimate": estimate.to_json()}


def _wait_for_lease(work: Work) -> None:
    """Wait until the lease of the order's dead process has expired: other machines cannot see that it is dead."""
    ending = time.monotonic() + _LEASE_S
    while work.again and work.services.cluster.lease(work.index).holder() and time.monotonic() < ending:
        time.sleep(1)


def _decided(work: Work) -> dict[str, Any]:
    return {name: work.options.get(name) for name in _DECIDED}


def _of_learning(kind: str) -> Perform:
    """Options: see hybrid.learning.orders. That is imported only when used: scipy and torch are large."""

    def perform(work: Work) -> Mapping[str, Any]:
        from hybrid.learning import orders

        return orders.KINDS[kind](work)

    return perform


KINDS: dict[str, Perform] = {
    "sync": sync,
    "attach": attach,
    "reindex": reindex,
    "resume": resume,
    "rollback": rollback,
    "drop": drop,
    "plan": plan,
    failures.KIND: failures.retry_all,
    "train": _of_learning("train"),
    "evaluate": _of_learning("evaluate"),
    "apply": _of_learning("apply"),
}


def work(services: Services, slot: str) -> bool:
    """Do the order of a slot in this process. Returns whether there was an order to do."""
    return orders.work(services, slot, KINDS)


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("elastic_transport").setLevel(logging.ERROR)
    sys.exit(0 if work(build_services(), sys.argv[1]) else 3)
