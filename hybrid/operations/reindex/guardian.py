"""Starts the guardian of a swap, a process beside it that ends the swap if this one dies; see watching.py."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hybrid.operations.reindex.mending import Watch
    from hybrid.services import Services

#: What the guardian reads when it is needed no more.
DONE = b"done\n"


class Guardian:
    """Starts a guardian, and tells it when it is needed no more: at the end of a `with` block without an error."""

    def __init__(self, services: Services, index: str) -> None:
        log = services.settings.data_dir / "logs" / "guardian.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as out:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "hybrid.operations.reindex.watching", index],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=out,
                env={**os.environ, "HYBRID_ES_URL": services.es_url},
                start_new_session=True,  # Ctrl-C is for the run, not for what ends it in order
            )
        self._cluster = services.cluster
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
            watch.keep(self._cluster)

    def __enter__(self) -> Guardian:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._process.stdin is None:
            return
        if kind is None and not self._left:
            self._process.communicate(DONE)
            return
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        # Whoever started it hears of its end, or it would stay in the list of processes.
        threading.Thread(target=self._process.wait, name="guardian", daemon=True).start()
