"""What the web layer needs of the core, as seams: views never import the core's classes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

from flask import current_app
from pydantic import SecretStr

from hybrid.contracts import IndexProfile
from hybrid.dropin import IncomingSearch, Outcome
from hybrid.dropin.forwarding import Address
from hybrid.dropin.named import ReadJson
from hybrid.dropin.proxy import Answered
from hybrid.errors import IndexMissingError, UsageError
from hybrid.ingest.push import Operation, PushReport
from hybrid.searches import SearchAnswer, SearchRequest

Result = TypeVar("Result")
_MOST_NAMED = 10


class SecretLike(Protocol):
    def get_secret_value(self) -> str: ...


class SettingsLike(Protocol):
    """The settings that the web layer reads."""

    @property
    def index(self) -> str | None: ...
    @property
    def media_root(self) -> Path | None: ...
    @property
    def push_token(self) -> SecretStr | None: ...
    @property
    def dropin_key(self) -> SecretLike | None: ...
    @property
    def dropin_proxy_indices(self) -> str: ...
    @property
    def dropin_proxy_key(self) -> SecretLike | None: ...
    @property
    def dropin_proxy(self) -> bool: ...
    @property
    def dropin_proxy_bulk_mb(self) -> int: ...
    @property
    def cors_origins(self) -> str: ...
    @property
    def trusted_proxies(self) -> int: ...


class SearcherLike(Protocol):
    """The search side of the core."""

    def search(self, request: SearchRequest) -> SearchAnswer: ...
    def suggest(self, index: str, prefix: str, size: int) -> list[dict[str, Any]]: ...
    def profile(self, index: str) -> IndexProfile: ...
    def whole(self, index: str, make: Callable[[IndexProfile], Result]) -> Result: ...
    def indices(self) -> list[str]: ...
    def product(self, index: str, id: str) -> dict[str, Any] | None: ...


class DropInLike(Protocol):
    """The drop-in side of the core."""

    def search(self, index: str, body: Mapping[str, Any], params: Mapping[str, str], busy: bool = False) -> Outcome: ...
    def msearch(self, searches: Sequence[IncomingSearch], params: Mapping[str, str], busy: bool = False) -> Outcome: ...
    def serves(self, index: str) -> bool: ...


class ProxyLike(Protocol):
    """The forwarding side of the core."""

    def allows(self, index: object) -> bool: ...
    def address(self, raw_path: str) -> Address: ...
    def answer(
        self,
        method: str,
        asked: Address,
        params: Mapping[str, str],
        body: bytes,
        headers: Mapping[str, str],
        authorization: str | None,
        read: ReadJson,
    ) -> Answered: ...


class SearchTimesLike(Protocol):
    """Where searches are counted."""

    def add(self, way: str, took_ms: float, degraded: bool = False, failed: bool = False) -> None: ...


class ServicesLike(Protocol):
    """Everything that a view may call, built once a process."""

    @property
    def settings(self) -> SettingsLike: ...
    @property
    def searcher(self) -> SearcherLike: ...
    @property
    def dropin(self) -> DropInLike: ...
    @property
    def proxy(self) -> ProxyLike | None: ...
    @property
    def search_times(self) -> SearchTimesLike: ...
    def health(self) -> dict[str, Any]: ...
    def push(self, index: str, operations: Sequence[Operation]) -> PushReport: ...


def services() -> ServicesLike:
    """The services of the current app."""
    return cast(ServicesLike, current_app.extensions["hybrid"])


def default_index(indices: list[str] | None = None) -> str:
    """The index searched when a request names none; `indices` spares asking for them again.

    Of several, none is taken: a trial index would become the shop's search where its name sorts first.

    Raises:
        IndexMissingError: nothing is indexed yet.
        UsageError: there are several, and the settings choose none.
    """
    core = services()
    if core.settings.index:
        return core.settings.index
    indices = core.searcher.indices() if indices is None else indices
    if not indices:
        raise IndexMissingError("no index yet: make one with `hybrid index FILE --index NAME`")
    if len(indices) > 1:
        raise UsageError(f"index: name one of {', '.join(indices[:_MOST_NAMED])}")
    return indices[0]
