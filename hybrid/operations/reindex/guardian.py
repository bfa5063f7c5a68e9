"""Ends a swap whose process dies in the middle of it; that process starts it with `python -m hybrid.reindex.guardian`.

It waits at a pipe. "done" means that all is well; a pipe that closes without it means that its other end is dead,
while the shop's writes wait at a fence. Then the swap is ended here, forwards or backwards. A swap that goes well
leaves its late writes here, to be watched for a moment (hybrid.reindex.mending): nobody waits for that, and it goes on
where its process is killed.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import subprocess
import sys
import threading
from types import TracebackType
from typing import TYPE_CHECKING

# Only what is always loaded: the guardian of a swap that goes well reads one line and is gone.
if TYPE_CHECKING:
    from hybrid.reindex.mending import Watch
    from hybrid.wiring import Services

_DONE = b"done\n"
#: Seconds to go on trying: the cluster may be what is in trouble.
_PATIENCE_S = 300.0


class Guardian:
    """Starts a guardian, and tells it when it is needed no more: at the end of a `with` block without an error."""

    def __init__(self, services: Services, index: str) -> None:
        log = services.settings.data_dir / "logs" / "guardian.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as out:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "hybrid.reindex.guardian", index],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=out,
                env={**os.environ, "HYBRID_ES_URL": services.es_url},
                start_new_session=True,  # Ctrl-C is for the run, not for what ends it in order
            )
        self._services = services
        self._left = False

    def leave(self, job: str, watch: Watch) -> None:
        """The swap is done: have its late writes watched, without waiting for that. The job says if any was mended."""
        if not watch.late or self._process.stdin is None:
            return
        try:
            self._process.stdin.write(b"%s %s\n" % (job.encode(), watch.to_json()))
            self._process.stdin.flush()
            self._left = True
        except OSError:  # it was killed
            watch.keep(self._services)

    def __enter__(self) -> Guardian:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._process.stdin is None:
            return
        if kind is None and not self._left:
            self._process.communicate(_DONE)
            return
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        # Whoever started it hears of its end, or it would stay in the list of processes.
        threading.Thread(target=self._process.wait, name="guardian", daemon=True).start()


def watch(index: str) -> None:
    """Wait for the end of the pipe, and end the swap if it was not ended."""
    # Writes would wait for the imports too; nobody waits for them here.
    threading.Thread(target=importlib.import_module, args=("hybrid.reindex.control",), daemon=True).start()
    said = sys.stdin.buffer.readline()
    if said == _DONE:
        os._exit(0)  # not when the imports have come to their end
    import logging

    from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

    from hybrid.errors import HybridError
    from hybrid.reindex.control import recover
    from hybrid.reindex.mending import Watch
    from hybrid.wiring import build_services

    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("elastic_transport").setLevel(logging.ERROR)
    services = build_services()
    retrying = Retrying(
        retry=retry_if_exception_type(HybridError), stop=stop_after_delay(_PATIENCE_S), wait=wait_fixed(0.5),
        reraise=True,
    )  # fmt: skip
    if said.endswith(b"\n"):
        job, left = said.split(b" ", 1)
        mended = retrying(Watch.from_json(left).keep, services)
        if mended:
            services.jobs.update(job.decode(), mended=mended)
        return
    ended = retrying(recover, services, index)
    logging.getLogger(__name__).warning("the swap of %s was left in the middle: %s", index, ended)


if __name__ == "__main__":
    watch(sys.argv[1])
