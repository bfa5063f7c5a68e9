"""Packaged models as torch modules, and their conversion to OpenVINO's format.

Run as `python -m hybrid.encoders.inference.convert KIND SOURCE FOLDER` by `runtime`, in a process of its own. This is
the one module of the packaged encoders that imports torch.
"""

from __future__ import annotations

import sys
import tempfile
import warnings
import zipfile
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

    if kind.startswith("bge-small-zh"):
        model = _first_token(source, "bge-small-zh-v1.5.onnx")
        if kind == "bge-small-zh":
            # The feed-forward blocks alone: with the square matrices in 8 bits short texts fall to 0.998.
            quantise(model, lambda rows, columns: rows != columns)
        openvino.save_model(model, str(folder / "model.xml"), compress_to_fp16=False)
        return
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


def _first_token(jar: Path, name: str) -> Any:
    """ids, mask (batch, tokens) int64 -> (batch, dims): of an ONNX file in a jar, the output of the first token at unit
    length."""
    import openvino
    from openvino import opset13 as ops

    with zipfile.ZipFile(jar) as files, tempfile.TemporaryDirectory() as scratch:
        model = openvino.Core().read_model(files.extract(name, scratch))
        inputs = {one.get_any_name(): one.get_node() for one in model.inputs}
        ids, mask, types = (inputs[each] for each in ("input_ids", "attention_mask", "token_type_ids"))
        zeros = ops.broadcast(ops.constant(np.int64(0)), ops.shape_of(ids))
        for target in types.output(0).get_target_inputs():
            target.replace_source_output(zeros.output(0))
        hidden = model.outputs[0].get_node().input_value(0)
        first = ops.gather(hidden, ops.constant(np.int64(0)), ops.constant(np.int64(1)))
        unit = ops.normalize_l2(first, ops.constant(np.array([1], np.int64)), 1e-12, "max")
        whole = openvino.Model([unit], [ids, mask], "first_token")
        # Of the file, which is gone at the end: weights are copied.
        return whole.clone()


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
        if constant.get_type_name() != "Constant":
            continue
        weights = np.asarray(constant.data, dtype=np.float32)
        in_rows = node.get_attributes()["transpose_b"]  # as torch keeps them; ONNX keeps them in columns
        weights = weights if in_rows or weights.ndim != 2 else weights.T
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
        restored = ops.reshape(back, shape, False)
        if in_rows:
            node.input(1).replace_source_output(restored.output(0))
        else:
            node.output(0).replace(ops.matmul(node.input_value(0), restored, False, True).output(0))
        done += 1
    return done


if __name__ == "__main__":
    convert(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
