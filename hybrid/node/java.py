"""Find a Java that can run Elasticsearch, and say how to install what is missing."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from hybrid.errors import NodeError

#: Elasticsearch adds or instruments these at start. The cut-down JREs of pip packages lack them.
NEEDED_MODULES = ("jdk.incubator.vector", "jdk.jdi", "jdk.jlink")

#: Elasticsearch major version -> (oldest Java that runs it, the Java that we tested it with).
JAVA_FOR = {7: (17, 17), 8: (17, 17), 9: (21, 25)}

#: Where distributions, vendors and version managers put their Javas. `~` is the user's home.
JAVA_FOLDERS = (
    "/usr/lib/jvm/*",
    "/usr/java/*",
    "/usr/local/lib/jvm/*",
    "/opt/*",
    "/opt/java/*",
    "~/.sdkman/candidates/java/*",
    "~/.jdks/*",
    "~/.asdf/installs/java/*",
    "~/.local/share/mise/installs/java/*",
    "/Library/Java/JavaVirtualMachines/*/Contents/Home",
    "~/Library/Java/JavaVirtualMachines/*/Contents/Home",
    "/opt/homebrew/opt/openjdk*/libexec/openjdk.jdk/Contents/Home",
    "/usr/local/opt/openjdk*/libexec/openjdk.jdk/Contents/Home",
)

OTHERWISE = "or set HYBRID_ES_URL to a cluster, or HYBRID_ES_ARCHIVE to a downloaded Elasticsearch archive"


@dataclass(frozen=True)
class Java:
    """One Java installation: `home`/bin/java reports `major`, and lacks the modules `lacks`."""

    home: Path
    major: int
    lacks: tuple[str, ...] = ()


def parse_java_version(text: str) -> int | None:
    """The major version in what `java -version` prints, or None.

    >>> parse_java_version('openjdk version "21.0.2" 2024-01-16 LTS')
    21
    >>> parse_java_version('java version "1.8.0_391"')
    8
    """
    match = re.search(r'version "(\d+)(?:\.(\d+))?', text)
    if match is None:
        return None
    major = int(match.group(1))
    # Until Java 8 the version was written 1.8
    return int(match.group(2)) if major == 1 and match.group(2) else major


@lru_cache(maxsize=64)
def probe_java(home: Path) -> Java | None:
    """Run the Java under `home` and report what it is; None when there is none or it does not run."""
    binary = str(home / "bin" / "java")
    try:
        version = subprocess.run([binary, "-version"], capture_output=True, text=True, timeout=30)
        major = parse_java_version(version.stderr + version.stdout)
        if version.returncode != 0 or major is None:
            return None
        if major < 9:  # before modules, and too old in any case
            return Java(home, major, NEEDED_MODULES)
        modules = subprocess.run([binary, "--list-modules"], capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.SubprocessError):
        return None
    have = {line.split("@")[0].strip() for line in modules.stdout.splitlines()}
    return Java(home, major, tuple(name for name in NEEDED_MODULES if name not in have))


def java_homes(environ: Mapping[str, str], folders: Sequence[str]) -> Iterator[Path]:
    """Every place that may be a Java, each real folder once: JAVA_HOME, PATH, then `folders`."""
    seen: set[Path] = set()
    candidates: list[Path] = []
    if environ.get("JAVA_HOME"):
        candidates.append(Path(environ["JAVA_HOME"]))
    on_path = shutil.which("java", path=environ.get("PATH", ""))
    if on_path:
        candidates.append(Path(os.path.realpath(on_path)).parent.parent)
    for pattern in folders:
        whole = Path(pattern).expanduser()
        # Path.glob takes no absolute pattern
        candidates += sorted(Path(whole.anchor).glob(str(whole.relative_to(whole.anchor))))
    for candidate in candidates:
        if not (candidate / "bin" / "java").is_file():
            continue
        # The wrapper /usr/bin/java of macOS and the links in /usr/lib/jvm lead to the same few homes
        real = Path(os.path.realpath(candidate))
        if real not in seen:
            seen.add(real)
            yield real


def find_java(
    minimum: int,
    tested: int,
    *,
    environ: Mapping[str, str] | None = None,
    folders: Sequence[str] = JAVA_FOLDERS,
    usable: Callable[[Path], bool] = lambda home: True,
) -> Java:
    """The installed Java of at least version `minimum` that is nearest to `tested`.

    `usable` says whether the user who will run the server can reach a home.

    Raises:
        NodeError: there is none; the line says what was found instead and how to install one.
    """
    unfit: list[str] = []
    candidates: list[Java] = []
    for home in java_homes(os.environ if environ is None else environ, folders):
        java = probe_java(home)
        if java is None:
            continue
        if java.major < minimum:
            unfit.append(f"{home} is Java {java.major}")
        elif java.lacks:
            unfit.append(f"{home} lacks {', '.join(java.lacks)}")
        elif not usable(home):
            unfit.append(f"{home} cannot be reached by the user that runs the server")
        else:
            candidates.append(java)
    if not candidates:
        looked = f" ({'; '.join(unfit[:4])})" if unfit else ""
        hint = install_hint(java=minimum, maven=False)
        raise NodeError(f"no Java {minimum} or newer found{looked}: run `{hint}`, {OTHERWISE}")
    return min(candidates, key=lambda java: abs(java.major - tested))


def install_hint(*, java: int, maven: bool, platform: str = sys.platform) -> str:
    """The command that installs Java (at least version `java`) and, if asked, Maven on this system."""
    packages = ["maven"] if maven else []
    if platform == "darwin":
        return " ".join(["brew install", f"openjdk@{max(java, 21)}", *packages])
    if shutil.which("dnf") and not shutil.which("apt-get"):
        return " ".join(["dnf install -y", f"java-{max(java, 21)}-openjdk-headless", *packages])
    # Debian 12 ships 17 and not 21; later ones ship 21 and not 17
    apt = "default-jre-headless" if java <= 17 else f"openjdk-{java}-jre-headless"
    return " ".join(["apt-get install -y", apt, *packages])
