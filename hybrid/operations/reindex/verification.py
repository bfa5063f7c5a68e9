"""Verification that a new generation of an index may replace the old one."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from hybrid.contracts import IndexProfile
from hybrid.elastic.cluster import Cluster
from hybrid.elastic.indices.copies import Differences
from hybrid.elastic.indices.lifecycle import Indices
from hybrid.evaluation import measures
from hybrid.evaluation.judgments import Judgments
from hybrid.operations.reindex.differences import described
from hybrid.operations.reindex.transfer import Transfer
from hybrid.search.searcher import Searcher
from hybrid.search.weights import PublishedWeights, WeightsModel
from hybrid.services import Services

_SAMPLE = 200
#: Share of documents that may lack a vector, beyond the share of the old index: those changed in the last seconds.
_LACKING = 0.01
#: Mean nDCG@10 that may be lost; smaller losses are the noise of ties.
MAX_LOSS = 0.01


@dataclass(frozen=True)
class Finding:
    """The result of one comparison."""

    what: str
    ok: bool
    detail: str


@dataclass
class Verification:
    """The results of all comparisons."""

    findings: list[Finding] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return all(finding.ok for finding in self.findings)

    @property
    def problem(self) -> str:
        return "; ".join(f"{finding.what}: {finding.detail}" for finding in self.findings if not finding.ok)

    def to_json(self) -> dict[str, Any]:
        return {"ok": self.ok, "findings": [asdict(finding) for finding in self.findings]}


def verify(
    services: Services, run: Transfer, differences: Differences, judgments: Judgments | None, max_loss: float
) -> Verification:
    """Compare the new index with the old one, both as they are now. The shop may go on writing.

    differences: of the two indices a moment ago, up to the positions that were copied.

    Raises:
        ClusterError: one of them cannot be read.
    """
    verification = Verification()
    before, after = services.cluster.indices.find_profile(run.source), run.profile
    verification.findings.append(_documents(services.cluster.indices, run, differences))
    verification.findings.append(_sample(services.cluster, run))
    verification.findings += _coverage(services.cluster, before, after)
    if judgments is not None:
        verification.findings.append(_judged(services, run, before, after, judgments, max_loss))
    return verification


def _documents(indices: Indices, run: Transfer, differences: Differences) -> Finding:
    """Compare every document's revision. Documents that the shop deleted since the last round are no fault."""
    if differences.missing:
        return Finding(
            "documents", False, f"the new index {described(Differences(missing=differences.missing), run.refused)}"
        )
    count = indices.count(run.target)
    return Finding("documents", True, f"{count:,}, each copied from its present revision")


def _sample(cluster: Cluster, run: Transfer) -> Finding:
    """Compare a sample of the new index field by field. Documents that changed since their copy are left out."""
    drawn = cluster.copies.sample(run.target, _SAMPLE, time.time_ns() % 2**31)
    routing = {one.id: one.routing for one, _ in drawn if one.routing is not None}
    current = cluster.products.read(run.source, [one.id for one, _ in drawn], routing)
    differing, compared = [], 0
    for copy, source in drawn:
        original = current.get(copy.id)
        if original is None or original.seq_no != copy.seq_no:
            continue
        compared += 1
        if original.source != source:
            names = original.source.keys() | source.keys()
            fields = sorted(name for name in names if original.source.get(name) != source.get(name))
            differing.append(f"{copy.id} in {', '.join(fields[:3])}")
    if differing:
        return Finding("fields", False, f"{len(differing)} of {compared} sampled documents differ: {differing[0]}")
    return Finding("fields", True, f"{compared} sampled documents are alike in every field of the shop's")


def _coverage(cluster: Cluster, before: IndexProfile | None, after: IndexProfile) -> list[Finding]:
    # Without a refresh, which takes some hundredths of a second in an index that is written to.
    earlier = cluster.health.coverage(before, refresh=False) if before is not None else None
    now = cluster.health.coverage(after)
    total = max(1, now["documents"])
    findings = []
    for name, signal in after.signals.items():
        share = now["signals"][name]["with"] / total
        waiting = cluster.indices.count(after.index, {"term": {"hybrid.meta.pending": name}}) / total
        detail = f"{now['signals'][name]['with']:,} of {now['documents']:,} have a vector ({share:.1%})"
        if waiting:
            detail += f", {waiting:.1%} wait for one"
        ok = waiting <= _LACKING
        if earlier is not None and before is not None and name in before.signals:
            was = earlier["signals"][name]["with"] / max(1, earlier["documents"])
            detail += f"; {was:.1%} in the old index"
            # Documents that change faster than they are encoded wait in the old index too.
            enough = share >= was - _LACKING
            ok = enough if before.signals[name].version == signal.version else ok or enough
        findings.append(Finding(f"{name} vectors", ok, detail))
    return findings


def _judged(
    services: Services,
    run: Transfer,
    before: IndexProfile | None,
    after: IndexProfile,
    judgments: Judgments,
    max_loss: float,
) -> Finding:
    if before is None:
        return Finding("judged", True, "the old index had no search of the layer to compare with")
    searcher = Searcher(
        services.retrieval, services.encoder, services.settings.depth, _Borrowed(services.published, run.alias)
    )
    was = _ndcg(services.searcher, run.alias, judgments)
    now = _ndcg(searcher, after.index, judgments)
    lost = float(np.mean(was) - np.mean(now))
    detail = f"nDCG@10 {np.mean(was):.3f} in the old index, {np.mean(now):.3f} in the new, over {len(was)} queries"
    return Finding("judged", lost <= max_loss, detail)


def _ndcg(searcher: Searcher, index: str, judgments: Judgments) -> np.ndarray:
    judged = judgments.relevant
    scores = {}
    for query in judged:
        answer = searcher.search(judgments.request(query, index=index, size=measures.CUT, facets=()))
        scores[query] = [hit.id for hit in answer.hits]
    measured = measures.per_query_measures(scores, judged)[f"ndcg@{measures.CUT}"]
    return np.array([measured[query] for query in judged])


class _Borrowed:
    """The active weights of one index (`lender`), for the index that is to replace it."""

    def __init__(self, published: PublishedWeights, lender: str) -> None:
        self._published = published
        self._lender = lender

    def active(self, index: str) -> tuple[WeightsModel, str]:
        return self._published.active(self._lender)

    def named(self, index: str, version: str) -> WeightsModel:
        return self._published.named(self._lender, version)

    def of_kind(self, index: str, kind: str) -> WeightsModel:
        return self._published.of_kind(self._lender, kind)
