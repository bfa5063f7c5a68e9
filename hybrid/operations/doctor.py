"""`hybrid doctor`: checks of the cluster, this machine and the indices, each with its status and its fix."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from hybrid.catalogue.documents import words_version
from hybrid.contracts import IndexProfile
from hybrid.elastic.client import Capabilities
from hybrid.elastic.cluster import Cluster
from hybrid.elastic.indices.changes import Checkpoints
from hybrid.elastic.indices.health import Health
from hybrid.elastic.stores.dead_letters import DeadLetters
from hybrid.errors import AccessRefusedError, HybridError, IndexConflictError, IndexMissingError, NodeError, UsageError
from hybrid.ingest.queue import TaskQueue
from hybrid.media.decoding import unsealed
from hybrid.operations.calibration import can_have_floor, is_old
from hybrid.operations.priors import said
from hybrid.operations.reindex import control
from hybrid.operations.reindex.running import FINAL, KIND
from hybrid.search import numbers
from hybrid.services import Services
from hybrid.signals import PRIOR, has_titles, title_of
from hybrid.text import analysis

#: From good to bad. A note needs no action; the last two are worth an alarm.
STATUSES = ("ok", "note", "degraded", "blocked")
_DISK_HIGH = 0.85  # Elasticsearch's low watermark: above it shards move away, and at 0.95 writes are blocked
_PRIVILEGES = "give them to the user or the API key; docs/operating/connect.md lists those that Hybrid needs"
_TESTED = ((8, 19), (9, 0))


@dataclass(frozen=True)
class Check:
    """One finding. part: "cluster", "machine" or "index NAME". fix: what to do, "" for nothing. sync: the index whose
    sync is the fix, "" for none."""

    part: str
    what: str
    status: str
    detail: str
    fix: str = ""
    sync: str = ""


@dataclass
class Diagnosis:
    """All findings, and the worst status among them."""

    checks: list[Check] = field(default_factory=list)

    @property
    def status(self) -> str:
        return max((check.status for check in self.checks), key=STATUSES.index, default="ok")

    @property
    def healthy(self) -> bool:
        return self.status in ("ok", "note")

    def to_json(self) -> dict[str, Any]:
        return {"status": self.status, "checks": [asdict(check) for check in self.checks]}


def examine(services: Services, index: str | None = None, refresh: bool = True) -> Diagnosis:
    """Check the cluster, this machine, and an index (all indices of the layer if none is named).

    Without `refresh` the checks cost the shop nothing: documents are counted as searches see them, which may be some
    seconds old.

    Raises:
        IndexMissingError: there is no index of that name.
    """
    diagnosis = Diagnosis()
    try:
        capabilities = services.cluster.capabilities
    except HybridError as error:
        fix = _PRIVILEGES if isinstance(error, AccessRefusedError) else ""
        diagnosis.checks.append(Check("cluster", "address", "blocked", str(error), fix))
        return diagnosis
    try:
        for check in _cluster(services.cluster, capabilities):
            diagnosis.checks.append(check)
    except HybridError as error:
        diagnosis.checks.append(Check("cluster", "access", "degraded", str(error), _PRIVILEGES))
    diagnosis.checks += _machine(services)
    try:
        names = [index] if index else services.searcher.indices()
    except HybridError as error:
        diagnosis.checks.append(Check("cluster", "indices", "blocked", str(error)))
        return diagnosis
    for name in names:
        try:
            for check in _index(services, name, refresh):
                diagnosis.checks.append(check)
        except IndexMissingError:
            raise
        except HybridError as error:
            diagnosis.checks.append(Check(f"index {name}", "access", "blocked", str(error)))
    return diagnosis


def coverage(services: Services) -> list[dict[str, Any]]:
    """For each index of the layer: its "name", and the counts of Health.coverage, as searches see them."""
    searcher = services.searcher
    return [
        {"name": name, **services.cluster.health.coverage(searcher.profile(name), refresh=False)}
        for name in searcher.indices()
    ]


def _cluster(cluster: Cluster, capabilities: Capabilities) -> Iterator[Check]:
    yield from _privileges(cluster.health)
    version, version_text = capabilities.version, capabilities.version_text
    if version < (8, 12):
        yield Check("cluster", "version", "blocked", version_text, "8.19 or 9.x is needed")
    elif version < _TESTED[0]:
        yield Check("cluster", "version", "note", f"{version_text}: not tested", "8.19 and 9.x are")
    else:
        yield Check("cluster", "version", "ok", version_text)
    licence = cluster.health.licence()
    if licence is None:
        yield Check("cluster", "licence", "note", "the cluster does not say; nothing above Basic is needed")
    else:
        kind, state = licence
        fix = "" if state == "active" else "renew it, or fall back with POST _license/start_basic"
        yield Check(
            "cluster", "licence", "ok" if state == "active" else "degraded", f"{kind}, {state}; Basic is enough", fix
        )
    health = cluster.health.status()
    yield Check(
        "cluster",
        "health",
        {"green": "ok", "yellow": "note"}.get(health, "degraded"),
        {"green": "green", "yellow": "yellow: a copy of a shard has no node"}.get(health, f"{health}: data is missing"),
        "" if health == "green" else "see GET _cluster/allocation/explain",
    )
    disk = cluster.health.fullest_disk()
    if disk is not None:
        high = disk > _DISK_HIGH
        fix = "free space before an attach: Elasticsearch blocks writes at its flood stage" if high else ""
        yield Check("cluster", "disk", "degraded" if high else "ok", f"the fullest is {disk:.0%} full", fix)
    missing = cluster.health.missing_modules()
    if missing:
        yield Check("cluster", "modules", "note", f"without {', '.join(missing)}; Hybrid needs none of them")
    else:
        yield Check("cluster", "modules", "ok", "analyzers and scripts of a full cluster; Hybrid needs none of them")
    if version >= (9, 2):
        detail = "_source hides vectors: clients that PUT back what they read drop them, and a sync restores them"
        yield Check("cluster", "vectors", "note", detail)


def _privileges(health: Health, index: str | None = None) -> Iterator[Check]:
    part = f"index {index}" if index else "cluster"
    missing = health.missing_privileges(index)
    if missing:
        yield Check(part, "privileges", "blocked", f"missing: {', '.join(missing)}", _PRIVILEGES)
    elif missing is not None and index is None:
        yield Check(part, "privileges", "ok", "those that Hybrid needs")


def _machine(services: Services) -> Iterator[Check]:
    settings = services.settings
    for kind, spec in (
        ("text", settings.text_encoder),
        ("text_zh", settings.text_zh_encoder),
        ("image", settings.image_encoder),
        ("audio", settings.audio_encoder),
    ):
        if not spec:
            continue
        try:
            encoder = services.encoder(spec)
            yield Check("machine", f"{kind} encoder", "ok", f"{spec} ({encoder.version}, {encoder.dims} dimensions)")
        except HybridError as error:
            fix = f"install its model, or choose another with HYBRID_{kind.upper()}_ENCODER"
            yield Check("machine", f"{kind} encoder", "degraded", f"{spec}: {error}", fix)
    yield decoder_sandbox()
    try:
        queue = TaskQueue(settings, services.redis_url)
    except NodeError as error:
        yield Check("machine", "broker", "note", f"{error}; without one, work is done in the command's own process")
        return
    try:
        queue.ping()
        yield Check("machine", "broker", "ok", "answers")
    except HybridError as error:
        yield Check("machine", "broker", "degraded", str(error))
    finally:
        queue.close()


def decoder_sandbox() -> Check:
    """Check what code of a file could do in the process that decodes it."""
    what = "decoder sandbox"
    try:
        why = unsealed()
    except HybridError as error:
        return Check("machine", what, "degraded", str(error), "install Hybrid's packages anew")
    if not why:
        return Check("machine", what, "ok", "limits of memory and time, and the system calls of decoding alone")
    detail = f"limits of memory and time alone: {why}"
    if sys.platform != "linux":
        return Check("machine", what, "note", detail, "decode files of strangers on Linux")
    fix = "install libseccomp (Debian: libseccomp2); the kernel, and a container, must allow filters of system calls"
    return Check("machine", what, "degraded", detail, fix)


def _index(services: Services, name: str, refresh: bool) -> Iterator[Check]:
    part = f"index {name}"
    yield from _privileges(services.cluster.health, name)
    try:
        profile = services.cluster.indices.read_profile(name)
    except IndexConflictError:
        yield from _attachable(services, name)
        return
    how = "attached to the shop's own index" if profile.attached else "made by Hybrid"
    yield Check(part, "layer", "ok", f"{how}; signals: {', '.join(['lexical', *profile.signals])}")
    again = f"hybrid attach {name}" if profile.attached else f"hybrid index FILE --index {name}"
    for signal_name, signal in profile.signals.items():
        try:
            version = services.encoder(signal.encoder).version
        except HybridError as error:
            yield Check(part, f"{signal_name} encoder", "degraded", f"cannot be had here: {error}", "install its model")
            continue
        if version != signal.version:
            detail = f"vectors are of {signal.encoder} {signal.version}, and queries here of {version}"
            yield Check(part, f"{signal_name} encoder", "degraded", detail, again)
        elif signal.titles:
            yield Check(part, title_of(signal_name), "ok", "titles have vectors of their own")
        elif has_titles(services.settings, signal_name):
            detail = "HYBRID_TITLE_VECTORS is on, and titles have no vectors here"
            yield Check(part, title_of(signal_name), "note", detail, f"{again}, or hybrid reindex {name}")
    here = words_version(profile.languages)
    lacking = "; ".join(analysis.lacks(profile.languages))
    if profile.analysis != here:
        detail = f"made by {profile.analysis}, and queries by {here}"
        yield Check(part, "words", "degraded", f"{detail}; {lacking}" if lacking else detail, again)
    elif lacking:
        yield Check(part, "words", "ok", lacking)
    yield from _floors(profile, services.cluster.indices.count(name))
    yield from _priors(profile)
    yield from _coverage(services.cluster, services.dead_letters, profile, refresh)
    yield from _in_step(services.cluster.health, services.checkpoints, profile)
    yield from _reindexed(services, name)
    model, problem = services.published.active(name)
    unknown = [signal for signal in ("lexical", *profile.signals) if signal not in model.signals]
    if PRIOR in model.signals:
        unknown += [prior.signal for prior in profile.priors if prior.signal not in model.shares]
    titled = [title_of(signal_name) for signal_name, signal in profile.signals.items() if signal.titles]
    unknown += [signal for signal in titled if signal not in model.shares]
    if problem:
        yield Check(
            part,
            "weights",
            "degraded",
            problem,
            f"hybrid train weights --index {name} --judgments FILE, or hybrid models rollback weights --index {name}",
        )
    elif unknown and model.kind != "fixed":
        detail = f"{model.version} was trained before there was {', '.join(unknown)}"
        yield Check(part, "weights", "degraded", detail, f"hybrid train weights --index {name} --judgments FILE")
    else:
        yield Check(part, "weights", "ok", f"{model.version} active")


def _floors(profile: IndexProfile, documents: int) -> Iterator[Check]:
    part, again = f"index {profile.index}", f"hybrid calibrate {profile.index}"
    for name in profile.signals:
        if name not in profile.floors:
            continue
        if is_old(profile, name):
            yield Check(part, f"{name} floor", "degraded", "calibrated with another encoder, so not in force", again)
            continue
        cosines = ", ".join(f"{cosine:.2f} for {script}" for script, cosine in profile.floors[name].cosines.items())
        yield Check(part, f"{name} floor", "ok", f"a product that no word finds needs a cosine of {cosines}")
    if not profile.floors and can_have_floor(profile, documents):
        yield Check(part, "floor", "note", "none, so vectors bring products for nonsense too", again)


def _priors(profile: IndexProfile) -> Iterator[Check]:
    usable = numbers.of(profile)
    for prior in profile.priors:
        if prior in usable:
            yield Check(f"index {profile.index}", prior.signal, "ok", said(prior))
        else:
            detail = (
                f"{prior.field} is no {'date' if prior.is_date else 'number'} of this catalogue, so it does not count"
            )
            fix = f"hybrid priors set FIELDS --index {profile.index}"
            yield Check(f"index {profile.index}", prior.signal, "degraded", detail, fix)


def _attachable(services: Services, name: str) -> Iterator[Check]:
    from hybrid.operations.attach import plan_attach

    part = f"index {name}"
    try:
        plan = plan_attach(services, name)
    except (IndexConflictError, UsageError) as error:
        yield Check(part, "attach", "blocked", str(error))
        return
    for blocker in plan.blockers:
        yield Check(part, "attach", "blocked", blocker)
    if not plan.blockers:
        detail = f"not attached; nothing stands in the way ({plan.shop.documents:,} documents)"
        yield Check(part, "attach", "note", detail, f"hybrid attach {name} --dry-run")
    for note in plan.notes:
        yield Check(part, "once attached", "note", note)


def _coverage(cluster: Cluster, dead_letters: DeadLetters, profile: IndexProfile, refresh: bool) -> Iterator[Check]:
    part = f"index {profile.index}"
    sync = f"hybrid sync {profile.index}"
    coverage = cluster.health.coverage(profile, refresh)
    total = coverage["documents"]
    if coverage["unseen"]:
        detail = f"{coverage['unseen']:,} of {total:,} documents were never enriched, or written whole since"
        yield Check(part, "documents", "degraded", detail, sync, profile.index)
    else:
        yield Check(part, "documents", "ok", f"{total:,}, all of them seen")
    for name, counts in coverage["signals"].items():
        share = counts["with"] / total if total else 1.0
        detail = f"{counts['with']:,} of {total:,} have a vector ({share:.1%})"
        fix = ""
        if counts["lost"]:
            detail += f"; {counts['lost']:,} lost theirs to a whole-document write"
            fix = sync
        if counts["outdated"]:
            detail += f"; {counts['outdated']:,} are of another encoder"
            fix = sync
        yield Check(part, f"{name} vectors", "degraded" if fix else "ok", detail, fix, profile.index if fix else "")
    for name in cluster.indices.scanned(profile, total):
        detail = "more of them are scanned by each search than is quick"
        fix = f"{sync}, by a user who may change the mapping"
        yield Check(part, f"{name} vectors", "note", detail, fix, profile.index)
    if coverage["pending"]:
        fix = f"{sync}, or wait for the workers"
        detail = f"{coverage['pending']:,} documents wait for vectors"
        yield Check(part, "waiting", "degraded", detail, fix, profile.index)
    by_reason = dead_letters.counts(profile.index)
    if by_reason:
        listed = ", ".join(
            f"{count:,} {reason}" for reason, count in sorted(by_reason.items(), key=lambda item: -item[1])
        )
        again = f"hybrid attach {profile.index}" if profile.attached else f"hybrid index FILE --index {profile.index}"
        yield Check(part, "failures", "degraded", listed, f"mend the cause (/admin/failures shows each), then {again}")


def _reindexed(services: Services, name: str) -> Iterator[Check]:
    """Checks for a reindex that was left unfinished, and for old indices."""
    latest = services.jobs.latest(KIND, name)
    if latest is None:
        return
    state = control.status(services, name)
    where = f"{state['old']} -> {state['new']}, {state['status']} in phase {state['phase']!r}"
    if state["running"]:
        yield Check(f"index {name}", "reindex", "note", f"running: {where}")
    elif state["phase"] in ("swap", "drained"):
        fix = f"hybrid reindex {name} --resume"
        yield Check(f"index {name}", "reindex", "blocked", f"{where}: writes wait, and fail after a minute", fix)
    elif state["status"] not in FINAL:
        fix = f"hybrid reindex {name} --resume, or --cancel"
        yield Check(f"index {name}", "reindex", "degraded", where, fix)
    elif old := control.old_indices(services, name):
        detail = f"{', '.join(old)} kept, for a rollback or by one, taking disk"
        yield Check(f"index {name}", "reindex", "note", detail, f"hybrid reindex {name} --drop-old")


def _in_step(health: Health, checkpoints: Checkpoints, profile: IndexProfile) -> Iterator[Check]:
    part = f"index {profile.index}"
    if not profile.attached:
        return
    at = checkpoints.saved_at(profile.index)
    writes = health.writes_since(profile.index, checkpoints.get(profile.index))
    sync = f"hybrid sync {profile.index}, and hybrid worker --beat from then on"
    if at is None or writes is None:
        yield Check(
            part,
            "in step",
            "degraded",
            "not looked at since the attach, or since another index came behind the name",
            sync,
            profile.index,
        )
    else:
        yield Check(part, "in step", "ok" if not writes else "note", f"{writes:,} writes since the last look at {at}")
