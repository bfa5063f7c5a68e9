"""Packaged models as torch modules, and their conversion to OpenVINO's format.

Run as `python -m hybrid.encoders.inference.convert KIND SOURCE FOLDER` by `runtime`, in a process of its own. This is
the one module of the packaged encoders that imports torch.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hybrid.encoders.inference.networks import torch_module
from hybrid.encoders.pixels import SIDE, WIDE

GROUP = 64  # weights that share a scale
#: Where the 8-bit weights of "minilm" are: the second matrix of every feed-forward block and the first of
#: the first so many blocks. Measured against all-f32: see `hybrid.encoders.minilm`.
FIRST_MATRICES = 3


def convert(kind: str, source: Path, folder: Path) -> None:
    """Write model.xml and model.bin of this kind to `folder`."""
    # See runtime._core: no reports over the network.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    example: dict[str, torch.Tensor] | torch.Tensor
    if kind.startswith("minilm"):
        example = {"ids": torch.randint(1, 100, (2, 7)), "mask": torch.ones(2, 7, dtype=torch.int64)}
    else:
        side = WIDE if kind == "efficientnet-lite0-layers" else SIDE
        example = torch.zeros(2, side, side, 3, dtype=torch.uint8)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the tracer, about shapes that stay dynamic after all
        model = openvino.convert_model(torch_module(kind, source), example_input=example)
    if not kind.startswith("minilm"):
        model.reshape([-1, side, side, 3])
    if kind == "minilm":
        counts = {"first": 0}

        def chosen(rows: int, columns: int) -> bool:
            if rows > columns:
                counts["first"] += 1
            return rows < columns or (rows > columns and counts["first"] <= FIRST_MATRICES)

        quantise(model, chosen)
    openvino.save_model(model, str(folder / "model.xml"), compress_to_fp16=False)


def quantise(model: Any, chosen: Callable[[int, int], bool]) -> int:
    """Store the chosen (rows, columns) weight matrices of an OpenVINO model as 8-bit numbers, in place.

    Each GROUP of weights in a row has its own scale. OpenVINO multiplies such a matrix in 8 bits where the
    CPU can (VNNI, AMX) and in f32 elsewhere. Matrices are visited from input to output. Returns how many.
    """
    from openvino import opset13 as ops

    done = 0
    for node in model.get_ordered_ops():
        if node.get_type_name() != "MatMul":
            continue
        constant = node.input_value(1).get_node()
        if constant.get_type_name() != "Constant" or not node.get_attributes()["transpose_b"]:
            continue
        weights = np.asarray(constant.data, dtype=np.float32)
        if weights.ndim != 2 or weights.shape[1] % GROUP or not chosen(*weights.shape):
            continue
        groups = weights.reshape(weights.shape[0], -1, GROUP)
        scale = np.maximum(np.abs(groups).max(-1, keepdims=True), 1e-12) / 127.0
        codes = (np.clip(np.round(groups / scale), -127, 127) + 128).astype(np.uint8)
        zero = ops.convert(ops.constant(np.full(scale.shape, 128, np.uint8)), "f32")
        back = ops.multiply(
            ops.subtract(ops.convert(ops.constant(codes), "f32"), zero), ops.constant(scale.astype(np.float32))
        )
        shape = ops.constant(np.array(weights.shape, dtype=np.int64))
        node.input(1).replace_source_output(ops.reshape(back, shape, False).output(0))
        done += 1
    return done


if __name__ == "__main__":
    convert(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
