"""What is done to a run from outside: looking, pausing, cancelling, rolling back, and ending a swap that was left."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from typing import Any

from hybrid.elastic import generations, indices
from hybrid.elastic.stores import Lease
from hybrid.errors import HybridError, JobError
from hybrid.reindex.guardian import Guardian
from hybrid.reindex.running import FINAL, KIND, ReindexRun, discard, leased, mend, restore_weights, unfinished
from hybrid.reindex.transfer import Transfer
from hybrid.wiring import Services

_NOTHING = "nothing was left to do"
_POLL_S = 0.3
_STOPPING_S = 90.0


def status(services: Services, index: str) -> dict[str, Any]:
    """The state of the newest run for an index.

    Raises:
        JobError: there was none.
    """
    latest = services.jobs.latest(KIND, index)
    if latest is None:
        raise JobError(f"no reindex of {index!r} was ever started")
    job, state = latest
    running = Lease(services.client, index).holder() is not None
    shown = (
        "status", "phase", "old", "new", "started", "updated", "counts", "copied", "deleted", "refused", "verified",
        "error", "notes", "back",
    )  # fmt: skip
    return {"job": job, "index": index, "running": running, **{key: state[key] for key in shown if key in state}}


def pause(services: Services, index: str) -> dict[str, Any]:
    """Ask the run to pause, and wait until it has; `resume` goes on with it.

    Raises:
        JobError: nothing runs, or it does not heed.
    """
    job, _ = unfinished(services, index)
    if Lease(services.client, index).holder() is None:
        raise JobError(f"the reindex of {index!r} is not running; `hybrid reindex {index} --resume` goes on with it")
    services.jobs.update(job, control="pause")
    return _await(services, index, job, ("paused", *FINAL))


def cancel(services: Services, index: str) -> dict[str, Any]:
    """End a run, whoever runs it, and take away what it made.

    Raises:
        JobError: there is none, or the new index is in use already.
    """
    job, state = unfinished(services, index)
    lease = Lease(services.client, index)
    if lease.holder() is not None:
        services.jobs.update(job, control="cancel")
        _await(services, index, job, ("paused", "failed", "verified", *FINAL))
        if services.jobs.get(job)["status"] in FINAL:
            return status(services, index)
    with leased(services, index) as lease:
        state = services.jobs.get(job)
        if not generations.exists(services.client, state["old"]):
            if not state.get("back"):
                discard(services, state["new"])
        elif generations.exists(services.client, state["new"]):
            run = ReindexRun(services, job, state, lease)
            if run.moved:
                raise JobError(f"{state['new']!r} is in use already; `hybrid reindex {index} --rollback` goes back")
            if run.back or state.get("fences"):
                run.abort()
            if not run.back:  # where the target is what the shop had before
                discard(services, run.target)
        services.jobs.update(job, status="cancelled", phase="done", control=None)
    return status(services, index)


def rollback(services: Services, index: str) -> dict[str, Any]:
    """Put the old index back in use, with all that was written since.

    seconds: until its name stands for the old index; waited_s: for how long writes waited.

    Raises:
        JobError: there is nothing to go back to.
    """
    started = time.monotonic()
    with leased(services, index) as lease:
        job, state = _last_swapped(services, index)
        swapped_back = services.jobs.start(
            KIND, index, old=state["new"], new=state["old"], back=True, phase="catch up", undoes=job,
            positions=state["target_positions"], originals=state["originals"],
            checkpoint=state.get("checkpoint"),
        )  # fmt: skip
        run = Transfer(services, swapped_back, services.jobs.get(swapped_back), lease)
        try:
            generations.unblock_writes(services.client, run.target)
            run.advance()  # the most of it, before writes wait
            with Guardian(services, index):
                try:
                    run.swap()
                except BaseException:
                    if not run.moved:
                        run.abort()
                    raise
        except BaseException as error:
            with contextlib.suppress(HybridError):
                services.jobs.update(swapped_back, status="failed", error=str(error) or type(error).__name__)
            raise
        services.jobs.update(swapped_back, status="done")
        services.jobs.update(job, status="rolled back")
        restore_weights(services, index, job)
        mended = mend(run)
    return {
        "index": index, "old": run.source, "new": run.target, "copied": run.copied, "deleted": run.deleted,
        "waited_s": run.fenced_s, "mended": mended, "seconds": round(run.swapped - started, 3),
    }  # fmt: skip


def recover(services: Services, index: str) -> str:
    """End a swap whose process died in the middle of it, forwards if the aliases moved; what was done, in words.

    Raises:
        JobError: its process lives.
    """
    latest = services.jobs.latest(KIND, index)
    if latest is None or latest[1]["phase"] not in ("swap", "drained"):
        return _NOTHING
    with leased(services, index) as lease:
        job, _ = latest
        state = services.jobs.get(job)
        if state["phase"] not in ("swap", "drained"):
            return _NOTHING
        run = Transfer(services, job, state, lease)
        if not run.moved:
            run.abort()
            services.jobs.update(job, status="failed", error="its process ended in the middle of the swap")
            return f"{run.source} stays in use"
        run.finish()
        services.jobs.update(job, status="done")
        if state.get("undoes"):
            services.jobs.update(state["undoes"], status="rolled back")
        return f"{run.target} is in use"


def recover_all(services: Services) -> None:
    """`recover` for every index; for the schedule of `hybrid worker --beat`, where no guardian was left."""
    for state in services.jobs.open(KIND, FINAL):
        if state["phase"] in ("swap", "drained") and Lease(services.client, state["index"]).holder() is None:
            recover(services, state["index"])


def drop(services: Services, index: str) -> str:
    """Delete the index that is kept for a rollback, or that a rollback left; its name.

    Raises:
        JobError: there is none.
    """
    with leased(services, index):
        latest = services.jobs.latest(KIND, index)
        if latest is None or latest[1]["status"] != "done" or not generations.exists(services.client, latest[1]["old"]):
            raise JobError(f"no index is kept beside {index!r}")
        job, state = latest
        if generations.behind(services.client, index) != state["new"]:
            raise JobError(
                f"another index came behind {index!r} since; delete {state['old']!r} yourself, if it is idle"
            )
        if aliases := generations.aliases_of(services.client, state["old"]):
            raise JobError(f"{state['old']!r} is behind {aliases[0]!r}, so it is not deleted")
        indices.delete(services.client, state["old"])
        services.jobs.update(job, dropped=True)
        return str(state["old"])


def _last_swapped(services: Services, index: str) -> tuple[str, dict[str, Any]]:
    latest = services.jobs.latest(KIND, index)
    if latest is not None and latest[1].get("back") and latest[1]["status"] != "done":
        latest = (latest[1]["undoes"], services.jobs.get(latest[1]["undoes"]))  # a rollback that was interrupted
    if latest is None or latest[1]["status"] != "done" or latest[1].get("back"):
        raise JobError(f"nothing to roll back: the last run for {index!r} swapped no index in, or was rolled back")
    if generations.behind(services.client, index) != latest[1]["new"]:
        raise JobError(f"another index came behind {index!r} since {latest[1]['new']!r} was swapped in")
    if not generations.exists(services.client, latest[1]["old"]):
        raise JobError(f"{latest[1]['old']!r} was deleted, so there is no way back to it")
    return latest


def _await(services: Services, index: str, job: str, states: Sequence[str]) -> dict[str, Any]:
    ending = time.monotonic() + _STOPPING_S
    while services.jobs.get(job)["status"] not in states:
        if time.monotonic() > ending:
            raise JobError(f"the reindex of {index!r} did not heed within {_STOPPING_S:.0f} s; look at its log")
        if Lease(services.client, index).holder() is None:
            break  # it died meanwhile
        time.sleep(_POLL_S)
    return status(services, index)
