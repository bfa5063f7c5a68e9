"""Alignments: two encoders in one space, by maps or by towers."""
