"""Measures this machine: speed, and what learned weights are worth, each against a baseline in the same run."""
