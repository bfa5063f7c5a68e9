"""The Celery app. Start a worker with `hybrid worker`, or `celery -A workers.app worker -Q hybrid`."""

from __future__ import annotations

from celery import Celery

from hybrid.queue import celery_config
from hybrid.wiring import Services, build_services


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


app = create_app()
