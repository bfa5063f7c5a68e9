"""The double of an index answers as a real one does: the same products, totals, facets, vectors and refusals."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from hybrid.errors import UsageError
from hybrid.node import NodeStatus
from hybrid.search.ports import RetrievalLike, Retrieved
from hybrid.searches import Words
from hybrid.testing import MemoryRetrieval, ToyEncoder
from hybrid.text import analysis
from hybrid.text.completions import Typed
from tests.conftest import index_file, make_services, write_rows
from tests.support.raw import client_of

pytestmark = pytest.mark.es

KINDS, COLORS, BRANDS = ("mug", "lamp", "chair", "bag"), ("red", "green", "blue"), ("Aurora", "Casa")
ROWS = [
    {"id": f"p{n:02}", "title": f"{color} {kind}", "brand": brand, "category": kind, "price": 3 + n}
    for n, (kind, color, brand) in enumerate(itertools.product(KINDS, COLORS, BRANDS))
]
FACETS = ("category", "brand", "price")


@pytest.fixture(scope="module")
def both(engine: NodeStatus, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RetrievalLike, Any, Any]]:
    """(the real retrieval, its profile, the double)."""
    folder = tmp_path_factory.mktemp("memory")
    services = make_services(engine, es_timeout_s=60)
    name = f"tmemory-{engine.es_version.replace('.', '-')}"
    mapping = ",".join(f"{role}={role}" for role in ("id", "title", "brand", "category", "price"))
    path = write_rows(folder / "rows.ndjson", ROWS)
    assert index_file(services, path, name, folder, signals=["text"], mapping=mapping).complete
    client_of(services).indices.refresh(index=name)
    double = MemoryRetrieval(ROWS, index=name, encoder=ToyEncoder(32))
    yield services.retrieval, services.retrieval.profile(name), double
    for concrete in list(client_of(services).indices.get(index=f"{name}*").body):
        client_of(services).indices.delete(index=concrete)


def retrieved(retrieval: RetrievalLike, profile: Any, words: str | None, **options: Any) -> Retrieved:
    """depth 50: every product is a candidate, whichever way the cluster looks for the nearest."""
    terms = analysis.query_terms(words) if words is not None else None
    vectors = {"text": ToyEncoder(32).encode_texts(["green lamp"])[0]}
    return retrieval.retrieve(profile, Words(terms), vectors, options.get("filters", {}), FACETS, 50, True, "p05")


@pytest.mark.parametrize("filters", [{}, {"brand": ["Casa"], "price": {"gte": 8, "lt": 20}}, {"category": "lamp"}])
@pytest.mark.parametrize("words", ["green lamp", "mugs of Casa", "zzz", "", None])
def test_it_has_the_same_candidates(both: tuple[Any, Any, Any], words: str | None, filters: dict[str, Any]) -> None:
    real, profile, double = both
    wanted = retrieved(real, profile, words, filters=filters)
    found = retrieved(double, double.profile(profile.index), words, filters=filters)
    assert (found.matched, found.total, found.failed) == (wanted.matched, wanted.total, wanted.failed)
    assert found.facets == wanted.facets
    assert {name: set(ids) for name, ids in found.lists.items()} == {
        name: set(ids) for name, ids in wanted.lists.items()
    }
    assert set(found.raw) == set(wanted.raw)
    assert found.raw["text"] == pytest.approx(wanted.raw["text"], abs=1e-3)
    # BM25 is another number than a point for each word; who has none of them is the same.
    assert {id for id, raw in found.raw.get("lexical", {}).items() if raw} == {
        id for id, raw in wanted.raw.get("lexical", {}).items() if raw and words
    }
    nearest = [found.raw["text"][id] for id in wanted.lists["text"]]
    assert nearest == pytest.approx(sorted(nearest, reverse=True), abs=1e-3)


def test_it_has_the_same_documents_vectors_and_completions(both: tuple[Any, Any, Any]) -> None:
    real, profile, double = both
    own = double.profile(profile.index)
    assert double.sources(own, ["p03", "gone", "p01"]) == real.sources(profile, ["p03", "gone", "p01"])
    assert np.allclose(double.vectors(own, "p03")["text"], real.vectors(profile, "p03")["text"], atol=1e-2)
    for typed in ("gre", "red la", "lanp", "xyz"):
        asked = Typed.of(typed)
        assert set(double.completing(own, asked, 50)) == set(real.completing(profile, asked, 50))
    assert [id for id, _ in sorted(double.tail(own, Words("lamp"), {}, ["p06"], 0, 50))] == [
        id for id, _ in sorted(real.tail(profile, Words("lamp"), {}, ["p06"], 0, 50))
    ]


@pytest.mark.parametrize(("filters", "facets"), [({"nope": 1}, ()), ({}, ("nope",))])
def test_it_refuses_the_same(both: tuple[Any, Any, Any], filters: dict[str, Any], facets: tuple[str, ...]) -> None:
    real, profile, double = both
    said = []
    for retrieval, own in ((real, profile), (double, double.profile(profile.index))):
        with pytest.raises(UsageError) as refusal:
            retrieval.retrieve(own, Words("lamp"), {}, filters, facets, 10)
        said.append(str(refusal.value))
    assert said[0].split(";")[0] == said[1].split(";")[0]
