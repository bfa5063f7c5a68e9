"""`hybrid.tags`: the tags that a published model predicts, from the codes of a product's vectors or from its pictures.

Tags are written with the vectors. `hybrid.meta.tags` has the version of the model, and the hash of its inputs. It also
has the tags that were predicted from pictures, so that a document that is written again keeps them without another
prediction.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hybrid import vectors
from hybrid.catalogue.layer import NO_STATE, Layer, SignalState
from hybrid.contracts import TAGS, IndexProfile, Tagger
from hybrid.elastic.indices.products import NO_CODES, Products, StoredProduct
from hybrid.errors import EncoderError, MediaError
from hybrid.ingest.batch import Batch
from hybrid.ingest.derived import States, has_part, hash_of
from hybrid.ingest.inputs import Inputs, read_at_once
from hybrid.vectors import Code

if TYPE_CHECKING:
    from PIL import Image

logger = logging.getLogger(__name__)

NO_MODEL = "no_tags_model"


def predicted_before(before: Layer, states: States, profile: IndexProfile) -> list[dict[str, Any]] | None:
    """The tags that were predicted from the pictures that a product still has; None where they have to be predicted.

    before: the product's layer before; states: the states of its parts now.
    """
    state = before.state(TAGS)
    if state.told is None or state.hash != hash_of(TAGS, states, profile):
        return None
    return [dict(tag) for tag in state.told]


def tags_of(
    tagger: Tagger,
    codes: Mapping[str, Code],
    states: States,
    profile: IndexProfile,
    from_pictures: Sequence[dict[str, Any]] | None = None,
) -> tuple[list[dict[str, Any]], SignalState]:
    """(tags of a product, their state to store). No tags where none is sure enough, or no part has a vector.

    codes, states: of the parts. from_pictures: the tags predicted from the pictures, where the model reads pictures.

    Raises:
        EncoderError: the model cannot be loaded, or takes other vectors.
    """
    assert profile.tags is not None
    if tagger.version != profile.tags.version:
        raise EncoderError(f"{profile.index!r} has tags of {profile.tags.version!r}, and this is {tagger.version!r}")
    there = [part for part in profile.tags.parts if has_part(part, states, profile)]
    state = SignalState(hash_of(TAGS, states, profile), profile.tags.version)
    if profile.tags.reads_pictures:
        tags = list(from_pictures or []) if there else []
        return tags, replace(state, told=tuple(tags))
    parts = {part: vectors.decode_code(codes.get(part), profile.signals[part].dims) for part in there}
    return tagger.tags(parts) if any(vector is not None for vector in parts.values()) else [], state


class Tagging:
    """Gives products their tags. Products get their vectors also where the model of tags cannot be loaded."""

    def __init__(self, products: Products, inputs: Inputs) -> None:
        self._products = products
        self._inputs = inputs

    def at_once(self, layer: Layer, before: Layer, profile: IndexProfile) -> Layer:
        """The layer with its tags, where all vectors of the product were carried over. Else, or without the model, the
        layer waits for its tags.

        before: the product's layer before.
        """
        ready = profile.tags is not None and not set(layer.pending).intersection(profile.tags.parts)
        from_pictures = None
        if ready and profile.tags is not None and profile.tags.reads_pictures:
            from_pictures = predicted_before(before, layer.states, profile)
            ready = from_pictures is not None
        failed = TAGS in before.failed
        try:
            if ready:
                tagger = self._inputs.tagger(profile)
                layer = layer.with_tags(*tags_of(tagger, layer.codes or {}, layer.states, profile, from_pictures))
                if not failed:
                    return layer
        except EncoderError as error:
            logger.warning("no tags: %s", error)
        return replace(layer, pending=(*layer.pending, TAGS), failed=(*layer.failed, *([TAGS] if failed else [])))

    def look(self, profile: IndexProfile, batch: Batch, read: Mapping[str, Sequence[Image.Image]]) -> None:
        """Predict the tags of pictures while they are in memory. read: product -> pictures.

        Raises:
            EncoderError: the model cannot be loaded.
        """
        tags = self._inputs.tagger(profile).look(list(read.values())) if read else []
        batch.picture_tags.update(zip(read, tags, strict=True))

    def fill(self, profile: IndexProfile, batch: Batch) -> None:
        """Predict the tags of products that wait for them, and of products whose vectors are new in this round."""
        if profile.tags is None:
            return
        chosen = batch.waiting(TAGS, profile.tags.parts)
        by_codes = [] if profile.tags.reads_pictures else [product.id for product in chosen]
        stored = self._products.codes(profile.index, by_codes)
        if profile.tags.reads_pictures:
            self._look_again(profile, batch, chosen)
        failed = {dead_letter.product for dead_letter in batch.dead_letters if dead_letter.signal == TAGS}
        for id in [product.id for product in chosen if product.id not in failed]:
            codes = batch.codes(id, stored.get(id, NO_CODES).by_signal)
            try:
                tags, state = tags_of(
                    self._inputs.tagger(profile), codes, batch.states(id), profile, batch.picture_tags.get(id)
                )
            except EncoderError as error:
                batch.fail(id, TAGS, (NO_MODEL, str(error)))
            else:
                batch.put_tags(id, tags, state)
                batch.encoded.setdefault(TAGS, set()).add(id)

    def _look_again(self, profile: IndexProfile, batch: Batch, chosen: Sequence[StoredProduct]) -> None:
        """Predict from the pictures that were not read in this round."""
        for name in profile.tags.parts if profile.tags is not None else ():
            unread = [
                product
                for product in chosen
                if product.id not in batch.picture_tags and has_part(name, batch.states(product.id), profile)
            ]
            step = read_at_once(name, max(1, len(unread)))
            for start in range(0, len(unread), step):
                self._look_at(name, profile, batch, unread[start : start + step])

    def _look_at(self, name: str, profile: IndexProfile, batch: Batch, unread: Sequence[StoredProduct]) -> None:
        documents = [(product.source, NO_STATE) for product in unread]
        inputs = self._inputs.read_all(name, documents, profile, self._inputs.encoder(name, profile))
        read: dict[str, Sequence[Image.Image]] = {}
        for product, input in zip(unread, inputs, strict=True):
            if isinstance(input, MediaError):
                batch.fail(product.id, TAGS, input)
            else:
                read[product.id] = input.content
        try:
            self.look(profile, batch, read)
        except EncoderError as error:
            for id in read:
                batch.fail(id, TAGS, (NO_MODEL, str(error)))
