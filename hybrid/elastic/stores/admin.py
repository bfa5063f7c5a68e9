"""The admin page's data in the cluster: accounts, sessions, the key of its cookies, and the audit trail."""

from __future__ import annotations

import contextlib
import itertools
import logging
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from elasticsearch import Elasticsearch

from hybrid.elastic.client import translated
from hybrid.elastic.stores.base import ensure_store, now, store_unchanged, stored
from hybrid.errors import AccountError, DocumentMissingError, HybridError, IndexMissingError

ADMIN = "hybrid-admin"
AUDIT = "hybrid-audit"
#: What an entry of the audit trail keeps at most.
_MAX_FIELDS, _KEY_CHARS, _VALUE_CHARS = 20, 64, 200

logger = logging.getLogger(__name__)


class AdminStore:
    """Accounts and sessions, one document each, read by id so that a change holds from the next request on."""

    def __init__(self, client: Elasticsearch) -> None:
        self._client = client

    def user(self, name: str) -> dict[str, Any] | None:
        """{"user", "role", "hash", "created"}; None where there is no such account."""
        return self._source(f"user:{name}")

    def users(self) -> list[dict[str, Any]]:
        """All accounts, by name; without their hashes."""
        return self._all("user")

    def add_user(self, name: str, role: str, hash: str) -> None:
        """Keep a new account.

        Raises:
            AccountError: there is one of that name.
        """
        body = {"kind": "user", "user": name, "role": role, "hash": hash, "created": now()}
        if not self._create(f"user:{name}", body):
            raise AccountError(f"there is a user {name!r} already; `hybrid admin user password {name}` changes it")

    def change_user(self, name: str, **fields: Any) -> None:
        """Change an account, and end its sessions.

        Raises:
            AccountError: there is none of that name.
        """
        if self.user(name) is None:
            raise AccountError(f"no user {name!r}; `hybrid admin user list` names those there are")
        with translated(ADMIN):
            self._client.update(index=ADMIN, id=f"user:{name}", doc=fields, refresh=True, retry_on_conflict=3)
        self.end_sessions(name)

    def remove_user(self, name: str) -> None:
        """Delete an account and its sessions.

        Raises:
            AccountError: there is none of that name.
        """
        if not self._delete(f"user:{name}"):
            raise AccountError(f"no user {name!r}; `hybrid admin user list` names those there are")
        self.end_sessions(name)

    def open_session(self, key: str, name: str) -> None:
        """Keep a session. key: the hash of its token, so that a reader of the store cannot use it."""
        at = now()
        self._create(f"session:{key}", {"kind": "session", "user": name, "created": at, "seen": at})

    def session(self, key: str, name: str) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
        """(the session, the account) in one round trip; None for each that is not there."""
        with translated(ADMIN):
            docs = self._client.mget(index=ADMIN, ids=[f"session:{key}", f"user:{name}"])["docs"]
        session, user = (doc.get("_source") for doc in docs)
        return session, user

    def touch_session(self, key: str) -> None:
        """Note that a session is in use. A session that was ended meanwhile stays ended."""
        with contextlib.suppress(DocumentMissingError), translated(ADMIN):
            self._client.update(index=ADMIN, id=f"session:{key}", doc={"seen": now()}, retry_on_conflict=3)

    def end_session(self, key: str) -> None:
        self._delete(f"session:{key}")

    def end_sessions(self, name: str) -> None:
        """End all sessions of a user."""
        for session in self._hits("session", {"term": {"user": name}}):
            self._delete(session["_id"])

    def end_sessions_before(self, seen: str, created: str) -> None:
        """Delete sessions that were last used before `seen`, or created before `created`."""
        old = {"bool": {"should": [{"range": {"seen": {"lt": seen}}}, {"range": {"created": {"lt": created}}}]}}
        for session in self._hits("session", old):
            self._delete(session["_id"])

    def secret(self, fresh: str) -> str:
        """The key that signs cookies: the stored one, else `fresh`, which is then stored for every web process."""
        entry = self._source("secret")
        if entry is None and not self._create("secret", {"kind": "secret", "value": fresh}):
            entry = self._source("secret")  # another process was faster
        return str(entry["value"]) if entry else fresh

    def _source(self, id: str) -> dict[str, Any] | None:
        doc = stored(self._client, ADMIN, id)
        return dict(doc["_source"]) if doc else None

    def _create(self, id: str, body: dict[str, Any]) -> bool:
        ensure_store(self._client, ADMIN, "admin")
        return store_unchanged(self._client, ADMIN, id, body, None) is not None

    def _delete(self, id: str) -> bool:
        try:
            with translated(ADMIN):
                self._client.delete(index=ADMIN, id=id, refresh=True)
        except (DocumentMissingError, IndexMissingError):
            return False
        return True

    def _hits(self, kind: str, query: dict[str, Any]) -> list[dict[str, Any]]:
        with translated(ADMIN):
            self._client.indices.refresh(index=ADMIN, ignore_unavailable=True)
            answer = self._client.search(
                index=ADMIN,
                query={"bool": {"filter": [{"term": {"kind": kind}}, query]}},
                size=1_000,
                source_excludes=["hash"],
                ignore_unavailable=True,
            )
        return list(answer["hits"]["hits"])

    def _all(self, kind: str) -> list[dict[str, Any]]:
        return sorted((hit["_source"] for hit in self._hits(kind, {"match_all": {}})), key=lambda one: one["user"])


class AuditTrail:
    """Who did what and when. An entry is made before anything is done, and completed after; none is ever deleted."""

    def __init__(self, client: Elasticsearch) -> None:
        self._client = client

    def begin(self, user: str, action: str, index: str | None = None, detail: Mapping[str, Any] | None = None) -> str:
        """Add an entry for what is about to be done, and return its id. What cannot be recorded is not to be done.

        Raises:
            ClusterError, WriteBlockedError: the entry cannot be kept.
        """
        ensure_store(self._client, AUDIT, "audit")
        at = now("milliseconds")  # in the order in which it was done
        entry = {
            "at": at, "user": user[:_KEY_CHARS], "action": action[:_KEY_CHARS], "status": None,
            "index": index[:_VALUE_CHARS] if index else None, "detail": bounded(detail or {}),
        }  # fmt: skip
        with translated(AUDIT):
            return str(self._client.index(index=AUDIT, document=entry)["_id"])

    def end(self, id: str, status: int, detail: Mapping[str, Any] | None = None) -> None:
        """Complete an entry. status: that of the HTTP answer, which says whether the action was done or refused.

        An entry that cannot be completed says that its end is not known; that it began is what counts.
        """
        try:
            with translated(AUDIT):
                self._client.update(index=AUDIT, id=id, doc={"status": status, "detail": bounded(detail or {})})
        except HybridError as error:
            logger.warning("the audit trail does not say how %s ended (%s): %s", id, status, error)

    @contextlib.contextmanager
    def recorded(self, user: str, action: str, index: str | None = None, **detail: Any) -> Iterator[None]:
        """Have what is done in the block recorded, before and after. Raises what `begin` raises."""
        id = self.begin(user, action, index, detail)
        try:
            yield
        except BaseException as error:
            status = error.http_status if isinstance(error, HybridError) else 500
            self.end(id, status, {"error": str(error) or type(error).__name__})
            raise
        self.end(id, 200)

    def list(self, size: int = 50, before: int = 0) -> tuple[list[dict[str, Any]], int]:
        """(entries, newest first, after the first `before`; how many there are)."""
        with translated(AUDIT):
            self._client.indices.refresh(index=AUDIT, ignore_unavailable=True)
            hits = self._client.search(
                index=AUDIT,
                sort=[{"at": {"order": "desc", "unmapped_type": "date"}}],
                size=size,
                from_=before,
                track_total_hits=True,
                ignore_unavailable=True,
            )["hits"]
        return [hit["_source"] for hit in hits["hits"]], int(hits["total"]["value"])


def bounded(detail: Mapping[str, Any]) -> dict[str, str]:
    """The detail of an entry: so many fields with so many characters at most, whatever a body holds."""
    chosen = {}
    for key, value in itertools.islice(detail.items(), _MAX_FIELDS):
        if isinstance(value, Mapping):
            said = f"{len(value):,} fields"
        elif isinstance(value, Collection) and not isinstance(value, str):
            plain = [str(one) for one in itertools.islice(value, _MAX_FIELDS) if isinstance(one, str | int | float)]
            said = ", ".join(plain) if len(plain) == len(value) else f"{len(value):,} values"
        else:
            said = str(value)
        chosen[str(key)[:_KEY_CHARS]] = said[:_VALUE_CHARS]
    return chosen
