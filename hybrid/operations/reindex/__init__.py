"""Reindex without downtime: a new generation of an index is built beside the old one, verified, and swapped in.

planning: decides what the new index is like. running: builds it, phase by phase. transfer: copies, catches up and
swaps. copying: decides which words and vectors a copy keeps. verification: compares the new index with the old one.
control: pause, cancel, roll back. guardian: ends a swap whose process died. late_writes: restores late writes that a
client overwrote.
"""
