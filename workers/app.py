"""The Celery app. Start a worker with `hybrid worker`, or `celery -A workers.app worker -Q hybrid`."""

from __future__ import annotations

import os
import signal
import threading
import time

import psutil
from celery import Celery
from celery.signals import worker_process_shutdown, worker_ready

from hybrid.ingest.queue import celery_config
from hybrid.services import Services, build_services


def create_app(services: Services | None = None) -> Celery:
    """An app bound to the broker of the settings.

    Raises:
        NodeError: there is no broker.
    """
    services = services or build_services()
    celery = Celery("hybrid", broker=services.redis_url, include=["workers.tasks"])
    celery.conf.update(celery_config(services.settings))
    celery.hybrid_services = services
    return celery


@worker_ready.connect  # type: ignore[untyped-decorator]
def end_with_owner(**_: object) -> None:
    """End a worker with the run that started it, also where the run was killed."""
    owner = app.hybrid_services.settings.owner_pid
    if owner is not None:
        threading.Thread(target=_watch, args=(owner,), name="owner", daemon=True).start()


@worker_process_shutdown.connect  # type: ignore[untyped-decorator]
def end_decoders(**_: object) -> None:
    """End the decoders of a pool process, for the process exits without the usual clean-up."""
    from hybrid import media

    media.close()


def _watch(owner: int) -> None:
    # The owner is the parent as long as it lives. Then the system gives this process another parent.
    while os.getppid() == owner or (os.name == "nt" and psutil.pid_exists(owner)):
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGTERM)


app = create_app()
