"""The words of the admin page, in each language."""
