"""Reindex without downtime: a new generation of an index beside the old, enriched, in step, verified, and swapped in.

planning: what the new index is like. running: builds it, phase by phase. transfer: copies, catches up and swaps.
copying: what moves along. verification: whether it is fit. control: pause, cancel, roll back. guardian: ends a swap
whose process died. mending: late writes that a client took away again.
"""
