"""Letters made alike, so that a word is found however it is typed: œuf as oeuf, Łódź as Lodz, ＡＢＣ as abc."""

from __future__ import annotations

import unicodedata

#: Letters that Unicode does not take apart, as people write them on a keyboard that lacks them. The last is the Arabic
#: stretcher, which is no letter.
_LETTERS = {
    "æ": "ae", "œ": "oe", "ø": "o", "đ": "d", "ð": "d", "þ": "th", "ł": "l", "ı": "i", "ħ": "h", "ŧ": "t", "ŋ": "n",
    "ĸ": "k", "ƒ": "f", "ґ": "г", "ـ": "",
}  # fmt: skip
#: Letters of their own, which Unicode takes for a letter with an accent.
_WHOLE = frozenset("йїў")
_KANA = range(0x3040, 0x3100)  # ガ is no カ


class _Folded(dict[int, str]):
    """Code point of a small letter -> what it becomes; filled as letters are met."""

    def __missing__(self, code: int) -> str:
        char = chr(code)
        if char in _WHOLE or code in _KANA:
            folded = char
        elif unicodedata.category(char) == "Nd":
            folded = str(unicodedata.decimal(char))
        else:
            apart = unicodedata.normalize("NFKD", char)
            folded = "".join(_LETTERS.get(part, part) for part in apart if unicodedata.category(part) != "Mn")
        self[code] = unicodedata.normalize("NFC", folded)
        return self[code]


_FOLDED = _Folded()


def fold(text: str) -> str:
    """Lower case, compatibility forms and digits unified, accents removed. It may be longer than the text.

    >>> fold("Café ＡＢＣ Straße Łódź œuf")
    'cafe abc strasse lodz oeuf'
    """
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFKC", text).casefold().translate(_FOLDED)
