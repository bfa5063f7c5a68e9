"""Files from Maven's repositories, fetched by coordinate with the Maven client of this machine."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from pathlib import Path

from hybrid.errors import MavenError

FETCH_TIMEOUT_S = 1800


def is_installed() -> bool:
    """Whether there is a Maven client on the PATH."""
    return shutil.which("mvn") is not None


def fetch(coordinate: str, folder: Path, java_home: Path | None = None) -> Path:
    """Have Maven put an artifact into `folder`: from its local repository, or from wherever it is set up to.

    coordinate: GROUP:ARTIFACT:VERSION:TYPE. java_home: the Java that Maven runs on where none is on the PATH.

    Raises:
        MavenError: there is no Maven, or it fails; says why, and not what to do next.
    """
    maven = shutil.which("mvn")
    if maven is None:
        raise MavenError("Maven is not installed")
    env = dict(os.environ)
    if java_home is not None and "JAVA_HOME" not in env and shutil.which("java") is None:
        env["JAVA_HOME"] = str(java_home)
    # `copy` resolves like `get`, and puts the file where we say: no need to guess the local repository
    argv = [maven, "-B", "-q", "dependency:copy", f"-Dartifact={coordinate}"]
    argv += [f"-DoutputDirectory={folder}", "-Dmdep.useBaseVersion=true"]
    try:
        run = subprocess.run(
            argv, cwd=folder, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            errors="replace", timeout=FETCH_TIMEOUT_S,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise MavenError(f"Maven needs more than {FETCH_TIMEOUT_S} s") from error
    except OSError as error:
        raise MavenError(f"{maven} cannot be run: {error.strerror}") from error
    _, artifact, version, kind = coordinate.split(":")
    file = folder / f"{artifact}-{version}.{kind}"
    if run.returncode != 0 or not file.is_file():
        plain = re.sub(r"\x1b\[[0-9;]*m", "", run.stdout + run.stderr)
        errors = [line.removeprefix("[ERROR]").strip() for line in plain.splitlines() if line.strip()]
        raise MavenError(next((line for line in errors if line), f"exit code {run.returncode}")[:300])
    return file


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
