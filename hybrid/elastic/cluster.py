"""A shop's Elasticsearch cluster, and all that the product asks of it. The client stays in here."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TypeVar

from elasticsearch import Elasticsearch

from hybrid.elastic.client import Capabilities, connect, probe
from hybrid.elastic.indices.changes import Changes
from hybrid.elastic.indices.copies import Copies
from hybrid.elastic.indices.generations import Generations
from hybrid.elastic.indices.health import Health
from hybrid.elastic.indices.lifecycle import Indices
from hybrid.elastic.indices.products import Products
from hybrid.elastic.indices.shop import ShopIndices
from hybrid.elastic.stores.leases import Lease
from hybrid.settings import Settings

Store = TypeVar("Store")


class Cluster:
    """The parts that talk to a cluster, over one client."""

    def __init__(self, client: Elasticsearch, patience_s: float) -> None:
        """patience_s: see hybrid.elastic.indices.products.Products."""
        self._client = client
        self.indices = Indices(client)
        self.products = Products(client, patience_s)
        self.shops = ShopIndices(client)
        self.generations = Generations(client)
        self.copies = Copies(client, self.products)
        self.changes = Changes(client)
        self.health = Health(client)

    @classmethod
    def connect(cls, settings: Settings, url: str, hasty: bool = False) -> Cluster:
        """The cluster at an address. No request is sent yet. hasty: see hybrid.elastic.client.HastyTransport.

        Raises:
            UsageError: the address or the credentials cannot be used.
        """
        return cls(connect(settings, url, hasty=hasty), settings.es_patience_s)

    @cached_property
    def capabilities(self) -> Capabilities:
        """What this cluster can do. Probed at the first use, then cached."""
        return self.probe()

    def probe(self) -> Capabilities:
        """What this cluster can do at this moment.

        Raises:
            ClusterUnreachableError: nobody answers.
            ClusterError: it answers with an error.
        """
        return probe(self._client)

    def store(self, kind: Callable[[Elasticsearch], Store]) -> Store:
        """A store of the layer in this cluster, such as hybrid.elastic.stores.jobs.Jobs."""
        return kind(self._client)

    def lease(self, index: str) -> Lease:
        """The right to change an index alone; it is not taken yet."""
        return Lease(self._client, index)
