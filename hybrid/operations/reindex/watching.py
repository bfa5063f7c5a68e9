"""The process of a guardian, started by hybrid.operations.reindex.guardian: it ends a swap whose process dies.

It waits at a pipe. "done" means that all is well; a pipe that closes without it means that its other end is dead,
while the shop's writes wait at a fence. Then the swap is ended here, forwards or backwards. A swap that goes well
leaves its late writes here, to be watched for a moment (hybrid.operations.reindex.mending): nobody waits for that, and
it goes on where its process is killed.

At the top it imports only what is always loaded: the guardian of a swap that goes well reads one line and is gone.
"""

from __future__ import annotations

import importlib
import os
import sys
import threading

from hybrid.operations.reindex.guardian import DONE

#: Seconds to go on trying: the cluster may be what is in trouble.
_PATIENCE_S = 300.0


def watch(index: str) -> None:
    """Wait for the end of the pipe, and end the swap if it was not ended."""
    # Writes would wait for the imports too; nobody waits for them here.
    threading.Thread(target=importlib.import_module, args=("hybrid.operations.reindex.recovery",), daemon=True).start()
    said = sys.stdin.buffer.readline()
    if said == DONE:
        os._exit(0)  # not when the imports have come to their end

    import logging

    from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

    from hybrid.errors import HybridError
    from hybrid.operations.reindex.mending import Watch
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
        mended = retrying(Watch.from_json(left).keep, services.cluster)
        if mended:
            services.jobs.update(job.decode(), mended=mended)
        return
    ended = retrying(recover, services, index)
    logging.getLogger(__name__).warning("the swap of %s was left in the middle: %s", index, ended)


if __name__ == "__main__":
    watch(sys.argv[1])
