"""Product indices. Each is created behind an alias, and the profile in its mapping describes it."""

from __future__ import annotations

import dataclasses
import itertools
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np
from elasticsearch import Elasticsearch

from hybrid import vectors as coding
from hybrid.catalogue.index_template import Template, text_fields
from hybrid.contracts import Floor, IndexProfile, Prior, VectorSignal
from hybrid.elastic.client import translated, wait_until_made
from hybrid.elastic.indices import mappings as mappings_module
from hybrid.elastic.indices.own import is_own, refuse_own
from hybrid.elastic.indices.products import Products
from hybrid.elastic.indices.stand_in import stand_in
from hybrid.errors import (
    AccessRefusedError,
    AlreadyExistsError,
    IndexConflictError,
    IndexMissingError,
    InvalidNameError,
    MappingConflictError,
    UsageError,
)

logger = logging.getLogger(__name__)

_IDS_AT_ONCE = 10_000  # hits of one search at most


class Indices:
    """Creates, describes, counts, refreshes and deletes product indices by name."""

    def __init__(self, client: Elasticsearch) -> None:
        self._client = client
        self._products = Products(client)

    def read_profile(self, index: str, one: bool = False) -> IndexProfile:
        """The profile of an index that the layer made or is attached to. one: the name must stand for one index alone.

        Raises:
            IndexMissingError: there is none of that name.
            IndexConflictError: the layer has no part in the index; or `one`, and the name stands for several indices.
        """
        return self._described(index, one)[0]

    def find_profile(self, index: str) -> IndexProfile | None:
        """The layer's profile of an index; None where the layer has no part in the index, or the index is gone."""
        try:
            return self.read_profile(index)
        except (IndexConflictError, IndexMissingError):
            return None

    def note(self, index: str) -> dict[str, Any] | None:
        """What the mapping of an index notes of the layer, as it stands there; None where the layer has no part in it.

        Raises:
            IndexMissingError: there is none of that name.
            IndexConflictError: the name stands for several indices.
        """
        refuse_own(index)
        with translated(index):
            answer = self._client.indices.get_mapping(index=index).body
        refuse_own(*answer)
        if len(answer) != 1:
            raise IndexConflictError(f"{index!r} stands for {len(answer)} indices, not one")
        (described,) = answer.values()
        noted: dict[str, Any] | None = described["mappings"].get("_meta", {}).get("hybrid")
        return noted

    def _described(self, index: str, one: bool = False) -> tuple[IndexProfile, dict[str, Any]]:
        """(profile, properties of the mapping) of an index."""
        refuse_own(index)
        with translated(index):
            # One answer for mapping and settings, so that both are of the same index behind an alias.
            answer = self._client.indices.get(index=index, flat_settings=True).body
        if not answer:
            raise IndexMissingError(f"there is no index {index!r}; `hybrid index FILE --index NAME` makes one")
        if one and len(answer) > 1:
            raise IndexConflictError(
                f"{index!r} stands for {len(answer)} indices ({', '.join(sorted(answer))}), not one"
            )
        refuse_own(*answer)
        concrete, description = next(iter(answer.items()))
        meta = description["mappings"].get("_meta", {}).get("hybrid")
        # In every index behind the name: a search of the name would find documents of the others.
        if any(one["mappings"].get("_meta", {}).get("hybrid") is None for one in answer.values()):
            raise IndexConflictError(
                f"the index {index!r} was not made by Hybrid, and its documents are left alone; choose another "
                f"name with --index, or add the layer to it with `hybrid attach {index}`"
            )
        shards = int(description["settings"]["index.number_of_shards"])
        alone = concrete if len(answer) == 1 else ""
        return IndexProfile.from_json(index, meta, shards, alone), description["mappings"]["properties"]

    def stand_in(self, index: str, before: IndexProfile | None = None) -> IndexProfile | None:
        """A profile by which the words of an index without the layer are searched; see hybrid.elastic.indices.stand_in.

        None where the name is no alias, or stands for several indices, for none, for one that the layer has a part in,
        or for one that holds no products or no words.

        Raises:
            IndexMissingError: there is none of that name.
        """
        with translated(index):
            answer = self._client.indices.get(index=index, flat_settings=True).body
        if len(answer) != 1 or index in answer or any(map(is_own, (index, *answer))):
            return None
        ((concrete, description),) = answer.items()
        if description["mappings"].get("_meta", {}).get("hybrid") is not None:
            return None
        return stand_in(index, concrete, description, before)

    def behind(self, index: str) -> set[str]:
        """The indices that a name stands for now; the name itself, where it is no alias.

        Raises:
            IndexMissingError: there is none of that name.
        """
        with translated(index):
            return set(self._client.indices.get_alias(index=index).body)

    def ensure(
        self,
        profile: IndexProfile,
        template: Template | None = None,
        lexical: tuple[str, ...] | None = None,
    ) -> bool:
        """Create the index, or check that the existing one fits and add what is missing. True if it was created.

        template: the shop's own settings (for a new index) and field definitions. lexical: the shop's own analysed
        fields to search for words, () for the layer's; None leaves an existing index as it is.

        Raises:
            IndexConflictError: the layer did not make it, or its vectors have other dimensions.
            UsageError: the name cannot be an index's, or a lexical field is no analysed field.
        """
        template = template or Template()
        try:
            existing, properties = self._described(profile.index)
        except IndexMissingError:
            new_profile = dataclasses.replace(
                profile, fields=template.fit(profile.fields), lexical_fields=lexical or ()
            )
            try:
                self._create(profile.index, _body(new_profile, template))
                return True
            except AlreadyExistsError:  # another run was faster
                wait_until_made(self._client, profile.index)
                existing, properties = self._described(profile.index)
        if existing.attached:
            raise IndexConflictError(
                f"index {profile.index!r} is the shop's own, and Hybrid is only attached to it: write to it as "
                f"you do, and run `hybrid sync {profile.index}`"
            )
        template = dataclasses.replace(
            template, properties={**mappings_module.shop_properties(properties), **template.properties}
        )
        for name, signal in profile.signals.items():
            before = existing.signals.get(name)
            if before and before.dims != signal.dims:
                raise IndexConflictError(
                    f"index {profile.index!r} holds {name} vectors of {before.dims} dimensions ({before.encoder}) and "
                    f"{signal.encoder} makes {signal.dims}; index under another name, or choose the encoder with "
                    f"HYBRID_{name.upper()}_ENCODER={before.encoder}"
                )
        merged = dataclasses.replace(
            profile,
            fields=template.fit(profile.fields),
            signals={
                **existing.signals,
                **{name: _widened(existing, name, one) for name, one in profile.signals.items()},
            },
            media_root=profile.media_root or existing.media_root,
            lexical_fields=existing.lexical_fields if lexical is None else lexical,
            shards=existing.shards,
            tags=existing.tags,
            floors=existing.floors,
            priors=existing.priors,
        )
        layer = properties["hybrid"]["properties"]
        mappings = _body(merged, template, self.count(profile.index), layer)["mappings"]
        try:
            with translated(profile.index, mapping=True):
                self._client.indices.put_mapping(
                    index=profile.index, properties=mappings["properties"], meta=mappings["_meta"]
                )
        except MappingConflictError as error:
            raise IndexConflictError(
                f"index {profile.index!r} does not take the fields of this catalogue ({error}); index under "
                "another name, or say with --map how to read it"
            ) from error
        return False

    def scanned(self, profile: IndexProfile, documents: int) -> dict[str, dict[str, Any]]:
        """Signal -> a new mapping of its vectors, for those that are scanned and have become too many for a scan.

        documents: how many the index holds.

        Raises:
            IndexMissingError, ClusterError
        """
        _, properties = self._described(profile.index)
        present = properties["hybrid"]["properties"]
        new_mappings = {}
        for name, signal in profile.signals.items():
            if name in present:
                options = mappings_module.index_options(signal.dims, documents / profile.shards, present[name])
                if options["type"] != present[name]["index_options"]["type"]:
                    new_mappings[name] = {**present[name], "index_options": options}
        return new_mappings

    def fit_vectors(self, profile: IndexProfile) -> None:
        """Index vectors by a graph where they have become too many for a scan; see `mappings.index_options`.

        Where the user may not change the mapping, the scan stays: the search finds the same, and takes longer.

        Raises:
            IndexMissingError, ClusterError
        """
        grown = self.scanned(profile, self.count(profile.index))
        if not grown:
            return
        try:
            with translated(profile.index):
                self._client.indices.put_mapping(index=profile.index, properties={"hybrid": {"properties": grown}})
        except AccessRefusedError as error:
            logger.warning("the vectors of %s are scanned on: %s", profile.index, error)

    def note_floors(self, index: str, floors: Mapping[str, Floor]) -> None:
        """Note the relevance floors in the mapping of an index, in place of those before.

        Raises:
            IndexMissingError, ClusterError
            AccessRefusedError: the user may not change the mapping.
        """
        self._note(index, "floors", {name: dataclasses.asdict(floor) for name, floor in floors.items()})

    def note_priors(self, index: str, priors: Sequence[Prior]) -> None:
        """Note the numbers of products that count, in place of those before. Raises as `note_floors` does."""
        self._note(index, "priors", [dataclasses.asdict(prior) for prior in priors])

    def _note(self, index: str, key: str, value: Any) -> None:
        with translated(index):
            (described,) = self._client.indices.get_mapping(index=index).body.values()
            meta = described["mappings"]["_meta"]  # the cluster replaces it whole, with what the shop keeps there
            noted = {name: before for name, before in meta["hybrid"].items() if name != key}
            if value:
                noted[key] = value
            if noted != meta["hybrid"]:
                self._client.indices.put_mapping(index=index, meta={**meta, "hybrid": noted})

    def _create(self, name: str, body: dict[str, Any]) -> None:
        try:
            with translated(name, mapping=True):
                self._client.indices.create(
                    index=f"{name}-000001", settings=body["settings"], mappings=body["mappings"], aliases={name: {}}
                )
        except InvalidNameError as error:
            raise UsageError(f"{name!r} cannot be an index name: lower case letters, digits, - and _ only") from error
        except MappingConflictError as error:
            raise UsageError(f"the cluster refuses the mapping: {error}") from error

    def copy_without(
        self, profile: IndexProfile, name: str, lost: Callable[[str, str], bool], base64_vectors: bool
    ) -> None:
        """A hidden copy of an index, without the vectors that are `lost` by product id and signal.

        Raises:
            ClusterError: it cannot be made. An unfinished copy stays.
        """
        with translated(profile.index):
            (described,) = self._client.indices.get(index=profile.index, flat_settings=True).body.values()
        settings = {
            key: value
            for key, value in described["settings"].items()
            if key.startswith(("index.similarity", "index.analysis")) or key == "index.number_of_shards"
        }
        # The copy is hidden from lists of indices. It is deleted soon, so it needs no replica.
        settings |= {"index.hidden": True, "index.number_of_replicas": 0}
        with translated(name):
            self._client.indices.create(index=name, settings=settings, mappings=described["mappings"])
        rows = self._products.iterate_whole(profile.index, list(profile.signals))
        while batch := list(itertools.islice(rows, 500)):
            documents = []
            for id, source, vectors in batch:
                layer = source.get("hybrid", {})
                for signal, vector in vectors.items():
                    if lost(id, signal):
                        layer.get("codes", {}).pop(signal, None)
                        layer.get("meta", {}).pop(signal, None)
                    else:
                        layer[signal] = coding.encode_vector(np.asarray(vector), base64_vectors)
                documents.append((id, source))
            self._products.index_documents(name, documents)
        self.refresh(name)

    def others(self) -> list[str]:
        """Names of the indices that the layer has no part in: their aliases, or the index where it has no alias.

        Hidden indices and the layer's own stores are left out.
        """
        known = set(self.names())
        with translated():
            indices = self._client.indices.get_alias(index="*", expand_wildcards="open").body
        names: set[str] = set()
        for concrete, entry in indices.items():
            own_names = {concrete, *entry["aliases"]}
            if not own_names & known and not any(map(is_own, own_names)):
                names |= set(entry["aliases"]) or {concrete}
        return sorted(names)

    def names(self) -> list[str]:
        """Names of the product indices that the layer made or is attached to, in order.

        An alias is among them only where the layer has a part in every index of it: a search of another alias would
        find documents of other indices.
        """
        indices = self._open()
        layered = {concrete for concrete, described in indices.items() if "mappings" in described}
        others = {alias for alias, concretes in self._aliases().items() if not concretes <= layered}
        names: set[str] = set()
        for concrete in layered:
            if not is_own(concrete):
                names.update(set(indices[concrete].get("aliases", ())) - others or {concrete})
        return sorted(names)

    def known_as(self, index: str) -> str | None:
        """The name among `names` of the index that a name stands for; None where the layer has no part in it."""
        names = self.names()
        if index in names:
            return index
        try:
            concrete = self.behind(index)
        except IndexMissingError:
            return None
        return next((name for name in names if self.behind(name) == concrete), None)

    def served(self, known: Collection[str] = ()) -> frozenset[str]:
        """Every name by which a search finds products of the layer's indices alone: their own names, and their aliases.

        known: names that the layer served before. Of these, aliases are served that stand for one index without it now.
        """
        indices = self._open()
        aliases = self._aliases()
        return frozenset(
            name
            for name, concretes in ({one: {one} for one in indices} | aliases).items()
            if not any(map(is_own, (name, *concretes)))
            and concretes <= indices.keys()
            and (
                all("mappings" in indices[one] for one in concretes)
                or (name in known and name in aliases and len(concretes) == 1)
            )
        )

    def _aliases(self) -> dict[str, set[str]]:
        """Alias -> every index behind it, hidden and closed ones too: a search of the alias reads them."""
        with translated():
            found = self._client.indices.resolve_index(name="*,-.*", expand_wildcards="all", filter_path="aliases")
        return {alias["name"]: set(alias["indices"]) for alias in found.body.get("aliases", ())}

    def _open(self) -> dict[str, Any]:
        """Index -> its aliases, and a mapping where the layer has a part in it; of every index that is open."""
        with translated():
            found = self._client.indices.get(
                index="*,-.*",
                filter_path="*.mappings._meta.hybrid.language,*.aliases,*.settings.index.uuid",
                expand_wildcards="open",
            )
        return dict(found.body)

    def delete(self, index: str) -> None:
        """Delete an index, if it is there."""
        with translated(index):
            self._client.indices.delete(index=index, ignore_unavailable=True)

    def refresh(self, index: str) -> None:
        """Make everything written visible to search."""
        with translated(index):
            self._client.indices.refresh(index=index)

    def flush(self, index: str) -> None:
        """Put everything written on disk."""
        with translated(index):
            self._client.indices.flush(index=index)

    def count(self, index: str, query: dict[str, Any] | None = None) -> int:
        """How many products match (all without a query), as far as search sees them."""
        with translated(index):
            return int(self._client.count(index=index, query=query or {"match_all": {}})["count"])

    def absent(self, index: str, ids: Sequence[str]) -> list[str]:
        """Those of `ids` that the index does not have, as far as search sees it, in their order."""
        there: set[str] = set()
        for start in range(0, len(ids), _IDS_AT_ONCE):
            part = {"ids": {"values": list(ids[start : start + _IDS_AT_ONCE])}}
            with translated(index):
                answer = self._client.search(index=index, query=part, size=_IDS_AT_ONCE, source=False)
            there |= {hit["_id"] for hit in answer["hits"]["hits"]}
        return [id for id in ids if id not in there]


def _widened(existing: IndexProfile, name: str, signal: VectorSignal) -> VectorSignal:
    """The signal with room for as many views as the existing index has room for, and with titles where it has them."""
    before = existing.signals.get(name)
    if before is None:
        return signal
    return dataclasses.replace(signal, views=max(signal.views, before.views), titles=signal.titles or before.titles)


def _body(
    profile: IndexProfile, template: Template, documents: int = 0, present: dict[str, Any] | None = None
) -> dict[str, Any]:
    body = mappings_module.index_body(profile, template, documents, present)
    known = text_fields(body["mappings"]["properties"])
    for name in profile.lexical_fields:
        if name.partition("^")[0] not in known:
            own = ", ".join(sorted(path for path in known if not path.startswith("hybrid."))) or "none"
            raise UsageError(f"--lexical: {name!r} is no text field of index {profile.index!r}; text fields: {own}")
    return body
