"""In which language texts are written, of those that are analysed here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from hybrid.text.analysis import KANA_SHARE, plain_text, script_of
from hybrid.text.stems import languages, script

#: Latin letters that a guess needs: brands and sizes are of no language.
_MIN_LETTERS = 60
_SURE = 0.9  # probability
_MAX_CHARS = 20_000
_OF_SCRIPT = {"Hangul": "ko", "Greek": "el", "Arabic": "ar"}
_UKRAINIAN, _RUSSIAN = frozenset("іїєґ"), frozenset("ыэъё")


def language_of(texts: Iterable[str]) -> str | None:
    """The language of most letters of these texts; None where they do not tell."""
    text = "\n".join(plain_text(one) for one in dict.fromkeys(texts))[:_MAX_CHARS].lower()
    counts = Counter(filter(None, map(script_of, filter(str.isalpha, text))))
    if not counts:
        return None
    east = counts["Han"] + counts["Hiragana"] + counts["Katakana"]
    most, count = counts.most_common(1)[0]
    if east >= count:
        return "ja" if counts["Han"] < (1 - KANA_SHARE) * east else "zh"
    if most == "Cyrillic":
        return "uk" if sum(char in _UKRAINIAN for char in text) > sum(char in _RUSSIAN for char in text) else "ru"
    if most != "Latin":
        return _OF_SCRIPT.get(most)
    if count < _MIN_LETTERS:
        return None
    language, sure = _identifier().classify(text)
    return str(language) if sure >= _SURE else None


@lru_cache(maxsize=1)
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier  # two seconds, when somebody asks

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    identifier.set_languages([language for language in languages() if script(language) == "Latin"])
    return identifier
