"""Catalogues: files and their formats, the roles of fields, products as documents."""
