"""The web server as `hybrid serve` starts it, for as long as something is measured."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from hybrid.operations import processes
from hybrid.services import Services


@contextmanager
def serving(services: Services, log: Path | None = None, **environment: str) -> Iterator[int]:
    """The port of a server of the same cluster, which answers. log: a file of its own. environment: more for it."""
    port, environment = processes.free_port(), {**os.environ, "HYBRID_ES_URL": services.es_url, **environment}
    with TemporaryDirectory() as folder:
        log = log or Path(folder) / "server.log"
        with processes.spawned(processes.serve_command("127.0.0.1", port, 1), environment, log) as server:
            processes.wait_for_page(f"http://127.0.0.1:{port}/readyz", server, log)
            yield port
