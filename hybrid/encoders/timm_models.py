"""Any picture model of timm (PyTorch Image Models): a CNN or a transformer, its pooled features as the vector."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hybrid.encoders.base import file_digest
from hybrid.encoders.hub import LibraryEncoder, failing_as, from_hub, in_batches, one_line, quiet
from hybrid.errors import EncoderError

if TYPE_CHECKING:
    from PIL import Image


class _Timm(NamedTuple):
    net: Any
    preprocess: Callable[[Image.Image], Any]


class Timm(LibraryEncoder[_Timm]):
    """Any model of timm, prepared as its own configuration says.

    Spec: timm:ARCHITECTURE, timm:ARCHITECTURE.TAG, timm:ARCHITECTURE:FILE, timm:local-dir:FOLDER or
    timm:hf-hub:ORGANISATION/NAME.
    """

    modalities = frozenset({"image"})

    library, written = "timm", "ARCHITECTURE[.TAG][:FILE]"

    def _stamp(self) -> str:
        mark = self._mark("config.json")
        if mark is not None:
            where, _, name = self._source.partition(":")
            return f"{Path(name).expanduser().name if where == 'local-dir' else name}@{mark}"
        if self._weights:
            self._check()
            return f"{self._source}@{file_digest(self._file(), self.settings)}"
        return self._published()

    def _file(self) -> Path:
        file = Path(self._weights).expanduser()
        if not file.is_file():
            raise EncoderError(f'model "{self.name}": there is no file {self._weights}; give one with weights')
        return file

    def _check(self) -> None:
        with failing_as(self.name), quiet():
            import timm

            if not timm.is_model(self._source):
                raise EncoderError(
                    f'model "{self.name}": timm knows no architecture {self._source.partition(".")[0]}; '
                    "timm.list_models() names them"
                )

    def _published(self) -> str:
        """ARCHITECTURE.TAG of the published weights that the spec names or leaves to timm."""
        self._check()
        with failing_as(self.name), quiet():
            import timm

            architecture, _, tag = self._source.partition(".")
            there = timm.list_pretrained(architecture)
            if not there:
                raise EncoderError(
                    f'model "{self.name}": nobody published weights of {architecture}; '
                    f"give a file: timm:{architecture}:FILE"
                )
            if tag and self._source not in there:
                tags = ", ".join(name.partition(".")[2] for name in there)
                raise EncoderError(f'model "{self.name}": no weights {tag} of {architecture}; there are: {tags}')
            default = timm.get_pretrained_cfg(architecture)
        if tag:
            return self._source
        return f"{architecture}.{default.tag}" if default and default.tag else architecture

    @property
    def dims(self) -> int:
        """Loads the model. Raises EncoderError: it cannot be had."""
        from PIL import Image

        return int(self.encode_images([Image.new("RGB", (64, 64))]).shape[1])

    def _load(self) -> _Timm:
        from_file = bool(self._weights)
        published = ":" not in self._source and not from_file
        if from_file:
            self._check()
            self._file()
        name = self._published() if published else self._source

        def make() -> _Timm:
            import timm
            from timm import data

            timm_data: Any = data  # its functions are not typed
            net = timm.create_model(name, pretrained=not from_file, num_classes=0)  # 0: pooled features, no classes
            if from_file:
                self._fill(net)
            return _Timm(net.eval(), timm_data.create_transform(**timm_data.resolve_data_config({}, model=net)))

        return from_hub(self.name, make, self.settings, needs_hub=published or name.startswith("hf-hub:"))

    def _fill(self, net: Any) -> None:
        from timm.models import load_checkpoint

        # Not strict, for the file may have a head of classes; what the features need must be there all the same.
        try:
            missing = load_checkpoint(net, str(self._file()), strict=False, weights_only=True).missing_keys
        except RuntimeError as error:
            raise EncoderError(
                f'model "{self.name}": {self._file().name} holds no weights of {self._source} '
                f"({one_line(error)[:90]}...)"
            ) from error
        if missing:
            raise EncoderError(
                f'model "{self.name}": {self._file().name} lacks {len(missing)} weights of {self._source} '
                f"({missing[0]}, ...); give a file of this architecture"
            )

    def encode_images(self, images: Sequence[Image.Image]) -> np.ndarray:
        """(len(images), dims) float32, rows of unit length. The pictures are RGB, of any size."""
        if len(images) == 0:
            return np.empty((0, self.dims), dtype=np.float32)
        model = self.model

        def encode(part: Sequence[Image.Image]) -> Any:
            import torch

            batch = torch.stack([model.preprocess(image.convert("RGB")) for image in part])
            return torch.nn.functional.normalize(model.net(batch), dim=1)

        return in_batches(self.name, images, encode)
