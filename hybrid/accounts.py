"""Accounts of the admin page: passwords, roles, and sessions that end."""

from __future__ import annotations

import hashlib
import logging
import re
import secrets
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from itsdangerous import BadSignature, URLSafeTimedSerializer

from hybrid.elastic.stores.admin import AdminStore
from hybrid.errors import AccountError, WriteBlockedError
from hybrid.settings import Settings

#: What each role may do; a viewer looks, an editor also changes.
ROLES = ("viewer", "editor")
MIN_PASSWORD = 10
MAX_PASSWORD = 200
#: The least strength of a password, from 0 to 4 (zxcvbn), and how much of it is judged.
MIN_SCORE, _JUDGED_CHARS = 3, 72
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}")
#: What the token of a session begins with that is not stored, and may only look.
_LOOKING = "looking."
#: Seconds between two notes that a session is in use.
_TOUCH_S = 60

logger = logging.getLogger(__name__)


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
        self._store.add_user(name, _role(role), self._hash(name, password))

    def change_password(self, name: str, password: str) -> None:
        """Set another password, and end the user's sessions.

        Raises:
            AccountError: no such user, or the password cannot be used.
        """
        self._store.change_user(name, hash=self._hash(name, password))

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
        """The token of a new session; None for a wrong name or password, which take equally long to tell.

        Where the cluster takes no writes, nothing of the session is stored: its user may look for a while, whatever the
        role. Such a session ends with its time or with another password.
        """
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
        token = secrets.token_urlsafe(32)
        try:
            self._store.end_sessions_before(*(_stored(at - age) for age in (self._idle, self._whole)))
            self._store.open_session(_key(token), name)
        except WriteBlockedError as error:
            logger.warning("%s signs in to look only: %s", name, error)
            return _LOOKING + self._looking().dumps([name, _key(hash)])
        return token

    def signed_in(self, name: str, token: str) -> User | None:
        """The user of a session; None where it ended, ran out or never was, or the account is gone."""
        if not _NAME.fullmatch(name):
            return None
        if token.startswith(_LOOKING):
            return self._looks(name, token.removeprefix(_LOOKING))
        session, user = self._store.session(_key(token), name)
        if not session or not user or session["user"] != name:
            return None
        at = datetime.now(UTC)
        seen, created = (datetime.fromisoformat(session[field]) for field in ("seen", "created"))
        if at - seen > self._idle or at - created > self._whole:
            with suppress(WriteBlockedError):
                self._store.end_session(_key(token))
            return None
        if (at - seen).total_seconds() > _TOUCH_S:
            with suppress(WriteBlockedError):  # to look needs no write
                self._store.touch_session(_key(token))
        return User(name, user["role"])

    def _looks(self, name: str, token: str) -> User | None:
        try:
            signed = self._looking().loads(token, max_age=int(self._idle.total_seconds()))
        except BadSignature:
            return None
        user = self._store.user(name)
        return User(name, "viewer") if user and signed == [name, _key(user["hash"])] else None

    def _looking(self) -> URLSafeTimedSerializer:
        return URLSafeTimedSerializer(self.secret(), salt="hybrid-looking")

    def sign_out(self, token: str) -> None:
        """End a session: its token is of no use from now on, whoever has it. One that may only look ends by itself."""
        if not token.startswith(_LOOKING):
            self._store.end_session(_key(token))

    def secret(self) -> str:
        """The key that signs cookies, the same for every web process."""
        if self._secret is None:
            configured = self._settings.admin_secret
            self._secret = configured.get_secret_value() if configured else self._store.secret(secrets.token_hex(32))
        return self._secret

    def _hash(self, name: str, password: str) -> str:
        if not MIN_PASSWORD <= len(password) <= MAX_PASSWORD:
            raise AccountError(f"a password has {MIN_PASSWORD} to {MAX_PASSWORD} characters")
        from zxcvbn import zxcvbn  # its lists of words take a while to load

        guessed = zxcvbn(password[:_JUDGED_CHARS], user_inputs=[name, "hybrid"])
        if guessed["score"] < MIN_SCORE:
            why = guessed["feedback"]["warning"].rstrip(".") or "Few guesses find it"
            raise AccountError(f"the password is too easy to guess ({why}); take a longer one, or several words")
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
