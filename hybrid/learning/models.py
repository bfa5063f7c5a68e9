"""Published models: listed, applied to an index, rolled back, removed.

A model is applied in one of three ways. Weights are a pointer that searches look up. An alignment and tags are computed
from the vectors in an index, so they are written in place, within minutes. Towers, sounds and TF-IDF encode pictures,
sounds or texts anew. That takes long, and meanwhile half of the vectors would be of another space than the query's. So
a reindex builds these vectors beside the index in use.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from hybrid.contracts import IndexProfile
from hybrid.elastic.indices import shop
from hybrid.elastic.indices.lifecycle import Indices
from hybrid.elastic.indices.shop import ShopIndices
from hybrid.elastic.stores.models import NONE, WEIGHTS, ModelStores
from hybrid.errors import IndexConflictError, IndexMissingError, ModelConflictError, ModelVersionError, UsageError
from hybrid.learning import tfidf
from hybrid.learning.alignment import towers_training
from hybrid.learning.alignment import training as alignment
from hybrid.learning.sounds import training as sounds
from hybrid.learning.tags import training as tags
from hybrid.learning.weights import versions as weights
from hybrid.operations import orders
from hybrid.operations.attach import AttachReport, enrich_in_place
from hybrid.operations.orders import Work
from hybrid.operations.runs import Report
from hybrid.search.weights import FIXED_VERSION
from hybrid.services import Services

With = Callable[[Services, IndexProfile, str | None], IndexProfile]

#: Kinds that are written in place -> function that returns the profile with a version.
IN_PLACE: Mapping[str, With] = {"alignment": alignment.profile_with, "tags": tags.profile_with}
#: Kinds that are applied by a reindex -> the setting that names the encoder.
BY_REINDEX = {"towers": "HYBRID_IMAGE_ENCODER", "sounds": "HYBRID_AUDIO_ENCODER", "tfidf": "HYBRID_TEXT_ENCODER"}
#: All kinds but weights -> function that returns the version that an index uses.
_ACTIVE: Mapping[str, Callable[[IndexProfile], str | None]] = {
    "alignment": alignment.active,
    "towers": towers_training.active,
    "tags": tags.active,
    "sounds": sounds.active,
    "tfidf": tfidf.active,
}
KINDS = (WEIGHTS, *_ACTIVE)


@dataclass(frozen=True)
class Active:
    """version: in use for an index; None: no model of the kind. since: when it was applied, where that is known.
    before: what a rollback makes active, "none" for no model; None: there is nothing to roll back to."""

    version: str | None
    since: str | None
    before: str | None


@dataclass(frozen=True)
class Applied:
    """The result of applying or rolling back. version: the one that is active now, None for no model of the kind. run:
    the report of the documents whose vectors or tags were written."""

    kind: str
    index: str
    version: str | None
    before: str | None
    run: AttachReport | None = None

    @property
    def complete(self) -> bool:
        return self.run is None or self.run.complete

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "run": self.run and self.run.to_json(), "complete": self.complete}


def check_kind(kind: str) -> None:
    """Raises UsageError: there is no such kind."""
    if kind not in KINDS:
        raise UsageError(f"no kind of model {kind!r}; kinds: {', '.join(KINDS)}")


def active(services: Services, kind: str, index: str) -> Active:
    """The version in use for an index.

    The index's own profile decides, not the version that was applied last, because settings can rebuild the index.

    Raises:
        UsageError: no such kind.
        IndexMissingError, IndexConflictError: no such index, or not one of the layer's.
    """
    check_kind(kind)
    return _active(services.models, kind, services.cluster.indices.read_profile(index))


def _active(models: ModelStores, kind: str, profile: IndexProfile) -> Active:
    if kind == WEIGHTS:
        state = weights.active_version(models(WEIGHTS), profile.index)
        return Active(state.active, state.since, state.before)
    version = _ACTIVE[kind](profile)
    pointer = models(kind).pointer(profile.index)
    if kind in BY_REINDEX:
        return Active(version, None, None)
    if pointer.version != version:
        return Active(version, None, pointer.version or NONE if version else None)
    known = pointer.version is not None or bool(pointer.history)
    return Active(version, pointer.since, pointer.before or NONE if known and version else pointer.before)


@dataclass(frozen=True)
class KindOfIndex:
    """The models of one kind that an index has.

    versions: those that were trained for the index, newest first, and the active one if it is another: {"kind",
    "version", "method", "index", "created", "size", "held_out", "active"}. A lost one has "lost" instead of most of
    these. The last of weights are the fixed ones, which are "built_in".
    """

    kind: str
    active: Active
    versions: list[dict[str, Any]]


def by_kind(services: Services, index: str, kind: str | None = None, most: int = 1_000) -> list[KindOfIndex]:
    """The active version and the versions of each kind, or of one, with two requests to the cluster a kind.

    most: so many versions of each kind, and the active one.

    Raises:
        As `active` does.
    """
    if kind is not None:
        check_kind(kind)
    profile = services.cluster.indices.read_profile(index)
    return [_of_kind(services.models, one, profile, most) for one in ([kind] if kind else KINDS)]


def _of_kind(models: ModelStores, kind: str, profile: IndexProfile, most: int) -> KindOfIndex:
    store = models(kind)
    active = _active(models, kind, profile)
    heads = store.page(profile.index, most)[0]
    if active.version not in (None, FIXED_VERSION, *(head["version"] for head in heads)):
        try:
            head = store.head(str(active.version), profile.index)
            heads.append({name: value for name, value in head.items() if name != "report"})
        except ModelVersionError:  # it was lost, and the index still asks for it
            heads.append({"kind": kind, "version": active.version, "index": None, "lost": True})
    if kind == WEIGHTS:
        heads.append(weights.built_in(profile.index))
    return KindOfIndex(kind, active, [{**head, "active": head["version"] == active.version} for head in heads])


def show(services: Services, kind: str, version: str, index: str) -> dict[str, Any]:
    """The document of a version, without the model's numbers, and "active": whether the index uses it.

    Raises:
        ModelMissingError: there is no such version. And as `active` does.
    """
    used = active(services, kind, index).version
    fixed = kind == WEIGHTS and version == FIXED_VERSION
    head = weights.built_in(index) if fixed else services.models(kind).head(version, index)
    return {"held_out": None, "encoders": {}, "report": {}, **head, "active": version == used}


def apply(
    services: Services,
    kind: str,
    index: str,
    version: str,
    instead_of: str | None = None,
    report: Report | None = None,
    ordered: Mapping[str, str] | None = None,
) -> Applied:
    """Make a version the active one of an index; "none": no model of the kind. Run it again after an interruption.

    instead_of: the version that was active at the decision, "none" for no model. If another version is active by now,
    nothing happens.

    Raises:
        UsageError: no such kind.
        ModelVersionError: there is no such version, or it cannot be used.
        ModelConflictError: another than `instead_of` is active.
        IndexMissingError, IndexConflictError: no such index, or none that it can be applied to; says what to do.
        ClusterError, WriteBlockedError, JobError: the run ended early; the same call goes on.
    """
    check_kind(kind)
    if kind == WEIGHTS:
        before = weights.active_version(services.models(WEIGHTS), index).active
        name = FIXED_VERSION if version == NONE else version
        weights.apply(services.models(WEIGHTS), index, name, instead_of)
        return Applied(kind, index, name, before)
    if kind in BY_REINDEX:
        if version == NONE:
            raise IndexConflictError(
                f"{kind} are taken up by a reindex: set {BY_REINDEX[kind]} to another encoder, and run "
                f"`hybrid reindex {index}`"
            )
        services.models(kind).head(version)  # raises where there is no such version
        raise IndexConflictError(how_to_apply(kind, index, version))
    shop_index, profile = _described(services.cluster.shops, index)
    used = _ACTIVE[kind](profile)
    _expect(kind, used, instead_of)
    target = None if version == NONE else version
    changed = IN_PLACE[kind](services, profile, target)
    run = enrich_in_place(services, shop_index, changed, report=report, ordered=ordered)
    # Last: until then the pointer names the version that a rollback returns to.
    services.models(kind).activate(index, target, before=used)
    return Applied(kind, index, target, used, run)


def how_to_apply(kind: str, index: str, version: str) -> str:
    """One sentence that says how a reindex applies this version."""
    setting = BY_REINDEX[kind]
    return (
        f"{kind} {version!r} makes every vector anew, which a reindex does beside the index in use: run "
        f"`{setting}={kind}:{version} hybrid reindex {index}`, and keep that setting wherever {index} is indexed"
    )


def rollback(
    services: Services,
    kind: str,
    index: str,
    instead_of: str | None = None,
    report: Report | None = None,
    ordered: Mapping[str, str] | None = None,
) -> Applied:
    """Make the previous version active again. instead_of: as for `apply`.

    Raises:
        ModelConflictError: nothing was applied, or another than `instead_of` is active. Else as `apply` does.
    """
    check_kind(kind)
    if kind == WEIGHTS:
        before = weights.active_version(services.models(WEIGHTS), index).active
        return Applied(kind, index, weights.rollback(services.models(WEIGHTS), index, instead_of), before)
    if kind in BY_REINDEX:
        raise IndexConflictError(
            f"{kind} are taken up by a reindex, and rolled back with it: `hybrid reindex {index} --rollback` puts the "
            "index before back in use, as long as it is kept"
        )
    shop_index, profile = _described(services.cluster.shops, index)
    used = _ACTIVE[kind](profile)
    _expect(kind, used, instead_of)
    now = _active(services.models, kind, profile)
    if now.before is None:
        raise _nothing_before(kind, index)
    target = None if now.before == NONE else now.before
    changed = IN_PLACE[kind](services, profile, target)
    store = services.models(kind)
    if store.pointer(index).version == used:
        store.rollback(index, [used])  # first, so that a repeated call goes on to the same version
    run = enrich_in_place(services, shop_index, changed, report=report, ordered=ordered)
    return Applied(kind, index, target, used, run)


def order_apply(services: Services, kind: str, index: str, version: str, by: str, instead_of: str) -> bool:
    """Order an `apply` of a kind that is IN_PLACE; returns whether a worker was notified.

    Raises:
        OrderTakenError: the index is learned from or measured already. And the errors of `apply` that can be detected
            before the work begins.
    """
    _, profile = _described(services.cluster.shops, index)
    _expect(kind, _ACTIVE[kind](profile), instead_of)
    IN_PLACE[kind](services, profile, None if version == NONE else version)
    return _order(services, kind, index, by, version, instead_of, back=False)


def order_rollback(services: Services, kind: str, index: str, by: str, instead_of: str) -> bool:
    """Order a `rollback`, as `order_apply` orders an `apply`."""
    now = active(services, kind, index)
    _expect(kind, now.version, instead_of)
    if now.before is None:
        raise _nothing_before(kind, index)
    return _order(services, kind, index, by, now.before, instead_of, back=True)


def _order(services: Services, kind: str, index: str, by: str, version: str, instead_of: str, back: bool) -> bool:
    options = {"model": kind, "version": version, "instead_of": instead_of, "back": back}
    return orders.place(services, orders.learning_slot(index), "apply", index, options, by)


def perform(work: Work) -> Mapping[str, Any]:
    """Perform an order. Options: model, version, instead_of; back: whether it is a rollback."""
    kind, version, instead_of, back = (work.options[name] for name in ("model", "version", "instead_of", "back"))
    if work.again:
        # The earlier process may have died at any step. The target is decided, whatever is active by now.
        used = active(work.services, kind, work.index).version or NONE
        back, instead_of = back and used != version, None
    if back:
        done = rollback(work.services, kind, work.index, instead_of, work.show, work.ordered)
    else:
        done = apply(work.services, kind, work.index, version, instead_of, work.show, work.ordered)
    return done.to_json()


def _nothing_before(kind: str, index: str) -> ModelConflictError:
    return ModelConflictError(f"no {kind} was applied to index {index!r}; there is nothing to roll back")


def remove(services: Services, kind: str, index: str, version: str) -> None:
    """Delete a version for good.

    Raises:
        ModelMissingError: there is no such version.
        ModelConflictError: an index uses it, or it is built in.
    """
    check_kind(kind)
    if kind == WEIGHTS and version == FIXED_VERSION:
        raise ModelConflictError(f"{version} is built in, and cannot be removed")
    store = services.models(kind)
    store.head(version, index)
    users = users_of(services, kind, index, version)
    if users:
        raise ModelConflictError(
            f"{kind} {version!r} is active for {', '.join(users)}; apply another version there before it is removed"
        )
    store.remove(version, index)


def users_of(services: Services, kind: str, index: str, version: str) -> list[str]:
    """The indices that use a version, directly or by a model that takes its vectors."""
    if kind == WEIGHTS:
        return [index] if weights.active_version(services.models(WEIGHTS), index).active == version else []
    spec = f"{kind}:{version}"
    users = {
        name
        for name in services.models(kind).pointed_at(version)
        if _has(services.cluster.indices, services.models, name, spec)
    }
    users.update(
        name for name in services.searcher.indices() if _has(services.cluster.indices, services.models, name, spec)
    )
    return sorted(users)


def _has(indices: Indices, models: ModelStores, index: str, spec: str) -> bool:
    try:
        profile = indices.read_profile(index)
    except (IndexMissingError, IndexConflictError):  # deleted, or no longer the layer's
        return False
    specs = [signal.encoder for signal in profile.signals.values()]
    specs += [f"tags:{profile.tags.version}"] if profile.tags else []
    return spec in specs or any(spec in _stands_on(models, one) for one in specs)


def _stands_on(models: ModelStores, spec: str) -> Collection[str]:
    """The encoders whose vectors a trained model takes."""
    kind, _, version = spec.partition(":")
    if kind not in KINDS:
        return ()
    try:
        return [one["spec"] for one in models(kind).head(version)["encoders"].values()]
    except ModelVersionError:
        return ()


def _described(shops: ShopIndices, index: str) -> tuple[shop.ShopIndex, IndexProfile]:
    shop_index = shops.describe(index)
    if shop_index.profile is None:
        raise IndexConflictError(f"index {index!r} has no vectors yet; run `hybrid attach {index}` first")
    return shop_index, shop_index.profile


def _expect(kind: str, used: str | None, instead_of: str | None) -> None:
    if instead_of is not None and (used or NONE) != instead_of:
        raise ModelConflictError(
            f"somebody else made {used or 'no version'} of {kind} active meanwhile; look again, then decide"
        )
