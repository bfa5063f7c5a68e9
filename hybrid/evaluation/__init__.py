"""How good answers are: judgments, measures, significance, and the evaluation of systems and their reports."""
