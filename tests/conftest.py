"""Which tests run where, and shared fixtures: a real engine, services, the sample and web catalogues, shared data.

A test with the fixture `engine` runs on the first version of HYBRID_TEST_ES (9), and on every one if it is marked
`es_both`: what it tests depends on the engine's version. `--long` runs every test on every version, and those that are
marked `long`. `pytest -n 2` (as `make test` does) gives each version's tests to one process; see
tests.support.scheduling.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import psutil
import pytest
from argon2 import PasswordHasher

from hybrid import node
from hybrid.encoders.bge_zh import fetched
from hybrid.errors import EncoderError
from hybrid.node import NodeStatus
from hybrid.node.places import locked
from hybrid.node.process import last_words
from hybrid.operations import indexing
from hybrid.sample import SamplePaths, write_sample
from hybrid.services import Services
from hybrid.settings import Settings
from tests.support import web_services
from tests.support.baseline import Baseline
from tests.support.raw import client_of
from tests.support.remembered import RememberingServices
from tests.support.web_services import WebShop

ROOT = Path(__file__).parent.parent
SHARED = ROOT.parent / "shared" / "data"
#: A file system in memory, where the system has one.
MEMORY = Path("/dev/shm")
_SHOWN_AT_ONCE = 3_000  # letters of a failure
VERSIONS = os.environ.get("HYBRID_TEST_ES", "9,8").split(",")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="also what is marked `long`, and all on every version")
    parser.addoption("--write-baseline", action="store_true", help="accept the quality that is measured; without -n")


def pytest_configure(config: pytest.Config) -> None:
    """Engines of the tests live for minutes: their Java does not optimise what it runs, and their data is in memory."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        return  # has the environment of the process that started it
    if config.getoption("numprocesses", None):
        config.pluginmanager.register(_AtOnce(config))
    os.environ.setdefault("HYBRID_ES_JVM_OPTIONS", "-XX:TieredStopAtLevel=1")
    if "HYBRID_NODE_DIR" not in os.environ and MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > 4 * 2**30:
        for left in MEMORY.glob("hybrid-test-*"):  # of a run that was killed
            if not psutil.pid_exists(int(left.name.rpartition("-")[2])):
                shutil.rmtree(left, ignore_errors=True)
        folder = MEMORY / f"hybrid-test-{os.getpid()}"
        os.environ["HYBRID_NODE_DIR"] = str(folder)
        config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))


class _AtOnce:
    """Prints a failure when it happens, for a run that is ended from outside has no summary."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        terminal = self._config.pluginmanager.get_plugin("terminalreporter")
        if report.failed and terminal is not None:
            terminal.ensure_newline()
            terminal.section(f"{report.nodeid} ({report.when}, {report.duration:.0f} s)", sep="!")
            terminal.line(report.longreprtext[-_SHOWN_AT_ONCE:])


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give each test the versions of the engine that it runs on."""
    if "engine" in metafunc.fixturenames:
        each = metafunc.config.getoption("long") or metafunc.definition.get_closest_marker("es_both")
        versions = VERSIONS if each else VERSIONS[:1]
        metafunc.parametrize("engine", versions, indirect=True, scope="session", ids=[f"es{one}" for one in versions])


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is long."""
    left_out = [] if config.getoption("long") else [item for item in items if item.get_closest_marker("long")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Of two processes, each has the engine of one version."""
    from tests.support.scheduling import VersionScheduling

    return VersionScheduling(config, log)


@pytest.fixture(scope="session", autouse=True)
def _quick_passwords() -> Iterator[None]:
    """Hashing a password is slow by intent, and each test of the admin page hashes three."""
    with pytest.MonkeyPatch.context() as patch:
        quick = functools.partial(PasswordHasher, time_cost=1, memory_cost=64, parallelism=1)
        patch.setattr("hybrid.accounts.PasswordHasher", quick)
        yield


@pytest.fixture(scope="session")
def baseline(pytestconfig: pytest.Config) -> Baseline:
    """Figures of quality to compare with."""
    return Baseline(pytestconfig.getoption("write_baseline"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of the real data; absent, tests skip, but not in CI."""
    if not SHARED.is_dir():
        if os.environ.get("CI"):
            pytest.fail("../shared/data is absent, and CI must have it")
        pytest.skip("../shared/data is absent")
    return SHARED


@pytest.fixture(scope="session")
def engine(request: pytest.FixtureRequest) -> Iterator[NodeStatus]:
    """A real Elasticsearch of a version with a real Redis, for the whole run; see pytest_generate_tests."""
    settings = Settings(es_url=None, redis_url=None)
    name = f"test-{os.getpid()}-{request.param.replace('.', '-')}"
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("hybrid.node.engine.READY_TIMEOUT_S", 600.0)  # the machine may be busy
            started = node.up(settings, name=name, version=request.param)
        yield started
    finally:
        node.down(settings, name=name, wipe=True)


@pytest.fixture(autouse=True)
def _engine_lives(request: pytest.FixtureRequest) -> None:
    """Else each further test would wait for an engine that is gone, and the run would end without a word."""
    if "engine" in request.fixturenames:
        status: NodeStatus = request.getfixturevalue("engine")
        if status.es_pid and not is_running(status.es_pid):
            pytest.fail(f"the engine of the tests has ended; its log: {last_words((status.es_log, 0))}", pytrace=False)


def is_running(pid: int) -> bool:
    """Whether there is such a process, and it is not over."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def make_services(engine: NodeStatus, **changes: Any) -> Services:
    """Services on a test engine; the toy encoder unless told otherwise."""
    defaults = {
        "es_url": engine.es_url,
        "redis_url": engine.redis_url,
        "text_encoder": "toy:32",
        "image_encoder": "toy:32",
    }
    return Services(Settings(**{**defaults, **changes}))


@pytest.fixture
def services(engine: NodeStatus) -> Services:
    return make_services(engine)


@pytest.fixture
def name(engine: NodeStatus) -> Iterator[str]:
    """A unique index name; the index is deleted afterwards."""
    unique = f"t{uuid.uuid4().hex[:10]}"
    yield unique
    client = client_of(make_services(engine))
    for concrete in list(client.indices.get(index=f"{unique}*", expand_wildcards="all").body):
        client.indices.delete(index=concrete)


class Sample(NamedTuple):
    """The sample catalogue, indexed."""

    services: Services
    name: str
    paths: SamplePaths


def real_services(engine: NodeStatus) -> Services:
    """Services with the models that searches use by default; what they encoded before is on disk."""
    named = {"text_encoder": "minilm", "image_encoder": "efficientnet-lite0"}
    return RememberingServices(make_services(engine, es_timeout_s=30, **named).settings)


def index_file(services: Services, path: Path, name: str, folder: Path, **options: Any) -> indexing.IndexReport:
    """Index a catalogue, its rejects into `folder`."""
    return indexing.run_index(
        services, indexing.plan_index(services, path, name, **options), rejects_path=folder / "rejects"
    )


@pytest.fixture(scope="session")
def chinese_model() -> Path:
    """The jar with the encoder of Chinese texts. Where it cannot be fetched tests skip, but not in CI."""
    problem = _chinese_model()
    if problem is not None:
        pytest.skip(problem)
    return fetched(Settings())


def _chinese_model() -> str | None:
    """Why the encoder of Chinese texts cannot be had; that is an error in CI."""
    try:
        fetched(Settings())
    except EncoderError as error:
        if os.environ.get("CI"):
            pytest.fail(str(error))
        return str(error)
    return None


@pytest.fixture(scope="session")
def of_the_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that both processes of a run share."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture(scope="session")
def models(of_the_run: Path) -> Path:
    """A data folder whose networks are converted once a run."""
    folder = of_the_run / "models"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def sample_files(of_the_run: Path) -> SamplePaths:
    """The sample catalogue, drawn once a run; tests only read it."""
    with locked(of_the_run / "sample.lock"):
        return write_sample(of_the_run / "sample")


@pytest.fixture(scope="session")
def sample(engine: NodeStatus, sample_files: SamplePaths, tmp_path_factory: pytest.TempPathFactory) -> Sample:
    """The sample catalogue with real models, once an engine; tests only read it."""
    services = real_services(engine)
    report = index_file(services, sample_files.products, "tsample", tmp_path_factory.mktemp("rejects"))
    assert report.complete
    chinese = ["text_zh"] if _chinese_model() is None else []
    assert report.signals == ["lexical", "text", *chinese, "image"]
    # A merge in the background would change scores between two searches that a test compares.
    client_of(services).options(request_timeout=60).indices.forcemerge(index="tsample", max_num_segments=1)
    return Sample(services, "tsample", sample_files)


@pytest.fixture(scope="session")
def web_shop(engine: NodeStatus, tmp_path_factory: pytest.TempPathFactory) -> WebShop:
    """The small catalogues of the web tests, once an engine; tests only read them."""
    folder = tmp_path_factory.mktemp("web") / "media"
    folder.mkdir()
    web_services.write_pictures(folder)
    services = make_services(engine)
    shop = WebShop(services.settings, "tweb", "tweb-odd")
    for name, rows in ((shop.name, web_services.products()), (shop.odd, web_services.odd_products())):
        path = write_rows(folder.parent / f"{name}.ndjson", rows)
        index_file(services, path, name, folder.parent, signals=["text", "image"], media_root=folder)
    web_services.age_models(services, shop.odd)
    return shop


def npm_package(folder: Path, package: str) -> Path:
    """`folder` with a package of npm installed; without Node.js the test skips, but not in CI."""
    (folder / "package.json").write_text('{"private": true}')
    problem = "Node.js and npm are absent" if not (shutil.which("node") and shutil.which("npm")) else ""
    if not problem:
        wanted = ["npm", "install", "--prefer-offline", "--no-audit", "--no-fund", package]
        done = subprocess.run(wanted, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
        problem = "" if done.returncode == 0 else f"npm could not install {package}: {done.stderr[-300:]}"
    if problem:
        if os.environ.get("CI"):
            pytest.fail(problem)
        pytest.skip(problem)
    return folder


def write_rows(path: Path, rows: list[dict[str, Any]]) -> Path:
    """An NDJSON catalogue."""
    path.write_bytes(b"\n".join(orjson.dumps(row) for row in rows) + b"\n")
    return path
