"""A batch of products during enrichment: the update of each product, and the failures."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hybrid import vectors as coding
from hybrid.catalogue.layer import SignalState
from hybrid.contracts import TAGS
from hybrid.elastic.indices.products import StoredProduct
from hybrid.elastic.stores.dead_letters import DeadLetter
from hybrid.errors import MediaError
from hybrid.ingest.inputs import Encoded


@dataclass
class _Update:
    """The new vectors, codes, states and tags of one product."""

    vectors: dict[str, str | list[float]] = field(default_factory=dict)
    codes: dict[str, coding.Code] = field(default_factory=dict)
    states: dict[str, SignalState] = field(default_factory=dict)
    tags: Sequence[Mapping[str, Any]] | None = None


class Batch:
    """Collects the results of enriching some products, for one write to each product.

    dead_letters: the signals that could not be made. encoded: signal -> products whose input was encoded, not only
    checked. picture_tags: product -> the tags predicted from its pictures while these were in memory.
    """

    def __init__(self, products: Sequence[StoredProduct], base64: bool) -> None:
        self.products = {product.id: product for product in products}
        self.dead_letters: list[DeadLetter] = []
        self.encoded: dict[str, set[str]] = {}
        self.picture_tags: dict[str, list[dict[str, Any]]] = {}
        self._base64 = base64
        self._updates = {id: _Update() for id in self.products}

    def waiting(self, name: str, parts: Sequence[str] = ()) -> list[StoredProduct]:
        """The products that wait for a signal, and those of which one of these parts is new."""
        fresh = set().union(*(self.encoded.get(part, ()) for part in parts))
        return [one for id, one in self.products.items() if id in fresh or name in one.layer.pending]

    def put(self, id: str, name: str, encoded: Encoded, state: SignalState) -> None:
        """Add a new vector."""
        update = self._updates[id]
        update.vectors[name] = coding.encode_vector(encoded.vector, self._base64)
        update.codes[name] = coding.encode_code(encoded.vector, encoded.views, encoded.title)
        update.states[name] = state

    def put_tags(self, id: str, tags: Sequence[Mapping[str, Any]], state: SignalState) -> None:
        """Add new tags."""
        self._updates[id].tags = tags
        self._updates[id].states[TAGS] = state

    def note(self, id: str, name: str, state: SignalState) -> None:
        """Change the state of a signal whose vector stays."""
        self._updates[id].states[name] = state

    def fail(self, id: str, name: str, problem: MediaError | tuple[str, str]) -> None:
        """Add a dead letter: a signal of a product cannot be made. problem: an error, or (typed reason, message)."""
        reason, message = (problem.reason, str(problem)) if isinstance(problem, MediaError) else problem
        self.dead_letters.append(DeadLetter(id, name, reason, message))

    def states(self, id: str) -> dict[str, SignalState]:
        """The states of a product's signals once this batch is written."""
        return {**self.products[id].layer.states, **self._updates[id].states}

    def codes(self, id: str, before: Mapping[str, coding.Code]) -> dict[str, coding.Code]:
        """The codes of a product once this batch is written. before: the codes that it has now."""
        return {**before, **self._updates[id].codes}

    def updates(self, at: str) -> list[tuple[StoredProduct, dict[str, Any]]]:
        """(product, partial update of its field `hybrid`), after which the product waits for nothing. at: the time."""
        failed: dict[str, list[str]] = defaultdict(list)
        for dead_letter in self.dead_letters:
            failed[dead_letter.product].append(dead_letter.signal)
        updates = []
        for id, product in self.products.items():
            update = self._updates[id]
            states = {name: state.change(product.layer.state(name)) for name, state in update.states.items()}
            layer: dict[str, Any] = {
                **update.vectors,
                "codes": update.codes,
                "meta": {"pending": [], "failed": failed[id], "at": at, **states},
            }
            if update.tags is not None:
                layer[TAGS] = list(update.tags)
            updates.append((product, layer))
        return updates
