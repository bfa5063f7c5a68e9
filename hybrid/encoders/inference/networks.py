"""Packaged networks as torch modules, and the parts of them that are trained or converted."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hybrid.encoders.pixels import weights_file

KINDS = (
    "minilm", "minilm-f32", "efficientnet-lite0", "efficientnet-lite0-front", "efficientnet-lite0-layers",
    "picture-tags", "picture-tower",
)  # fmt: skip
#: Blocks of EfficientNet-Lite0 that stay as they are where tags are learned; what comes after them learns.
FROZEN = 11
#: Blocks, the last ones of their width, that LayersModule looks at beside the last layer.
OUTLETS = (4, 7, 10, 14, 15)


class TextModule(torch.nn.Module):
    """ids, mask (batch, tokens) int64 -> (batch, dims): BERT, mean over the mask, unit length."""

    def __init__(self, bert: torch.nn.Module) -> None:
        super().__init__()
        self.bert = bert

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        hidden = self.bert(input_ids=ids, attention_mask=mask).last_hidden_state
        weight = mask.unsqueeze(-1).to(hidden.dtype)
        mean = (hidden * weight).sum(1) / weight.sum(1).clamp(min=1e-9)
        return torch.nn.functional.normalize(mean, p=2.0, dim=1)


class ImageModule(torch.nn.Module):
    """pixels (batch, 224, 224, 3) uint8 RGB -> (batch, 1280): pooled features of unit length."""

    def __init__(self, net: Any) -> None:
        super().__init__()
        self.net = net

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        pooled = self.net.extract_features(_scaled(pixels)).mean((2, 3))
        return torch.nn.functional.normalize(pooled, p=2.0, dim=1)


def _scaled(pixels: torch.Tensor) -> torch.Tensor:
    # The lite models were trained on (pixel - 127) / 128, not on ImageNet's usual mean and deviation.
    return (pixels.permute(0, 3, 1, 2).to(torch.float32) - 127.0) / 128.0


def _stem(net: Any, pixels: torch.Tensor) -> Any:
    return net._swish(net._bn0(net._conv_stem(_scaled(pixels))))


class FrontModule(torch.nn.Module):
    """pixels (batch, 224, 224, 3) uint8 RGB -> (batch, 112, 14, 14): the output of the first FROZEN blocks."""

    def __init__(self, net: Any) -> None:
        super().__init__()
        self.net = net

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        net = self.net
        features = _stem(net, pixels)
        for block in list(net._blocks)[:FROZEN]:
            features = block(features)
        return torch.as_tensor(features)


class LayersModule(torch.nn.Module):
    """pixels (batch, WIDE, WIDE, 3) uint8 RGB -> (batch, LAYERS): pooled outputs of several layers of the network.

    These are the channel means of the blocks OUTLETS, and the roots of the means and of the generalised means of the
    last layer (Radenovic et al., TPAMI 2019). In a generalised mean, places with large values count for more.
    """

    def __init__(self, net: Any) -> None:
        super().__init__()
        self.net = net

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        net = self.net
        features = _stem(net, pixels)
        means = []
        for number, block in enumerate(net._blocks):
            features = block(features)
            if number in OUTLETS:
                means.append(features.mean((2, 3)))
        last = net._swish(net._bn1(net._conv_head(features)))
        strong = (last.clamp(min=1e-6) ** 3).mean((2, 3)) ** (1 / 3)
        return torch.cat([*means, last.mean((2, 3)).clamp(min=0).sqrt(), strong.sqrt()], 1)


class TailModule(torch.nn.Module):
    """The output of FrontModule -> (batch, tags) scores: the rest of the network, with a head of a shop's tags."""

    def __init__(self, net: Any, tags: int) -> None:
        super().__init__()
        self.blocks = torch.nn.ModuleList(list(net._blocks)[FROZEN:])
        self.conv, self.norm, self.activation = net._conv_head, net._bn1, net._swish
        self.drop = torch.nn.Dropout(0.3)
        self.head = torch.nn.Linear(1280, tags)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        for block in self.blocks:
            features = block(features)
        pooled = self.activation(self.norm(self.conv(features))).mean((2, 3))
        return torch.as_tensor(self.head(self.drop(pooled)))


class TowerModule(torch.nn.Module):
    """pixels (batch, 224, 224, 3) uint8 RGB -> (batch, dims) unit rows, by a tail whose head gives no tags."""

    def __init__(self, front: FrontModule, tail: TailModule) -> None:
        super().__init__()
        self.front, self.tail = front, tail

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.normalize(self.tail(self.front(pixels)), dim=1)


class VotingModule(torch.nn.Module):
    """pixels (batch, 224, 224, 3) uint8 RGB -> (batch, tags): logarithms of the mean probabilities of several tails."""

    def __init__(self, front: FrontModule, tails: Sequence[TailModule]) -> None:
        super().__init__()
        self.front, self.tails = front, torch.nn.ModuleList(tails)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        features = self.front(pixels)
        votes = torch.stack([torch.softmax(tail(features), 1) for tail in self.tails])
        return votes.mean(0).clamp(min=1e-9).log()


def tail(learned: Mapping[str, np.ndarray] | None, tags: int) -> TailModule:
    """The tail of the stock EfficientNet-Lite0, with a head of zeros.

    learned: the changes of its parameters, which are added, as `packed` gives them by name; None adds nothing.
    """
    module = TailModule(_lite0(weights_file()), tags)
    torch.nn.init.zeros_(module.head.weight)
    torch.nn.init.zeros_(module.head.bias)
    with torch.no_grad():
        for name, value in module.named_parameters():
            if learned is not None:
                change = learned[name].astype(np.float32) * learned.get(f"{name}:scale", np.float32(1))
                value.add_(torch.from_numpy(change))
    return module.eval()


def packed(name: str, change: np.ndarray) -> dict[str, np.ndarray]:
    """The learned change of a parameter, for `tail`: the large matrices in 8 bits, with a scale for each row.

    A model is one document of the cluster, and with 512 MB of heap Elasticsearch refuses a document of 14 MB.
    """
    if change.ndim < 2 or name.startswith("head."):
        return {name: change.astype(np.float16)}
    scale = np.maximum(np.abs(change).max(axis=tuple(range(1, change.ndim)), keepdims=True), 1e-12) / 127
    return {name: np.round(change / scale).astype(np.int8), f"{name}:scale": scale.astype(np.float32)}


def _lite0(weights: Path) -> Any:
    from efficientnet_lite_pytorch import EfficientNet

    with contextlib.redirect_stdout(io.StringIO()):  # it prints what it loads
        return EfficientNet.from_pretrained("efficientnet-lite0", weights_path=str(weights))


def torch_module(kind: str, source: Path) -> torch.nn.Module:
    """The stock model in torch, in f32, ready for inference."""
    module: torch.nn.Module
    if kind.startswith("minilm"):
        from transformers import BertModel
        from transformers.utils import logging

        transformers_log: Any = logging  # its functions are not typed
        transformers_log.set_verbosity_error()
        transformers_log.disable_progress_bar()
        module = TextModule(BertModel.from_pretrained(source, add_pooling_layer=False, dtype=torch.float32))
    elif kind == "picture-tower":
        with np.load(source, allow_pickle=False) as arrays:
            learned = {name: arrays[name] for name in arrays.files}
        module = TowerModule(FrontModule(_lite0(weights_file())), tail(learned, len(learned["head.bias"])))
    elif kind == "picture-tags":
        with np.load(source, allow_pickle=False) as arrays:
            count = 1 + max(int(name.partition("/")[0]) for name in arrays.files)
            states: list[dict[str, np.ndarray]] = [{} for _ in range(count)]
            for name in arrays.files:
                number, _, of = name.partition("/")
                states[int(number)][of] = arrays[name]
        tails = [tail(state, len(state["head.bias"])) for state in states]
        module = VotingModule(FrontModule(_lite0(weights_file())), tails)
    else:
        modules = {"efficientnet-lite0-front": FrontModule, "efficientnet-lite0-layers": LayersModule}
        module = modules.get(kind, ImageModule)(_lite0(source))
    return module.eval()
