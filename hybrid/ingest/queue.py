"""The Celery side that both the runner and the workers share. Imports Celery only when used."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

from hybrid.errors import ClusterUnreachableError
from hybrid.settings import Settings

ENRICH_TASK = "hybrid.enrich"
SYNC_TASK = "hybrid.sync"
ORDER_TASK = "hybrid.order"
QUEUE = "hybrid"
#: The job of what the shop hands over.
PUSH = "push"
#: Seconds to wait for each answer of the broker, and to leave it alone after a failure.
ANSWER_S, _REST_S = 1.0, 5.0
#: A sync that waited longer than this is not done: a later one sees the same writes.
_SYNC_EXPIRES_S = 60
#: AMQP's reply code for a queue that is not there; the other transports use it, too.
_NOT_FOUND = 404


def celery_config(settings: Settings) -> dict[str, Any]:
    """Configuration of every Celery app of the layer.

    Tasks are acknowledged late, and come back when a worker is lost. They are idempotent, for a task may run
    twice. The broker is only a hint: Elasticsearch has the list of what is to be done.
    """
    return {
        "task_default_queue": QUEUE,
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        "task_ignore_result": True,
        "task_serializer": "json",
        "accept_content": ["json"],
        "worker_prefetch_multiplier": 1,
        "worker_send_task_events": False,
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "broker_transport_options": {"visibility_timeout": settings.visibility_timeout_s},
        # Shorter than the visibility timeout, or a slow task would run twice at once.
        "task_time_limit": max(20, settings.visibility_timeout_s - 10),
        # Only a worker with a beat (`hybrid worker --beat`) sends these. A late task expires, and is not done twice.
        "beat_schedule": {
            "sync": {
                "task": SYNC_TASK,
                "schedule": float(settings.sync_interval_s),
                "options": {"queue": QUEUE, "expires": settings.sync_interval_s},
            }
        },
    }


class TaskQueue:
    """Sends tasks by name, so that the core need not import the workers.

    Nothing waits for a broker that hangs: each answer has a deadline. After a failure, those who cannot wait get the
    same error at once for some seconds.
    """

    def __init__(self, settings: Settings, broker_url: str) -> None:
        from celery import Celery
        from kombu.exceptions import OperationalError
        from pybreaker import CircuitBreaker

        self._app = Celery("hybrid", broker=broker_url)
        self._app.conf.update(celery_config(settings))
        self._options = {
            **self._app.conf.broker_transport_options,
            "socket_timeout": ANSWER_S, "socket_connect_timeout": ANSWER_S,
        }  # fmt: skip
        self._app.conf.broker_transport_options = self._options
        connection = self._app.connection_for_write()
        # Each transport has errors of its own.
        self._errors = (OperationalError, OSError, *connection.connection_errors, *connection.channel_errors)
        self._breaker = CircuitBreaker(
            fail_max=1, reset_timeout=_REST_S, exclude=[self._is_ours], throw_new_error_on_trip=False
        )

    def _is_ours(self, error: BaseException) -> bool:
        """Whether an error says nothing about the broker."""
        return not isinstance(error, self._errors)

    def enrich(self, index: str, job: str, ids: Sequence[str], patient: bool = True) -> None:
        """Queue a batch of products. patient: whether to wait through a restart of the broker.

        Raises:
            ClusterUnreachableError: the broker does not answer; a patient call has then waited a minute.
        """
        policy = {"max_retries": 60, "interval_start": 0.2, "interval_step": 0.2, "interval_max": 1.0}
        with self._answering(hasty=not patient):
            self._app.send_task(ENRICH_TASK, args=[index, job, list(ids)], retry=patient, retry_policy=policy)

    def sync(self, index: str) -> None:
        """Have a worker look at what was written to an index.

        Raises:
            ClusterUnreachableError: the broker does not answer. The next scheduled sync finds what was written.
        """
        with self._answering():
            self._app.send_task(SYNC_TASK, args=[index], retry=False, expires=_SYNC_EXPIRES_S)

    def order(self, slot: str) -> None:
        """Have a worker begin with an order.

        Raises:
            ClusterUnreachableError: the broker does not answer. The order stays, and the next scheduled task finds it.
        """
        with self._answering():
            self._app.send_task(ORDER_TASK, args=[slot], retry=False)

    def ping(self) -> None:
        """Check that the broker answers.

        Raises:
            ClusterUnreachableError: the broker does not answer.
        """
        with self._connection() as connection:
            connection.ensure_connection(max_retries=1, timeout=ANSWER_S)

    def depth(self) -> int:
        """How many tasks wait for a worker.

        Raises:
            ClusterUnreachableError: the broker does not answer.
        """
        from kombu.exceptions import ChannelError

        with self._connection() as connection:
            try:
                return int(connection.default_channel.queue_declare(QUEUE, passive=True).message_count)
            except ChannelError as error:
                if int(error.reply_code or 0) != _NOT_FOUND:
                    raise
                return 0  # the first task creates the queue

    def workers(self, quiet_s: float = 1.0) -> dict[str, int]:
        """How many tasks each worker that answers is busy with; asked until none has answered for `quiet_s`.

        Raises:
            ClusterUnreachableError: the broker does not answer.
        """
        # A connection of its own, which waits no longer in the broker than we do. A connection that still waits when we
        # have gone takes the answers to the next request as its own, or is closed late.
        with self._connection(polling_interval=quiet_s, socket_timeout=quiet_s + ANSWER_S) as connection:
            connection.ensure_connection(max_retries=1, timeout=ANSWER_S)
            active_tasks = self._app.control.inspect(timeout=quiet_s, connection=connection).active()
        return {name: len(tasks) for name, tasks in (active_tasks or {}).items()}

    @contextmanager
    def _connection(self, **options: Any) -> Iterator[Any]:
        """A connection to the broker of its own.

        Raises:
            ClusterUnreachableError: the broker does not answer.
        """
        with self._answering():
            connection = self._app.connection_for_write(
                connect_timeout=ANSWER_S, transport_options={**self._options, **options}
            )
            with connection:
                yield connection

    @contextmanager
    def _answering(self, hasty: bool = True) -> Iterator[None]:
        """Translate the errors of the broker. hasty: fail at once where it has just failed.

        Raises:
            ClusterUnreachableError: the broker does not answer.
        """
        from pybreaker import CircuitBreakerError

        try:
            with self._breaker.calling() if hasty else nullcontext():
                yield
        except (*self._errors, CircuitBreakerError) as error:
            raise ClusterUnreachableError(
                f"the broker does not answer ({error}); check HYBRID_REDIS_URL, or start one with `hybrid up`"
            ) from error

    def close(self) -> None:
        self._app.close()
