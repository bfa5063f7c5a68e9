"""Candidates and their true scores: the bodies of searches, and how their answers are read."""
