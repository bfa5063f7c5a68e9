"""Elasticsearch on disk: fetched with Maven by coordinate, checked, unpacked once for all nodes."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hybrid import maven
from hybrid.errors import MavenError, NodeError
from hybrid.node.java import OTHERWISE, install_hint
from hybrid.node.places import locked, make_folder

COORDINATE = "org.elasticsearch.distribution.integ-test-zip:elasticsearch:{version}:zip"


@dataclass(frozen=True)
class Pin:
    """sha256 of the artifact; megabytes (10^6 bytes) to tell how long the wait is."""

    sha256: str
    megabytes: int


#: Newest first.
PINNED: dict[str, Pin] = {
    "9.5.2": Pin("de3d9c88b5f993d9b1f937a1da8d7bfa3e881f83bf3a0dab3e49a8d557934618", 132),
    "8.19.20": Pin("f75a726a3ccac1a3cefc3b99b2458def9cda69b3b3fc9a42e98bbef21c10e949", 107),
}

_COMPLETE = ".hybrid-complete"
_TOP = re.compile(r"^elasticsearch-(\d+\.\d+\.\d+[\w.-]*)/?")
_JAR = re.compile(r"(?:^|/)lib/elasticsearch-(\d+\.\d+\.\d+(?:-SNAPSHOT)?)\.jar$")
_BROKEN = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    EOFError,
    OSError,
    NotImplementedError,
    RuntimeError,
)

Say = Callable[[str], None]


@dataclass(frozen=True)
class Unpacked:
    """An Elasticsearch ready to run: `home`/bin/elasticsearch."""

    home: Path
    version: str

    @property
    def major(self) -> int:
        return int(self.version.split(".")[0])

    @property
    def bundled_java(self) -> Path | None:
        """The Java that a full download carries; the Maven artifact has none."""
        for inside in ("jdk", "jdk.app/Contents/Home"):
            if (self.home / inside / "bin" / "java").is_file():
                return self.home / inside
        return None


def resolve_version(requested: str) -> str:
    """The pinned version that `requested` names: "9", "8.19" or a whole version.

    Raises:
        NodeError: there is no such pin.
    """
    for version in PINNED:
        if version == requested or version.startswith(f"{requested}."):
            return version
    raise NodeError(
        f"no Elasticsearch {requested} is pinned (there are {', '.join(PINNED)}): "
        "set HYBRID_ES_ARCHIVE to a downloaded archive of that version"
    )


def provide_pinned(
    version: str,
    engines: Path,
    on_step: Say,
    *,
    java_home: Path | None = None,
    pins: Mapping[str, Pin] = PINNED,
    fetch: Callable[[str, Path, Path | None], Path] | None = None,
) -> Unpacked:
    """The unpacked Elasticsearch `version`, fetched with Maven unless it is there already.

    Raises:
        NodeError: Maven is missing or fails, the checksum differs, or the disk is full.
    """
    home = engines / version
    with locked(engines / ".lock", lambda: on_step("waiting for another hybrid that is unpacking")):
        if is_complete(home):
            return Unpacked(home, version)
        _sweep(engines)
        with _workspace(engines) as work:
            on_step(f"fetching Elasticsearch {version} ({pins[version].megabytes} MB) with Maven")
            archive = (fetch or fetch_with_maven)(version, work, java_home)
            digest = maven.sha256(archive)
            if digest != pins[version].sha256:
                raise NodeError(
                    f"Elasticsearch {version} from Maven has SHA-256 {digest}, not the pinned "
                    f"{pins[version].sha256}: delete org/elasticsearch/distribution/integ-test-zip in "
                    "Maven's local repository (~/.m2/repository) and run it again"
                )
            on_step("unpacking")
            _unpack(archive, work, home)
    return Unpacked(home, version)


def provide_archive(archive: Path, engines: Path, on_step: Say) -> Unpacked:
    """The Elasticsearch of a local zip or tar.gz, of any version, unpacked.

    Raises:
        NodeError: there is no such file, it is not an Elasticsearch archive, or it is damaged.
    """
    archive = Path(os.path.abspath(archive.expanduser()))
    try:
        info = archive.stat()
    except OSError as error:
        raise NodeError(f"HYBRID_ES_ARCHIVE: no file {archive} ({error.strerror})") from error
    if not archive.is_file():
        raise NodeError(f"HYBRID_ES_ARCHIVE: {archive} is not a file: name the zip or tar.gz itself")
    # The full and the minimal download bear the same version, so the folder also tells the file apart
    tag = hashlib.sha256(f"{archive}|{info.st_size}|{info.st_mtime_ns}".encode()).hexdigest()[:8]
    with locked(engines / ".lock", lambda: on_step("waiting for another hybrid that is unpacking")):
        for home in sorted(engines.glob(f"*-{tag}")):
            if is_complete(home):
                return Unpacked(home, home.name.removesuffix(f"-{tag}"))
        _sweep(engines)
        version = archive_version(archive)
        home = engines / f"{version}-{tag}"
        with _workspace(engines) as work:
            on_step(f"unpacking {archive.name}")
            _unpack(archive, work, home)
    return Unpacked(home, version)


def archive_version(archive: Path) -> str:
    """The Elasticsearch version in an archive, by its top folder or its main jar.

    Raises:
        NodeError: the archive cannot be read, or holds no Elasticsearch.
    """
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as file:
                names = file.namelist()
            return _version_of(names) or _not_elasticsearch(archive)
        with tarfile.open(archive) as tar:
            seen: list[str] = []
            for member in tar:  # the top folder comes first, so this seldom reads on
                seen.append(member.name)
                version = _version_of(seen[-1:])
                if version:
                    return version
        return _not_elasticsearch(archive)
    except _BROKEN as error:
        raise NodeError(_damaged(archive, error)) from error


def _version_of(names: list[str]) -> str | None:
    for pattern in (_TOP, _JAR):
        for name in names:
            match = pattern.search(name.removeprefix("./"))
            if match:
                return match.group(1)
    return None


def _not_elasticsearch(archive: Path) -> str:
    raise NodeError(f"HYBRID_ES_ARCHIVE: {archive} holds no Elasticsearch (no folder elasticsearch-VERSION)")


def _damaged(archive: Path, error: BaseException) -> str:
    return f"{archive} cannot be unpacked ({type(error).__name__}: {error}): download it again"


def fetch_with_maven(version: str, folder: Path, java_home: Path | None) -> Path:
    """Have Maven put the artifact into `folder`: from its local repository, or from wherever it is set up to.

    Raises:
        NodeError: there is no Maven, or it fails.
    """
    if not maven.is_installed():
        raise NodeError(
            f"Maven is needed to fetch Elasticsearch {version}: run `{install_hint(java=17, maven=True)}`, {OTHERWISE}"
        )
    try:
        return maven.fetch(COORDINATE.format(version=version), folder, java_home)
    except MavenError as error:
        why = f"Maven cannot fetch Elasticsearch {version}: {error}"
        raise NodeError(f"{why}; check the network, {OTHERWISE}") from error


def is_complete(home: Path) -> bool:
    """Whether `home` was unpacked to its end: the mark is written last, before the folder gets its name."""
    return (home / _COMPLETE).is_file() and (home / "bin" / "elasticsearch").is_file()


class _workspace(tempfile.TemporaryDirectory[str]):
    """A folder beside the engines (same file system, so that a rename is one step), gone at the end."""

    def __init__(self, engines: Path) -> None:
        make_folder(engines)
        try:
            super().__init__(prefix=".work-", dir=engines, ignore_cleanup_errors=True)
        except OSError as error:
            raise NodeError(f"cannot write {engines}: {error.strerror}") from error

    def __enter__(self) -> Path:  # type: ignore[override]
        return Path(self.name)


def _sweep(engines: Path) -> None:
    """Remove what killed runs left. Only under the lock: a work folder then has no living owner."""
    for left in engines.glob(".work-*"):
        shutil.rmtree(left, ignore_errors=True)


def _unpack(archive: Path, work: Path, home: Path) -> None:
    """Unpack to `work`, then give the Elasticsearch folder in it the name `home` in one step."""
    inner = work / "unpacked"
    try:
        if zipfile.is_zipfile(archive):
            _unzip(archive, inner)
        else:
            with tarfile.open(archive) as tar:
                # Python before 3.11.4 has no filters; the archive is one that the user named
                options: dict[str, Any] = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
                tar.extractall(inner, **options)
        top = next((path.parent.parent for path in inner.glob("*/bin/elasticsearch")), None)
        if top is None:
            raise NodeError(f"{archive} holds no Elasticsearch (no bin/elasticsearch)")
        _open_up(top)
        (top / _COMPLETE).touch()
        if home.exists():  # half unpacked by something that was killed
            shutil.rmtree(home)
        os.replace(top, home)
    except _BROKEN as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise NodeError(f"cannot unpack {archive} to {home}: {error.strerror}") from error
        raise NodeError(_damaged(archive, error)) from error


def _unzip(archive: Path, target: Path) -> None:
    with zipfile.ZipFile(archive) as file:
        for item in file.infolist():
            path = Path(file.extract(item, target))
            mode = item.external_attr >> 16 & 0o777  # extract() forgets it
            if mode and not item.is_dir():
                path.chmod(mode | 0o600)


def _open_up(top: Path) -> None:
    """Let the servers' user read all and run the programs, whatever the umask was."""
    programs = {top / "bin", top / "jdk" / "bin"}
    for folder, _, names in os.walk(top):
        Path(folder).chmod(0o755)
        for name in names:
            path = Path(folder) / name
            if path.is_symlink():
                continue
            mode = path.stat().st_mode
            runs = Path(folder) in programs or mode & 0o100
            path.chmod(0o755 if runs else 0o644)
