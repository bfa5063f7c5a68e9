"""Accounts of the admin page: passwords, roles, and sessions that end."""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from hybrid.elastic.stores.admin import AdminStore
from hybrid.errors import AccountError
from hybrid.settings import Settings

#: What each role may do; a viewer looks, an editor also changes.
ROLES = ("viewer", "editor")
MIN_PASSWORD = 10
MAX_PASSWORD = 200
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}")
#: Seconds between two notes that a session is in use.
_TOUCH_S = 60


@dataclass(frozen=True, slots=True)
class User:
    name: str
    role: str

    @property
    def may_edit(self) -> bool:
        return self.role == "editor"


class Accounts:
    """Who may use the admin page."""

    def __init__(self, store: AdminStore, settings: Settings) -> None:
        self._store, self._settings = store, settings
        self._hasher = PasswordHasher()  # argon2id, with the library's parameters
        self._secret: str | None = None
        self._decoy: str | None = None

    def add(self, name: str, password: str, role: str = "editor") -> None:
        """Make an account.

        Raises:
            AccountError: the name, the password or the role cannot be used, or there is one of that name.
        """
        if not _NAME.fullmatch(name):
            raise AccountError(
                "a user's name has 1 to 64 letters, digits or . _ @ + -, and begins with a letter or digit"
            )
        self._store.add_user(name, _role(role), self._hash(password))

    def change_password(self, name: str, password: str) -> None:
        """Set another password, and end the user's sessions.

        Raises:
            AccountError: no such user, or the password cannot be used.
        """
        self._store.change_user(name, hash=self._hash(password))

    def change_role(self, name: str, role: str) -> None:
        """Set another role, and end the user's sessions.

        Raises:
            AccountError: no such user or role.
        """
        self._store.change_user(name, role=_role(role))

    def remove(self, name: str) -> None:
        """Delete an account and end its sessions.

        Raises:
            AccountError: no such user.
        """
        self._store.remove_user(name)

    def list(self) -> list[dict[str, str]]:
        """[{"name", "role", "created"}], by name."""
        return [
            {"name": user["user"], "role": user["role"], "created": user["created"]} for user in self._store.users()
        ]

    def sign_in(self, name: str, password: str) -> str | None:
        """The token of a new session; None for a wrong name or password, which take equally long to tell."""
        user = self._store.user(name) if _NAME.fullmatch(name) else None
        self._decoy = self._decoy or self._hasher.hash(secrets.token_hex())
        hash = user["hash"] if user else self._decoy
        try:
            self._hasher.verify(hash, password[:MAX_PASSWORD])
        except (VerificationError, InvalidHashError):
            return None
        if user is None:
            return None
        at = datetime.now(UTC)
        self._store.end_sessions_before(*(_stored(at - age) for age in (self._idle, self._whole)))
        token = secrets.token_urlsafe(32)
        self._store.open_session(_key(token), name)
        return token

    def signed_in(self, name: str, token: str) -> User | None:
        """The user of a session; None where it ended, ran out or never was, or the account is gone."""
        if not _NAME.fullmatch(name):
            return None
        session, user = self._store.session(_key(token), name)
        if not session or not user or session["user"] != name:
            return None
        at = datetime.now(UTC)
        seen, created = (datetime.fromisoformat(session[field]) for field in ("seen", "created"))
        if at - seen > self._idle or at - created > self._whole:
            self._store.end_session(_key(token))
            return None
        if (at - seen).total_seconds() > _TOUCH_S:
            self._store.touch_session(_key(token))
        return User(name, user["role"])

    def sign_out(self, token: str) -> None:
        """End a session: its token is of no use from now on, whoever has it."""
        self._store.end_session(_key(token))

    def secret(self) -> str:
        """The key that signs cookies, the same for every web process."""
        if self._secret is None:
            configured = self._settings.admin_secret
            self._secret = configured.get_secret_value() if configured else self._store.secret(secrets.token_hex(32))
        return self._secret

    def _hash(self, password: str) -> str:
        if not MIN_PASSWORD <= len(password) <= MAX_PASSWORD:
            raise AccountError(f"a password has {MIN_PASSWORD} to {MAX_PASSWORD} characters")
        return self._hasher.hash(password)

    @property
    def _idle(self) -> timedelta:
        return timedelta(minutes=self._settings.admin_idle_min)

    @property
    def _whole(self) -> timedelta:
        return timedelta(hours=self._settings.admin_session_h)


def _role(role: str) -> str:
    if role not in ROLES:
        raise AccountError(f"no role {role!r}; there are {' and '.join(ROLES)}")
    return role


def _key(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _stored(at: datetime) -> str:
    return at.isoformat(timespec="seconds")
