"""Inference on the CPU: models converted once to OpenVINO's format, and one compiled model a process.

A model is converted in a child process, so that torch (600 MB) never enters a worker, and kept under
`data_dir/models/<version>/`. Whatever goes wrong on that way ends in stock torch and a logged warning.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from hybrid.encoders.base import steps, thread_count
from hybrid.errors import EncoderError
from hybrid.settings import Settings

log = logging.getLogger(__name__)

CONVERSION_TIMEOUT_S = 900
#: Batches run one thread a stream: no waiting between threads inside a batch. Each stream has its own working
#: memory, so that on big machines streams get several threads instead of growing in number.
MAX_STREAMS = 16
#: A single picture uses all threads at once, as far as its parts can be shared out.
MAX_SINGLE_THREADS = 8

Job = tuple[Sequence[int], list[np.ndarray]]  # (rows of the result that it fills, the model's inputs)


class ConversionFailed(RuntimeError):
    """Trying again would not help."""


class Graph(Protocol):
    """A loaded model. Safe for several threads at once."""

    def run(self, inputs: list[np.ndarray]) -> np.ndarray:
        """One batch through the model: (batch, dims) float32."""

    def run_jobs(self, jobs: Iterable[Job], out: np.ndarray) -> None:
        """Every job's result written to its rows of `out`; the dearest jobs best come first."""


def load_graph(kind: str, source: Path, version: str, settings: Settings, small: bool = False) -> Graph:
    """The model of a packaged encoder, ready to run.

    kind: what `convert` knows it by. source: its weights. version: the folder it is kept in. small: a single input has
    so little to compute that it takes one thread, as queries of a few words do.

    Raises:
        EncoderError: neither OpenVINO nor torch can run it; says why.
    """
    threads = thread_count(settings)
    try:
        core = _core()
    except Exception as error:  # a broken installation raises ImportError, OSError, RuntimeError, ...
        log.warning("OpenVINO cannot be loaded (%s); %s runs in torch, at half the speed", _line(error), kind)
        return TorchGraph(kind, source, threads)
    for attempt in (1, 2):
        try:
            with _converted(kind, source, version, settings) as folder:
                xml = folder / "model.xml"
                return OpenVinoGraph(core, xml, threads, small, lambda: TorchGraph(kind, source, threads))
        except Exception as error:  # OpenVINO raises RuntimeError and its own; whatever it is, torch can do it
            if attempt == 2 or isinstance(error, ConversionFailed):
                log.warning("OpenVINO cannot run %s (%s); torch does, at half the speed", kind, _line(error))
                break
            # A damaged file on disk is the likeliest cause: make it anew, once.
            log.info("%s: %s; converting again", version, _line(error))
            _set_aside(_folder(version, settings))
    return TorchGraph(kind, source, threads)


class OpenVinoGraph:
    """A model compiled for single inputs, for batches, or for both: each on its first use.

    A web process so pays for the one only, and a worker for the other only. Small inputs take a thread each, as batches
    do: a second thread made a text of 8 tokens 1.4 times as quick for 1.3 times the work, and half as quick on a busy
    machine.
    """

    def __init__(self, core: Any, xml: Path, threads: int, small: bool, fallback: Callable[[], Graph]) -> None:
        """small: see `load_graph`. fallback: makes the graph to use should compiling fail."""
        self._core = core
        self._model = core.read_model(str(xml))  # mapped, not copied; outlives the file
        self._threads = threads
        self._small = small
        self._make_fallback = fallback
        self._fallback: Graph | None = None
        self._lock = threading.Lock()
        self._pools: dict[bool, queue.LifoQueue[Any]] = {}

    def run(self, inputs: list[np.ndarray]) -> np.ndarray:
        idle = self._requests(for_batches=self._small)
        if idle is None:
            return self._torch().run(inputs)
        request = idle.get()
        try:
            result = request.infer(inputs, share_inputs=True, share_outputs=True)
            return np.array(result[0], dtype=np.float32)  # a copy: the request's memory is reused
        finally:
            idle.put(request)

    def run_jobs(self, jobs: Iterable[Job], out: np.ndarray) -> None:
        idle = self._requests(for_batches=True)
        if idle is None:
            return self._torch().run_jobs(jobs, out)
        running: deque[tuple[Any, Job]] = deque()  # the inputs must live until their request is done

        def finish_oldest() -> Any:
            request, (rows, _) = running[0]
            request.wait()
            out[list(rows)] = request.get_output_tensor(0).data
            running.popleft()
            return request

        try:
            for job in jobs:
                # Only a thread that holds no request may wait for another thread to give one back;
                # otherwise two threads could each hold some and wait for ever.
                try:
                    request = idle.get(block=not running)
                except queue.Empty:
                    request = finish_oldest()
                running.append((request, job))
                request.start_async(job[1], share_inputs=True)
            while running:
                idle.put(finish_oldest())
        finally:
            for request, _ in running:  # only after an error
                _await_quietly(request)
                idle.put(request)
        return None

    def _requests(self, *, for_batches: bool) -> queue.LifoQueue[Any] | None:
        """The idle infer requests for this use, compiling now if need be; None if that failed."""
        pool = self._pools.get(for_batches)
        if pool is not None or self._fallback is not None:
            return pool
        with self._lock:
            if for_batches not in self._pools and self._fallback is None:
                try:
                    self._pools[for_batches] = self._compile(for_batches)
                except Exception as error:  # as in `load_graph`
                    log.warning("OpenVINO cannot compile the model (%s); torch runs it", _line(error))
                    self._fallback = self._make_fallback()
            return self._pools.get(for_batches)

    def _compile(self, for_batches: bool) -> queue.LifoQueue[Any]:
        threads = self._threads if for_batches else min(self._threads, MAX_SINGLE_THREADS)
        streams = min(threads, MAX_STREAMS) if for_batches else 1
        compiled = self._core.compile_model(
            self._model,
            "CPU",
            {
                "NUM_STREAMS": streams,
                "INFERENCE_NUM_THREADS": threads,
                # CPUs with bf16 would use it unasked, and give other vectors than those without.
                "INFERENCE_PRECISION_HINT": "f32",
                # Activations beside 8-bit weights: one scale for 64 values of one token. A text's vector so
                # does not depend on what else is in its batch.
                "DYNAMIC_QUANTIZATION_GROUP_SIZE": "64",
            },
        )
        idle: queue.LifoQueue[Any] = queue.LifoQueue()
        for _ in range(streams + 1):  # one more than runs at a time, so that a stream never waits for Python
            idle.put(compiled.create_infer_request())
        return idle

    def _torch(self) -> Graph:
        assert self._fallback is not None
        return self._fallback


class TorchGraph:
    """The same model in stock torch: the fallback where OpenVINO cannot be used."""

    def __init__(self, kind: str, source: Path, threads: int) -> None:
        try:
            import torch

            from hybrid.encoders.inference import networks
        except Exception as error:  # as of OpenVINO: a broken installation raises nearly anything
            raise EncoderError(
                f"{kind} needs openvino or torch, and neither can be loaded ({_line(error)}); install openvino"
            ) from error
        if kind not in networks.KINDS:
            raise EncoderError(f"{kind} runs in OpenVINO alone, and that cannot run it here; reinstall openvino")
        torch.set_num_threads(threads)
        try:
            self._module = networks.torch_module(kind, source)
        except Exception as error:  # of a damaged file: UnpicklingError, KeyError, RuntimeError, OSError, ...
            raise EncoderError(f"{kind} cannot be loaded from {source}: {_line(error)}; reinstall it") from error
        self._torch = torch

    def run(self, inputs: list[np.ndarray]) -> np.ndarray:
        with self._torch.inference_mode():
            result = self._module(*[self._torch.from_numpy(array) for array in inputs])
        return np.asarray(result.numpy(), dtype=np.float32)

    def run_jobs(self, jobs: Iterable[Job], out: np.ndarray) -> None:
        for rows, inputs in jobs:
            out[list(rows)] = self.run(inputs)


_loading = threading.Lock()


def _core() -> Any:
    with _loading:
        return _loaded_core()


@lru_cache(maxsize=1)
def _loaded_core() -> Any:
    # OpenVINO reports its use over the network through this module, already when it is imported. An import
    # that fails makes it do without.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    # It makes a table of types when it first needs one; two threads whose first inference comes at the same moment
    # wait for each other there for good, one for the table and one for Python's lock.
    openvino.Type.f32.to_dtype()
    return openvino.Core()


def _folder(version: str, settings: Settings) -> Path:
    return settings.data_dir / "models" / version.replace(":", "-")


@contextmanager
def _converted(kind: str, source: Path, version: str, settings: Settings) -> Iterator[Path]:
    """A folder with the whole converted model: the kept one, or where nothing can be kept a passing one."""
    folder = _folder(version, settings)
    if _is_whole(folder):
        yield folder
        return
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=".new-", dir=folder.parent))
    except OSError as error:
        log.warning("%s cannot be kept in %s (%s); it is converted in each process", version, folder, error)
        with tempfile.TemporaryDirectory(prefix="hybrid-model-") as passing:
            _convert(kind, source, Path(passing))
            yield Path(passing)  # deleted once read: what is mapped stays
        return
    try:
        with locked(folder.with_name(folder.name + ".lock")):
            if not _is_whole(folder):  # else another process was faster
                _set_aside(folder)
                _convert(kind, source, scratch)
                scratch.chmod(0o755)  # made for this user alone, but web and workers may be different ones
                os.rename(scratch, folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    yield folder


def _convert(kind: str, source: Path, folder: Path) -> None:
    """Fill `folder` in a child process; a note with the files' sizes, written last, says that it is whole."""
    steps.info("converting %s for OpenVINO, once; this takes some 10 to 60 seconds", kind)
    done = subprocess.run(
        [sys.executable, "-m", "hybrid.encoders.inference.convert", kind, str(source), str(folder)],
        cwd=Path(__file__).parents[3],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=CONVERSION_TIMEOUT_S,
        check=False,
    )
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        raise ConversionFailed(f"conversion failed: {lines[-1] if lines else f'exit code {done.returncode}'}")
    sizes = {path.name: path.stat().st_size for path in folder.iterdir()}
    (folder / "sizes.json").write_text(json.dumps(sizes), "utf-8")


def _is_whole(folder: Path) -> bool:
    try:
        sizes = json.loads((folder / "sizes.json").read_text("utf-8"))
        return bool(sizes) and all((folder / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError, AttributeError):
        return False


def _set_aside(folder: Path) -> None:
    """Remove a folder. Renamed first: another process may have its files mapped, and must keep them whole."""
    if not folder.exists():
        return
    try:
        with tempfile.TemporaryDirectory(prefix=".old-", dir=folder.parent, ignore_cleanup_errors=True) as aside:
            os.rename(folder, Path(aside) / "old")
    except OSError as error:  # another process was faster, or the folder is not ours: the model is kept elsewhere then
        log.info("%s cannot be set aside: %s", folder, error)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock between processes; it ends with the process, however that ends."""
    with path.open("a") as file:
        try:
            import fcntl
        except ImportError:  # no such lock on this system: the rename is atomic, the work may be done twice
            yield
            return
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _await_quietly(request: Any) -> None:
    try:
        request.wait()
    except Exception as error:  # one went on its way already; this one only must not run any more
        log.debug("infer request: %s", error)


def _line(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text[:300]
