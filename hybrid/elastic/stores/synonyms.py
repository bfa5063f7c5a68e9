"""The synonyms of each index: one document an index, with the whole file that a merchandiser gave."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from elasticsearch import Elasticsearch

from hybrid.elastic.stores.base import ensure_store, now, store_unchanged, stored
from hybrid.errors import SynonymsConflictError
from hybrid.text.synonyms import parse

SYNONYMS = "hybrid-synonyms"


@dataclass(frozen=True, slots=True)
class SynonymFile:
    """The file of an index. version: counts from 1 with each change; 0: none was ever set. rules: how many it has."""

    text: str = ""
    version: int = 0
    rules: int = 0
    by: str | None = None
    at: str | None = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


class SynonymFiles:
    """Reads and replaces the files."""

    def __init__(self, client: Elasticsearch) -> None:
        self._client = client

    def current(self, index: str) -> tuple[int, str]:
        """(version, text) of the file that is in force."""
        file = self.get(index)
        return file.version, file.text

    def get(self, index: str) -> SynonymFile:
        """The file of an index; an empty one where there is none."""
        return _file(stored(self._client, SYNONYMS, index))

    def put(self, index: str, text: str, by: str, instead_of: int | None = None) -> SynonymFile:
        """Replace the file of an index; "" removes its synonyms. instead_of: the version that it must replace.

        Raises:
            SynonymsError: a line cannot be read. What was in force stays.
            SynonymsConflictError: another version is in force by now.
        """
        rules = parse(text)
        ensure_store(self._client, SYNONYMS, "synonyms")
        document = stored(self._client, SYNONYMS, index)
        before = _file(document)
        if instead_of is not None and before.version != instead_of:
            raise SynonymsConflictError(
                f"the synonyms of {index!r} are version {before.version} by now, not {instead_of}; look at them first"
            )
        file = SynonymFile(text, before.version + 1, len(rules), by, now())
        if store_unchanged(self._client, SYNONYMS, index, {**file.to_json(), "index": index}, document) is None:
            raise SynonymsConflictError(
                f"somebody else changes the synonyms of {index!r} right now; look at them first"
            )
        return file


def _file(document: dict[str, Any] | None) -> SynonymFile:
    if document is None:
        return SynonymFile()
    return SynonymFile(**{key: value for key, value in document["_source"].items() if key != "index"})
