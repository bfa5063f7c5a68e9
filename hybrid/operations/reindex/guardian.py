"""Starts the guardian of a swap: a second process that ends the swap if this one dies. See watching.py."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hybrid.operations.reindex.late_writes import Watch
    from hybrid.services import Services

#: The line that the guardian reads when the swap is done.
DONE = b"done\n"


class Guardian:
    """Starts a guardian. It has nothing to do where a `with` block ends without an error, or after `dismiss`."""

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
                start_new_session=True,  # Ctrl-C must end the run, not the guardian
            )
        self._cluster = services.cluster
        self._left = self._dismissed = False

    def leave(self, job: str, watch: Watch) -> None:
        """Hand the late writes of a finished swap to the guardian, without waiting. The job notes restored ones."""
        if not watch.late_writes or self._process.stdin is None:
            return
        try:
            self._process.stdin.write(b"%s %s\n" % (job.encode(), watch.to_json()))
            self._process.stdin.flush()
            self._left = True
        except OSError:  # the guardian was killed
            watch.restore(self._cluster)

    def dismiss(self) -> None:
        """Say that the swap failed and was undone. Else the guardian would look for something to end, and take the
        lease for a moment, in which the next run would be refused."""
        self._dismissed = True

    def __enter__(self) -> Guardian:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._process.stdin is None:
            return
        if self._dismissed or (kind is None and not self._left):
            self._process.communicate(DONE)
            return
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        # The parent must wait for the process, or it would stay a zombie.
        threading.Thread(target=self._process.wait, name="guardian", daemon=True).start()
