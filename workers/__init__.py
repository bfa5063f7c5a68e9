"""Celery workers: thin tasks that parse, call one function of `hybrid`, and report."""
