"""Where a node keeps its files, and the user that its servers run as."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import pwd
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hybrid.errors import NodeError, UsageError
from hybrid.settings import Settings

#: Used by root when the data folder is closed to the servers' user (a root-only home).
SYSTEM_FOLDERS = (Path("/var/cache/hybrid"), Path("/var/tmp/hybrid-0"))


@dataclass(frozen=True)
class Owner:
    """The unprivileged user that the servers run as when root starts them."""

    name: str
    uid: int
    gid: int


@dataclass(frozen=True)
class Places:
    """The files of one node.

    home: the node's folder under data_dir; holds the state file. folder: what the servers read and write;
    the same folder, unless there is a node_dir or root's data_dir is closed to `owner`. engines: unpacked
    Elasticsearch versions.
    """

    name: str
    home: Path
    folder: Path
    engines: Path
    owner: Owner | None

    @property
    def state_file(self) -> Path:
        return self.home / "state.json"

    @property
    def lock_file(self) -> Path:
        # Beside the folder, not in it: `down --wipe` deletes the folder while it holds the lock
        return self.home.with_name(f"{self.name}.lock")

    @property
    def es(self) -> Path:
        return self.folder / "elasticsearch"

    @property
    def es_log(self) -> Path:
        return self.es / "logs" / f"hybrid-{self.name}.log"

    @property
    def es_pid_file(self) -> Path:
        return self.es / "logs" / "es.pid"

    @property
    def es_console(self) -> Path:
        # Opened by us before the server drops to its user, so not in a folder where that user makes links
        return self.folder / "elasticsearch-start.log"

    @property
    def redis(self) -> Path:
        return self.folder / "redis"

    @property
    def redis_log(self) -> Path:
        return self.redis / "redis.log"

    @property
    def redis_console(self) -> Path:
        return self.folder / "redis-start.log"


def servers_owner() -> Owner | None:
    """Whom to drop to: nobody in particular when this is an ordinary user, as Elasticsearch refuses root.

    Raises:
        NodeError: this is root, and the system has no unprivileged user of a known name.
    """
    if os.geteuid() != 0:
        return None
    for name in ("nobody", "daemon"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Owner(name, entry.pw_uid, entry.pw_gid)
    raise NodeError("Elasticsearch refuses to run as root and there is no user nobody: run as an ordinary user")


def reachable(path: Path, owner: Owner | None) -> bool:
    """Whether `owner` may enter every existing folder on the way to `path` (ACLs are not looked at)."""
    if owner is None:
        return True
    real = Path(os.path.realpath(path))
    for folder in (*reversed(real.parents), real):
        try:
            info = folder.stat()
        except FileNotFoundError:
            return True  # the rest will be made by us, open
        except OSError:
            return False
        if info.st_uid == owner.uid:
            allowed = info.st_mode & stat.S_IXUSR
        elif info.st_gid == owner.gid:
            allowed = info.st_mode & stat.S_IXGRP
        else:
            allowed = info.st_mode & stat.S_IXOTH
        if not allowed:
            return False
    return True


def find_places(
    settings: Settings, name: str | None = None, *, system_folders: Sequence[Path] = SYSTEM_FOLDERS
) -> Places:
    """The places of the node called `name` (default: settings.node). Makes no folder.

    Raises:
        UsageError: the name cannot be one.
        NodeError: root has no folder that the servers' user can reach, or cannot reach node_dir.
    """
    name = name or settings.node
    if not name.replace("-", "").replace("_", "").isalnum() or not name.isascii() or name != name.lower():
        raise UsageError(f"node name {name!r}: use a-z, 0-9, - and _, beginning with a letter or digit")
    if not name[0].isalnum():
        raise UsageError(f"node name {name!r} must begin with a letter or digit")
    data = Path(os.path.abspath(settings.data_dir.expanduser()))
    home = data / "nodes" / name
    owner = servers_owner()
    # Nodes of two data folders may bear the same name, so the folder's own name tells them apart
    elsewhere = f"{name}-{hashlib.sha256(str(data).encode()).hexdigest()[:8]}"
    folder, engines = home, data / "elasticsearch"
    if not reachable(home, owner):
        shared = next((one for one in system_folders if reachable(one, owner) and _is_ours(one)), None)
        if shared is None:
            raise _closed(data, owner, "HYBRID_DATA_DIR")
        folder, engines = shared / "nodes" / elsewhere, shared / "elasticsearch"
    if settings.node_dir is not None:
        folder = Path(os.path.abspath(settings.node_dir.expanduser())) / elsewhere
        if not reachable(folder, owner):
            raise _closed(folder.parent, owner, "HYBRID_NODE_DIR")
    return Places(name, home, folder, engines, owner)


def _closed(folder: Path, owner: Owner | None, setting: str) -> NodeError:
    return NodeError(f"user {owner.name if owner else ''} cannot enter {folder}: set {setting} to an open folder")


def _is_ours(folder: Path) -> bool:
    """Whether `folder` is missing or belongs to us: anyone may make folders in /var/tmp beforehand."""
    try:
        info = folder.lstat()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return stat.S_ISDIR(info.st_mode) and info.st_uid == os.geteuid() and not info.st_mode & stat.S_IWOTH


def make_folder(folder: Path, owner: Owner | None = None) -> None:
    """Make a folder and its parents, which others may enter whatever the umask; the last is `owner`'s.

    Raises:
        NodeError: it cannot be made.
    """
    try:
        missing = [path for path in (*reversed(folder.parents), folder) if not path.exists()]
        for path in missing:
            path.mkdir(exist_ok=True)
            if os.geteuid() == 0:
                path.chmod(0o755)
        if owner is not None:
            os.chown(folder, owner.uid, owner.gid, follow_symlinks=False)
    except OSError as error:
        raise NodeError(f"cannot make {folder}: {error.strerror}; set HYBRID_DATA_DIR to another folder") from error


@contextmanager
def locked(path: Path, on_wait: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold the lock file `path`. The system frees it when its holder dies, so none is ever stale."""
    make_folder(path.parent)
    try:
        handle = path.open("a")
    except OSError as error:
        raise NodeError(f"cannot write {path}: {error.strerror}") from error
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            on_wait()
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def read_state(places: Places) -> dict[str, dict[str, Any]]:
    """What the last `up` wrote, as {"es": {...}, "redis": {...}}; empty parts when it cannot be read."""
    try:
        data = json.loads(places.state_file.read_text())
    except (OSError, ValueError):
        data = {}
    parts = data if isinstance(data, dict) else {}
    return {key: part if isinstance(part := parts.get(key), dict) else {} for key in ("es", "redis")}


def write_state(places: Places, state: dict[str, dict[str, Any]]) -> None:
    """Replace the state file in one step, so that a killed run leaves the old one or the new one."""
    make_folder(places.home)
    temporary = places.state_file.with_name(f".state-{os.getpid()}.json")
    try:
        temporary.write_text(json.dumps(state, indent=1))
        os.replace(temporary, places.state_file)
    except OSError as error:
        raise NodeError(f"cannot write {places.state_file}: {error.strerror}") from error
