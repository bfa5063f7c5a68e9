"""A request made ready: checked, with its terms, its vectors and the weights it will be searched by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from hybrid.catalogue.documents import role_values
from hybrid.contracts import GetEncoder, IndexProfile, Prior
from hybrid.errors import UsageError, WeightsError
from hybrid.facts import Note
from hybrid.search import evidence as worths
from hybrid.search import fusion, numbers, stating, weights
from hybrid.search.correction import Correction, correct
from hybrid.search.evidence import NONE, Evidence
from hybrid.search.fusion import Scaling
from hybrid.search.ports import PublishedLike, RetrievalLike
from hybrid.search.query_vectors import EncodedQuery, QueryVectors
from hybrid.search.synonyms import PublishedSynonyms, beside
from hybrid.search.understanding import conditions
from hybrid.search.weights import Prediction, WeightsModel
from hybrid.searches import (
    Alternative,
    Codes,
    Corrected,
    Degradation,
    SearchRequest,
    Understood,
    Words,
    systems,
    unweighted_systems,
)
from hybrid.signals import CODE, PRIOR, SIGNALS, kind_of, weighs
from hybrid.text import analysis
from hybrid.text.codes import asked
from hybrid.text.synonyms import Synonyms

#: Pages end here, as they do in Elasticsearch itself.
MAX_WINDOW = 10_000
_NO_SYNONYMS = Synonyms()
#: What a correction counts beside the words that were typed.
CORRECTED = 0.95
_NEEDS = {"image": "a photo", "video": "a photo or a video", "audio": "a sound"}


@dataclass(frozen=True)
class Prepared:
    """A query before the search: what to look for, and how much each signal is to count.

    scaling: the model's, with the encoders' spans for signals that it does not name, and the bounds of the words.
    prediction: the weights of the signals. words, vectors: what is searched. every_word, every_vector: these hold the
    signals as well whose weight is too small to be searched. degraded: the parts that failed. notes: why signals are
    left out. synonyms: those that were known; understood: what they added. corrected: see Read. priors: the numbers of
    products that count.
    """

    profile: IndexProfile
    system: str
    model: WeightsModel
    scaling: Scaling
    prediction: Prediction
    words: Words
    vectors: dict[str, np.ndarray]
    every_word: Words
    every_vector: dict[str, np.ndarray]
    degraded: list[Degradation]
    notes: list[Note]
    synonyms: Synonyms
    understood: list[Understood]
    evidence: Evidence = NONE
    corrected: Corrected | None = None
    priors: tuple[Prior, ...] = ()

    def fused(self, raw: fusion.RawScores, imputed: fusion.ImputedScores) -> fusion.Ranking:
        """The candidates ranked by the weighted sum of their scores."""
        prediction = weights.with_codes(self.prediction) if CODE in raw else self.prediction
        return _fused(raw, prediction, self.model.shares, self.scaling, imputed)


def check(request: SearchRequest) -> str:
    """The system to use.

    Raises:
        UsageError: unknown system or signal, negative weights, a page out of reach.
    """
    system = request.system or "fixed"
    if system not in systems():
        raise UsageError(f"no system {system!r}; known: {', '.join(systems())}")
    if request.page < 1 or request.size < 1:
        raise UsageError("page and size count from 1")
    if request.page * request.size > MAX_WINDOW:
        raise UsageError(f"page {request.page} of {request.size} is out of reach: {MAX_WINDOW} products at most")
    if request.like and (request.q.strip() or request.by_media):
        raise UsageError("like takes the place of words and files: give one or the other")
    kind = SIGNALS[system].file if system in SIGNALS else None
    if kind is not None and not (request.like or request.q.strip()):
        seen = request.image is not None or request.video is not None
        if not (request.audio is not None if "sound" in SIGNALS[system].asked_by else seen):
            raise UsageError(f"system {system} needs {_NEEDS[kind]}")
    return system


def _fused(
    raw: fusion.RawScores,
    prediction: Prediction,
    shares: Mapping[str, float],
    scaling: Scaling,
    imputed: fusion.ImputedScores,
) -> fusion.Ranking:
    """shares: see WeightsModel."""
    spread = fusion.normalised(fusion.spread(prediction.weights, raw, shares))
    return fusion.weighted(raw, spread, scaling, imputed)


def _query(request: SearchRequest, terms: str | None, vectors: Mapping[str, np.ndarray]) -> weights.Query:
    return weights.Query(
        request.q, terms or "", request.image is not None or request.video is not None, vectors.get("text")
    )


def _words(query: str, profile: IndexProfile) -> str:
    """What the lexical signal looks for: analysed here, unless the shop's own fields are, by the cluster."""
    return query.strip() if profile.lexical_fields else analysis.query_terms(query, *profile.languages)


@dataclass(frozen=True)
class Read:
    """What a query is searched by.

    meant: the request, with its words corrected where the catalogue has none of those that are mistyped. words: as they
    were typed, with what they may stand for; terms_meant: the terms of `meant`, None where words take no part.
    corrected: what the answer says of it. understood: the synonyms among its words.
    """

    meant: SearchRequest
    encoded: EncodedQuery
    words: Words
    terms_meant: str | None
    corrected: Corrected | None = None
    understood: list[Understood] = field(default_factory=list)


@dataclass(frozen=True)
class _Weighed:
    """What is searched, and with which weights.

    notes: the signals that are left out. problem: why the weights are not those of the model.
    """

    prediction: Prediction
    vectors: dict[str, np.ndarray]
    terms: str | None
    notes: list[Note] = field(default_factory=list)
    problem: str = ""


class Preparer:
    """Makes requests ready. Thread-safe."""

    def __init__(
        self,
        retrieval: RetrievalLike,
        get_encoder: GetEncoder,
        published: PublishedLike | None,
        synonyms: PublishedSynonyms | None = None,
    ) -> None:
        self._retrieval, self._published, self._synonyms = retrieval, published, synonyms
        self._queries = QueryVectors(get_encoder)

    def prepare(self, request: SearchRequest, profile: IndexProfile) -> Prepared:
        """Encode the query and weigh its signals. A part that fails is left out, and named in `degraded`.

        Raises:
            UsageError: the request itself is wrong.
        """
        system = check(request)
        if request.like:
            vectors, terms = self._of_product(request, system, profile)
            read = Read(request, EncodedQuery(vectors), Words(terms), terms)
        else:
            read = self.read(request, system, profile)
        encoded, words = read.encoded, read.words
        model, problem = self._model(request, system)
        words = replace(words, codes=_codes(request, system, profile, words.terms))
        priors = numbers.of(profile) if counts_priors(request, system) else ()
        weighed = self._weigh(read.meant, system, model, encoded.vectors, read.terms_meant, priors)
        problems = [Degradation("weights", why) for why in (problem, weighed.problem) if why]
        evidence = self.evidence(request.q, words, profile)
        return Prepared(
            profile=profile,
            system=system,
            model=model,
            scaling=model.scaling.beside(self._queries.spans(profile), evidence.bounds, priors),
            prediction=weighed.prediction,
            words=words.unscored() if weighed.terms is None else words,
            vectors=weighed.vectors,
            every_word=words,
            every_vector=encoded.vectors,
            degraded=[*encoded.degraded, *problems],
            notes=[*encoded.notes, *weighed.notes],
            synonyms=self.synonyms(profile),
            understood=read.understood,
            evidence=evidence,
            corrected=read.corrected,
            priors=priors if any(kind_of(name) == PRIOR for name in weighed.prediction.weights) else (),
        )

    def synonyms(self, profile: IndexProfile) -> Synonyms:
        """The synonyms that are in force for the index; the same object while they are the same."""
        return self._synonyms.of(profile) if self._synonyms else _NO_SYNONYMS

    def read(self, request: SearchRequest, system: str, profile: IndexProfile) -> Read:
        """What the query is searched by, before anything is weighed."""
        correction = self._correction(request, profile)
        meant = replace(request, q=correction.text) if correction and correction.unknown else request
        encoded = self._queries.encode(meant, system, profile)
        words = conditions(request, profile) if request.phrases or request.excluded else Words()
        words = replace(words, terms=_terms(request, system, profile, encoded.vectors))
        words, synonyms = beside(words, request.q, profile, self.synonyms(profile), self._retrieval)
        if not words.terms or correction is None:
            return Read(meant, encoded, words, words.terms, understood=synonyms)
        others = [
            Alternative(_words(text, profile), CORRECTED, _words(typed, profile)) for typed, text in correction.changes
        ]
        corrected = Corrected(request.q, correction.text)
        return Read(meant, encoded, words.beside(others), _words(meant.q, profile), corrected, synonyms)

    def _correction(self, request: SearchRequest, profile: IndexProfile) -> Correction | None:
        if not request.correct or not request.q.strip() or profile.without_layer:
            return None
        vocabulary = self._retrieval.vocabulary(profile)
        return correct(request.q, vocabulary, profile.languages, request.phrases) if vocabulary else None

    def evidence(self, query: str, words: Words, profile: IndexProfile) -> Evidence:
        """What the words of a query are worth in this index."""
        if not words.terms:
            return NONE
        terms = analysis.query_terms(query, *profile.languages) if profile.lexical_fields else words.terms
        return worths.of(terms, words, self._retrieval.vocabulary(profile), profile)

    def spans(self, profile: IndexProfile) -> dict[str, tuple[float, float]]:
        """See QueryVectors.spans."""
        return self._queries.spans(profile)

    def _of_product(
        self, request: SearchRequest, system: str, profile: IndexProfile
    ) -> tuple[dict[str, np.ndarray], str | None]:
        """(vectors, words) of the product in `request.like`; words only where it has no vector.

        Raises:
            UsageError: no such product, or none of the system's vector.
        """
        source = self._retrieval.sources(profile, [request.like]).get(request.like)
        if source is None:
            raise UsageError(f"no product {request.like!r} in index {profile.index!r}")
        stored = {} if system == "bm25" else self._retrieval.vectors(profile, request.like)
        # Of several of a kind the first: its texts in two languages say the same.
        first = {kind_of(name): name for name in reversed(stored)}
        vectors = {name: vector for name, vector in stored.items() if first[kind_of(name)] == name}
        if system in SIGNALS:
            if system not in first:
                raise UsageError(f"product {request.like!r} has no {system} vector")
            return {first[system]: vectors[first[system]]}, None
        if vectors:
            return vectors, None
        return {}, _words(" ".join(map(str, role_values(source, profile.fields, "title"))), profile)

    def _model(self, request: SearchRequest, system: str) -> tuple[WeightsModel, str]:
        """(the weights of this one answer, from here to its end; why they are not the requested ones)."""
        if request.like and request.system is None and not request.weights_version:
            return weights.alike(), ""
        if self._published is None or system in unweighted_systems():
            return weights.fixed(), ""
        try:
            if request.weights_version:
                return self._published.named(request.index, request.weights_version), ""
            if request.system is not None:
                return self._published.of_kind(request.index, system), ""
            return self._published.active(request.index)
        except WeightsError as error:
            return weights.fixed(), str(error)

    def _weigh(
        self,
        request: SearchRequest,
        system: str,
        model: WeightsModel,
        vectors: dict[str, np.ndarray],
        terms: str | None,
        priors: tuple[Prior, ...],
    ) -> _Weighed:
        """The weights before the search. A signal whose weight is too small is taken out of the search."""
        in_play = [*(["lexical"] if terms is not None else []), *vectors]
        priors = priors if in_play else ()
        stated = stating.by_hand(request.weights, request.alpha, [*in_play, *(prior.signal for prior in priors)])
        if stated is not None:
            searched = {name: vector for name, vector in vectors.items() if weighs(stated, name)}
            searched_terms = terms if weighs(stated, "lexical") or not searched else None
            given = {name: stated.get(name, 0.0) for name in in_play}
            given |= {part: weight for part, weight in stated.items() if part.partition(".")[0] in in_play}
            given |= stating.of_priors(request.weights or {}, priors)
            return _Weighed(Prediction(fusion.normalised(given)), searched, searched_terms)
        in_play += [prior.signal for prior in priors]
        if system in unweighted_systems() or len(in_play) < 2:
            return _Weighed(Prediction(dict.fromkeys(in_play, 1.0)), vectors, terms)
        problem = ""
        try:
            prediction = model.predict(_query(request, terms, vectors), in_play, explain=True)
        except WeightsError as error:
            problem = str(error)
            prediction = weights.fixed().predict(_query(request, terms, vectors), in_play)
        skip = model.skip_below  # a prior is read with what the others find, so that leaving it out saves nothing
        small = {name: weight for name, weight in prediction.weights.items() if weight < skip and name != PRIOR}
        if small:
            vectors = {name: vector for name, vector in vectors.items() if name not in small}
            terms = None if "lexical" in small else terms
            left = {name: weight for name, weight in prediction.weights.items() if name not in small}
            prediction = Prediction(fusion.normalised(left), prediction.reasons)
        notes = [Note("not_searched", name, value=weight) for name, weight in small.items()]
        return _Weighed(prediction, vectors, terms, notes, problem)


def counts_priors(request: SearchRequest, system: str) -> bool:
    """Whether priors take part: in weighted sums, but not where products are to be like a product."""
    return system not in unweighted_systems() and not request.like


def _terms(request: SearchRequest, system: str, profile: IndexProfile, vectors: Mapping[str, np.ndarray]) -> str | None:
    """The words to look for; "" to browse everything; None where words take no part.

    A file that cannot be compared is no wish to browse, and neither is `...`: nothing is found then.
    """
    if system in SIGNALS and vectors:
        return None
    terms = _words(request.q, profile)
    return terms if terms or not (vectors or request.by_media or request.q.strip()) else None


def _codes(request: SearchRequest, system: str, profile: IndexProfile, terms: str | None) -> Codes | None:
    """The codes that the words may name. A system of one signal, and one that sums no scores, has them not."""
    if not terms or request.like or profile.without_layer or (system in unweighted_systems() and not request.quick):
        return None
    return asked(request.q)
