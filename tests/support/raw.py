"""What a test does to the cluster behind the product's back."""

from __future__ import annotations

from elasticsearch import Elasticsearch

from hybrid.services import Services


def client_of(services: Services) -> Elasticsearch:
    """The client that the product keeps to itself."""
    return services.cluster._client
