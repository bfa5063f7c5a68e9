"""`hybrid.tags`: what a published model of tags says of a product, by the codes of its vectors or by its pictures.

Made in the same write as the vectors, and noted in `hybrid.meta.tags`: by which version, of which inputs. What was told
by pictures stands there too, so that a document that is written anew keeps it without a second look at them.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hybrid import vectors
from hybrid.catalogue import documents
from hybrid.contracts import TAGS, IndexProfile, Tagger
from hybrid.elastic.indices import products
from hybrid.elastic.stores.dead_letters import DeadLetter
from hybrid.errors import EncoderError, MediaError
from hybrid.ingest.fused import is_there
from hybrid.ingest.inputs import Inputs, held_at_once

if TYPE_CHECKING:
    from PIL import Image

logger = logging.getLogger(__name__)

NO_MODEL = "no_tags_model"


def tags_hash(meta: Mapping[str, Any], profile: IndexProfile) -> str:
    """Changes with the model and with the input of each part that it looks at."""
    assert profile.tags is not None
    hashes = [
        f"{part}:{meta[part]['hash'] if is_there(part, meta, profile) else '-'}" for part in sorted(profile.tags.parts)
    ]
    return documents.content_hash(profile.tags.version, " ".join(hashes).encode())


def agrees(meta: Mapping[str, Any], profile: IndexProfile, changing: Collection[str] = ()) -> bool:
    """Whether the tags that `meta` notes are those of the parts that it notes. changing: signals that wait."""
    if profile.tags is None or set(changing).intersection(profile.tags.parts):
        return profile.tags is None
    return bool((meta.get(TAGS) or {}).get("hash") == tags_hash(meta, profile))


def told(before: Mapping[str, Any], meta: Mapping[str, Any], profile: IndexProfile) -> list[dict[str, Any]] | None:
    """The tags that were told by the pictures that a product still has; None where it is to be looked at.

    before: what was noted of it; meta: what is noted now of its parts.
    """
    noted = before.get(TAGS) or {}
    if noted.get("told") is None or noted.get("hash") != tags_hash(meta, profile):
        return None
    return list(noted["told"])


def put(
    tagger: Tagger,
    layer: dict[str, Any],
    codes: Mapping[str, str | None],
    meta: Mapping[str, Any],
    profile: IndexProfile,
    seen: list[dict[str, Any]] | None = None,
) -> None:
    """Write the tags of a product into the layer's field; none where none is sure enough, or no part has a vector.

    codes, meta: of the parts, as `hybrid.codes` and `hybrid.meta` hold them. seen: what its pictures were told to be,
    where the model looks at them.

    Raises:
        EncoderError: the model cannot be had, or takes other vectors.
    """
    assert profile.tags is not None
    if tagger.version != profile.tags.version:
        raise EncoderError(f"{profile.index!r} has tags of {profile.tags.version!r}, and this is {tagger.version!r}")
    there = [part for part in profile.tags.parts if is_there(part, meta, profile)]
    noted: dict[str, Any] = {"hash": tags_hash(meta, profile), "encoder": profile.tags.version}
    if profile.tags.looks:
        layer[TAGS] = noted["told"] = (seen or []) if there else []
    else:
        parts = {part: vectors.decode_code(codes.get(part), profile.signals[part].dims) for part in there}
        layer[TAGS] = tagger.tags(parts) if any(vector is not None for vector in parts.values()) else []
    layer["meta"][TAGS] = noted


def tell(tagger: Tagger, read: Sequence[tuple[dict[str, Any], Sequence[Image.Image]]]) -> EncoderError | None:
    """Look at pictures while they are here, for `put` to note; else why nothing was told.

    read: (what is written to a product, its pictures).
    """
    try:
        found = tagger.look([pictures for _, pictures in read]) if read else []
    except EncoderError as error:
        return error
    for (layer, _), tags in zip(read, found, strict=True):
        layer[TAGS] = tags
    return None


class Tagging:
    """Fills tags into what is written to documents. A model that cannot be had keeps no product from its vectors."""

    def __init__(self, client: Any, inputs: Inputs) -> None:
        self._client = client
        self._inputs = inputs

    def at_once(self, layer: dict[str, Any], before: Mapping[str, Any], profile: IndexProfile) -> None:
        """Tags of a product whose vectors all moved along; else they are waited for, as they are without the model.

        before: what was noted of it.
        """
        meta = layer["meta"]
        ready = profile.tags is not None and not set(meta["pending"]).intersection(profile.tags.parts)
        seen = None
        if ready and profile.tags is not None and profile.tags.looks:
            seen = told(before, meta, profile)
            ready = seen is not None
        try:
            if ready:
                put(self._inputs.tagger(profile), layer, layer["codes"], meta, profile, seen)
                if TAGS not in before.get("failed", ()):
                    return
        except EncoderError as error:
            logger.warning("no tags: %s", error)
        meta["pending"].append(TAGS)
        if TAGS in before.get("failed", ()):
            meta["failed"].append(TAGS)

    def fill(
        self,
        profile: IndexProfile,
        stored: Sequence[products.StoredProduct],
        made: Mapping[str, set[str]],
        partials: dict[str, dict[str, Any]],
        letters: list[DeadLetter],
    ) -> set[str]:
        """Tags of those that wait for them, and of those whose vectors are new in this round; whose they are."""
        if profile.tags is None:
            return set()
        fresh = set().union(*(made.get(part, ()) for part in profile.tags.parts))
        chosen = [product for product in stored if product.id in fresh or TAGS in product.meta["pending"]]
        by_codes = [] if profile.tags.looks else [product.id for product in chosen]
        held = products.codes(self._client, profile.index, by_codes)
        noted = {
            product.id: {
                part: {**(product.meta.get(part) or {}), **(partials[product.id]["meta"].get(part) or {})}
                for part in profile.tags.parts
            }
            for product in chosen
        }
        failed: set[str] = set()
        if profile.tags.looks:
            unread = [
                product
                for product in chosen
                if TAGS not in partials[product.id] and is_there("image", noted[product.id], profile)
            ]
            failed = self._look(profile, unread, partials, letters)
        done = set()
        for product in chosen:
            if product.id in failed:
                continue
            partial = partials[product.id]
            codes = {**held.get(product.id, (-1, {}))[1], **partial["codes"]}
            try:
                put(self._inputs.tagger(profile), partial, codes, noted[product.id], profile, partial.get(TAGS))
            except EncoderError as error:
                letters.append(DeadLetter(product.id, TAGS, NO_MODEL, str(error)))
            else:
                done.add(product.id)
        return done

    def _look(
        self,
        profile: IndexProfile,
        unread: Sequence[products.StoredProduct],
        partials: dict[str, dict[str, Any]],
        letters: list[DeadLetter],
    ) -> set[str]:
        """Look at pictures that were not read in this round; whose could not be."""
        failed: set[str] = set()
        step = held_at_once("image", max(1, len(unread)))
        for start in range(0, len(unread), step):
            part = unread[start : start + step]
            wanted = [(product.source, None) for product in part]
            found = self._inputs.read_all("image", wanted, profile, self._inputs.encoder("image", profile))
            read: list[tuple[str, Sequence[Image.Image]]] = []
            for product, one in zip(part, found, strict=True):
                if isinstance(one, MediaError):
                    letters.append(DeadLetter(product.id, TAGS, one.reason, str(one)))
                    failed.add(product.id)
                else:
                    read.append((product.id, one.content))
            error = tell(self._inputs.tagger(profile), [(partials[id], pictures) for id, pictures in read])
            if error is not None:
                letters += [DeadLetter(id, TAGS, NO_MODEL, str(error)) for id, _ in read]
                failed.update(id for id, _ in read)
        return failed
