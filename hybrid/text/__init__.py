"""Text: its analysis into terms, completions, and figures written for people."""
