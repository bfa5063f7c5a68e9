"""What each kind of order does. Each goes on where it was when it is begun again, for its process may have died."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hybrid import failures
from hybrid.orders import Perform, Work
from hybrid.sync import run_sync


def sync(work: Work) -> Mapping[str, Any]:
    """Options: none."""
    return run_sync(work.services, work.index, report=work.show).to_json()


KINDS: dict[str, Perform] = {"sync": sync, failures.KIND: failures.retry_all}
