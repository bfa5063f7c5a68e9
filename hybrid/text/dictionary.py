"""Which words exist, whether a catalogue has them or not."""

from __future__ import annotations


def is_word(word: str) -> bool:
    """Whether English has the word, in small letters.

    Only English is looked at, in every catalogue: its dictionary takes 20 MB and is read at the first word, those of
    other languages take five times as much.
    """
    import simplemma

    return bool(simplemma.is_known(word, lang="en"))
