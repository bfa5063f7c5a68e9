"""Learning from judgments and from the catalogue itself. torch is loaded here, lazily, and nowhere near a search."""
