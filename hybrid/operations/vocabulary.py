"""Counts the words of an index, by which searches correct typing mistakes, and keeps the counts in step.

Words are counted in one scan of the index. That is done again when enough of the index was written since, which the
sequence numbers of its shards tell in one small request.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from hybrid.catalogue.documents import TERM_FIELDS, role_values, terms_of
from hybrid.contracts import IndexProfile
from hybrid.elastic.cluster import Cluster
from hybrid.elastic.stores.vocabularies import VocabularyStore
from hybrid.errors import HybridError
from hybrid.text.vocabulary import Counting, Vocabulary

logger = logging.getLogger(__name__)

#: Writes, as a share of the products, after which the words are counted again.
_SHARE = 0.02
#: Seconds after which one write is enough.
_OLD_S = 3_600.0
#: A count may take that share of the time.
_EFFORT = 0.1
_PAGE = 1_000
#: The roles whose texts have words as shoppers type them.
_TITLE = ("title",)
_OTHERS = tuple(role for roles in TERM_FIELDS.values() for role in roles if role not in ("id", "code", "title"))


def keep_in_step(cluster: Cluster, index: str, ended: bool = False) -> bool:
    """Count the words of an index again, where enough was written since the last time. Returns whether they were.

    ended: whether a run has ended, so that there will be no more writes soon. Else the words are not counted more often
    than the time for it allows. An error is logged: what depends on the words does without, or uses the older ones.
    """
    try:
        return _keep_in_step(cluster, index, ended)
    except HybridError as error:
        logger.warning("the words of %s were not counted: %s", index, error)
        return False


def _keep_in_step(cluster: Cluster, index: str, ended: bool) -> bool:
    store = cluster.store(VocabularyStore)
    profile = cluster.indices.read_profile(index, one=True)
    before, position = store.counted(index), cluster.changes.shard_positions(index, profile.shards)
    writes = before.writes_until(position)
    if writes is not None:
        rested = ended or before.age_s * _EFFORT > before.seconds
        enough = writes > _SHARE * before.products or before.age_s > _OLD_S
        if not writes or not enough or not rested:
            return False
    claimed = store.claim(index, before)
    if claimed is None:
        return False
    started = time.monotonic()
    cluster.indices.refresh(index)
    store.save(index, count_words(cluster, profile), position, time.monotonic() - started, claimed)
    return True


def count_words(cluster: Cluster, profile: IndexProfile) -> Vocabulary:
    """The vocabulary of an index as it is now."""
    counting = Counting()
    for source in _products(cluster, profile):
        terms = (source.pop("hybrid", None) or {}).get("terms")
        titles, texts = _texts(source, profile, _TITLE), _texts(source, profile, _OTHERS)
        document = terms_of(source, profile) if terms is None else {name: text for name, text in terms.items() if text}
        counting.add(document, titles, texts)
    return counting.vocabulary()


def _texts(source: Mapping[str, Any], profile: IndexProfile, roles: Iterable[str]) -> list[str]:
    return [str(value) for role in roles for value in role_values(source, profile.fields, role)]


def _products(cluster: Cluster, profile: IndexProfile) -> Iterator[dict[str, Any]]:
    """Of each product: its terms, and the fields that its words are in."""
    fields = {path for role in (*_TITLE, *_OTHERS) for path in profile.fields.roles.get(role, ())}
    search = {"query": {"match_all": {}}, "source": {"includes": ["hybrid.terms", *sorted(fields)]}}
    for hits in cluster.products.pages(profile.index, search, _PAGE):
        yield from (hit["_source"] for hit in hits)
