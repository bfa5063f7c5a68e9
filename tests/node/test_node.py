"""The embedded Elasticsearch and Redis: real servers where it matters, small stand-in programs elsewhere."""

from __future__ import annotations

import hashlib
import http.server
import io
import json
import os
import shutil
import signal
import socket
import sys
import tarfile
import tempfile
import threading
import time
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from hybrid.errors import NodeError, UsageError
from hybrid.node import NodeStatus, down, restart_redis, status, up
from hybrid.node.archive import Pin, fetch_with_maven, provide_archive, provide_pinned, resolve_version
from hybrid.node.java import Java, find_java, parse_java_version
from hybrid.node.places import Owner, find_places, locked, reachable, write_state
from hybrid.node.process import free_port, last_words, start_time
from hybrid.settings import Settings
from tests.support.waiting import until

NAME = f"test-{os.getpid()}"


def make_settings(data_dir: Path, **values: Any) -> Settings:
    """Settings that no environment or hybrid.toml reaches."""
    fixed: dict[str, Any] = {
        "es_url": None, "redis_url": None, "es_archive": None, "es_heap": "512m", "node_dir": None,
        "es_jvm_options": "-XX:TieredStopAtLevel=1 -Dhybrid.test=1",
    }  # fmt: skip
    return Settings(data_dir=data_dir, node=NAME, **(fixed | values))


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A data folder whose node is stopped and deleted at the end, whatever the test did.

    Not pytest's tmp_path, which is closed to others: as root, the servers run as another user.
    """
    folder = Path(tempfile.mkdtemp(prefix="hybrid-node-"))
    folder.chmod(0o755)
    yield folder
    down(make_settings(folder), wipe=True)
    shutil.rmtree(folder)


def one_line(error: pytest.ExceptionInfo[NodeError]) -> str:
    text = str(error.value)
    assert "\n" not in text
    assert "Traceback" not in text
    return text


# ------------------------------------------------------------------------------------------------- Java


@pytest.mark.parametrize(
    ("text", "major"),
    [
        ('openjdk version "17.0.15" 2025-04-15', 17),
        ('openjdk version "25.0.3" 2026-04-21 LTS', 25),
        ('openjdk version "25" 2025-09-16', 25),
        ('java version "1.8.0_391"', 8),
        ('openjdk version "22-ea" 2024-03-19', 22),
        ('Picked up JAVA_TOOL_OPTIONS: -Xmx1g\nopenjdk version "21.0.2" 2024-01-16', 21),
        ("The operation couldn't be completed. Unable to locate a Java Runtime.", None),
        ("", None),
    ],
)
def test_java_version_is_read(text: str, major: int | None) -> None:
    assert parse_java_version(text) == major


ALL_MODULES = "java.base jdk.incubator.vector jdk.jdi jdk.jlink"


def fake_java(home: Path, major: int, modules: str = ALL_MODULES) -> Path:
    binary = home / "bin" / "java"
    binary.parent.mkdir(parents=True)
    lines = "\n".join(f"echo {name}@{major}" for name in modules.split())
    version = f"echo 'openjdk version \"{major}.0.1\"' >&2"
    binary.write_text(f"#!/bin/sh\nif [ $1 = -version ]; then {version}; exit; fi\n{lines}\n")
    binary.chmod(0o755)
    return home


def test_the_java_nearest_to_the_tested_one_is_taken(tmp_path: Path) -> None:
    for major in (11, 17, 21, 25):
        fake_java(tmp_path / f"jdk-{major}", major)
    folders = [f"{tmp_path}/*"]
    assert find_java(17, 17, environ={}, folders=folders) == Java(tmp_path / "jdk-17", 17)
    assert find_java(21, 25, environ={}, folders=folders).major == 25
    assert find_java(21, 25, environ={}, folders=folders, usable=lambda home: "25" not in home.name).major == 21


def test_java_home_and_path_are_looked_at(tmp_path: Path) -> None:
    home = fake_java(tmp_path / "a", 21)
    assert find_java(17, 17, environ={"JAVA_HOME": str(home)}, folders=()).home == home
    link = tmp_path / "bin" / "java"
    link.parent.mkdir()
    link.symlink_to(home / "bin" / "java")
    assert find_java(17, 17, environ={"PATH": str(link.parent)}, folders=()).home == home


def test_missing_java_says_what_to_install_and_what_to_set_instead(tmp_path: Path) -> None:
    with pytest.raises(NodeError) as error:
        find_java(17, 17, environ={"PATH": str(tmp_path)}, folders=())
    text = one_line(error)
    assert "no Java 17" in text
    assert "install" in text
    assert "HYBRID_ES_URL" in text
    assert "HYBRID_ES_ARCHIVE" in text


def test_unfit_javas_are_named(tmp_path: Path) -> None:
    fake_java(tmp_path / "old", 11)
    fake_java(tmp_path / "pip", 21, "java.base jdk.jdi jdk.jlink")
    broken = tmp_path / "broken" / "bin" / "java"
    broken.parent.mkdir(parents=True)
    broken.write_text("not a program")
    with pytest.raises(NodeError) as error:
        find_java(17, 17, environ={}, folders=[f"{tmp_path}/*"])
    assert "old is Java 11" in one_line(error)
    assert "pip lacks jdk.incubator.vector" in one_line(error)


# ---------------------------------------------------------------------------------------------- archives

FAILING = "#!/bin/sh\necho 'ERROR: the moon is full'\necho '\tat some.Frame'\nexit 3\n"


def fake_zip(
    path: Path, version: str = "9.9.9", script: str = FAILING, top: str | None = None, jdk: bool = True
) -> Path:
    top = top or f"elasticsearch-{version}"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(f"{top}/bin/elasticsearch", script)
        file.writestr(f"{top}/config/elasticsearch.yml", "")
        file.writestr(f"{top}/config/log4j2.properties", "status = error\n")
        file.writestr(f"{top}/lib/elasticsearch-core-{version}.jar", "x" * 5000)
        file.writestr(f"{top}/lib/elasticsearch-{version}.jar", os.urandom(5000))
        if jdk:
            file.writestr(f"{top}/jdk/bin/java", "#!/bin/sh\n")
    return path


def pins_of(path: Path) -> dict[str, Pin]:
    return {"9.9.9": Pin(hashlib.sha256(path.read_bytes()).hexdigest(), 1)}


@pytest.mark.parametrize(
    ("wanted", "version"),
    [("9", "9.5.2"), ("9.5", "9.5.2"), ("9.5.2", "9.5.2"), ("8", "8.19.20"), ("8.19", "8.19.20")],
)
def test_short_versions_name_a_pin(wanted: str, version: str) -> None:
    assert resolve_version(wanted) == version


@pytest.mark.parametrize("wanted", ["7", "8.1", "9.5.20", "", "x"])
def test_unknown_versions_are_refused(wanted: str) -> None:
    with pytest.raises(NodeError, match="HYBRID_ES_ARCHIVE"):
        resolve_version(wanted)


def test_unpacked_once_and_made_runnable(tmp_path: Path) -> None:
    source = fake_zip(tmp_path / "es.zip")
    fetched: list[str] = []

    def fetch(version: str, folder: Path, java_home: Path | None) -> Path:
        fetched.append(version)
        return Path(os.link(source, folder / "es.zip") or folder / "es.zip")

    engines, steps = tmp_path / "engines", []
    for _ in range(2):
        unpacked = provide_pinned("9.9.9", engines, steps.append, pins=pins_of(source), fetch=fetch)
    assert fetched == ["9.9.9"]
    assert steps == ["fetching Elasticsearch 9.9.9 (1 MB) with Maven", "unpacking"]
    assert os.access(unpacked.home / "bin" / "elasticsearch", os.X_OK)
    assert os.access(unpacked.home / "jdk" / "bin" / "java", os.X_OK)
    assert unpacked.major == 9
    assert sorted(path.name for path in engines.iterdir()) == [".lock", "9.9.9"]


def test_what_a_killed_run_left_is_done_again(tmp_path: Path) -> None:
    source, engines = fake_zip(tmp_path / "es.zip"), tmp_path / "engines"
    (engines / "9.9.9" / "bin").mkdir(parents=True)
    (engines / "9.9.9" / "bin" / "elasticsearch").write_text("half of it")
    (engines / ".work-old").mkdir()
    unpacked = provide_pinned("9.9.9", engines, print, pins=pins_of(source), fetch=lambda *_: source)
    assert (unpacked.home / "bin" / "elasticsearch").read_text() == FAILING
    assert not (engines / ".work-old").exists()


def test_a_wrong_checksum_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    source, engines = fake_zip(tmp_path / "es.zip"), tmp_path / "engines"
    with pytest.raises(NodeError) as error:
        provide_pinned("9.9.9", engines, print, pins={"9.9.9": Pin("0" * 64, 1)}, fetch=lambda *_: source)
    assert "SHA-256" in one_line(error)
    assert "delete" in one_line(error)
    assert [path.name for path in engines.iterdir()] == [".lock"]


def test_missing_maven_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NodeError) as error:
        fetch_with_maven("9.5.2", tmp_path, None)
    text = one_line(error)
    assert "maven" in text
    assert "install" in text
    assert "HYBRID_ES_URL" in text


def test_a_failing_maven_is_quoted_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    maven = tmp_path / "mvn"
    maven.write_text("#!/bin/sh\necho '[ERROR] Could not transfer artifact'\necho '[ERROR] more'\nexit 1\n")
    maven.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    with pytest.raises(NodeError, match="Could not transfer artifact; check the network"):
        fetch_with_maven("9.5.2", tmp_path, None)


def test_a_local_archive_of_any_version(tmp_path: Path) -> None:
    engines = tmp_path / "engines"
    first = provide_archive(fake_zip(tmp_path / "a.zip", "7.17.1"), engines, print)
    assert first.version == "7.17.1"
    assert first.bundled_java == first.home / "jdk"
    # The same version from another file is another engine; the same file is not unpacked again
    second = provide_archive(fake_zip(tmp_path / "b.zip", "7.17.1", jdk=False), engines, print)
    assert second.home != first.home
    assert second.bundled_java is None
    steps: list[str] = []
    assert provide_archive(tmp_path / "a.zip", engines, steps.append) == first
    assert steps == []
    # Repacked under another top folder, the version is that of the main jar
    assert provide_archive(fake_zip(tmp_path / "c.zip", top="es"), engines, print).version == "9.9.9"


def test_a_local_tar_gz(tmp_path: Path) -> None:
    archive = tmp_path / "es.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        for name in ("bin/elasticsearch", "config/elasticsearch.yml"):
            item = tarfile.TarInfo(f"elasticsearch-8.1.2/{name}")
            item.size = 10
            tar.addfile(item, io.BytesIO(b"#!/bin/sh\n"))
    unpacked = provide_archive(archive, tmp_path / "engines", print)
    assert unpacked.version == "8.1.2"
    assert os.access(unpacked.home / "bin" / "elasticsearch", os.X_OK)


def test_damaged_archives_fail_in_one_line(tmp_path: Path) -> None:
    whole = fake_zip(tmp_path / "whole.zip").read_bytes()
    (tmp_path / "cut.zip").write_bytes(whole[:-3000])
    damaged = bytearray(whole)
    damaged[3000:6000] = bytes(3000)  # inside a file, behind an intact directory
    (tmp_path / "bytes.zip").write_bytes(damaged)
    (tmp_path / "text.zip").write_text("<html>not found</html>")
    (tmp_path / "empty.zip").write_bytes(b"")
    with tarfile.open(tmp_path / "cut.tar.gz", "w:gz") as tar:
        item = tarfile.TarInfo("elasticsearch-8.1.2/bin/elasticsearch")
        item.size = 100_000
        tar.addfile(item, io.BytesIO(os.urandom(item.size)))
    (tmp_path / "cut.tar.gz").write_bytes((tmp_path / "cut.tar.gz").read_bytes()[:50_000])
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as file:
        file.writestr("readme.txt", "hello")
    for name in (
        "cut.zip", "bytes.zip", "text.zip", "empty.zip", "cut.tar.gz", "other.zip", "missing.zip", ".",
    ):  # fmt: skip
        with pytest.raises(NodeError) as error:
            provide_archive(tmp_path / name, tmp_path / "engines", print)
        assert str(tmp_path) in one_line(error), name
    assert [path.name for path in (tmp_path / "engines").iterdir()] == [".lock"]


# ---------------------------------------------------------------------------------------- places, processes


def test_names_that_cannot_be_folders_are_refused(tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    for name in ("../x", "a/b", "A", "-a", "a b", "ä"):
        with pytest.raises(UsageError):
            find_places(settings, name)
    assert find_places(settings, "shop-2_x").home == tmp_path / "nodes" / "shop-2_x"


def test_what_a_node_holds_may_be_elsewhere(tmp_path: Path) -> None:
    usual = find_places(make_settings(tmp_path / "a"))
    places = [find_places(make_settings(tmp_path / name, node_dir=Path("/usr/fast"))) for name in ("a", "b")]
    assert [one.folder.parent for one in places] == [Path("/usr/fast")] * 2 and places[0].folder != places[1].folder
    assert (places[0].home, places[0].engines) == (usual.home, usual.engines)


@pytest.mark.parametrize("options", ["Xmx1g", "-Xa b", " -Xa", "-Xa\n-Xb"])
def test_jvm_options_are_options(options: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="es_jvm_options"):
        make_settings(tmp_path, es_jvm_options=options)
    assert make_settings(tmp_path, es_jvm_options="-Xa  -Xb").es_jvm_options.split() == ["-Xa", "-Xb"]


def test_reachable_looks_at_every_folder_on_the_way(tmp_path: Path) -> None:
    somebody = Owner("somebody", 64_999, 64_999)
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    (tmp_path / "a").chmod(0o700)
    assert not reachable(inner / "missing", somebody)
    assert reachable(inner, None)
    assert reachable(Path("/usr/bin"), somebody)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root drops to another user")
def test_root_moves_out_of_a_closed_data_folder(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    open_folder = Path("/var/cache/hybrid-test-no-such-folder")
    places = find_places(make_settings(closed), system_folders=[tmp_path / "also-closed", open_folder])
    assert places.home == closed / "nodes" / NAME
    assert places.folder.parent == open_folder / "nodes"
    other = tmp_path / "closed-2"
    other.mkdir(mode=0o700)
    assert find_places(make_settings(other), system_folders=[open_folder]).folder != places.folder
    with pytest.raises(NodeError, match="HYBRID_DATA_DIR"):
        find_places(make_settings(closed), system_folders=[])
    with pytest.raises(NodeError, match="HYBRID_NODE_DIR"):
        find_places(make_settings(tmp_path, node_dir=closed), system_folders=[open_folder])


def test_a_preferred_port_is_kept_unless_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = server.getsockname()[1]
        assert free_port(taken) != taken
    assert free_port(taken) == taken
    for nonsense in (None, "9200", -1, 99_999):
        assert 0 < free_port(nonsense) < 65_536


def test_a_lock_is_waited_for(tmp_path: Path) -> None:
    order: list[str] = []

    def second() -> None:
        with locked(tmp_path / "x.lock", lambda: order.append("waits")):
            order.append("second")

    with locked(tmp_path / "x.lock"):
        thread = threading.Thread(target=second)
        thread.start()
        until(lambda: order)
        order.append("first")
    thread.join()
    assert order == ["waits", "first", "second"]


def test_last_words_pass_over_frames_and_the_farewell(tmp_path: Path) -> None:
    log = tmp_path / "start.log"
    log.write_text("[x][ERROR][o.e.b] of an earlier run\n")
    offset = log.stat().st_size
    with log.open("a") as file:
        file.write(
            "[2026-01-01T00:00:00,000][ERROR][o.e.b.Elasticsearch      ] [t] fatal exception while booting "
            "Elasticsearchjava.lang.IllegalArgumentException: unknown setting [bogus.setting]\n"
            "\tat org.elasticsearch.server@9.5.2/org.elasticsearch.Settings.validate(Settings.java:606)\n"
            "\tSuppressed: java.lang.RuntimeException: Error\n\t\t... 16 more\n\n"
            "ERROR: Elasticsearch did not exit normally - check the logs at /x.log\n"
            "Elasticsearch died while starting up, exit code: 1\n"
        )
    assert last_words((log, offset)) == "java.lang.IllegalArgumentException: unknown setting [bogus.setting]"
    assert last_words((tmp_path / "none.log", 0)) == ""


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '{"es": 5, "redis": []}',
        '{"es": {"pid": "x", "port": {}}, "redis": {"pid": -1}}',
    ],
)
def test_an_unreadable_state_is_no_state(data_dir: Path, text: str) -> None:
    settings = make_settings(data_dir)
    places = find_places(settings)
    places.home.mkdir(parents=True)
    places.state_file.write_text(text)
    found = status(settings)
    assert (found.running, found.es_url, found.es_pid, found.redis_url) == (False, None, None, None)
    assert not down(settings).running


def test_a_reused_pid_is_neither_reported_nor_killed(data_dir: Path) -> None:
    settings = make_settings(data_dir)
    me = os.getpid()
    dead = psutil.Popen([sys.executable, "-c", ""])
    dead.wait()
    # This process: at another start time, then at the right one but being another program; then a dead pid
    for pid, started in ((me, 1.0), (me, start_time(me)), (dead.pid, time.time())):
        part = {"pid": pid, "started": started, "port": 9}
        write_state(find_places(settings), {"es": dict(part), "redis": dict(part)})
        found = status(settings)
        assert found.es_pid is None
        assert found.redis_pid is None
        assert not found.running
        down(settings)  # and we are still here


def test_status_and_down_of_a_node_that_never_was(tmp_path: Path) -> None:
    settings = make_settings(tmp_path / "nothing")
    assert not status(settings).running
    assert not down(settings, wipe=True).running
    assert not (tmp_path / "nothing").exists()
    assert json.dumps(status(settings).to_json())


def test_an_elasticsearch_that_dies_is_quoted(data_dir: Path, tmp_path: Path) -> None:
    settings = make_settings(data_dir, es_archive=fake_zip(tmp_path / "es.zip"))
    with pytest.raises(NodeError) as error:
        up(settings)
    text = one_line(error)
    assert "ERROR: the moon is full" in text
    assert str(find_places(settings).es_log) in text
    assert status(settings).es_pid is None


def test_another_port_is_tried_when_one_is_lost(data_dir: Path, tmp_path: Path) -> None:
    script = "#!/bin/sh\necho 'Caused by: java.net.BindException: Address already in use'\nexit 1\n"
    steps: list[str] = []
    with pytest.raises(NodeError, match="Address already in use"):
        up(
            make_settings(data_dir, es_archive=fake_zip(tmp_path / "es.zip", script=script)),
            on_step=steps.append,
        )
    assert len({step for step in steps if step.startswith("starting")}) == 3


def test_a_node_that_never_held_data_may_change_to_an_older_version(data_dir: Path, tmp_path: Path) -> None:
    for version in ("9.9.9", "8.8.8"):
        archive = fake_zip(tmp_path / f"{version}.zip", version)
        with pytest.raises(NodeError, match=f"{version} did not start"):
            up(make_settings(data_dir, es_archive=archive))
    (find_places(make_settings(data_dir)).es / "data" / "_state").mkdir()
    with pytest.raises(NodeError, match=r"holds data of Elasticsearch 8\.8\.8"):
        up(make_settings(data_dir, es_archive=fake_zip(tmp_path / "7.zip", "7.7.7")))


def test_an_archive_of_another_version_than_asked_for_is_refused(data_dir: Path, tmp_path: Path) -> None:
    settings = make_settings(data_dir, es_archive=fake_zip(tmp_path / "es.zip"))
    with pytest.raises(NodeError, match=r"holds Elasticsearch 9\.9\.9, not 8"):
        up(settings, version="8")


# ------------------------------------------------------------------------------- Redis, and given addresses


class Cluster(http.server.BaseHTTPRequestHandler):
    """Answers as a secured cluster does."""

    def do_GET(self) -> None:
        known = self.headers.get("Authorization") == "ApiKey sesame"
        body = json.dumps({"version": {"number": "8.15.0"}} if known else {"error": "no", "status": 401}).encode()
        self.send_response(200 if known else 401)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def cluster_url() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Cluster)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def redis(found: NodeStatus, *words: str) -> bytes:
    assert found.redis_url is not None
    port = int(found.redis_url.split(":")[2].split("/")[0])
    with socket.create_connection(("127.0.0.1", port), timeout=5) as link:
        link.sendall((" ".join(words) + "\r\n").encode())
        return link.recv(1000)


def test_given_addresses_are_reported_and_nothing_is_started(data_dir: Path, cluster_url: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        broker = f"amqp://guest:guest@127.0.0.1:{listener.getsockname()[1]}//"
        settings = make_settings(data_dir, es_url=cluster_url, redis_url=broker, es_api_key="sesame")
        found = up(settings)
    assert (found.es_url, found.es_version, found.redis_url) == (cluster_url, "8.15.0", broker)
    assert (found.es_pid, found.redis_pid, found.running) == (None, None, True)
    assert not status(settings).running  # the broker is gone
    with pytest.raises(NodeError, match="not ours"):
        restart_redis(settings)
    # A refusal is an answer too
    refused = make_settings(data_dir, es_url=cluster_url)
    assert (status(refused).es_version, up(refused, with_redis=False).running) == (None, True)


def test_redis_keeps_its_data_and_its_port(data_dir: Path, cluster_url: str) -> None:
    settings = make_settings(data_dir, es_url=cluster_url)
    with pytest.raises(NodeError, match="hybrid up"):
        restart_redis(settings)
    first = up(settings)
    assert first.running
    assert redis(first, "SET", "k", "v") == b"+OK\r\n"
    assert b"noeviction" in redis(first, "CONFIG", "GET", "maxmemory-policy")
    assert b"everysec" in redis(first, "CONFIG", "GET", "appendfsync")
    assert up(settings) == first
    # Killed by a crash, started by `up`; killed and started by restart_redis; stopped politely, and started.
    # An append is flushed every second, but a killed process (unlike a killed machine) loses none
    assert first.redis_pid is not None
    os.kill(first.redis_pid, signal.SIGKILL)
    until(lambda: status(settings).redis_pid is None)
    for start in (up, restart_redis, lambda it: (down(it), up(it))[1]):
        again = start(settings)
        assert again.running
        assert again.redis_url == first.redis_url
        assert redis(again, "GET", "k") == b"$1\r\nv\r\n"
    assert again.redis_pid != first.redis_pid
    # A lost state file loses the port, not the process: it is replaced, not doubled
    find_places(settings).state_file.unlink()
    assert redis(up(settings), "GET", "k") == b"$1\r\nv\r\n"
    assert not psutil.pid_exists(again.redis_pid or 0) or psutil.Process(again.redis_pid).status() == "zombie"
    gone = down(settings, wipe=True)
    assert (gone.running, gone.redis_url) == (False, None)
    assert not gone.folder.exists()
    assert not find_places(settings).home.exists()


def test_a_remembered_port_that_is_taken_is_given_up(data_dir: Path, cluster_url: str) -> None:
    settings = make_settings(data_dir, es_url=cluster_url)
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = server.getsockname()[1]
        write_state(find_places(settings), {"es": {}, "redis": {"port": taken}})
        found = up(settings)
        assert found.running
        assert f":{taken}/" not in str(found.redis_url)


# ----------------------------------------------------------------------------------------- Elasticsearch


@pytest.fixture
def es_settings(data_dir: Path) -> Settings:
    """Settings that share the unpacked Elasticsearch of this user's own data folder."""
    settings = make_settings(data_dir)
    engines = find_places(settings).engines
    if engines.is_relative_to(data_dir):
        shared = find_places(Settings()).engines
        shared.mkdir(parents=True, exist_ok=True)
        engines.symlink_to(shared)
    return settings


def call(url: str, body: object = None, method: str | None = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
    with urllib.request.urlopen(request, timeout=20) as reply:
        return json.load(reply)


@pytest.mark.es
def test_elasticsearch_survives_a_crash_and_is_started_alone(es_settings: Settings) -> None:
    steps: list[str] = []
    first = up(es_settings, on_step=steps.append)
    assert first.running
    assert any(step.startswith("Elasticsearch ready in") for step in steps)
    health = call(f"{first.es_url}/_cluster/health")
    assert (health["cluster_name"], health["number_of_nodes"]) == (f"hybrid-{NAME}", 1)
    node = next(iter(call(f"{first.es_url}/_nodes/_local/jvm,http,process")["nodes"].values()))
    assert node["version"] == first.es_version
    assert node["jvm"]["mem"]["heap_max_in_bytes"] == 512 * 2**20
    assert {"-XX:TieredStopAtLevel=1", "-Dhybrid.test=1"} <= set(node["jvm"]["input_arguments"])
    assert node["process"]["id"] == first.es_pid
    assert all(address.startswith("127.0.0.1:") for address in node["http"]["bound_address"])
    if os.geteuid() == 0:
        assert psutil.Process(first.es_pid).uids().real != 0
    call(f"{first.es_url}/t/_doc/1?refresh=true", {"x": 1}, "PUT")
    # Idempotent: nothing is started, nothing is said
    steps.clear()
    assert up(es_settings, on_step=steps.append) == first
    assert steps == []
    other = "8" if str(first.es_version).startswith("9") else "9"
    with pytest.raises(NodeError, match="runs Elasticsearch"):
        up(es_settings, version=other)

    assert first.es_pid is not None
    os.kill(first.es_pid, signal.SIGKILL)
    until(lambda: status(es_settings).es_pid is None)
    broken = status(es_settings)
    assert (broken.running, broken.es_url, broken.redis_pid) == (False, None, first.redis_pid)
    again = up(es_settings)
    assert again.running
    assert (again.es_url, again.redis_pid) == (first.es_url, first.redis_pid)
    assert call(f"{again.es_url}/t/_doc/1")["_source"] == {"x": 1}

    stopped = down(es_settings)
    assert (stopped.running, stopped.es_pid, stopped.redis_pid) == (False, None, None)
    if str(first.es_version).startswith("9"):
        with pytest.raises(NodeError, match="cannot read"):
            up(es_settings, version="8")
    words = stopped.es_log.read_text()
    assert "closed" in words.splitlines()[-1]  # it was asked to leave, not killed
    assert "unknown setting" not in words
    assert not down(es_settings, wipe=True).folder.exists()


@pytest.mark.es
def test_the_older_version_can_be_asked_for(es_settings: Settings) -> None:
    found = up(es_settings, version="8", with_redis=False)
    assert found.running
    assert str(found.es_version).startswith("8.19.")
    assert found.redis_url is None
    call(f"{found.es_url}/t/_doc/1?refresh=true", {"x": 1}, "PUT")
    assert call(f"{found.es_url}/t/_count")["count"] == 1
