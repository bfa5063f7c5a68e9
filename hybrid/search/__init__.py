"""One search: from a request to weights, candidates, fused scores and a page. It knows no Elasticsearch client."""
