"""What goes to the cluster and comes from it, counted: what a busy machine does not change, where time would."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest


@dataclass
class Wire:
    """Requests of a client as "METHOD /path", each try for itself, and the bytes that came back."""

    requests: list[str] = field(default_factory=list)
    bytes: int = 0

    def forget(self) -> None:
        self.requests.clear()
        self.bytes = 0


def watched_wire(client: Any, monkeypatch: pytest.MonkeyPatch) -> Wire:
    """Count from now on what an Elasticsearch client and its copies with other options ask."""
    wire = Wire()

    def watch(node: Any) -> None:
        perform = node.perform_request

        def counted(method: str, target: str, *arguments: Any, **options: Any) -> Any:
            wire.requests.append(f"{method} {target.partition('?')[0]}")
            answer = perform(method, target, *arguments, **options)
            wire.bytes += len(answer[1])
            return answer

        monkeypatch.setattr(node, "perform_request", counted)

    for node in client.transport.node_pool.all():
        watch(node)
    return wire
