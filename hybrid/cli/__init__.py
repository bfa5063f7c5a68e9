"""The `hybrid` command, one group of verbs a file; `main` registers them."""
