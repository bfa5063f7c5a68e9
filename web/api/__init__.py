"""The JSON API: search, suggestions, documents, and its description."""
