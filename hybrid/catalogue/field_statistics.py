"""What the sampled rows say of each field, and the names that fields go by. The ground `fields` guesses on."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property, lru_cache
from typing import Any

from hybrid.catalogue.field_names import NAMES, plain
from hybrid.catalogue.numbers import Evidence, evidence, number, standard
from hybrid.catalogue.values import flag, is_blank, split_list
from hybrid.contracts import Mark

_PREFIX = re.compile(r"^(?:_?source_|data_|fields_|item_|items_|goods_|products?_|prod_|variants?_|g_|商品_?|产品_?)")
_LANGUAGE = re.compile(
    r"_(?:zh|en|de|fr|es|it|pt|nl|pl|ru|ja|jp|ko|kr|ar|tr|sv|da|fi|cs|cn|tw|hk)"
    r"(?:_(?:cn|tw|hk|hans|hant|us|gb|uk|br))?$|^(?:中文|英文)(?=.)|_?(?:中文|英文)$"
)
# The last part of a nested name says little where it is one of these: seller.name, brand.id.
_VAGUE = {
    *("id", "name", "title", "url", "link", "type", "value", "description", "text", "label", "code", "key", "src"),
    *("date", "number", "content", "amount"),
}
_DATE = re.compile(r"\d{4}-\d\d(?:-\d\d(?:T\d\d(?::\d\d(?::\d\d(?:[.,]\d{1,9})?)?)?(?:Z|[+-]\d\d(?::?\d\d)?)?)?)?")
_IMAGE = re.compile(r"\S.*\.(?:jpe?g|png|gif|webp|avif|bmp|tiff?)(?:[?#]\S*)?", re.IGNORECASE)
_VIDEO = re.compile(r"\S.*\.(?:mp4|m4v|mov|webm|mkv|avi|mpe?g|ogv|3gp|flv)(?:[?#]\S*)?", re.IGNORECASE)
_AUDIO = re.compile(r"\S.*\.(?:mp3|wav|ogg|oga|opus|flac|m4a|aac|aiff?)(?:[?#]\S*)?", re.IGNORECASE)
_URL = re.compile(r"(?:https?:)?//\S+", re.IGNORECASE)
_SIZES = {
    **{"thumb": 3.0, "icon": 3.0, "swatch": 3.0, "tiny": 3.0, "mini": 3.0, "low": 2.0, "small": 2.0},
    **{"medium": 0.7, "large": 0.5, "big": 0.5, "high": 1.0, "full": 1.0, "original": 1.0, "zoom": 1.0},
}
#: Values that are looked at first: where half of them are no numbers, the others are not read as numbers.
_FEW = 20
_MARKUP = re.compile(r"</?[a-zA-Z][^<>]*>")
#: Letters of a value, on average, from which a text is no attribute but a description.
_LONG = 300
_LEVEL_MARKS = (">", "›", "»")
#: Letters of a word that may be one of several in a value, on average.
_WORD = 30
_PRODUCT_KINDS = {"simple", "variable", "variation", "grouped", "external", "configurable", "virtual", "bundle"}


@dataclass
class Profile:
    """One field over the sampled rows. first: its first value in each row, as text; "" where it has none.

    decimal: the decimal mark of its numbers, where somebody has said it.
    """

    path: str
    rows: int
    filled: int = 0
    listed: bool = False
    values: list[Any] = field(default_factory=list)
    first: list[str] = field(default_factory=list)
    decimal: Mark | None = None

    @cached_property
    def kind(self) -> str:
        """long, double, boolean, date, image, video, audio, url or text: what (nearly) all values are."""
        if all(isinstance(value, bool) for value in self.values):
            return "boolean"
        if self.number_share == 1:
            numbers = [self._number(value) for value in self.values]
            return "long" if all(isinstance(n, int) and abs(n) < 2**63 for n in numbers) else "double"
        for name, pattern in (("image", _IMAGE), ("video", _VIDEO), ("audio", _AUDIO)):
            if self._share(pattern) >= 0.6:
                return name
        if self._share(_URL) >= 0.8:
            return "url"
        if all(value in ("true", "false") for value in self.values):
            return "boolean"
        return "date" if self.date_share == 1 else "text"

    @cached_property
    def texts(self) -> list[str]:
        return [str(value) for value in self.values]

    @property
    def share(self) -> float:
        return self.filled / self.rows

    @property
    def quoted(self) -> bool:
        """Some values are strings, as all are in CSV."""
        return any(isinstance(value, str) for value in self.values)

    @cached_property
    def distinct(self) -> int:
        return len(set(self.texts))

    @property
    def unique(self) -> float:
        return self.distinct / len(self.values)

    @cached_property
    def mean_length(self) -> float:
        return sum(map(len, self.texts)) / len(self.texts)

    @cached_property
    def evidence(self) -> Evidence:
        """What its texts say of how they write numbers; nothing where the first ones write none."""
        texts = [value for value in self.values if isinstance(value, str)]
        return evidence(texts if 2 * evidence(texts[:_FEW]).numbers >= min(len(texts), _FEW) else ())

    @cached_property
    def mark(self) -> Mark | None:
        """The decimal mark of texts that are to be read as numbers; None where all numbers are as JSON writes them."""
        if not self.evidence.numbers:
            return None
        mark = self.decimal or self.evidence.mark
        as_they_are = self.evidence.standard == self.evidence.values and (mark == "." or not self.evidence.perhaps_dots)
        return None if as_they_are else mark

    def _number(self, value: Any) -> int | float | None:
        if isinstance(value, str) and self.mark is not None:
            return number(value, self.mark)
        return standard(value)

    @cached_property
    def number_share(self) -> float:
        return sum(self._number(value) is not None for value in self.values) / len(self.values)

    @cached_property
    def date_share(self) -> float:
        return sum(map(is_date, self.values)) / len(self.values)

    @cached_property
    def code_share(self) -> float:
        """Values that are one word with a digit in it: 006R90321."""
        return self._share(re.compile(r"\S*\d\S*"))

    @cached_property
    def digit_share(self) -> float:
        return self._share(re.compile(r".*\d.*", re.DOTALL))

    @cached_property
    def moving_share(self) -> float:
        """Values that name a video, or a picture that may be an animation."""
        return self._share(_VIDEO) + self._share(_IMAGE)

    @cached_property
    def markup_share(self) -> float:
        """Values with HTML in them."""
        return sum(bool(_MARKUP.search(text)) for text in self.texts) / len(self.texts)

    @cached_property
    def is_prose(self) -> bool:
        """Long texts of several words: what nobody mapped and yet describes the product."""
        several = sum(len(text.split()) > 3 for text in self.texts) / len(self.texts)
        return self.kind == "text" and several >= 0.5 and (self.mean_length > _LONG or self.markup_share > 0.1)

    @cached_property
    def flag_share(self) -> float:
        """Values that say yes or no."""
        return sum(flag(value) is not None for value in self.values) / len(self.values)

    @property
    def is_said(self) -> bool:
        """Some of its values are words that say yes or no, and hardly any other is not."""
        words = any(isinstance(value, str) and self._number(value) is None for value in self.values)
        return (words or {*self.texts} <= {"0", "1"}) and self.flag_share >= 0.9 and self.quoted

    @cached_property
    def words_between(self) -> str:
        """The mark between short words of one value, such as tags; "" where there is none."""
        for mark in ",;|":
            parts = [text.split(mark) for text in self.texts]
            several = sum(len(part) > 1 for part in parts) / len(parts)
            words = [word for part in parts for word in part]
            if several >= 0.1 and sum(map(len, words)) / len(words) <= _WORD:
                return mark
        return ""

    @cached_property
    def pictures_between(self) -> str:
        """The mark between several pictures in one value; "" where there is none."""
        for mark in ",;|":
            several = [parts for text in self.texts if len(parts := split_list(text, mark)) > 1]
            if several and all(_IMAGE.fullmatch(one) or _URL.fullmatch(one) for parts in several for one in parts):
                return mark
        return ""

    @cached_property
    def levels_between(self) -> str:
        """The mark between the levels of a path such as Home > Kitchen; "" where there is none, or values have all of
        them: ["Home", "Home > Kitchen"]."""
        for mark in _LEVEL_MARKS:
            above = [text.rpartition(mark)[0].strip() for text in self.texts if mark in text]
            if self.listed and above and set(above) <= set(self.texts):
                continue
            share = sum(mark in text.strip(f" {mark}") for text in self.texts) / len(self.texts)
            if share >= 0.05 and self.kind == "text" and not self.markup_share:
                return mark
        return ""

    @property
    def slashed(self) -> bool:
        return self._share(re.compile(r"/\S+")) >= 0.8

    @cached_property
    def is_identifier(self) -> bool:
        """One word, another in nearly every row: hashes, handles. Nothing to search or to count by."""
        return self.filled > 20 and self.unique > 0.9 and all(text.isascii() and " " not in text for text in self.texts)

    @property
    def is_product_kind(self) -> bool:
        """WooCommerce's "Type" and Magento's product_type: the way of selling, no category."""
        return {text.strip().lower() for text in self.texts} <= _PRODUCT_KINDS

    def _share(self, pattern: re.Pattern[str]) -> float:
        return sum(isinstance(v, str) and bool(pattern.fullmatch(v.strip())) for v in self.values) / len(self.values)


def profile_rows(rows: Sequence[Mapping[str, Any]], decimal: Mark | None = None) -> dict[str, Profile]:
    """Every field of these rows that has a value, by dotted path, in order of appearance. decimal: see Profile."""
    profiles: dict[str, Profile] = {}
    for position, row in enumerate(rows):
        for path, value, listed in _leaves(row, "", False):
            profile = profiles.get(path)
            if profile is None:
                profile = profiles[path] = Profile(path, len(rows), first=[""] * len(rows), decimal=decimal)
            if not profile.first[position]:
                profile.filled += 1
                profile.first[position] = str(value)
            profile.listed |= listed
            profile.values.append(value)
    return profiles


def _leaves(value: Any, path: str, listed: bool) -> Iterator[tuple[str, Any, bool]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(inner, f"{path}.{key}" if path else key, listed)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _leaves(inner, path, True)
    elif value is not None and not is_blank(value):
        yield path, value, listed


@lru_cache(maxsize=8192)
def base_name(path: str) -> str:
    """The name without its language: name_zh and nameZh are `name`."""
    return _LANGUAGE.sub("", plain(path)) or plain(path)


@lru_cache(maxsize=65536)
def rank(path: str, role: str) -> float | None:
    """How well a field's name fits a role, 0 being best; None: not at all."""
    names = NAMES.get(role, ())
    base = base_name(path)
    # What a variant has says less of the product than what the product has itself.
    nested = 40.0 if path.startswith(("variants.", "variant.")) else 0.0
    forms = [(base, nested), (_PREFIX.sub("", base), 0.5 + nested)]
    last = base_name(path.rpartition(".")[2])
    if "." in path and last not in _VAGUE:
        forms.append((last, 20.0))
    # The plain name goes before its translations.
    foreign = 0.0 if base == plain(path) else 0.1
    return min((names.index(form) + more + foreign for form, more in forms if form in names), default=None)


def image_rank(profile: Profile) -> tuple[float, float] | None:
    """How well a field fits as the product's picture: by name, then by size, about 600 pixels being best."""
    named = rank(profile.path, "image")
    if profile.kind not in ("image", "url") and (
        named is None or profile.kind != "text" or not profile.texts[0].strip() or " " in profile.texts[0]
    ):
        return None
    if named is None and profile.kind != "image":
        return None
    name = plain(profile.path)
    if pixels := re.search(r"(\d{2,4})(?:x\d{2,4})?$", name):
        size = abs(math.log2(int(pixels[1]) / 600)) if int(pixels[1]) else 3.0
    else:
        size = next((worth for word, worth in _SIZES.items() if word in name), 0.6)
    return (100.0 if named is None else named, size)


def media_rank(profile: Profile, role: str) -> float | None:
    """How well a field fits as the product's video or sound: it names such files; an animation will do as a video."""
    named = rank(profile.path, role)
    if profile.kind == role:
        return 100.0 if named is None else named
    return named if role == "video" and profile.moving_share >= 0.6 else None


def is_date(value: Any) -> bool:
    """What Elasticsearch's strict_date_optional_time reads, from the month on."""
    if not isinstance(value, str) or not _DATE.fullmatch(value):
        return False
    try:
        datetime.strptime(value[:10], "%Y-%m-%d" if len(value) > 7 else "%Y-%m")
    except ValueError:
        return False
    return True
