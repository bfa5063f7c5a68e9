"""Queries generated from the catalogue itself: training for weights before, and beside, a shop's few judged queries.

Each query is of a kind that shoppers type (words of a title, a part number, a colour and a category, a slip of the
finger, another language, a sentence of the description, the same in words that no product has, a photo with a word).
The products' own fields say which products it should find.
"""

from __future__ import annotations

import io
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hybrid.catalogue.documents import media_values, role_values
from hybrid.contracts import IndexProfile
from hybrid.errors import MediaError
from hybrid.text import analysis

#: The kind of query that names a product in words that the product does not have.
SPOKEN = "spoken"

_SIMILAR = 0.45  # cosine from which one word may stand for another
_MAX_SAME = 60  # products with the same values; a broader query says nothing about order


@dataclass(frozen=True)
class SyntheticQuery:
    """A query of a kind, as text and perhaps a photo. ratings: product id -> 0 to 3."""

    kind: str
    text: str
    ratings: Mapping[str, float]
    image: bytes | None = None


def synthetic_queries(
    sampled: Sequence[tuple[str, dict[str, Any]]],
    profile: IndexProfile,
    count: int,
    seed: int = 0,
    encode: Callable[[Sequence[str]], np.ndarray] | None = None,
) -> list[SyntheticQuery]:
    """About `count` queries from these products, every kind that the catalogue allows in equal parts.

    encode: the text encoder, n words -> (n, dims) unit vectors; without it there are no spoken queries.
    """
    rng = random.Random(seed)
    groups = _groups(sampled, profile)
    kinds = [_title, _title_typo, _code, _attributes, _other_language, _sentence]
    if "image" in profile.signals:
        kinds.append(_photo_and_word)
    wording = _Wording.of(sampled, profile, encode) if encode is not None else None
    if wording is not None:
        kinds.append(wording.spoken)
    queries: dict[tuple[str, str], SyntheticQuery] = {}
    pools = {maker: rng.sample(list(sampled), len(sampled)) for maker in kinds}
    # The kinds take turns, until there are enough queries or each kind has used its products up.
    for turn in range(max(map(len, pools.values()), default=0)):
        for maker, pool in pools.items():
            if len(queries) >= count:
                return list(queries.values())
            id, source = pool[turn]
            query = maker(id, source, profile, groups, rng)
            if query is not None:
                queries.setdefault((query.kind, query.text), query)
    return list(queries.values())


def _groups(sampled: Sequence[tuple[str, dict[str, Any]]], profile: IndexProfile) -> dict[tuple[str, str], set[str]]:
    groups: dict[tuple[str, str], set[str]] = defaultdict(set)
    for id, source in sampled:
        for role in ("category", "brand", "color"):
            for value in role_values(source, profile.fields, role):
                groups[role, str(value)].add(id)
    return groups


def _texts(source: Mapping[str, Any], profile: IndexProfile, role: str, chinese: bool = False) -> list[str]:
    values = [analysis.plain_text(str(value)).strip() for value in role_values(source, profile.fields, role)]
    return [value for value in values if value and analysis.is_chinese(value) == chinese]


def _title(id: str, source: Any, profile: IndexProfile, groups: Any, rng: random.Random) -> SyntheticQuery | None:
    words = next((text.split() for text in _texts(source, profile, "title")), [])
    words = [word for word in words if len(word) > 1]
    if len(words) < 3:
        return None
    length = rng.randint(2, min(4, len(words)))
    start = rng.randint(0, len(words) - length)
    return SyntheticQuery("title", " ".join(words[start : start + length]), {id: 3.0})


def _title_typo(id: str, source: Any, profile: IndexProfile, groups: Any, rng: random.Random) -> SyntheticQuery | None:
    whole = _title(id, source, profile, groups, rng)
    words = whole.text.split() if whole else []
    long = [position for position, word in enumerate(words) if len(word) > 4 and word.isalpha()]
    if not long:
        return None
    position = rng.choice(long)
    word, at = words[position], rng.randint(1, len(words[position]) - 2)
    slips = [
        word[:at] + word[at + 1] + word[at] + word[at + 2 :],
        word[:at] + word[at + 1 :],
        word[:at] + word[at : at + 1] + word[at:],
    ]
    words[position] = rng.choice(slips)
    return SyntheticQuery("typo", " ".join(words), {id: 3.0})


def _code(id: str, source: Any, profile: IndexProfile, groups: Any, rng: random.Random) -> SyntheticQuery | None:
    codes = [str(value) for value in role_values(source, profile.fields, "code")]
    codes = [code for code in codes if 4 <= len(code) <= 24 and any(char.isdigit() for char in code)]
    return SyntheticQuery("part number", rng.choice(codes), {id: 3.0}) if codes else None


def _attributes(id: str, source: Any, profile: IndexProfile, groups: Any, rng: random.Random) -> SyntheticQuery | None:
    chosen = []
    for role in ("color", "brand", "category"):
        values = [text for text in _texts(source, profile, role) if len(text) <= 40]
        if values and (role == "category" or rng.random() < 0.6):
            chosen.append((role, rng.choice(values)))
    if len(chosen) < 2:
        return None
    same = set.intersection(*(groups[pair] for pair in chosen))
    if len(same) > _MAX_SAME:
        return None
    near = set.union(*(groups[pair] for pair in chosen if pair[0] == "category"), set()) - same
    ratings = {**({other: 1.0 for other in near} if len(near) <= _MAX_SAME else {}), **dict.fromkeys(same, 3.0)}
    return SyntheticQuery("attributes", " ".join(value for _, value in chosen), ratings)


def _other_language(
    id: str, source: Any, profile: IndexProfile, groups: Any, rng: random.Random
) -> SyntheticQuery | None:
    names = _texts(source, profile, "title", chinese=True)
    if not names:
        return None
    name = "".join(char for char in names[0] if not char.isascii())
    length = min(len(name), rng.randint(3, 6))
    return SyntheticQuery("Chinese", name[-length:], {id: 3.0}) if length >= 2 else None


def _sentence(id: str, source: Any, profile: IndexProfile, groups: Any, rng: random.Random) -> SyntheticQuery | None:
    words = next((text.split() for text in _texts(source, profile, "description")), [])
    if len(words) < 8:
        return None
    length = rng.randint(5, 8)
    start = rng.randint(0, len(words) - length)
    phrase = words[start : start + length]
    # A shopper remembers some of the words.
    dropped = set(rng.sample(range(length), length // 3))
    return SyntheticQuery("sentence", " ".join(word for at, word in enumerate(phrase) if at not in dropped), {id: 3.0})


_OPENINGS = (
    "something to {0} {1}", "I need {0} for my {1}", "gift for someone who likes {0} {1}", "what is good for {0} {1}",
    "what can I use with {0} and {1}", "looking for {0} that is {1}", "how do I get {0} {1}", "I want {0} {1}",
)  # fmt: skip
_MOST_WORDS = 4_000


@dataclass(frozen=True)
class _Wording:
    """The words of a catalogue. products: product -> its words; similar: word -> words that mean about the same."""

    products: Mapping[str, frozenset[str]]
    similar: Mapping[str, tuple[str, ...]]

    @classmethod
    def of(
        cls, sampled: Sequence[tuple[str, dict[str, Any]]], profile: IndexProfile, encode: Callable[..., np.ndarray]
    ) -> _Wording | None:
        products = {}
        for id, source in sampled:
            texts = [
                text for role in ("title", "category", "tags", "description") for text in _texts(source, profile, role)
            ]
            products[id] = frozenset(
                word for text in texts for word in text.lower().split() if word.isascii() and word.isalpha()
            )
        counts = Counter(word for words in products.values() for word in words if len(word) > 3)
        # A word that more than half of the products have does not point to any of them.
        words = [word for word, count in counts.most_common() if 2 <= count <= len(products) / 2][:_MOST_WORDS]
        if len(words) < 20:
            return None
        vectors = encode(words)
        similar = {}
        for start in range(0, len(words), 500):
            for row, near in enumerate(vectors[start : start + 500] @ vectors.T, start):
                near[row] = -1.0
                stem = words[row][:4]
                similar[words[row]] = tuple(
                    words[at] for at in np.argsort(-near)[:5] if near[at] >= _SIMILAR and not words[at].startswith(stem)
                )
        return cls(products, similar)

    def spoken(
        self, id: str, source: Any, profile: IndexProfile, groups: Any, rng: random.Random
    ) -> SyntheticQuery | None:
        """A spoken sentence that replaces two words of the product by similar ones: BM25 alone cannot find it."""
        mine = self.products[id]
        pairs = [(word, other) for word in sorted(mine) for other in self.similar.get(word, ()) if other not in mine]
        if len(pairs) < 2:
            return None
        (first, one), (second, other) = rng.sample(pairs, 2)
        if first == second:
            return None
        same = [product for product, words in self.products.items() if first in words and second in words]
        if len(same) > _MAX_SAME:
            return None
        return SyntheticQuery(SPOKEN, rng.choice(_OPENINGS).format(one, other), dict.fromkeys(same, 3.0))


def _photo_and_word(
    id: str, source: Any, profile: IndexProfile, groups: Any, rng: random.Random
) -> SyntheticQuery | None:
    value = next(iter(media_values(source, profile.fields, "image")), None)
    pairs = [(role, text) for role in ("color", "brand", "category") for text in _texts(source, profile, role)]
    if value is None or not pairs:
        return None
    photo = _photo(value, profile, rng)
    if photo is None:
        return None
    role, word = rng.choice(pairs)
    category = [groups["category", text] for text in _texts(source, profile, "category")]
    same = groups[role, word] & set.union(*category) if category else groups[role, word]
    ratings = {**({other: 1.0 for other in same} if len(same) <= _MAX_SAME else {}), id: 3.0}
    return SyntheticQuery("photo and word", word, ratings, photo)


def _photo(value: str, profile: IndexProfile, rng: random.Random) -> bytes | None:
    """The product's picture as a shopper's photo of it: off centre, turned a little, in other light."""
    from PIL import ImageEnhance

    from hybrid.media import open_image, resolve_media

    try:
        path = resolve_media(value, Path(profile.media_root) if profile.media_root else None)
        picture = open_image(path.read_bytes())
    except (MediaError, OSError):  # indexing recorded the failure; another product gives the query
        return None
    picture.thumbnail((400, 400))
    wide, high = picture.size
    left, top = int(wide * rng.uniform(0, 0.15)), int(high * rng.uniform(0, 0.15))
    picture = picture.rotate(rng.uniform(-8, 8), fillcolor=(230, 230, 230))
    picture = picture.crop(
        (left, top, wide - int(wide * rng.uniform(0, 0.15)), high - int(high * rng.uniform(0, 0.15)))
    )
    picture = ImageEnhance.Brightness(picture).enhance(rng.uniform(0.7, 1.25))
    data = io.BytesIO()
    picture.convert("RGB").save(data, "JPEG", quality=80)
    return data.getvalue()
