"""Builds the services once a process. No other module puts the parts together."""

from __future__ import annotations

import functools
import logging
import threading
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hybrid.contracts import Encoder
from hybrid.dropin import DropIn, Limits
from hybrid.dropin.forwarding import Names
from hybrid.dropin.proxy import Proxy
from hybrid.elastic.cluster import Cluster
from hybrid.elastic.indices.changes import Checkpoints
from hybrid.elastic.retrieval.candidates import Retrieval
from hybrid.elastic.retrieval.transport import Transport
from hybrid.elastic.stores.admin import AdminStore, AuditTrail
from hybrid.elastic.stores.dead_letters import DeadLetters
from hybrid.elastic.stores.evaluations import Evaluations
from hybrid.elastic.stores.jobs import Jobs
from hybrid.elastic.stores.judgments import JudgmentLists
from hybrid.elastic.stores.models import WEIGHTS, ModelVersions
from hybrid.elastic.stores.orders import Orders
from hybrid.elastic.stores.search_times import SearchTimesStore
from hybrid.elastic.stores.synonyms import SynonymFiles
from hybrid.elastic.upstream import Upstream
from hybrid.errors import ClusterUnreachableError, HybridError, NodeError
from hybrid.evaluation.formats import read_judgments
from hybrid.evaluation.judgments import LIST, Judgments
from hybrid.ingest.ingester import Ingester
from hybrid.ingest.inputs import Inputs
from hybrid.ingest.marker import Marker
from hybrid.ingest.new_index import NewIndices
from hybrid.ingest.push import Operation, Pusher, PushReport
from hybrid.ingest.queue import PUSH, TaskQueue
from hybrid.ingest.written import Written
from hybrid.metrics import SearchTimes
from hybrid.search.searcher import Searcher
from hybrid.search.synonyms import PublishedSynonyms
from hybrid.search.weights import PublishedWeights
from hybrid.settings import Settings, load_settings
from hybrid.signals import SIGNALS
from hybrid.text import analysis
from hybrid.text.dictionary import is_word

if TYPE_CHECKING:
    from hybrid.accounts import Accounts
    from hybrid.media.fetching import Fetcher

logger = logging.getLogger(__name__)


class Services:
    """Everything that a command, a task or a view may call; each part is built at first use."""

    def __init__(self, settings: Settings, hasty: bool = False) -> None:
        """hasty: whether requests fail at once while the cluster does not answer, as people wait for them."""
        self.settings, self._hasty = settings, hasty
        self._trained: dict[str, Encoder] = {}
        self._lock = threading.Lock()

    @cached_property
    def es_url(self) -> str:
        """The cluster's address: HYBRID_ES_URL, else the embedded engine that runs.

        Raises:
            NodeError: neither is there.
        """
        if self.settings.es_url:
            return self.settings.es_url
        from hybrid import node

        url = node.status(self.settings).es_url
        if not url:
            raise NodeError("no Elasticsearch: set HYBRID_ES_URL to your cluster, or start one with `hybrid up`")
        return url

    @cached_property
    def redis_url(self) -> str:
        """The broker's address: HYBRID_REDIS_URL, else the embedded one that runs.

        Raises:
            NodeError: neither is there.
        """
        if self.settings.redis_url:
            return self.settings.redis_url
        from hybrid import node

        url = node.status(self.settings).redis_url
        if not url:
            raise NodeError("no broker: set HYBRID_REDIS_URL to your Redis, or start one with `hybrid up`")
        return url

    @cached_property
    def cluster(self) -> Cluster:
        """The shop's cluster, over the client of this process."""
        return Cluster.connect(self.settings, self.es_url, self._hasty)

    @cached_property
    def jobs(self) -> Jobs:
        return self.cluster.store(Jobs)

    @cached_property
    def dead_letters(self) -> DeadLetters:
        return self.cluster.store(DeadLetters)

    def models(self, kind: str) -> ModelVersions:
        """Versions of trained models of a kind: "weights", or one of hybrid.encoders.TRAINED."""
        return self.cluster.store(functools.partial(ModelVersions, kind=kind))

    @cached_property
    def judgment_lists(self) -> JudgmentLists:
        return self.cluster.store(JudgmentLists)

    def judged(self, index: str, source: str | Path, queries: Path | None = None) -> Judgments:
        """Judgments of a file, or of a list in the cluster. source: a path, or "list:NAME".

        A note says which products the index does not have.

        Raises:
            UsageError: there is no such file or list, or it cannot be read.
            JudgmentsError: the index has none of the judged products.
            IndexMissingError: there is no such index.
        """
        named = str(source)
        if named.startswith(LIST):
            judgments = self.judgment_lists.judgments(index, named.removeprefix(LIST))
        else:
            judgments = read_judgments(Path(source), queries)
        return self.checked(index, judgments)

    def checked(self, index: str, judgments: Judgments) -> Judgments:
        """The same judgments, with a note on the products that the index does not have.

        Raises:
            JudgmentsError: it has none of them.
            IndexMissingError: there is no such index.
        """
        return judgments.of_index(index, self.cluster.indices.absent(index, judgments.products))

    @cached_property
    def evaluations(self) -> Evaluations:
        return self.cluster.store(Evaluations)

    @cached_property
    def accounts(self) -> Accounts:
        from hybrid.accounts import Accounts  # imports argon2, which only the admin page needs

        return Accounts(self.cluster.store(AdminStore), self.settings)

    @cached_property
    def audit(self) -> AuditTrail:
        return self.cluster.store(AuditTrail)

    @cached_property
    def orders(self) -> Orders:
        return self.cluster.store(Orders)

    @cached_property
    def synonym_files(self) -> SynonymFiles:
        return self.cluster.store(SynonymFiles)

    @cached_property
    def published(self) -> PublishedWeights:
        return PublishedWeights(self.models(WEIGHTS))

    @cached_property
    def retrieval(self) -> Retrieval:
        return self.cluster.store(Retrieval)

    @cached_property
    def checkpoints(self) -> Checkpoints:
        return self.cluster.store(Checkpoints)

    @cached_property
    def fetcher(self) -> Fetcher:
        from hybrid.media.fetching import Fetcher  # imports an HTTP client and TLS, which a search does not need

        return Fetcher(self.settings.media_urls, self.settings.media_private_hosts.split(","))

    @cached_property
    def inputs(self) -> Inputs:
        return Inputs(self.encoder, self.fetcher, self.settings.media_root)

    @cached_property
    def marker(self) -> Marker:
        return Marker(self.cluster.products, self.cluster.capabilities, self.inputs)

    @cached_property
    def queue(self) -> TaskQueue:
        return TaskQueue(self.settings, self.redis_url)

    @cached_property
    def pusher(self) -> Pusher:
        products = self.cluster.products.within(self.settings.es_timeout_s)  # a web process waits for it
        return Pusher(products, self.inputs, self.ingester, self.marker, self.dead_letters)

    def push(self, index: str, operations: Sequence[Operation]) -> PushReport:
        """Take documents that the shop hands over, and queue them for the workers.

        Raises:
            IndexMissingError, IndexConflictError: no such index, or not one of the layer's.
            ClusterError, WriteBlockedError: the cluster takes no writes; the same request can be sent again.
        """
        # Not the searcher's, which is some seconds old: an alias may have moved to an index that is not the layer's.
        report = self.pusher.push(self.cluster.indices.read_profile(index, one=True), operations)
        if report.waiting:
            try:
                self.queue.enrich(index, PUSH, report.waiting, patient=False)
                report.queued = True
            except (NodeError, ClusterUnreachableError) as error:
                # The index lists these products as waiting, and the next sync finds them there.
                logger.warning("pushed to %s, and not queued: %s", index, error)
        return report

    @cached_property
    def searcher(self) -> Searcher:
        return Searcher(
            self.retrieval,
            self.encoder,
            self.settings.depth,
            self.published,
            PublishedSynonyms(self.synonym_files),
        )

    @cached_property
    def dropin(self) -> DropIn:
        """The drop-in `_search`, over a client of its own that passes bytes through unchanged."""
        transport = Transport.connect(self.settings, self.es_url, self._hasty)
        served = [name.strip() for name in self.settings.dropin_indices.split(",") if name.strip()]
        given = self.settings
        return DropIn(self.searcher, transport, given.es_timeout_s, served, given.depth, self._dropin_limits)

    @property
    def _dropin_limits(self) -> Limits:
        given = self.settings
        return Limits(given.dropin_scripts, given.dropin_patterns, given.dropin_leading_wildcards)

    @cached_property
    def proxy(self) -> Proxy | None:
        """What `/es` forwards to the cluster; None where it forwards nothing.

        Raises:
            UsageError: an index of the settings cannot be one of a shop's, or what they say of new ones cannot be used.
        """
        if not self.settings.dropin_proxy:
            return None
        written = Written(self._sync_soon)
        return Proxy(
            Upstream(self.settings, self.es_url),
            NewIndices(self.cluster.indices, self.settings, self.encoder),
            Names(self.settings.dropin_proxy_indices, self._dropin_limits),
            keyed=self.settings.dropin_proxy_key is not None,
            written=written.add,
            moved=self._names_moved,
        )

    def _sync_soon(self, index: str) -> None:
        name = self.cluster.indices.known_as(index)
        if name is not None:
            self.queue.sync(name)

    def _names_moved(self) -> None:
        self.dropin.forget_names()
        self.retrieval.forget()

    @cached_property
    def search_times(self) -> SearchTimes:
        return SearchTimes(lambda: self.cluster.store(SearchTimesStore))

    @cached_property
    def ingester(self) -> Ingester:
        return Ingester(self.cluster.products, self.cluster.capabilities, self.inputs, self.dead_letters)

    def encoder(self, spec: str) -> Encoder:
        """The encoder of that name; its model is loaded at first use."""
        from hybrid.encoders import TRAINED, get_encoder

        prefix, _, version = spec.partition(":")
        if prefix not in TRAINED:
            return get_encoder(spec, self.settings)
        with self._lock:
            if spec not in self._trained:
                load = functools.partial(self.models(prefix).get, version)
                self._trained[spec] = TRAINED[prefix](spec, load, self.encoder, self.settings)
            return self._trained[spec]

    def warm(self) -> None:
        """Load the models and the dictionaries of words, so that the first search need not wait for them.

        An error of loading is logged. The search that needs the part reports it in its answer.
        """
        import numpy as np
        from PIL import Image

        words = "预热 ウォーム тепло"  # each reads the dictionary of its language
        analysis.query_terms(words)
        is_word("warm")
        try:
            for index in self.searcher.indices():
                analysis.query_terms(words, *self.searcher.profile(index).languages)
                if vocabulary := self.retrieval.vocabulary(self.searcher.profile(index)):
                    vocabulary.speller.near("warm")
                for name, signal in self.searcher.profile(index).signals.items():
                    encoder = self.encoder(signal.encoder)
                    modality = SIGNALS[name].modality
                    if modality == "image":
                        encoder.encode_images([Image.new("RGB", (64, 64))])
                    elif modality == "audio":
                        encoder.encode_sounds([np.sin(np.arange(16_000, dtype=np.float32))])
                    else:
                        encoder.encode_queries(["warm"])
        except HybridError as error:
            logger.warning("not warmed up: %s", error)

    def health(self) -> dict[str, Any]:
        """Whether the parts that search needs answer: {"elasticsearch": {"ok", "version"|"reason"}}."""
        try:
            # Probed each time: a cached answer would hide an outage.
            version = self.cluster.probe().version_text
        except HybridError as error:
            return {"elasticsearch": {"ok": False, "reason": str(error)}}
        return {"elasticsearch": {"ok": True, "version": version}}


def build_services(settings: Settings | None = None, hasty: bool = False) -> Services:
    """The services of this process. hasty: see Services."""
    return Services(settings or load_settings(), hasty)
