"""Weights: learned from judgments and from queries made up, and their versions."""
