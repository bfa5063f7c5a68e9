"""EfficientNet-Lite0, the default of the image signal: installed as a package, run by OpenVINO.

The vector is the pooled feature as it is. Subtracting an expected feature before normalising (from the last
BatchNorm's statistics, or from synthetic pictures) was measured and lost: top-1/top-5 of grocery photos
against catalogue pictures 0.389/0.709 plain, 0.385/0.689 and 0.348/0.662 with those. Squashing the whole
picture to 224 x 224 instead of taking its middle gave 0.365/0.679.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from hybrid.encoders.base import LazyEncoder, file_digest
from hybrid.encoders.inference.graphs import Graph, Job, load_graph
from hybrid.encoders.pixels import BATCH, VIEWS, pixels, weights_file
from hybrid.errors import UsageError
from hybrid.settings import Settings

if TYPE_CHECKING:
    from PIL import Image

DIMS = 1280
REVISION = "f32.2"  # raise it when the preprocessing changes


class EfficientNetLite0(LazyEncoder[Graph]):
    modalities = frozenset({"image"})
    dims = DIMS

    def __init__(self, name: str, argument: str, settings: Settings) -> None:
        """Raises UsageError if there is an argument: it takes none."""
        super().__init__(name, settings)
        if argument:
            raise UsageError(f'encoder "{name}": efficientnet-lite0 takes no argument')

    @property
    def version(self) -> str:
        """From the digest of the weights; loads no model. Raises EncoderError where the package is missing."""
        return f"efficientnet-lite0@{file_digest(weights_file(), self.settings)}+{REVISION}"

    def _load(self) -> Graph:
        return load_graph("efficientnet-lite0", weights_file(), self.version, self.settings)

    def encode_images(self, images: Sequence[Image.Image]) -> np.ndarray:
        """(len(images), 1280) float32, rows of unit length. The pictures are RGB, of any size."""
        out = np.empty((len(images), DIMS), dtype=np.float32)
        if len(images) == 1:
            out[:] = self.model.run([pixels(images[0])[None]])
        elif len(images):
            self.model.run_jobs(_batches(images), out)
        return out


def _batches(images: Sequence[Image.Image]) -> Iterator[Job]:
    # Made as they are asked for: the next batch is prepared while earlier ones run.
    for start in range(0, len(images), BATCH):
        rows = range(start, min(start + BATCH, len(images)))
        yield rows, [np.stack([pixels(images[row]) for row in rows])]


#: Pictures that are looked at at a time.
AT_ONCE = max(1, BATCH // VIEWS)


def jobs(pictures: Sequence[Image.Image], views: Callable[[Image.Image], list[np.ndarray]]) -> Iterator[Job]:
    """What a graph is to run of several views of each picture: rows of its output in their order."""
    start = 0
    for at in range(0, len(pictures), AT_ONCE):
        batch = [view for picture in pictures[at : at + AT_ONCE] for view in views(picture)]
        yield range(start, start + len(batch)), [np.stack(batch)]
        start += len(batch)
