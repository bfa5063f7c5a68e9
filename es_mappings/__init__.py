"""JSON templates of everything that Hybrid keeps in Elasticsearch."""
