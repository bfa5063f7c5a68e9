"""Multimodal search for the Elasticsearch that a shop already runs."""

__version__ = "0.1.0"
