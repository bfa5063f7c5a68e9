"""Which process runs what: a file's tests of one version together, Elasticsearch 8 in one process, 9 in the other.

The two engines work at once, and whoever ends first takes what is left. `--dist loadgroup` of pytest-xdist would do the
first half, and pays no heed to groups under pytest 9.2.
"""

from __future__ import annotations

import re
from typing import Any

from xdist.scheduler import LoadScopeScheduling

_VERSION = re.compile(r"[\[-]es(\d+)[^\]]*\]")
#: Folders whose files take longest, which come first: nothing long is left for the end.
_LONG = ("tests/journeys/", "tests/learning/", "tests/docs/", "tests/web/")


def version_of(nodeid: str) -> str:
    """The version of the engine that a test runs on, such as "9"; "" for none."""
    match = _VERSION.search(nodeid.rpartition("::")[2])
    return match.group(1) if match else ""


class VersionScheduling(LoadScopeScheduling):
    """Work units are files; each process prefers those of the version that it has an engine of."""

    def _split_scope(self, nodeid: str) -> str:
        return f"{nodeid.partition('::')[0]}@{version_of(nodeid)}"

    def _assign_work_unit(self, node: Any) -> None:
        versions = sorted(set(map(version_of, self.collection or ())) - {""})
        own = versions[self.nodes.index(node) % len(versions)] if versions else ""
        self.workqueue.move_to_end(min(self.workqueue, key=lambda scope: _rank(scope, own)), last=False)
        super()._assign_work_unit(node)


def _rank(scope: str, own: str) -> tuple[int, bool]:
    """Lower comes first: the process's own version, then what needs no engine, then the other version."""
    path, _, version = scope.rpartition("@")
    return (0 if version == own else 1 if not version else 2, not path.startswith(_LONG))
