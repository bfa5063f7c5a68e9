"""Elasticsearch of one node: its settings, its start, its health."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import shutil
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from hybrid.errors import NodeError
from hybrid.node.archive import PINNED, Unpacked, provide_archive, provide_pinned, resolve_version
from hybrid.node.java import JAVA_FOR, Java, find_java
from hybrid.node.places import Places, make_folder, reachable
from hybrid.node.process import clean_environment, exit_code, find, free_port, last_words, log_size, spawn, stop
from hybrid.settings import Settings

READY_TIMEOUT_S = 120.0
#: Once it answers, seconds to wait for the primaries of existing indices before saying that it is up.
YELLOW_TIMEOUT_S = 30.0

#: Module folder -> settings that are known only with it. The Maven artifact has none of these modules.
MODULE_SETTINGS = {
    "x-pack-ml": {"xpack.ml.enabled": "false"},
    "ingest-geoip": {"ingest.geoip.downloader.enabled": "false"},
    "x-pack-watcher": {"xpack.watcher.enabled": "false"},
}

Say = Callable[[str], None]


def choose(
    settings: Settings, places: Places, requested: str | None, before: str | None, on_step: Say
) -> tuple[Unpacked, Path]:
    """Elasticsearch and the Java home to run it with. requested: its version; before: the version that wrote the data.

    Raises:
        NodeError: there is no Java for it, it cannot be fetched, or it cannot read the node's data.
    """

    def java_for(major: int) -> Java:
        minimum, tested = JAVA_FOR.get(major, JAVA_FOR[max(JAVA_FOR)])
        return find_java(minimum, tested, usable=lambda home: reachable(home / "bin", places.owner))

    if settings.es_archive is not None:
        unpacked = provide_archive(settings.es_archive, places.engines, on_step)
        if requested and unpacked.version != requested and not unpacked.version.startswith(f"{requested}."):
            raise NodeError(f"HYBRID_ES_ARCHIVE holds Elasticsearch {unpacked.version}, not {requested}: unset one")
        _refuse_downgrade(places, before, unpacked.version)
        return unpacked, unpacked.bundled_java or java_for(unpacked.major).home
    if requested:
        version = resolve_version(requested)
        java = java_for(int(version.split(".")[0]))
    elif before in PINNED:  # a node keeps its version until another one is requested
        version = before
        java = java_for(int(version.split(".")[0]))
    else:
        newest, older = PINNED
        try:
            version, java = newest, java_for(int(newest.split(".")[0]))
        except NodeError:
            version, java = older, java_for(int(older.split(".")[0]))
    _refuse_downgrade(places, before, version)
    return provide_pinned(version, places.engines, on_step, java_home=java.home), java.home


def _refuse_downgrade(places: Places, before: str | None, version: str) -> None:
    data = places.es / "data"
    if before and _numbers(before) > _numbers(version) and data.is_dir() and any(data.iterdir()):
        raise NodeError(
            f"node {places.name} holds data of Elasticsearch {before}, which {version} cannot read: "
            f"take another node name, or `hybrid down --wipe` first"
        )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("-")[0].split(".") if part.isdigit())


def configure(places: Places, unpacked: Unpacked, settings: Settings, port: int) -> None:
    """Write the configuration folder anew.

    Raises:
        NodeError: the disk does not take it.
    """
    make_folder(places.es)
    config, temporary = places.es / "config", places.es / "tmp"
    options = config / "jvm.options.d"
    try:
        # Programs killed in the middle leave unpacked libraries in tmp
        for folder in (temporary, config):
            shutil.rmtree(folder, ignore_errors=True)
        for folder in (temporary, places.es / "data", places.es / "logs"):
            make_folder(folder, places.owner)
        make_folder(options)
        for source in sorted((unpacked.home / "config").iterdir()):
            if source.is_file():
                shutil.copyfile(source, config / source.name)
        (config / "elasticsearch.yml").write_text(_settings_file(places, unpacked, port))
        (options / "hybrid.options").write_text(_jvm_options(settings.es_heap, settings.es_jvm_options))
        if places.owner is not None:
            # Given away at the end: root does not write in a folder where another user can make links.
            # The server keeps its keystore here, so reading is not enough
            for path in (*config.iterdir(), *options.iterdir(), config):
                os.chown(path, places.owner.uid, places.owner.gid, follow_symlinks=False)
    except OSError as error:
        raise NodeError(f"cannot write the node's folder {places.es}: {error.strerror}") from error


def _settings_file(places: Places, unpacked: Unpacked, port: int) -> str:
    values = {
        "cluster.name": f"hybrid-{places.name}",
        "node.name": places.name,
        "path.data": str(places.es / "data"),
        "path.logs": str(places.es / "logs"),
        "network.host": "127.0.0.1",
        "http.port": str(port),
        "transport.port": "0",  # nobody joins, so any free one will do
        "discovery.type": "single-node",
        "xpack.security.enabled": "false",
        # The defaults are shares of the disk: a laptop's, 90 % full with 50 GB free, would block writes
        "cluster.routing.allocation.disk.watermark.low": "2gb",
        "cluster.routing.allocation.disk.watermark.high": "1gb",
        "cluster.routing.allocation.disk.watermark.flood_stage": "500mb",
    }
    for module, extra in MODULE_SETTINGS.items():
        if (unpacked.home / "modules" / module).is_dir():
            values |= extra
    return "".join(f"{key}: {json.dumps(value)}\n" for key, value in values.items())


def _jvm_options(heap: str, more: str) -> str:
    return "\n".join(
        [
            f"-Xms{heap}",
            f"-Xmx{heap}",
            "-XX:-AlwaysPreTouch",  # a laptop's memory is taken as it is needed
            # By default the garbage collector may log 2 GB
            "-Xlog:disable",
            "-Xlog:all=warning:stderr:utctime,level,tags",
            *more.split(),
            "",
        ]
    )


def is_engine(places: Places) -> Callable[[Any], bool | None]:
    """Tells this node's Elasticsearch among processes: it works in the node's log folder."""

    def is_it(process: Any) -> bool | None:
        return runs_in(process, places.es, "java")

    return is_it


def runs_in(process: Any, folder: Path, *names: str) -> bool | None:
    """Whether a process of one of these names works in or under `folder`; None when we may not know."""
    try:
        if not any(name in process.name() for name in names):
            return False
        where = Path(process.cwd())
    except psutil.AccessDenied:
        return None
    real = Path(os.path.realpath(folder))
    return where == real or real in where.parents


def find_engine(places: Places, state: dict[str, Any]) -> Any | None:
    """The node's live Elasticsearch process, or None. Also one whose `up` was killed before it was noted."""
    return find(state.get("pid"), state.get("started"), is_engine(places)) or find(
        _pid_in(places.es_pid_file), None, is_engine(places)
    )


def _pid_in(path: Path) -> int | None:
    try:
        return int(path.read_text().strip())
    except (OSError, ValueError):
        return None


def start(
    settings: Settings,
    places: Places,
    unpacked: Unpacked,
    java_home: Path,
    port: object,
    on_step: Say,
    note: Callable[[dict[str, Any]], None],
) -> tuple[int, int]:
    """Start Elasticsearch and wait until it answers; (pid, HTTP port).

    note: keeps what it is given where `end_launch` gets it from, should we be killed while we wait.

    Raises:
        NodeError: it ended or did not answer in READY_TIMEOUT_S; says its last words and where its log is.
    """
    for attempt in (1, 2, 3):
        number = free_port(port if attempt == 1 else None)
        configure(places, unpacked, settings, number)
        on_step(f"starting Elasticsearch {unpacked.version} on port {number}")
        began = time.monotonic()
        words = _start_once(places, unpacked, java_home, number, note)
        if words is None:
            pid = _pid_in(places.es_pid_file)
            if pid is None:
                raise NodeError(f"Elasticsearch wrote no {places.es_pid_file}; see {places.es_log}")
            _wait_for_primaries(number)
            on_step(f"Elasticsearch ready in {time.monotonic() - began:.0f} s")
            return pid, number
        if attempt < 3 and ("Address already in use" in words or "Failed to bind" in words):
            on_step(f"port {number} was taken meanwhile")
            continue
        raise NodeError(f"Elasticsearch {unpacked.version} did not start: {words}; see {places.es_log}")
    raise AssertionError("unreachable")


def _start_once(
    places: Places,
    unpacked: Unpacked,
    java_home: Path,
    port: int,
    note: Callable[[dict[str, Any]], None],
) -> str | None:
    """None once it answers, else its last words. Leaves nothing running on failure."""
    places.es_pid_file.unlink(missing_ok=True)
    console = places.es_console
    marks = ((console, log_size(console)), (places.es_log, log_size(places.es_log)))
    env = clean_environment() | {
        "ES_JAVA_HOME": str(java_home),
        "ES_PATH_CONF": str(places.es / "config"),
        "ES_TMPDIR": str(places.es / "tmp"),
        "HOME": str(places.es),
    }
    if not any(character.isspace() for character in str(places.es)):  # the script splits it at spaces
        # The launcher forgets a folder there at each start; and it does not live long enough to optimise
        env["CLI_JAVA_OPTS"] = f"-Djava.io.tmpdir={places.es / 'tmp'} -XX:TieredStopAtLevel=1"
    # -d: the launcher, a second Java, leaves once the server is up
    argv = [str(unpacked.home / "bin" / "elasticsearch"), "-d", "-p", str(places.es_pid_file)]
    launcher, started = spawn(argv, log=console, cwd=places.es, env=env, owner=places.owner)
    launch = {"launcher": launcher, "launched": started, "port": port}
    deadline = time.monotonic() + READY_TIMEOUT_S
    try:
        note(launch)
        while time.monotonic() < deadline:
            code = exit_code(launcher)
            # Only the server can write its pid file, and another program on our port would not have
            if code != 0 and code is not None:
                return last_words(*marks) or f"exit code {code}"
            server = find(_pid_in(places.es_pid_file), None, is_engine(places))
            if server is not None and health(f"http://127.0.0.1:{port}", timeout_s=2) is not None:
                _let_launcher_go(launcher)
                return None
            if code == 0 and server is None:
                return last_words(*marks) or "it ended without a word"
            time.sleep(0.1)
        end_launch(places, launch)
        return last_words(*marks) or f"no answer in {READY_TIMEOUT_S:.0f} s"
    except BaseException:  # Ctrl-C too: nothing half started stays behind
        end_launch(places, launch)
        raise


def _let_launcher_go(launcher: int) -> None:
    """Wait a little: it leaves when the server reports itself ready, which may be after its first answer."""
    deadline = time.monotonic() + 5
    while exit_code(launcher) is None and time.monotonic() < deadline:
        time.sleep(0.02)


def end_launch(places: Places, state: dict[str, Any]) -> None:
    """End a start that is under way or was left so by a killed `up`: the launcher and what it started."""
    doomed = [find_engine(places, state)]
    launcher = find(state.get("launcher"), state.get("launched"), lambda it: None)
    if launcher is not None:
        # Early in its life the server has no pid file yet
        with contextlib.suppress(psutil.Error):
            doomed += launcher.children(recursive=True)
        doomed.append(launcher)
    for process in doomed:
        if process is not None:
            stop(process, grace_s=5)


def _wait_for_primaries(port: int) -> None:
    deadline = time.monotonic() + YELLOW_TIMEOUT_S
    while time.monotonic() < deadline:
        if (health(f"http://127.0.0.1:{port}", timeout_s=5) or {}).get("status") in ("yellow", "green"):
            return
        time.sleep(0.2)  # a broken index stays red: it is for the user to see, not a reason to fail


def health(url: str, timeout_s: float = 5) -> dict[str, Any] | None:
    """What /_cluster/health says, or None when nobody answers."""
    answer = _get(f"{url}/_cluster/health", timeout_s)
    # Other programs' refusals have a status too: a number
    return answer if answer and isinstance(answer.get("status"), str) else None


def probe_cluster(settings: Settings, timeout_s: float = 5) -> tuple[bool, str | None]:
    """(somebody answers at settings.es_url, its Elasticsearch version if it tells)."""
    url = str(settings.es_url).rstrip("/")
    headers = {}
    if settings.es_api_key:
        headers["Authorization"] = f"ApiKey {settings.es_api_key.get_secret_value()}"
    elif settings.es_username and settings.es_password:
        pair = f"{settings.es_username}:{settings.es_password.get_secret_value()}"
        headers["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
    ca = str(settings.es_ca_certs) if settings.es_ca_certs else None
    root = _get(url + "/", timeout_s, headers, ca)
    if root is None:
        return False, None
    version = root.get("version")
    if isinstance(version, dict) and version.get("number"):
        return True, str(version["number"])
    # The embedded engine's own minimal distribution has no GET /
    nodes = _get(url + "/_nodes/_local?filter_path=nodes.*.version", timeout_s, headers, ca) or {}
    for node in (nodes.get("nodes") or {}).values():
        return True, str(node.get("version")) if node.get("version") else None
    return True, None


def _get(
    url: str, timeout_s: float, headers: dict[str, str] | None = None, ca: str | None = None
) -> dict[str, Any] | None:
    """The JSON object at `url`, {} for another answer of a server (also a refusal), None for no answer."""
    try:
        context = ssl.create_default_context(cafile=ca)
        # No proxy: the system's is for the internet, and the clients of Elasticsearch use none either
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        )
        with opener.open(urllib.request.Request(url, headers=headers or {}), timeout=timeout_s) as reply:
            body = reply.read(1_000_000)
    except urllib.error.HTTPError as error:
        if error.code >= 500:
            return None
        body = error.read(1_000_000)
    except (OSError, ValueError, http.client.HTTPException):
        return None
    try:
        answer = json.loads(body)
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}
