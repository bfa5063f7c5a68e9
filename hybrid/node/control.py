"""The node as a whole: up, down, status."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hybrid.errors import NodeError
from hybrid.node import broker, engine
from hybrid.node.places import Places, find_places, locked, make_folder, read_state, write_state
from hybrid.node.process import start_time, stop
from hybrid.settings import Settings

#: Seconds given to an Elasticsearch that runs but does not answer yet, before it is started anew.
BOOTING_S = 60.0

Say = Callable[[str], None]
State = dict[str, dict[str, Any]]


def _noop(line: str) -> None:
    pass


@dataclass(frozen=True)
class NodeStatus:
    """What runs. `folder` holds the servers' data and logs; an address is None when nothing runs there.

    running: Elasticsearch and Redis both answer (Elasticsearch alone, after `up(with_redis=False)`).
    The pids are None for servers that are not ours (settings.es_url, settings.redis_url).
    """

    name: str
    folder: Path
    es_url: str | None
    es_version: str | None
    es_pid: int | None
    es_log: Path
    redis_url: str | None
    redis_pid: int | None
    redis_log: Path
    running: bool

    def to_json(self) -> dict[str, Any]:
        return {key: str(value) if isinstance(value, Path) else value for key, value in asdict(self).items()}


def up(
    settings: Settings,
    *,
    name: str | None = None,
    version: str | None = None,
    on_step: Say = _noop,
    with_redis: bool = True,
) -> NodeStatus:
    """Start what is not running yet of the node's Elasticsearch and Redis, and wait until they answer.

    name: the node; default settings.node. version: "9", "8", "8.19" or a whole pinned version; default: what
    the node ran before, else the newest that a Java here can run. on_step: gets short lines for people.
    with_redis=False starts no Redis. Nothing is started in place of settings.es_url or settings.redis_url.

    Raises:
        NodeError: Java or Maven is missing, the archive is damaged, or a server does not start.
        UsageError: the name cannot be one.
    """
    places = find_places(settings, name)
    with _locked(places, on_step):
        state = read_state(places)
        for folder in dict.fromkeys((places.home, places.folder)):
            make_folder(folder)
        if settings.redis_url is None and with_redis:
            broker.server_binary()  # rather fail now than after the wait for Elasticsearch
        if settings.es_url is None:
            _up_engine(settings, places, state, version, on_step)
        if settings.redis_url is None:
            state["redis"]["wanted"] = with_redis
            if with_redis:
                _up_broker(places, state, on_step)
            write_state(places, state)
        return _status(settings, places, state)


def down(settings: Settings, *, name: str | None = None, wipe: bool = False) -> NodeStatus:
    """Stop the node's servers: SIGTERM, 20 s, SIGKILL. `wipe` also deletes the node's folder and data.

    Stops nothing that is not this node's own process. The unpacked Elasticsearch stays for the next `up`.

    Raises:
        NodeError: a server does not end or belongs to another user, or the folder cannot be deleted.
    """
    places = find_places(settings, name)
    if not places.home.exists() and not places.folder.exists():
        return _status(settings, places, read_state(places))
    with _locked(places, _noop):
        state = read_state(places)
        for part, process in (
            ("redis", broker.find_broker(places, state["redis"])),
            ("es", engine.find_engine(places, state["es"])),
        ):
            if process is not None:
                stop(process)
            if part == "es":
                engine.end_launch(places, state["es"])
            # Ports and version stay: the next `up` is found under the same address
            state[part] = {key: state[part][key] for key in ("port", "version", "wanted") if key in state[part]}
        if wipe:
            _delete(places)
            state = read_state(places)
        else:
            write_state(places, state)
        return _status(settings, places, state)


def status(settings: Settings, *, name: str | None = None) -> NodeStatus:
    """What runs of the node, by its state file and by asking the servers. Changes nothing, takes no lock."""
    places = find_places(settings, name)
    return _status(settings, places, read_state(places))


def restart_redis(settings: Settings, name: str | None = None) -> NodeStatus:
    """Kill the node's Redis as a crash would (SIGKILL) and start it on the same port and data.

    Raises:
        NodeError: the node has no Redis of its own, or it does not start.
    """
    if settings.redis_url is not None:
        raise NodeError("HYBRID_REDIS_URL names a Redis that is not ours to restart: unset it")
    places = find_places(settings, name)
    with _locked(places, _noop):
        state = read_state(places)
        if not isinstance(state["redis"].get("port"), int):
            raise NodeError(f"node {places.name} has had no Redis yet: run `hybrid up` first")
        process = broker.find_broker(places, state["redis"])
        if process is not None:
            stop(process, grace_s=0)
        _start_broker(places, state, _noop)
        return _status(settings, places, state)


def _locked(places: Places, on_step: Say) -> Any:
    return locked(places.lock_file, lambda: on_step(f"waiting for another hybrid that uses node {places.name}"))


def _up_engine(settings: Settings, places: Places, state: State, version: str | None, on_step: Say) -> None:
    """Bring `state["es"]` and the process in line, and note each step on disk as soon as it is true."""
    part = state["es"]
    process = engine.find_engine(places, part)
    if process is not None and isinstance(part.get("port"), int):
        running = str(part.get("version"))
        if version and running != version and not running.startswith(f"{version}."):
            raise NodeError(
                f"node {places.name} runs Elasticsearch {running}, not {version}: `hybrid down` it first, or "
                "take another node name"
            )
        if _answers_soon(part["port"]):
            if part.get("pid") != process.pid:
                part |= {"pid": process.pid, "started": start_time(process.pid)}
                write_state(places, state)
            return
        on_step(f"Elasticsearch (process {process.pid}) does not answer: starting it anew")
    if process is not None:
        stop(process)
    engine.end_launch(places, part)
    unpacked, java_home = engine.choose(settings, places, version, part.get("version"), on_step)

    def note(launch: dict[str, Any]) -> None:
        # The version goes with it: from here on the data may be this version's
        state["es"] = {"version": unpacked.version, **launch}
        write_state(places, state)

    pid, port = engine.start(settings, places, unpacked, java_home, part.get("port"), on_step, note)
    state["es"] = {"pid": pid, "started": start_time(pid), "port": port, "version": unpacked.version}
    write_state(places, state)


def _answers_soon(port: int) -> bool:
    deadline = time.monotonic() + BOOTING_S
    while engine.health(f"http://127.0.0.1:{port}") is None:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.3)
    return True


def _up_broker(places: Places, state: State, on_step: Say) -> None:
    part = state["redis"]
    process = broker.find_broker(places, part)
    if process is not None:
        if isinstance(part.get("port"), int) and broker.answers("127.0.0.1", part["port"]):
            return
        on_step(f"Redis (process {process.pid}) does not answer: starting it anew")
        stop(process)
    _start_broker(places, state, on_step)


def _start_broker(places: Places, state: State, on_step: Say) -> None:
    pid, started, port = broker.start(places, state["redis"].get("port"), on_step)
    state["redis"] = {"pid": pid, "started": started, "port": port, "wanted": True}
    write_state(places, state)


def _status(settings: Settings, places: Places, state: State) -> NodeStatus:
    es_url, es_version, es_pid = settings.es_url, None, None
    if es_url is not None:
        es_answers, es_version = engine.probe_cluster(settings)
    else:
        part = state["es"]
        process, port = engine.find_engine(places, part), part.get("port")
        es_answers = False
        if process is not None and isinstance(port, int):
            es_pid, es_url = int(process.pid), f"http://127.0.0.1:{port}"
            es_answers = engine.health(es_url) is not None
        if isinstance(part.get("version"), str):
            es_version = part["version"]
    redis_url, redis_pid = settings.redis_url, None
    if redis_url is not None:
        redis_answers = broker.broker_answers(redis_url)
    else:
        part = state["redis"]
        process, port = broker.find_broker(places, part), part.get("port")
        redis_answers = part.get("wanted") is False
        if process is not None and isinstance(port, int):
            redis_pid, redis_url = int(process.pid), f"redis://127.0.0.1:{port}/0"
            redis_answers = broker.answers("127.0.0.1", port)
    return NodeStatus(
        name=places.name,
        folder=places.folder,
        es_url=es_url,
        es_version=es_version,
        es_pid=es_pid,
        es_log=places.es_log,
        redis_url=redis_url,
        redis_pid=redis_pid,
        redis_log=places.redis_log,
        running=es_answers and redis_answers,
    )


def _delete(places: Places) -> None:
    for folder in dict.fromkeys((places.folder, places.home)):
        try:
            if os.path.lexists(folder):
                shutil.rmtree(folder)
        except OSError as error:
            raise NodeError(f"cannot delete {folder}: {error.strerror} ({error.filename})") from error
