"""From a catalogue row to an index document: terms, completions, and what each signal is made of. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import orjson

from hybrid.catalogue.field_statistics import rank
from hybrid.catalogue.fields import expand
from hybrid.catalogue.values import deepest
from hybrid.contracts import Encoder, FieldMap, IndexProfile, values_at
from hybrid.errors import MediaError
from hybrid.media import is_data_url, is_url, resolve_media
from hybrid.signals import SIGNALS, of_files
from hybrid.text import analysis, codes, completions

#: `hybrid.terms` field -> the roles whose text it holds.
TERM_FIELDS: dict[str, tuple[str, ...]] = {
    "title": ("title",),
    "code": ("code",),
    "brand": ("brand",),
    "category": ("category", "tags"),
    "description": ("description",),
    "attributes": ("color", "attributes"),
    codes.KEYS: ("id", "code"),
}
#: What words of an earlier version left in the layer's field: completions, dear to build.
OUTDATED = "suggest"
#: The layer's own field in a shop's document.
RESERVED = "hybrid"
_TEXT_SIGNAL_ROLES = ("title", "description")
#: How many times as long as its title a text must be, so that the title has a vector of its own.
_MORE = 1.25
#: Of `hybrid.typed`.
_TYPED_VERSION = 2


def words_version(languages: Collection[str]) -> str:
    """Of the words of products in these languages, as this process makes them.

    Stored in `hybrid.meta`: products whose words were made by another version get them anew.
    """
    return f"{analysis.version(languages)}.{_TYPED_VERSION}"


def is_reserved(name: str) -> bool:
    """Whether a field name is the layer's. Elasticsearch reads {"hybrid.text": x} as {"hybrid": {"text": x}}."""
    return name == RESERVED or name.startswith(f"{RESERVED}.")


def role_values(source: Mapping[str, Any], fields: FieldMap, role: str) -> list[Any]:
    """Every value that plays a role, in the order of its fields."""
    return [value for path in expand(fields.roles.get(role, ()), source) for value in values_at(source, path)]


def terms_of(source: Mapping[str, Any], profile: IndexProfile) -> dict[str, str]:
    """`hybrid.terms` of a product."""
    terms = {}
    for name, roles in TERM_FIELDS.items():
        paths = [path for role in roles for path in expand(profile.fields.roles.get(role, ()), source)]
        if name == codes.KEYS:
            paths += _bar_codes(source, paths)
            if keys := codes.stored(value for path in paths for value in values_at(source, path)):
                terms[name] = keys
            continue
        texts = (analysis.terms(_values(source, path, name), profile.language_of(path)) for path in paths)
        if text := " ".join(filter(None, texts)):
            terms[name] = text
    return terms


def _bar_codes(source: Mapping[str, Any], paths: Collection[str]) -> list[str]:
    """Fields that are named as codes are, and have no such role: bar codes are numbers in some exports."""
    return [path for path, value in source.items() if value and _names_code(path) and path not in paths]


@lru_cache(maxsize=10_000)
def _names_code(path: str) -> bool:
    return rank(path, "code") is not None


def _values(source: Mapping[str, Any], path: str, name: str) -> Iterable[Any]:
    """The values of a field whose words go into a term field. A category's path holds the words of all above it."""
    values = values_at(source, path)
    return deepest(map(str, values)) if name == "category" else values


def typed_of(source: Mapping[str, Any], profile: IndexProfile) -> str | None:
    """`hybrid.typed` of a product: the words of its titles as they are typed, for completions."""
    return completions.words(str(value) for value in role_values(source, profile.fields, "title")) or None


def reads(name: str, encoder: Encoder, text: str) -> bool:
    """Whether a signal of texts is made of this one, and asked by it: whether it is in a script of the signal's, or
    else of its encoder's. A text without a letter is in none of a signal's, and in all of an encoder's."""
    script = analysis.script_of(text)
    own = SIGNALS[name].scripts
    if own is not None:
        return script in own
    return encoder.scripts is None or not script or script in encoder.scripts


def text_input(source: Mapping[str, Any], fields: FieldMap, encoder: Encoder, name: str = "text") -> str:
    """The text that a signal of texts encodes: titles, then descriptions, in the scripts that it reads."""
    return _text_of(_TEXT_SIGNAL_ROLES, source, fields, encoder, name)


def title_input(source: Mapping[str, Any], fields: FieldMap, encoder: Encoder, name: str, text: str) -> str:
    """The part of `text`, a `text_input`, that is the title; "" where the rest is too little to say something else."""
    title = _text_of(("title",), source, fields, encoder, name)
    return title if len(text) >= _MORE * len(title) else ""


def _text_of(roles: Iterable[str], source: Mapping[str, Any], fields: FieldMap, encoder: Encoder, name: str) -> str:
    parts = []
    for role in roles:
        for value in role_values(source, fields, role):
            text = analysis.plain_text(str(value)).strip()
            if text and reads(name, encoder, text):
                parts.append(text)
    return ". ".join(parts)


def files_of(source: Mapping[str, Any], profile: IndexProfile, name: str) -> list[str]:
    """The files of a product that a signal is made of, of all that its fields name."""
    return media_values(source, profile.fields, str(SIGNALS[name].role), files_looked_at(profile, name))


def media_values(source: Mapping[str, Any], fields: FieldMap, role: str, most: int = 1) -> list[str]:
    """The product's pictures, videos or sounds: files and data URLs, else those behind addresses."""
    values = list(dict.fromkeys(str(value) for value in role_values(source, fields, role)))
    return ([value for value in values if not is_url(value)] or values)[:most]


def files_looked_at(profile: IndexProfile, name: str) -> int:
    """How many files of a product a signal is made of at most: several pictures, but one video or sound."""
    return min(profile.signals[name].views, SIGNALS[name].files_each)


def content_hash(version: str, content: bytes) -> str:
    """Identifies an encoder's input: the same hash gives the same vector."""
    return hashlib.blake2b(version.encode() + b"\0" + content, digest_size=12).hexdigest()


def fingerprint(source: Mapping[str, Any], profile: IndexProfile) -> str:
    """`hybrid.meta.source`: changes when the layer has something to do for this product.

    On an index that the layer made that is any change, for it writes whole rows; on one that it is attached to,
    a change of what it reads, so that a shop that counts its stock all day causes no write of ours.
    """
    return inputs_hash(source, profile) if profile.attached else source_hash(source, profile)


def inputs_hash(source: Mapping[str, Any], profile: IndexProfile) -> str:
    """Changes with the values of the roles that words and vectors are made of. Asks no disk: machines that share
    an index need not agree on the times of their picture files."""
    roles = {*(role for roles in TERM_FIELDS.values() for role in roles), *_TEXT_SIGNAL_ROLES, "image"}
    # Where the index has such fields: an index of before a role was known is what it was.
    roles |= {signal.role for _, signal in of_files() if signal.role and profile.fields.roles.get(signal.role)}
    return _hash({role: role_values(source, profile.fields, role) for role in sorted(roles)}, profile).hexdigest()


def source_hash(source: Mapping[str, Any], profile: IndexProfile) -> str:
    """Changes with the row, with how it is read and analysed, and with its media files on disk."""
    digest = _hash(source, profile)
    for name, _ in of_files():
        if name in profile.signals:
            for value in files_of(source, profile, name):
                digest.update(_file_stamp(value, profile.media_root).encode())
    return digest.hexdigest()


def _hash(content: Mapping[str, Any], profile: IndexProfile) -> hashlib.blake2b:
    digest = hashlib.blake2b(digest_size=12)
    digest.update(orjson.dumps(content, option=orjson.OPT_SORT_KEYS))
    digest.update(profile.fields.canonical)
    digest.update(f"{profile.language} {profile.analysis}".encode())
    return digest


def _file_stamp(value: str, root: str | None) -> str:
    if is_url(value) or is_data_url(value):
        return ""  # all that is known of it here is in the row
    try:
        stat = resolve_media(value, Path(root) if root else None).stat()
    except (MediaError, OSError):
        return "missing"
    return f"{stat.st_size} {stat.st_mtime_ns}"
