"""Control of a reindex from outside: status, pause, cancel, rollback, and deletion of old indices."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any

from hybrid.elastic.indices import generations
from hybrid.elastic.stores.models import WEIGHTS
from hybrid.errors import HybridError, JobError, JobStateError, LeaseLostError
from hybrid.operations.reindex.guardian import Guardian
from hybrid.operations.reindex.running import FINAL, KIND, discard, leased, require_idle, restore_weights, unfinished
from hybrid.operations.reindex.transfer import Transfer, let_go
from hybrid.operations.runs import Report
from hybrid.services import Services

logger = logging.getLogger(__name__)

_POLL_S = 0.3
_STOPPING_S = 90.0


def status(services: Services, index: str) -> dict[str, Any]:
    """The state of the newest run for an index.

    Raises:
        JobStateError: there was none.
    """
    latest = services.jobs.latest(KIND, index)
    if latest is None:
        raise JobStateError(f"no reindex of {index!r} was ever started")
    job, state = latest
    running = services.cluster.lease(index).holder() is not None
    fields = (
        "status", "phase", "old", "new", "started", "updated", "counts", "copied", "deleted", "refused", "verified",
        "error", "notes", "back", "control", "ordered", "mended",
    )  # fmt: skip
    return {"job": job, "index": index, "running": running, **{key: state[key] for key in fields if key in state}}


def pause(services: Services, index: str, wait: bool = True) -> dict[str, Any]:
    """Ask the run to pause, and wait until it has paused; `resume` goes on with it. wait: False only asks.

    Raises:
        JobStateError: nothing runs.
        JobError: the run does not pause in time.
    """
    job, _ = unfinished(services.jobs, index)
    if services.cluster.lease(index).holder() is None:
        raise JobStateError(
            f"the reindex of {index!r} is not running; `hybrid reindex {index} --resume` goes on with it"
        )
    services.jobs.update(job, control="pause")
    return _await(services, index, job, ("paused", *FINAL)) if wait else status(services, index)


def cancel(services: Services, index: str, wait: bool = True) -> dict[str, Any]:
    """End a run, in whatever process, and delete the index that it built. It also ends an unfinished rollback. wait:
    False only asks the process that runs it.

    Raises:
        JobStateError: there is no run, or the new index is in use already.
    """
    cluster = services.cluster
    job, state = unfinished(services.jobs, index)
    if cluster.lease(index).holder() is not None:
        services.jobs.update(job, control="cancel")
        if not wait:
            return status(services, index)
        _await(services, index, job, ("paused", "failed", "verified", *FINAL))
        ended = services.jobs.get(job)["status"]
        if ended == "done":
            raise JobStateError(
                f"{state['new']!r} was swapped in before; `hybrid reindex {index} --rollback` goes back"
            )
        if ended in FINAL:
            return status(services, index)
    with leased(services.cluster, index):
        state = services.jobs.get(job)
        if cluster.generations.has_moved(index, state["new"]):
            raise JobStateError(f"{state['new']!r} is in use already; `hybrid reindex {index} --resume` ends the run")
        let_go(services.cluster.generations, services.jobs, job, state)
        restore_weights(services.jobs, services.models(WEIGHTS), index, job)
        if not state.get("back"):  # the target of a rollback is the shop's earlier index, which must stay
            discard(services.cluster.generations, services.dead_letters, state["new"])
        services.jobs.update(job, status="cancelled", phase="done", control=None)
    return status(services, index)


def rollback(
    services: Services, index: str, report: Report | None = None, ordered: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Put the old index back in use, with all later writes. An interrupted rollback goes on.

    ordered: by whom and when, for its job. In the result, seconds: until the name stands for the old index; waited_s:
    how long writes waited.

    Raises:
        JobStateError: there is no index to go back to, or the old index refuses later writes.
    """
    started = time.monotonic()
    with leased(services.cluster, index) as lease:
        job = _rollback_job(services, index, ordered)
        state = services.jobs.get(job)
        run = Transfer(services, job, state, lease, report)
        try:
            if run.moved:
                run.finish_alone()
            else:
                if state.get("fences"):
                    run.abort()
                services.cluster.generations.open_for_copies(run.target)
                run.approach()
                with Guardian(services, index) as guardian:
                    try:
                        run.swap()
                    except BaseException:
                        run.abort()
                        if not run.moved:
                            guardian.dismiss()
                        raise
                    guardian.leave(job, run.watch())
        except LeaseLostError:
            raise
        except BaseException as error:
            try:
                if not run.moved or services.jobs.get(job)["status"] != "done":
                    services.jobs.end(job, error, refused=run.refusals())
                if not run.moved:
                    let_go(services.cluster.generations, services.jobs, job, services.jobs.get(job))
            except HybridError as lost:  # perhaps the cluster itself failed
                logger.warning("the rollback of %s failed (%s), and its index is not let go: %s", index, error, lost)
            raise
        restore_weights(services.jobs, services.models(WEIGHTS), index, state["undoes"])
    return {
        "index": index, "old": run.source, "new": run.target, "copied": run.copied, "deleted": run.deleted,
        "waited_s": run.fenced_s, "refused": run.refusals(),
        "seconds": round(max(run.swapped, started) - started, 3),
    }  # fmt: skip


def _rollback_job(services: Services, index: str, ordered: Mapping[str, str] | None) -> str:
    """The job of a rollback: an interrupted one, or a new one."""
    for job, state in services.jobs.of(KIND, index):
        if state.get("back") and state["status"] not in FINAL:
            return job
        if state["status"] != "cancelled":
            break
    job, state = last_swapped(services, index)
    require_idle(services.jobs, index, {state["old"], state["new"]})
    settings = services.cluster.generations.settings_of(state["old"])
    return services.jobs.start(
        KIND, index, old=state["new"], new=state["old"], back=True, phase="catch up", undoes=job,
        positions=state["target_positions"], originals=state["originals"], checkpoint=state.get("checkpoint"),
        hidden=state.get("hidden"), ordered=ordered,
        pipelines={key: settings.get(key) for key in generations.PIPELINES},
    )  # fmt: skip


def drop(services: Services, index: str) -> list[str]:
    """Delete the old indices, which were kept for a rollback or left by one; returns their names.

    Raises:
        JobStateError: there is none.
    """
    with leased(services.cluster, index):
        require_idle(services.jobs, index, set())
        names = old_indices(services, index)
        if not names:
            raise JobStateError(f"no index is kept beside {index!r}")
        for name in names:
            services.cluster.indices.delete(name)
    return names


def old_indices(services: Services, index: str) -> list[str]:
    """Indices that earlier runs replaced, and that nobody uses."""
    left = {}
    for _, state in services.jobs.of(KIND, index):
        name = state["old"]
        if state["status"] == "done" and name not in left and services.cluster.generations.exists(name):
            settings = services.cluster.generations.settings_of(name)
            # Since then, somebody may have created another index of that name, or put an alias on it.
            ours = settings["index.uuid"] == state.get("uuid") and settings.get("index.blocks.write") == "true"
            left[name] = ours and not services.cluster.generations.aliases_of(name)
    return sorted(name for name, ours in left.items() if ours)


def last_swapped(services: Services, index: str) -> tuple[str, dict[str, Any]]:
    """The run that a rollback would undo: (job, state).

    Raises:
        JobStateError: there is nothing to go back to.
    """
    latest = next((entry for entry in services.jobs.of(KIND, index) if entry[1]["status"] != "cancelled"), None)
    if latest is None or latest[1]["status"] != "done" or latest[1].get("back"):
        raise JobStateError(f"nothing to roll back: the last run for {index!r} swapped no index in, or was rolled back")
    state = latest[1]
    if services.cluster.indices.behind(index) != {state["new"]}:
        raise JobStateError(f"another index came behind {index!r} since {state['new']!r} was swapped in")
    exists = services.cluster.generations.exists(state["old"])
    if not exists or services.cluster.generations.settings_of(state["old"])["index.uuid"] != state["uuid"]:
        raise JobStateError(f"{state['old']!r} was deleted, so there is no way back to it")
    return latest


def _await(services: Services, index: str, job: str, states: Sequence[str]) -> dict[str, Any]:
    ending = time.monotonic() + _STOPPING_S
    while services.jobs.get(job)["status"] not in states:
        if time.monotonic() > ending:
            raise JobError(f"the reindex of {index!r} did not heed within {_STOPPING_S:.0f} s; look at its log")
        if services.cluster.lease(index).holder() is None:
            break  # the process died
        time.sleep(_POLL_S)
    return status(services, index)
