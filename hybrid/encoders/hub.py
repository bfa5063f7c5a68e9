"""Models from a hub or a folder: sentence-transformers (texts) and open_clip (texts and pictures).

They run in stock torch, as the picture models of timm_models do. A hub that cannot be reached costs a few seconds and
one clear line.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np

from hybrid.encoders.base import LazyEncoder, file_digest, thread_count
from hybrid.encoders.prefixes import Prefixes, prefixes_of, span_of
from hybrid.errors import EncoderError, UsageError
from hybrid.settings import Settings

if TYPE_CHECKING:
    from PIL import Image

log = logging.getLogger(__name__)

REVISION = "1"
#: Of models of texts: raise it when a prefix changes.
TEXT_REVISION = "2"
BATCH = 32
PROBE_TIMEOUT_S = 4.0
WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin", "open_clip_model.safetensors")
#: Which of an architecture's weights are taken when a spec names none, by how their tags begin.
PREFERRED_TAGS = ("datacomp_xl", "laion2b", "webli", "dfndr2b", "openai")

Model = TypeVar("Model")
_hub_lock = threading.Lock()  # the offline switch below belongs to the whole process


class SentenceTransformers(LazyEncoder[Any]):
    """Any text model of sentence-transformers, by hub name or folder."""

    modalities = frozenset({"text"})

    def __init__(self, name: str, argument: str, settings: Settings) -> None:
        """Raises UsageError where no model is named."""
        super().__init__(name, settings)
        if not argument:
            raise UsageError(f'encoder "{name}" names no model; write sentence-transformers:NAME_OR_FOLDER')
        self._source = argument
        self.span = span_of(argument)
        self._version: str | None = None

    @property
    def version(self) -> str:
        """From the digest of a folder's weights, or the commit of a hub's model (which is fetched for that).

        Raises:
            EncoderError: the model cannot be had.
        """
        if self._version is None:
            self._version = f"{self.name}@{self._stamp()}+{TEXT_REVISION}"
        return self._version

    def _stamp(self) -> str:
        folder = Path(self._source).expanduser()
        if self._is_local():
            return folder_digest(folder, self.settings)
        full = self._source if "/" in self._source else f"sentence-transformers/{self._source}"
        commit = cached_commit(full, "modules.json", "config.json")
        if commit is None:
            _ = self.model  # fetches it
            commit = cached_commit(full, "modules.json", "config.json")
        return (commit or "unknown")[:12]

    def _is_local(self) -> bool:
        """Whether the source is a folder.

        Raises:
            EncoderError: it is written as one and is not there.
        """
        source = self._source
        local = Path(source).expanduser().is_dir()
        if not local and (source.startswith((".", "/", "~")) or source.count("/") > 1):
            raise EncoderError(f'model "{self.name}": no folder {source}; give an existing folder or a hub name')
        return local

    @property
    def dims(self) -> int:
        """Loads the model."""
        model = self.model
        measure = getattr(model, "get_embedding_dimension", None) or model.get_sentence_embedding_dimension
        return int(measure())

    def _load(self) -> Any:
        def make() -> Any:
            from sentence_transformers import SentenceTransformer

            model = SentenceTransformer(str(Path(source).expanduser()) if local else source, device="cpu")
            return model.eval()

        source = self._source
        local = self._is_local()
        return from_hub(self.name, make, self.settings, needs_hub=not local)

    @property
    def prefixes(self) -> Prefixes:
        """Loads the model."""
        return prefixes_of(self._source, getattr(self.model, "prompts", None) or {})

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        """(len(texts), dims) float32, rows of unit length, of texts that are to be found."""
        return self._encode(texts, self.prefixes.text)

    def encode_queries(self, texts: Sequence[str]) -> np.ndarray:
        """(len(texts), dims) float32, rows of unit length, of queries."""
        return self._encode(texts, self.prefixes.query)

    def _encode(self, texts: Sequence[str], prefix: str) -> np.ndarray:
        if len(texts) == 0:
            return np.empty((0, self.dims), dtype=np.float32)
        with failing_as(self.name):
            rows = self.model.encode(
                [_valid(prefix + text) for text in texts],
                prompt="",  # the prefix is there already, whatever prompt the model has by default
                batch_size=BATCH,
                show_progress_bar=False,
                convert_to_numpy=True,
                normalize_embeddings=True,
            )
        return np.asarray(rows, dtype=np.float32)


class _Clip(NamedTuple):
    net: Any
    preprocess: Callable[[Image.Image], Any]
    tokenizer: Callable[[list[str]], Any]


class LibraryEncoder(LazyEncoder[Model]):
    """Base of encoders whose spec is LIBRARY:ARCHITECTURE[:WEIGHTS], LIBRARY:local-dir:FOLDER or
    LIBRARY:hf-hub:ORGANISATION/NAME."""

    library = ""
    written = ""  # how the rest of a spec is written

    def __init__(self, name: str, argument: str, settings: Settings) -> None:
        """Raises UsageError where no model is named."""
        super().__init__(name, settings)
        if argument.startswith(("hf-hub:", "local-dir:")):
            self._source, self._weights = argument, ""
        else:
            self._source, _, self._weights = argument.partition(":")
        if not self._source.rpartition(":")[2]:
            raise UsageError(f'encoder "{name}" names no model; write {self.library}:{self.written}')
        self._version: str | None = None

    @property
    def version(self) -> str:
        """From the digest of a file, the tag of published weights, or the commit of a hub's model.

        Raises:
            EncoderError: no such file, tag or architecture, or the hub's model cannot be had.
        """
        if self._version is None:
            self._version = f"{self.library}:{self._stamp()}+{REVISION}"
        return self._version

    def _stamp(self) -> str:
        """Which model it is, and of what weights; raises as `version`."""
        raise NotImplementedError

    def _mark(self, config: str) -> str | None:
        """The digest of a folder's weights, or the commit of a hub's model, fetched now if need be; None for another
        source. config: a file that every such model has."""
        where, _, name = self._source.partition(":")
        if where == "local-dir":
            return folder_digest(Path(name).expanduser(), self.settings)
        if where != "hf-hub":
            return None
        if cached_commit(name, config) is None:
            _ = self.model  # fetches it
        return (cached_commit(name, config) or "unknown")[:12]


class OpenClip(LibraryEncoder[_Clip]):
    """Any model of open_clip: texts and pictures in one space.

    Spec: open_clip:ARCHITECTURE, open_clip:ARCHITECTURE:TAG, open_clip:ARCHITECTURE:FILE or
    open_clip:hf-hub:ORGANISATION/NAME.
    """

    modalities = frozenset({"text", "image"})

    library, written = "open_clip", "ARCHITECTURE[:WEIGHTS]"

    def _stamp(self) -> str:
        mark = self._mark("open_clip_config.json")
        if mark is None:
            file = Path(self._weights).expanduser()
            mark = file_digest(file, self.settings) if self._weights and file.is_file() else self._tag()
        return f"{self._source}@{mark}"

    def _tag(self) -> str:
        """The tag of published weights that the spec names or leaves to us."""
        with failing_as(self.name), quiet():
            import open_clip

            if self._source not in open_clip.list_models():
                raise EncoderError(
                    f'model "{self.name}": open_clip knows no architecture {self._source}; '
                    "open_clip.list_models() names them"
                )
            tags: list[str] = open_clip.list_pretrained_tags_by_model(self._source)
        if self._weights:
            if self._weights not in tags:
                raise EncoderError(
                    f'model "{self.name}": {self._weights} is neither a file nor weights of {self._source}; '
                    f"there are: {', '.join(tags) or 'none'}"
                )
            return self._weights
        for start in PREFERRED_TAGS:
            for tag in tags:
                if tag.startswith(start):
                    return tag
        if not tags:
            raise EncoderError(
                f'model "{self.name}": nobody published weights of {self._source}; '
                f"give a file: open_clip:{self._source}:FILE"
            )
        return tags[0]

    @property
    def dims(self) -> int:
        """Known to open_clip for a named architecture; other models are loaded."""
        if ":" not in self._source:
            with failing_as(self.name), quiet():
                import open_clip

                config = open_clip.get_model_config(self._source)
            if config:
                return int(config["embed_dim"])
        return int(self.encode_texts([""]).shape[1])

    def _load(self) -> _Clip:
        file = Path(self._weights).expanduser()
        local = self._source.startswith("local-dir:") or bool(self._weights) and file.is_file()
        weights = None
        if ":" not in self._source:
            weights = str(file) if local else self._tag()

        def make() -> _Clip:
            import open_clip

            net, _, preprocess = open_clip.create_model_and_transforms(self._source, pretrained=weights)
            return _Clip(net.eval(), preprocess, open_clip.get_tokenizer(self._source))

        return from_hub(self.name, make, self.settings, needs_hub=not local)

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        """(len(texts), dims) float32, rows of unit length, in the space of the pictures."""

        def encode(model: _Clip, part: Sequence[str]) -> Any:
            return model.net.encode_text(model.tokenizer([_valid(text) for text in part]), normalize=True)

        return self._encode(texts, encode)

    def encode_images(self, images: Sequence[Image.Image]) -> np.ndarray:
        """(len(images), dims) float32, rows of unit length, in the space of the texts."""

        def encode(model: _Clip, part: Sequence[Image.Image]) -> Any:
            import torch

            return model.net.encode_image(torch.stack([model.preprocess(image) for image in part]), normalize=True)

        return self._encode(images, encode)

    def _encode(self, inputs: Sequence[Any], encode: Callable[[_Clip, Sequence[Any]], Any]) -> np.ndarray:
        if len(inputs) == 0:
            return np.empty((0, self.dims), dtype=np.float32)
        model = self.model
        return in_batches(self.name, inputs, lambda part: encode(model, part))


def in_batches(name: str, inputs: Sequence[Any], encode: Callable[[Sequence[Any]], Any]) -> np.ndarray:
    """(len(inputs), dims) float32 of what gives a tensor for each BATCH of at least one input.

    Raises:
        EncoderError: whatever the model `name` raises.
    """
    with failing_as(name):
        import torch

        with torch.inference_mode():
            parts = [
                np.asarray(encode(inputs[start : start + BATCH]).float().numpy())
                for start in range(0, len(inputs), BATCH)
            ]
    return np.concatenate(parts).astype(np.float32, copy=False)


def from_hub(name: str, make: Callable[[], Model], settings: Settings, *, needs_hub: bool) -> Model:
    """Make a model without noise; with the hub away, from its cache alone and without waiting.

    Raises:
        EncoderError: it cannot be had.
    """
    with _hub_lock, quiet():
        try:
            import torch
            from huggingface_hub import constants
        except ImportError as error:
            raise EncoderError(f'model "{name}" needs {error.name}; install it') from error
        torch.set_num_threads(thread_count(settings))
        was_offline = constants.HF_HUB_OFFLINE
        why = "" if was_offline or not needs_hub else _hub_is_away(constants.ENDPOINT)
        if why or not needs_hub:
            # With an unreachable hub the libraries try each of a model's files six times, over a minute in
            # all. Offline they look into their cache and give up at once. A local model asks nobody.
            constants.HF_HUB_OFFLINE = True
        try:
            return make()
        except EncoderError:
            raise
        except ImportError as error:
            raise EncoderError(f'model "{name}" needs {error.name or error}; install it') from error
        except Exception as error:  # timm, open_clip and the hub's client have no common error
            if why:
                raise EncoderError(
                    f'model "{name}" is not in the local cache and its hub cannot be reached ({why}); connect, '
                    "or name a packaged encoder or a local path"
                ) from error
            if was_offline and needs_hub:
                raise EncoderError(
                    f'model "{name}" is not in the local cache and the hub is switched off; unset HF_HUB_OFFLINE '
                    "or name a local path"
                ) from error
            raise EncoderError(f'model "{name}" cannot be loaded: {one_line(error)}; check its name') from error
        finally:
            constants.HF_HUB_OFFLINE = was_offline


def _hub_is_away(endpoint: str) -> str:
    """Why the hub does not answer, or "" if it does, within PROBE_TIMEOUT_S; proxies are respected."""
    import ssl
    import urllib.error
    import urllib.request

    try:
        request = urllib.request.Request(endpoint, method="HEAD")
        with urllib.request.urlopen(request, timeout=PROBE_TIMEOUT_S):
            return ""
    except urllib.error.HTTPError:
        return ""  # any answer is an answer
    except urllib.error.URLError as error:
        if isinstance(error.reason, ssl.SSLError):
            return ""  # somebody is there; the libraries have their own certificates
        return one_line(error.reason if isinstance(error.reason, Exception) else error)
    except (OSError, ValueError) as error:
        return one_line(error)


@contextmanager
def quiet() -> Iterator[None]:
    """No progress bars, and no log lines below errors, while the libraries import and load.

    Only their own loggers are touched. open_clip logs on the root logger, and calling that one without a
    handler would install one that prints; it gets a filter and a handler that does nothing.
    """
    root = logging.getLogger()
    silence = logging.NullHandler()

    def not_open_clip(record: logging.LogRecord) -> bool:
        return "open_clip" not in record.pathname

    names = ("huggingface_hub", "transformers", "sentence_transformers", "httpx", "filelock")
    levels = {name: logging.getLogger(name).level for name in names}
    root.addHandler(silence)
    root.addFilter(not_open_clip)
    for name in names:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        _no_progress_bars()
        yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
        root.removeFilter(not_open_clip)
        root.removeHandler(silence)


def _no_progress_bars() -> None:
    try:
        from huggingface_hub import utils
        from transformers.utils import logging
    except ImportError:  # said better by whoever needs them
        return
    hub_utils: Any = utils  # neither these nor the next are typed
    hub_utils.disable_progress_bars()
    transformers_log: Any = logging
    transformers_log.disable_progress_bar()


@contextmanager
def failing_as(name: str) -> Iterator[None]:
    """Whatever a library raises comes out as an EncoderError."""
    try:
        yield
    except EncoderError:
        raise
    except ImportError as error:
        raise EncoderError(f'model "{name}" needs {error.name or error}; install it') from error
    except Exception as error:  # as above, and torch's
        raise EncoderError(f'model "{name}" failed: {one_line(error)}') from error


def folder_digest(folder: Path, settings: Settings) -> str:
    for file in WEIGHT_FILES:
        if (folder / file).is_file():
            return file_digest(folder / file, settings)
    weight_files = sorted(folder.glob("**/*.safetensors")) + sorted(folder.glob("**/*.bin"))
    if not weight_files:
        raise EncoderError(f"no weights (*.safetensors, *.bin) in {folder}; give a model's folder")
    return file_digest(weight_files[0], settings)


def cached_commit(name: str, *files: str) -> str | None:
    """The commit of a hub model in the local cache, or None."""
    from huggingface_hub import try_to_load_from_cache

    for file in files:
        path = try_to_load_from_cache(name, file)
        if isinstance(path, str):
            parts = Path(path).parts
            return parts[parts.index("snapshots") + 1]
    return None


def _valid(text: str) -> str:
    """Half surrogate pairs replaced: tokenizers refuse them."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def one_line(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text[:300]
