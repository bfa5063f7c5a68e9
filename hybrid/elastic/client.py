"""Connecting, and turning the client's exceptions into Hybrid's error tree."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import elastic_transport
from elastic_transport import Serializer
from elasticsearch import ApiError, Elasticsearch
from elasticsearch import ConnectionError as EsConnectionError
from elasticsearch.serializer import NdjsonSerializer, OrjsonSerializer
from tenacity import Retrying, retry_if_exception_type, stop_before_delay, wait_exponential_jitter

from hybrid.errors import (
    AccessRefusedError,
    AlreadyExistsError,
    ClusterBusyError,
    ClusterError,
    ClusterTimeoutError,
    ClusterUnreachableError,
    DocumentMissingError,
    IndexMissingError,
    InvalidNameError,
    InvalidRequestError,
    MappingConflictError,
    UsageError,
    VersionConflictError,
    WriteBlockedError,
)
from hybrid.settings import Settings

#: `error.type` of an answer -> what it means.
_TYPES: dict[str, type[ClusterError]] = {
    "resource_already_exists_exception": AlreadyExistsError,
    "invalid_index_name_exception": InvalidNameError,
    "invalid_alias_name_exception": InvalidNameError,
    "mapper_parsing_exception": MappingConflictError,
    "version_conflict_engine_exception": VersionConflictError,
    "document_missing_exception": DocumentMissingError,
}
#: The type of the error when a mapping, or the settings beside it, are refused. For other requests it says only that
#: an argument is wrong.
_OF_MAPPINGS = "illegal_argument_exception"
#: The cluster, or a proxy before it, has too much to do, or a shard is moving: the same request may succeed later.
BUSY_STATUSES = frozenset({429, 502, 503, 504})
#: Seconds before a request is made again that the cluster was too busy for; later the pauses grow.
_PAUSE_S = 0.2
#: How often in a row a cluster may not answer before it is asked by one request at a time.
_PATIENT_TIMES = 3
#: The status of a write that the flood-stage watermark blocks. No other block of writes has it.
_FLOOD_STATUS = 429


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What this cluster can do. Probed once, never assumed."""

    version: tuple[int, ...]

    @property
    def base64_vectors(self) -> bool:
        """Whether vectors may be sent as base64 of big-endian float32 (a quarter of the bytes of JSON)."""
        return self.version >= (9, 3)

    @property
    def version_text(self) -> str:
        return ".".join(map(str, self.version))


class FastNdjsonSerializer(NdjsonSerializer):
    """Many bodies in one request by orjson: query vectors are long lists of numbers."""

    json_dumps = OrjsonSerializer.json_dumps
    json_loads = OrjsonSerializer.json_loads


class VerbatimSerializer(Serializer):
    """Passes bytes through unchanged, so that nothing is lost between a shop and its cluster."""

    mimetype = "application/json"

    def loads(self, data: bytes) -> bytes:
        return data

    def dumps(self, data: bytes) -> bytes:
        return data


class HastyTransport(elastic_transport.Transport):
    """Once the cluster has not answered several times in a row, one request at a time asks it; the others fail at once.

    Else each request of a web process would hold a thread for as long as it may wait. A breaker of pybreaker, as
    hybrid.ingest.queue has it, lets all requests through at once when it tries again.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._unanswered = 0
        self._asking = threading.Lock()

    def perform_request(self, method: str, target: str, **options: Any) -> Any:
        """See elastic_transport.

        Raises:
            elastic_transport.ConnectionError: it has not answered of late, and is being asked.
        """
        if self._unanswered < _PATIENT_TIMES:
            return self._perform(method, target, options)
        if not self._asking.acquire(blocking=False):
            raise elastic_transport.ConnectionError("it has not answered of late")
        try:
            return self._perform(method, target, options)
        finally:
            self._asking.release()

    def _perform(self, method: str, target: str, options: dict[str, Any]) -> Any:
        try:
            answer = super().perform_request(method, target, **options)
        except (elastic_transport.ConnectionError, elastic_transport.ConnectionTimeout):
            self._unanswered += 1
            raise
        self._unanswered = 0
        return answer


def connect(settings: Settings, url: str, verbatim: bool = False, hasty: bool = False) -> Elasticsearch:
    """A client for `url`. Does not talk to the cluster yet.

    verbatim: bodies are bytes, both ways. hasty: see HastyTransport.

    Raises:
        UsageError: the address or the credentials cannot be used.
    """
    options: dict[str, Any] = {
        "request_timeout": settings.es_timeout_s,
        "serializers": {"application/json": OrjsonSerializer(), "application/x-ndjson": FastNdjsonSerializer()},
        "retry_on_timeout": False,
        "max_retries": 2,
    }
    if hasty:
        options["transport_class"] = HastyTransport
    if verbatim:
        options["serializers"] = dict.fromkeys(("application/json", "application/x-ndjson"), VerbatimSerializer())
        from hybrid.elastic.curl import CurlNode  # not at start-up: commands do without it

        options["node_class"] = CurlNode
    if settings.es_api_key:
        options["api_key"] = settings.es_api_key.get_secret_value()
    elif settings.es_username and settings.es_password:
        options["basic_auth"] = (settings.es_username, settings.es_password.get_secret_value())
    if settings.es_ca_certs:
        options["ca_certs"] = str(settings.es_ca_certs)
    try:
        return Elasticsearch(url, **options)
    except (ValueError, OSError) as error:
        raise UsageError(f"cannot use {safe_url(url)} as an Elasticsearch address: {error}") from error


def safe_url(url: str) -> str:
    """The address without user name and password, fit for a log line."""
    scheme, _, rest = url.rpartition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}" if scheme else rest.rpartition("@")[2]


def probe(client: Elasticsearch) -> Capabilities:
    """Ask a cluster what it can do.

    Raises:
        ClusterUnreachableError: nobody answers.
        ClusterError: it answers with an error.
    """
    with translated():
        try:
            number = str(client.info()["version"]["number"])
        except ApiError as error:
            # The minimal distribution has no `GET /`; the node API is always there.
            if error.meta.status not in (400, 404, 405):
                raise
            nodes = client.nodes.info(node_id="_local", filter_path="nodes.*.version")["nodes"]
            number = str(next(iter(nodes.values()))["version"])
    digits = number.split("-", 1)[0].split(".")
    return Capabilities(version=tuple(int(part) for part in digits))


@contextmanager
def translated(index: str | None = None, mapping: bool = False) -> Iterator[None]:
    """Re-raise the client's exceptions as Hybrid errors of one line. mapping: whether the request sends a mapping.

    Raises:
        ClusterError, IndexMissingError, WriteBlockedError: of the kind that the answer's `error.type` says.
    """
    try:
        yield
    except EsConnectionError as error:
        raise ClusterUnreachableError(
            f"Elasticsearch does not answer ({_short(error)}); check HYBRID_ES_URL, or start the embedded "
            "engine with `hybrid up`"
        ) from error
    except ApiError as error:
        raise translate(error, index, mapping) from error
    except elastic_transport.ConnectionTimeout as error:
        raise ClusterTimeoutError(f"Elasticsearch did not answer in time ({_short(error)})") from error
    except elastic_transport.TransportError as error:
        raise ClusterError(f"Elasticsearch: {_short(error)}") from error


def wait_until_made(client: Elasticsearch, index: str) -> None:
    """Wait until an index that another process is making has a shard to read. Until then the cluster answers 503.

    Raises:
        ClusterBusyError: not within 30 s, as long as the making itself may take.
    """
    for attempt in while_busy(30):
        with attempt, translated(index):
            client.count(index=index)


def while_busy(patience_s: float) -> Retrying:
    """Makes a request again, with growing pauses, while it raises ClusterBusyError: for so many seconds at most."""
    return Retrying(
        retry=retry_if_exception_type(ClusterBusyError),
        stop=stop_before_delay(patience_s),
        wait=wait_exponential_jitter(initial=_PAUSE_S, max=8.0, jitter=_PAUSE_S),
        reraise=True,
    )


def translate(
    error: ApiError, index: str | None = None, mapping: bool = False
) -> ClusterError | IndexMissingError | WriteBlockedError:
    """The Hybrid error that says what an answer of the cluster means; see `translated`."""
    kind, reason = error_reason(error.body)
    name = index or "the index"
    if kind == "index_not_found_exception":
        return IndexMissingError(f"there is no index {name!r}; `hybrid index FILE --index NAME` makes one")
    if kind == "cluster_block_exception":
        return write_blocked(name, reason, error.meta.status)
    if error.meta.status == 401:
        return ClusterError(
            f"Elasticsearch refuses access (401: {reason}); check HYBRID_ES_API_KEY, or HYBRID_ES_USERNAME and "
            "HYBRID_ES_PASSWORD"
        )
    if error.meta.status == 403:
        return AccessRefusedError(
            f"Elasticsearch refuses access (403: {reason}); docs/operating/connect.md lists the privileges to give"
        )
    if _is_absent(error.body):
        return DocumentMissingError(f"there is no such document in {name}")
    if error.meta.status in BUSY_STATUSES:
        return ClusterBusyError(f"Elasticsearch is too busy ({error.meta.status} {kind}: {reason}); try again later")
    typed = _TYPES.get(kind)
    if typed is None and mapping and kind == _OF_MAPPINGS:
        typed = MappingConflictError
    if typed is None:
        # 405: this distribution of Elasticsearch has no such interface.
        typed = InvalidRequestError if error.meta.status in (400, 405) else ClusterError
    return typed(f"Elasticsearch answered {error.meta.status} {kind}: {reason}")


def _is_absent(body: Any) -> bool:
    """Whether an answer says, without an error, that a document is not there: to a get or to a delete."""
    return isinstance(body, dict) and (body.get("found") is False or body.get("result") == "not_found")


def write_blocked(name: str, reason: str, status: int) -> WriteBlockedError:
    """One line for a refused write, with the way out. status: of the answer, or of the item of a bulk."""
    if status == _FLOOD_STATUS:
        return WriteBlockedError(
            f"Elasticsearch has blocked writes to {name}: the disk is over its flood-stage watermark; free "
            "space or raise the watermark, then run the same command again (what was written stays)"
        )
    return WriteBlockedError(
        f"Elasticsearch has blocked writes to {name} ({reason}); remove the index block, then run the same "
        "command again (what was written stays)"
    )


def error_reason(body: Any) -> tuple[str, str]:
    """(type, reason) of an error body, of whatever shape it comes in."""
    error = body.get("error", body) if isinstance(body, dict) else body
    if isinstance(error, dict):
        causes = error.get("root_cause") or [error]
        cause = causes[0] if isinstance(causes[0], dict) else error
        nested = error.get("caused_by") or cause.get("caused_by") or {}
        reason = str(cause.get("reason") or "")
        if nested.get("reason") and str(nested["reason"]) not in reason:
            reason = f"{reason} ({nested['reason']})"
        return str(cause.get("type") or error.get("type") or "error"), reason
    return "error", str(error)


def _short(error: Exception) -> str:
    return str(getattr(error, "message", error)).split("\n", 1)[0][:200]
