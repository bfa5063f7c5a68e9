"""Encoders and taggers that a shop has trained: they run what `hybrid.learning` made."""
