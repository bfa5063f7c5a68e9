"""The process of a guardian, started by hybrid.operations.reindex.guardian: it ends a swap whose process dies.

The guardian reads from a pipe. "done" means that the swap is done. A pipe that closes without it means that the process
of the swap died, while the shop's writes wait at a fence. Then the guardian ends the swap, forwards or backwards. A
successful swap hands its late writes to the guardian, which checks them for a moment
(hybrid.operations.reindex.late_writes). Nobody waits for that, and it goes on if the process of the swap is killed.

At the top this module imports only modules that are always loaded, because the guardian of a successful swap reads one
line and ends.
"""

from __future__ import annotations

import importlib
import os
import sys
import threading

from hybrid.operations.reindex.guardian import DONE

#: Seconds of further attempts, because the cluster may be in trouble.
_PATIENCE_S = 300.0


def watch(index: str) -> None:
    """Wait for the end of the pipe, and end the swap if it was not ended."""
    # Imported ahead, in a thread: later the shop's writes would wait for the imports.
    threading.Thread(target=importlib.import_module, args=("hybrid.operations.reindex.recovery",), daemon=True).start()
    said = sys.stdin.buffer.readline()
    if said == DONE:
        os._exit(0)  # at once, without waiting for the imports

    import logging

    from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

    from hybrid.errors import HybridError
    from hybrid.operations.reindex.late_writes import Watch
    from hybrid.operations.reindex.recovery import recover
    from hybrid.services import build_services

    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("elastic_transport").setLevel(logging.ERROR)
    services = build_services()
    retrying = Retrying(
        retry=retry_if_exception_type(HybridError), stop=stop_after_delay(_PATIENCE_S), wait=wait_fixed(0.5),
        reraise=True,
    )  # fmt: skip
    if said.endswith(b"\n"):
        job, left = said.split(b" ", 1)
        restored = retrying(Watch.from_json(left).restore, services.cluster)
        if restored:
            services.jobs.update(job.decode(), mended=restored)
        return
    ended = retrying(recover, services, index)
    logging.getLogger(__name__).warning("the swap of %s was left in the middle: %s", index, ended)


if __name__ == "__main__":
    watch(sys.argv[1])
