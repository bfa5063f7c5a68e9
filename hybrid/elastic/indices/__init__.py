"""Product indices: their mappings, life, aliases, changes and documents."""
