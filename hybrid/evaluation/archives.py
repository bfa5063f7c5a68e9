"""Judgments as a browser uploads and downloads them: one file, or an archive of several."""

from __future__ import annotations

import io
import re
import tempfile
import zipfile
from dataclasses import replace
from pathlib import Path

from hybrid.errors import MediaError, UsageError
from hybrid.evaluation.formats import QUERY_FILES, read_judgments, write_judgments
from hybrid.evaluation.judgments import Judgments
from hybrid.media import resolve_media

#: The most files in an archive of judgments, and the most bytes once they are unpacked.
_MAX_FILES, _MAX_BYTES = 2_000, 100 * 1024 * 1024
_PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif")


def read_upload(name: str, data: bytes, queries: bytes | None = None) -> Judgments:
    """Judgments of an uploaded file, or of an archive (zip) as `archived` makes it: with the judged photos.

    Raises:
        UsageError: as read_judgments does; an archive that cannot be opened or holds too much; a judged photo that is
            not in it.
    """
    # Of the uploaded name, only the end is used, and only in messages and to tell formats apart.
    plain = re.sub(r"[^\w .-]", "_", name.replace("\\", "/").rpartition("/")[2]).lstrip(". ")[-100:] or "judgments"
    with tempfile.TemporaryDirectory(prefix="hybrid-judgments-") as folder:
        path = Path(folder) / plain
        texts = None
        if data[:4] == b"PK\x03\x04":
            path = _unpacked(plain, data, Path(folder))
        else:
            path.write_bytes(data)
        if queries:
            texts = Path(folder) / "texts of the queries"
            texts.write_bytes(queries)
        judgments = read_judgments(path, texts)
        images = {query.image for query in judgments.queries.values() if query.image}
        photos = {image: _photo(plain, image, path.parent) for image in images}
    return replace(judgments, folder=None, photos=photos)


def _photo(name: str, image: str, folder: Path) -> bytes:
    # The name comes from the upload: it must not lead to a file outside of the upload.
    try:
        return resolve_media(image, folder).read_bytes()
    except MediaError as error:
        raise UsageError(
            f"{name}: judged photo {image[:200]!r} is not there; zip the photos with the file that names them"
        ) from error


def _unpacked(name: str, data: bytes, folder: Path) -> Path:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as packed:
            files = [entry for entry in packed.infolist() if not entry.is_dir() and not _by_the_way(entry.filename)]
            if len(files) > _MAX_FILES or sum(entry.file_size for entry in files) > _MAX_BYTES:
                raise UsageError(f"{name}: more than {_MAX_FILES} files or {_MAX_BYTES // 1024**2} MB in the archive")
            paths = [Path(packed.extract(entry, folder / "archive")) for entry in files]
    except (zipfile.BadZipFile, OSError, RuntimeError, NotImplementedError) as error:
        raise UsageError(f"{name}: an archive that cannot be opened ({error})") from error
    beir = next((path.parent.parent for path in paths if path.parent.name == "qrels"), None)
    judged = [path for path in paths if not path.name.lower().endswith((*QUERY_FILES, *_PICTURES))]
    if beir is None and len(judged) != 1:
        raise UsageError(f"{name}: an archive with one file of judgments wanted, or with the folder qrels of BEIR")
    return beir or judged[0]


def _by_the_way(name: str) -> bool:
    """Whether a file is what a desktop adds to an archive by itself."""
    return name.startswith("__MACOSX/") or name.rpartition("/")[2].startswith(".")


def archived(judgments: Judgments, name: str, format: str) -> tuple[str, bytes]:
    """(file name, content) of judgments in a format; a zip where the format takes several files.

    Raises:
        UsageError: as write_judgments does.
    """
    suffix = {"quepid": ".csv", "trec": ".qrels", "rre": ".json", "ranklib": ".txt", "beir": "", "srw": ".json"}
    with tempfile.TemporaryDirectory(prefix="hybrid-judgments-") as folder:
        written = write_judgments(judgments, Path(folder) / f"{name}{suffix.get(format, '')}", format)
        if len(written) == 1:
            return written[0].name, written[0].read_bytes()
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as out:
            for path in written:
                out.write(path, path.relative_to(folder))
    return f"{name}-{format}.zip", packed.getvalue()
