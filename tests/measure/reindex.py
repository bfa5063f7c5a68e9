"""Prints the figures of `hybrid reindex`: under a writer and searches, when killed, rolled back, and what it costs.

hybrid up && python -m tests.measure.reindex --count 2000
python -m tests.measure.reindex --only writer --products ../shared/data/chorus/products.ndjson.gz
python -m tests.measure.reindex --only kills --seeds 20

The index was made by a shop with one shard and attached with another model, so that mapping, model and number of
shards all change. Every check is of a real `hybrid` process beside this one, which is the shop and its shoppers.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# Redis is started by a fork, and OpenBLAS hangs where one comes while another thread multiplies on its pool.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import psutil
from elasticsearch import NotFoundError

from hybrid import node
from hybrid.operations.attach import plan_attach, run_attach
from hybrid.services import Services, build_services
from hybrid.settings import Settings
from tests.measure.attach import rows_of
from tests.support.raw import client_of
from tests.support.shop_searchers import Answered, LayerShopper, OwnWrites, PlainShopper
from tests.support.shop_writer import ShopWriter, compare, make_shop

NAME = "show-reindex"
#: Seconds that a write may wait where nothing is killed.
_PATIENCE_S = 5.0
_ROLLBACK_S = 1.0
_OVERHEAD = 1.3
_NOTHING = re.compile(r"nothing to resume|no reindex|had not begun")


# -- the shop ------------------------------------------------------------------------------------------------------


@dataclass
class Shop:
    """An attached index behind an alias, on its own. before: every index that there was before the reindex."""

    services: Services
    alias: str
    rows: list[dict[str, Any]]
    options: argparse.Namespace
    before: set[str] = field(default_factory=set)

    @property
    def old(self) -> str:
        return f"{self.alias}-v1"

    def make(self) -> None:
        self.delete()
        make_shop(client_of(self.services), self.old, self.rows, 1, alias=self.alias)
        earlier = services_with(self.services, self.options.old_encoder)
        report = run_attach(earlier, plan_attach(earlier, self.alias, signals=["text"]))
        assert report.complete, report
        self.before = self.every_index()

    def delete(self) -> None:
        """All that is called like it."""
        for name in self.every_index():
            if name.startswith(self.alias):
                client_of(self.services).options(request_timeout=60, ignore_status=404).indices.delete(index=name)

    def every_index(self) -> set[str]:
        return set(
            client_of(self.services).indices.get(index="*", expand_wildcards="all", filter_path="*.aliases").body
        )

    def behind(self) -> list[str]:
        """What the alias stands for."""
        try:
            return sorted(client_of(self.services).indices.get_alias(name=self.alias).body)
        except NotFoundError:
            return []

    @property
    def words(self) -> list[str]:
        """What shoppers look for: words of many products."""
        counts = Counter(
            word
            for row in self.rows
            for word in set(
                re.findall(
                    r"(?<![\w.])[a-z]{4,}(?![\w.])", f"{row.get('title')} {row.get('short_description')}".lower()
                )
            )
        )
        return [word for word, _ in counts.most_common(8)]

    @property
    def supplier(self) -> str:
        return Counter(str(row["supplier"]) for row in self.rows if row.get("supplier")).most_common(1)[0][0]


def services_with(services: Services, encoder: str) -> Services:
    """Services of their own on the same servers."""
    return Services(
        services.settings.model_copy(
            update={"es_url": services.es_url, "redis_url": services.redis_url, "text_encoder": encoder}
        )
    )


class Crowd:
    """The writer, four shoppers and one who reads his own writes, from `with` to its end."""

    def __init__(self, shop: Shop, rate: int, seed: int = 1) -> None:
        services = shop.services
        self.writer = ShopWriter(client_of(services), shop.alias, shop.rows, rate, seed, lenient=True)
        self.own = OwnWrites(client_of(services_with(services, shop.options.encoder)), shop.alias)
        self.hurry = threading.Event()
        self._shoppers: list[PlainShopper | LayerShopper] = []
        for kind in (PlainShopper, LayerShopper) * shop.options.shoppers:
            mine = services_with(services, shop.options.encoder)
            self._shoppers.append(kind(mine, shop.alias, self.writer, shop.words, shop.supplier, self.hurry))
        self.plain, self.layer = Answered(), Answered()
        self._stopped = False

    def __enter__(self) -> Crowd:
        for thread in (self.writer, self.own, *self._shoppers):
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        if self._stopped:
            return
        self._stopped = True
        with contextlib.suppress(BaseException):  # it stands in `failure`, and is printed
            self.writer.stop()
        self.own.stop()
        if self.own.row is not None:
            self.writer.record[OwnWrites.ID] = self.own.row
        for shopper in self._shoppers:
            _add(self.plain if isinstance(shopper, PlainShopper) else self.layer, shopper.stop())

    def figures(self) -> dict[str, Any]:
        writer = self.writer
        return {
            "writes": sum(writer.kinds.values()),
            "per_second": round(sum(writer.kinds.values()) / max(0.001, writer.seconds), 1),
            **writer.kinds,
            "failed_writes": sum(writer.refused.values()) + (writer.failure is not None),
            "longest_wait_s": round(writer.longest_wait_s, 3),
            **({"why": {**writer.refused, **({str(writer.failure)[:200]: 1} if writer.failure else {})}}
               if writer.refused or writer.failure else {}),
        }  # fmt: skip

    @property
    def clean(self) -> bool:
        good = not self.writer.refused and self.writer.failure is None
        return good and self.plain.clean and self.layer.clean and self.own.clean


def _add(total: Answered, one: Answered) -> None:
    for name, value in vars(one).items():
        setattr(total, name, getattr(total, name) + value)


# -- the command ---------------------------------------------------------------------------------------------------


@dataclass
class Ended:
    """How a command ended: its code (negative: the signal), its report on stdout, the last line on stderr."""

    code: int
    report: dict[str, Any]
    error: str
    seconds: float


_commands: list[Command] = []


class Command:
    """`hybrid reindex` in a session of its own, which its workers share: so what it leaves behind is found."""

    def __init__(self, shop: Shop, *arguments: str, encoder: str | None = None) -> None:
        options, services = shop.options, shop.services
        clean = {key: value for key, value in os.environ.items() if not key.startswith("HYBRID_")}
        environment = {
            **clean,
            "HYBRID_ES_URL": services.es_url,
            "HYBRID_REDIS_URL": services.redis_url,
            "HYBRID_DATA_DIR": str(services.settings.data_dir),
            "HYBRID_TEXT_ENCODER": encoder or options.encoder,
            **({"HYBRID_BATCH_SIZE": str(options.batch)} if options.batch else {}),
        }
        # Files, not pipes: workers that outlive the command would hold a pipe open.
        self._folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self._out, self._err = (Path(self._folder.name) / name for name in ("out", "err"))
        self._started = time.monotonic()
        _commands.append(self)
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self._process = subprocess.Popen(
                [*shlex.split(options.command), *arguments], env=environment, stdin=subprocess.DEVNULL, stdout=out,
                stderr=err, start_new_session=True,
            )  # fmt: skip

    def running(self) -> bool:
        return self._process.poll() is None

    def kill(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def group(self) -> list[psutil.Process]:
        """What it started and still runs, itself left out."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(ProcessLookupError, psutil.Error):
                alive = process.status() != psutil.STATUS_ZOMBIE
                if process.pid != self._process.pid and alive and os.getsid(process.pid) == self._process.pid:
                    found.append(process)
        return found

    def workers(self) -> list[psutil.Process]:
        found = []
        for process in self.group():
            with contextlib.suppress(psutil.Error):
                if "celery" in " ".join(process.cmdline()):
                    found.append(process)
        return found

    def end(self) -> int:
        """Kill it and what it left behind; how many processes that is."""
        if self.running():
            self.kill()
        left = self.group()
        for process in left:
            with contextlib.suppress(psutil.Error):
                process.kill()
        return len(left)

    def wait(self, seconds: float) -> Ended:
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
        return self.ended()

    def ended(self) -> Ended:
        code = self._process.wait()
        try:
            report = json.loads(self._out.read_bytes() or b"{}")
        except ValueError:
            report = {}
        lines = self._err.read_text(errors="replace").strip().splitlines() if code else []
        said = [line for line in lines if line.startswith("hybrid:")] or lines
        return Ended(code, report, said[-1][:300] if said else "", round(time.monotonic() - self._started, 2))


def reindex(shop: Shop, *more: str, workers: int | None = None) -> Command:
    options = shop.options
    count = options.workers if workers is None else workers
    pool = ("--workers", str(count)) if count else ()
    return Command(shop, "reindex", shop.alias, "--shards", str(options.shards), *pool, "--json", *more)


def again(shop: Shop, what: str) -> Command:
    return Command(shop, "reindex", shop.alias, what, "--json")


def say(check: str, what: str, figures: dict[str, Any]) -> None:
    print(json.dumps({"check": check, "what": what, **figures}, default=str), flush=True)


class Switch(threading.Thread):
    """Watches the old index for the moment when its writes are held up or the alias leaves it.

    From then on shoppers make no pauses, so that searches are under way while the alias moves.
    """

    def __init__(self, shop: Shop, crowd: Crowd) -> None:
        super().__init__(name="switch", daemon=True)
        self._hurry = crowd.hurry
        self._client, self._shop = client_of(services_with(shop.services, shop.options.encoder)), shop
        self._ending = threading.Event()
        self.begun: float | None = None
        self.moved: float | None = None
        self.without = 0  # looks that found no index, or several, behind the alias

    def run(self) -> None:
        while not self._ending.is_set() and self.moved is None:
            with contextlib.suppress(Exception):
                self._look()
            time.sleep(0.01)
        self._ending.wait(1)
        self._hurry.clear()

    def stop(self) -> None:
        self._ending.set()
        self.join()
        self._hurry.clear()

    def _look(self) -> None:
        found = self._client.indices.get(
            index=self._shop.old, flat_settings=True, filter_path="*.aliases,*.settings.index.*"
        ).body.get(self._shop.old, {})  # fmt: skip
        behind = self._shop.alias in found.get("aliases", {})
        held = any(key.startswith(("index.write.", "index.blocks.")) for key in found.get("settings", {}))
        if self.begun is None and (held or not behind):
            self.begun = time.monotonic()
            self._hurry.set()
        if not behind:
            self.moved = time.monotonic()
        if len(self._shop.behind()) != 1:
            self.without += 1


# -- what must hold at the end -------------------------------------------------------------------------------------


def compared(check: str, shop: Shop, crowd: Crowd, encoder: str) -> bool:
    """The index behind the alias against the shop's record: as it is, and after one sync as a schedule would."""
    services = services_with(shop.services, encoder)
    good = True
    if len(shop.behind()) != 1:
        say(check, "no one index behind the alias", {"alias": shop.behind()})
        return False
    for when in ("as it is", "after one sync"):
        if when != "as it is":
            sync = Command(shop, "sync", shop.alias, "--json", encoder=encoder).wait(600)
            good = good and sync.code == 0
            say(check, "sync", {"code": sync.code, "error": sync.error, **sync.report})
        profile = shop.services.cluster.indices.read_profile(shop.alias)
        verdict = compare(services, profile, crowd.writer.record, vectors=encoder.startswith("toy"))
        of_shop = not (verdict.lost or verdict.resurrected or verdict.shop_fields_changed)
        good = good and (of_shop if when == "as it is" else verdict.clean)
        examples = {
            name: value[:3] for name, value in vars(verdict).items() if isinstance(value, list) and value
        }  # fmt: skip
        figures = {**verdict.counts(), **({"examples": examples} if examples else {})}
        say(check, f"every document against the shop's record, {when}", figures)
    return good


def left_over(check: str, shop: Shop) -> bool:
    """Whether only the two indices are there, the alias at one, and nothing that holds up writes."""
    client = client_of(shop.services)
    described = client.indices.get(index=f"{shop.alias}*", flat_settings=True, expand_wildcards="all").body
    made = sorted(name for name in shop.every_index() - shop.before if not name.startswith("hybrid-"))
    aliases = sorted({alias for index in described.values() for alias in index.get("aliases", {})} - {shop.alias})
    held = {
        name: found
        for name, index in described.items()
        if (found := {key: value for key, value in index["settings"].items() if _odd(key)})
    }
    new = shop.behind()
    wrong = [
        *(f"write setting on {name}" for name, found in held.items() if name in new or _waits(found)),
        *(["no old index"] if shop.old not in described else []),
        *(["indices beside the old and the new"] if made != new else []),
        *(["another alias"] if aliases else []),
    ]
    own = {
        name: client.search(index=name, size=20)["hits"]["hits"]
        for name in sorted(shop.every_index())
        if name.startswith("hybrid-lease")
    }
    contexts = sum(
        int(found["indices"]["search"]["open_contexts"])
        for found in client.nodes.stats(metric="indices", index_metric="search")["nodes"].values()
    )
    figures = {
        "alias": new, "made": made, "other_aliases": aliases, "settings": held, "wrong": wrong,
        "leases": {name: [hit["_source"] for hit in hits] for name, hits in own.items()}, "open_contexts": contexts,
    }  # fmt: skip
    say(check, "left over", figures)
    return not wrong


def _odd(key: str) -> bool:
    return key.startswith(("index.write.", "index.blocks.", "index.merge.")) or key == "index.refresh_interval"


def _waits(settings: dict[str, str]) -> bool:
    return any(key.startswith("index.write.") for key in settings)


def swapped(shop: Shop) -> bool:
    return len(shop.behind()) == 1 and shop.behind() != [shop.old]


# -- the checks ----------------------------------------------------------------------------------------------------


def writer(services: Services, rows: list[dict[str, Any]], options: argparse.Namespace) -> bool:
    """A reindex while the shop writes and shoppers search."""
    shop = Shop(services, f"{NAME}-writer", rows, options)
    shop.make()
    with Crowd(shop, options.rate) as crowd:
        switch = Switch(shop, crowd)
        time.sleep(2)
        switch.start()
        started = time.monotonic()
        ended = reindex(shop).wait(options.deadline)
        moved = swapped(shop)
        time.sleep(3)  # what comes after the swap matters as well
        crowd.stop()
        switch.stop()
    say("writer", "reindex", {"code": ended.code, "wall_s": ended.seconds, "error": ended.error, **ended.report})
    say("writer", "the switch", _switch(switch, started))
    good = ended.code == 0 and moved and bool(ended.report.get("complete")) and not switch.without
    good = _crowd("writer", crowd) and good and crowd.writer.longest_wait_s < _PATIENCE_S
    good = compared("writer", shop, crowd, options.encoder) and good
    good = left_over("writer", shop) and good
    shop.delete()
    return good


def _switch(switch: Switch, started: float) -> dict[str, Any]:
    return {
        "begun_s": round(switch.begun - started, 2) if switch.begun else None,
        "moved_s": round(switch.moved - started, 2) if switch.moved else None,
        "without_one_index": switch.without,
    }


def _crowd(check: str, crowd: Crowd) -> bool:
    say(check, "the shop's writes", crowd.figures())
    say(check, "its own writes read back", crowd.own.to_json())
    say(check, "searches of Elasticsearch", crowd.plain.to_json())
    say(check, "searches of the layer", crowd.layer.to_json())
    return crowd.clean


def kills(services: Services, rows: list[dict[str, Any]], options: argparse.Namespace) -> bool:
    """As `writer`, with kill -9 of the command, a worker and Redis."""
    if services.settings.redis_url is not None:
        print("kills: needs the embedded Redis: unset HYBRID_REDIS_URL", file=sys.stderr)
        return False
    shop = Shop(services, f"{NAME}-peace", rows, options)
    shop.make()
    with Crowd(shop, options.rate):
        ended = reindex(shop, workers=options.workers or 2).wait(options.deadline)
    say("kills", "undisturbed", {"code": ended.code, "wall_s": ended.seconds, "error": ended.error, **ended.report})
    shop.delete()
    if ended.code != 0:
        return False
    bad = []
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        if not _killed(Shop(services, f"{NAME}-kill-{seed:03}", rows, options), seed, ended.seconds):
            bad.append(seed)
    say("kills", "seeds", {"of": options.seeds, "failed": bad})
    return not bad


@dataclass
class Blow:
    """What is to be killed, and when: seconds after the first start, or after the switch begins."""

    what: str
    after: float
    at_switch: bool = False
    done: str = ""


def blows(seed: int, duration: float) -> list[Blow]:
    """What befalls the run of a seed: command, worker and Redis each once, the command often once more, and in half
    of the seeds while it switches."""
    chance = random.Random(seed)
    # Workers live until what is to be encoded is encoded; the command and the broker, to the end.
    until = {"command": 1.0, "worker": 0.6, "redis": 1.0}
    planned = [Blow(what, chance.uniform(0.02, end) * duration) for what, end in until.items()]
    if chance.random() < 0.5:
        planned.append(Blow("command", chance.uniform(0.1, 1.5) * duration))
    if chance.random() < 0.5:
        planned.append(Blow("command", chance.uniform(0, 0.4), at_switch=True))
    return sorted(planned, key=lambda blow: (blow.at_switch, blow.after))


def _killed(shop: Shop, seed: int, duration: float) -> bool:
    check, chance = f"kills {seed}", random.Random(1000 + seed)
    shop.make()
    planned = blows(seed, duration)
    commands: list[Command] = []
    ends: list[str] = []
    ended = None
    workers = shop.options.workers or 2
    with Crowd(shop, shop.options.rate, seed) as crowd:
        switch = Switch(shop, crowd)
        time.sleep(1)
        switch.start()
        started = time.monotonic()
        commands.append(reindex(shop, workers=workers))
        while time.monotonic() - started < min(shop.options.deadline, 60 + 8 * duration):
            _strike(shop, commands[-1], planned, switch, started, chance)
            if commands[-1].running():
                time.sleep(0.01)
                continue
            ended = commands[-1].ended()
            ends.append(f"{ended.code} {ended.error}".strip())
            if ended.code == 0:
                break
            nothing = ended.code == 1 and bool(_NOTHING.search(ended.error))
            if nothing and swapped(shop):  # killed between its last step and its report
                break
            time.sleep(chance.uniform(0.2, 1.0))
            commands.append(reindex(shop, workers=workers) if nothing else again(shop, "--resume"))
        finished = not commands[-1].running()
        seconds = time.monotonic() - started
        moved = swapped(shop)
        time.sleep(2)
        crowd.stop()
        switch.stop()
    beside = sum(_names(process, shop.alias) for process in psutil.process_iter())
    orphans = sum(command.end() for command in commands)
    done = [f"{blow.what}{' at the switch' if blow.at_switch else ''} {blow.done}" for blow in planned if blow.done]
    say(check, "reindex", {
        "killed": done, "starts": len(commands), "ends": ends, "finished": finished, "swapped": moved,
        "took_s": round(seconds, 1), "undisturbed_s": duration, "processes_left": orphans, "of_them_by_name": beside,
        **_switch(switch, started), **(ended.report if ended else {}),
    })  # fmt: skip
    good = _crowd(check, crowd) and finished and moved and not switch.without
    good = compared(check, shop, crowd, shop.options.encoder) and good
    good = left_over(check, shop) and good
    shop.delete()
    print(f"{check}: {'passed' if good else 'FAILED'}", flush=True)
    return good


def _names(process: psutil.Process, alias: str) -> bool:
    """Whether a process has the alias in its command line."""
    with contextlib.suppress(psutil.Error):
        return alias in process.cmdline()
    return False


def _strike(
    shop: Shop, command: Command, planned: Sequence[Blow], switch: Switch, started: float, chance: random.Random
) -> None:
    """Kill what is due. A worker is waited for where none runs yet."""
    now = time.monotonic()
    for blow in planned:
        since = switch.begun if blow.at_switch else started
        if blow.done or since is None or now < since + blow.after or not command.running():
            continue
        if blow.what == "command":
            command.kill()
        elif blow.what == "worker":
            workers = command.workers()
            if not workers:
                continue
            with contextlib.suppress(psutil.Error):
                chance.choice(workers).kill()
        else:
            _kill_redis(shop.services, chance.uniform(0.1, 2.0))
        blow.done = f"at {now - started:.2f} s"


def _kill_redis(services: Services, away: float) -> None:
    """Kill the broker, and start it again as `hybrid up` does."""
    before = node.status(services.settings)
    assert before.redis_pid is not None
    os.kill(before.redis_pid, signal.SIGKILL)
    time.sleep(away)
    after = node.up(services.settings)
    assert (after.redis_url, after.es_pid) == (before.redis_url, before.es_pid), "it came back elsewhere"
    assert after.redis_pid != before.redis_pid


def rollback(services: Services, rows: list[dict[str, Any]], options: argparse.Namespace) -> bool:
    """Back to the old index while the shop writes and shoppers search, with all that was written since."""
    shop = Shop(services, f"{NAME}-back", rows, options)
    shop.make()
    forward = reindex(shop).wait(options.deadline)
    good = forward.code == 0 and swapped(shop)
    new = shop.behind()
    with Crowd(shop, options.rate) as crowd:
        time.sleep(3)
        ended = again(shop, "--rollback").wait(options.deadline)
        behind = shop.behind()
        time.sleep(3)
        crowd.stop()
    seconds = ended.report.get("seconds")
    say("rollback", "rollback", {
        "code": ended.code, "wall_s": ended.seconds, "error": ended.error, "alias": behind, "was": new, **ended.report
    })  # fmt: skip
    good = good and ended.code == 0 and behind == [shop.old] and seconds is not None and seconds < _ROLLBACK_S
    good = _crowd("rollback", crowd) and good and crowd.writer.longest_wait_s < _PATIENCE_S
    good = compared("rollback", shop, crowd, options.old_encoder) and good
    shop.delete()
    return good


def overhead(services: Services, rows: list[dict[str, Any]], options: argparse.Namespace) -> bool:
    """The time under the writer by the time without; nobody searches meanwhile."""
    times: dict[str, list[float]] = {"without": [], "with": []}
    walls: dict[str, list[float]] = {"without": [], "with": []}
    shop = Shop(services, f"{NAME}-cost", rows, options)
    for _ in range(options.repeats):
        for how in ("without", "with"):
            shop.make()
            beside = ShopWriter(client_of(services), shop.alias, rows, options.rate, lenient=True)
            with _running(beside) if how == "with" else contextlib.nullcontext():
                ended = reindex(shop).wait(options.deadline)
            say("overhead", f"{how} the writer", {
                "code": ended.code, "wall_s": ended.seconds, "error": ended.error, **ended.report
            })  # fmt: skip
            moved = swapped(shop)
            shop.delete()
            if ended.code != 0 or not moved:
                return False
            times[how].append(float(ended.report["seconds"]))
            walls[how].append(ended.seconds)
    ratio = min(times["with"]) / max(0.01, min(times["without"]))
    wall = min(walls["with"]) / min(walls["without"])
    say("overhead", "ratio", {"seconds": times, "ratio": round(ratio, 3), "of_the_command": round(wall, 3)})
    return ratio <= _OVERHEAD


@contextlib.contextmanager
def _running(beside: ShopWriter) -> Iterator[None]:
    beside.start()
    try:
        yield
    finally:
        beside.stop()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--products", type=Path, help="a catalogue (.ndjson.gz); generated products if not given")
    parser.add_argument("--count", type=int, help="at most so many products; 2,000 for the kills")
    parser.add_argument("--rate", type=int, default=200, help="writes a second")
    parser.add_argument("--workers", type=int, default=0, help="Celery workers of the command; 2 for the kills")
    parser.add_argument("--shards", type=int, default=2, help="of the new index; the old one has one")
    parser.add_argument("--seeds", type=int, default=20, help="kills: how many runs")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--shoppers", type=int, default=1, help="of each kind")
    parser.add_argument("--repeats", type=int, default=1, help="overhead: runs with and without; the shortest count")
    parser.add_argument("--encoder", default="toy:32", help="of the new index, e.g. minilm")
    parser.add_argument("--old-encoder", default="toy:16", help="of the old one")
    parser.add_argument("--batch", type=int, help="HYBRID_BATCH_SIZE of the command")
    parser.add_argument("--deadline", type=float, default=1200.0, help="seconds until a run counts as hung")
    parser.add_argument("--command", default=f"{shlex.quote(sys.executable)} -m hybrid.cli", help=argparse.SUPPRESS)
    checks: dict[str, Callable[[Services, list[dict[str, Any]], argparse.Namespace], bool]] = {
        "writer": writer, "kills": kills, "rollback": rollback, "overhead": overhead,
    }  # fmt: skip
    parser.add_argument("--only", choices=list(checks), action="append")
    options = parser.parse_args()
    services = build_services(Settings(text_encoder=options.encoder, es_timeout_s=30))
    say("all", "engine", {"elasticsearch": services.cluster.capabilities.version_text})
    good = True
    # A polite kill ends what was started, as Ctrl-C does.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        for name, run in checks.items():
            if options.only and name not in options.only:
                continue
            count = options.count or (2_000 if name == "kills" else None)
            try:
                passed = run(services, rows_of(options.products, count), options)
            except Exception as error:  # an index in such a state that it cannot even be looked at
                say(name, "broken", {"error": f"{type(error).__name__}: {error}"[:300]})
                passed = False
            print(f"{name}: {'passed' if passed else 'FAILED'}", flush=True)
            good = good and passed
    finally:
        for command in _commands:
            command.end()
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
