"""Shared by the plans of an index, an attach and a reindex: checks options, chooses signals."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hybrid.catalogue import documents
from hybrid.catalogue.documents import media_values
from hybrid.catalogue.fields import guess_fields
from hybrid.catalogue.index_template import parse_lexical, served_by
from hybrid.catalogue.languages import AUTO, described, guess_languages
from hybrid.contracts import (
    FieldMap,
    IndexProfile,
    VectorSignal,
)
from hybrid.elastic.indices.shop import ShopIndex
from hybrid.encoders.trained.alignment import PREFIX
from hybrid.errors import EncoderError, IndexConflictError, MediaError, UsageError
from hybrid.media import is_data_url, is_url
from hybrid.services import Services
from hybrid.signals import MAX_VIEWS, SIGNALS, has_titles, of_files
from hybrid.text import analysis
from hybrid.text.stems import languages

#: The share of products with texts of a script, from which on it gets an encoder of its own.
_WRITTEN = 0.01
_TRIED = 2  # URLs that are fetched to see whether files can be had


def check_options(language: str, signals: Sequence[str] | None) -> None:
    """Check a language, or "auto", and names of signals.

    Raises:
        UsageError: the layer does not know one of them.
    """
    if language not in (AUTO, *languages()):
        raise UsageError(f"no language {language!r}; known: {AUTO}, {', '.join(languages())}")
    unknown = [name for name in signals or () if name not in SIGNALS]
    if unknown:
        raise UsageError(f"no signal {unknown[0]!r}; signals: {', '.join(SIGNALS)}")


def decide_language(
    language: str | None,
    before: IndexProfile | None,
    fields: FieldMap,
    sample: Sequence[dict[str, Any]],
    notes: list[str],
) -> tuple[str, FieldMap]:
    """(language of an index's words, its fields with those that are in another language).

    language: a code, "auto" to tell it from the sample for each field, or None for what was before, else English.
    What is to be said of it is added to `notes`.
    """
    if language == AUTO:
        language, fields = guess_languages(fields, sample)
        notes.append(described(language, fields))
    elif language is None and before is not None:
        language, fields = before.language, dataclasses.replace(fields, languages=before.fields.languages)
    else:
        language, fields = language or "en", dataclasses.replace(fields, languages={})
    notes += analysis.lacks([language, *fields.languages.values()])
    return language, fields


def vector_signal(services: Services, name: str, index: str, views: int = 1) -> VectorSignal:
    """The signal by the settings' encoder, with so many views; a derived one by the index's newest alignment.

    Raises:
        UsageError: the encoder of the settings takes no such input, or no alignment was trained.
    """
    settings = services.settings
    entry = SIGNALS[name]
    if entry.parts:
        newest = services.models("alignment").heads(index)
        if not newest:
            raise UsageError(f"signal {name} needs an alignment: `hybrid train alignment --index {index} --pairs FILE`")
        aligned = services.encoder(f"{PREFIX}{newest[0]['version']}")
        return VectorSignal(encoder=aligned.name, version=aligned.version, dims=aligned.dims)
    spec = entry.spec(settings)
    encoder = services.encoder(spec)
    if entry.modality not in encoder.modalities:
        advice = f"; set HYBRID_{entry.setting.upper()}" if entry.setting else ""
        raise UsageError(f"encoder {encoder.name} takes no {entry.modality}{advice}")
    titles = has_titles(settings, name)
    return VectorSignal(encoder=spec, version=encoder.version, dims=encoder.dims, views=views, titles=titles)


def views_in(sample: Sequence[dict[str, Any]], fields: FieldMap, name: str) -> int:
    """The number of views of a product: several where products have several pictures, or videos."""
    entry = SIGNALS[name]
    if entry.file == "video":
        return MAX_VIEWS
    role = entry.role if entry.file == "image" else None
    several = role is not None and any(len(documents.media_values(row, fields, role, 2)) > 1 for row in sample)
    return MAX_VIEWS if several else 1


def guess_signals(
    services: Services, fields: FieldMap, sample: Sequence[dict[str, Any]], notes: list[str]
) -> list[str]:
    """The signals that these products can have. The reason why one is left out is added to `notes`.

    Files behind URLs count if one of the first few can be fetched here.
    """
    of_texts = [name for name, signal in SIGNALS.items() if signal.role is None and not signal.parts]
    names = [name for name in of_texts if not SIGNALS[name].of or _is_written(services, name, fields, sample, notes)]
    for name, signal in of_files():
        role = str(signal.role)
        values = [value for row in sample for value in documents.media_values(row, fields, role, MAX_VIEWS)]
        why = _unreachable(services, values) if values and all(is_url(value) for value in values) else None
        if why:
            option = ",".join([*names, name])
            notes.append(f"no {name} vectors, unless asked for with --signals {option}: {why}")
        elif values:
            names.append(name)
    return names


def _is_written(
    services: Services, name: str, fields: FieldMap, sample: Sequence[dict[str, Any]], notes: list[str]
) -> bool:
    """Whether a signal of texts in some scripts is of use: there are such texts, and the encoder of its kind does not
    read them. What it does, or why its encoder cannot be had here, is added to `notes`."""
    entry = SIGNALS[name]
    spec, scripts = entry.spec(services.settings), entry.scripts or frozenset()
    usual = services.encoder(SIGNALS[str(entry.of)].spec(services.settings))
    if not spec or usual.scripts is None or usual.scripts & scripts:
        return False
    encoder = services.encoder(spec)
    texts = [text for row in sample if (text := documents.text_input(row, fields, encoder, name))]
    if len(texts) < _WRITTEN * len(sample) or not texts:
        return False
    written = f"{' and '.join(sorted(scripts))} script, in {len(texts) / len(sample):.0%} of the products"
    try:
        encoder.encode_texts(texts[:1])
    except EncoderError as error:
        notes.append(f"texts in {written}, get no vectors: {error}")
        return False
    notes.append(f"texts in {written}, get vectors of their own, by {spec}")
    return True


def _unreachable(services: Services, values: Sequence[str]) -> str | None:
    """Why none of the first few URLs can be fetched; None if one can."""
    why = None
    for value in list(dict.fromkeys(values))[:_TRIED]:
        try:
            services.fetcher.fetch(value)
            return None
        except MediaError as error:
            why = str(error)
    return why


_SAMPLE = 500


def decide_profile(
    services: Services,
    shop_index: ShopIndex,
    mapping: str | None,
    signals: Sequence[str] | None,
    language: str | None,
    media_root: Path | None,
    lexical: str | None,
    notes: list[str],
) -> tuple[IndexProfile, list[dict[str, Any]]]:
    """(profile of an index, sample of its documents). An earlier profile stays, except for the options given here.

    Raises:
        IndexConflictError: documents have a field `hybrid` of their own.
        UsageError: it is empty, or an option cannot be used.
    """
    check_options(language or "en", signals)
    own_words = parse_lexical(lexical) if lexical is not None else None
    before = shop_index.profile
    raw = services.cluster.shops.sample(shop_index, _SAMPLE)
    sample = [{"_id": id, **{key: value for key, value in row.items() if key != "hybrid"}} for id, row in raw]
    if not sample:
        raise UsageError(
            f"index {shop_index.name!r} is empty, so its fields cannot be told; run this when it has documents"
        )
    if before is None and any("hybrid" in row for _, row in raw):
        raise IndexConflictError(
            f"documents of {shop_index.name!r} have a field `hybrid` of their own, the name that the layer needs; "
            "rename it"
        )
    if mapping is not None or before is None:
        fields = served_by(shop_index.properties, guess_fields(sample, ",".join(filter(None, ["id=_id", mapping]))))
    else:
        fields = before.fields
    spoken, fields = decide_language(language, before, fields, sample, notes)
    names = list(signals) if signals is not None else None
    if names is None:
        names = list(before.signals) if before else guess_signals(services, fields, sample, notes)
    signals_before = before.signals if before else {}
    chosen = {
        # An index keeps its number of views: its vectors have so many, and documents do not note another number.
        name: vector_signal(
            services,
            name,
            shop_index.name,
            signals_before[name].views if name in signals_before else views_in(sample, fields, name),
        )
        for name in names
        if signals is not None or not SIGNALS[name].parts
    }
    for name, one in chosen.items():
        if name in signals_before and signals_before[name].titles:
            chosen[name] = dataclasses.replace(one, titles=True)  # until a reindex
    media = media_root or services.settings.media_root
    root = str(media.resolve()) if media else before.media_root if before else None
    media_roles = [str(signal.role) for name, signal in of_files() if name in chosen]
    files = [value for role in media_roles for row in sample for value in media_values(row, fields, role)]
    if root is None and not all(is_url(value) or is_data_url(value) for value in files):
        raise UsageError("name the folder of the pictures with --media FOLDER, or leave them out with --signals text")
    profile = IndexProfile(
        index=shop_index.name,
        fields=fields,
        signals={**(before.signals if before else {}), **chosen},
        language=spoken,
        analysis=documents.words_version([spoken, *fields.languages.values()]),
        media_root=root,
        lexical_fields=own_words if own_words is not None else before.lexical_fields if before else (),
        shards=shop_index.shards,
        attached=before.attached if before else True,
        tags=before.tags if before else None,
        floors=before.floors if before else {},
        priors=before.priors if before else (),
    )
    return profile, sample
