# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Write a trained model (or a checkpoint) as ONNX: opset 17, any batch and size.

python export.py RUN/model.pt OUT.onnx
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from network import CLASSES, Detector, Exported

OPSET = 17


def halve(graph: onnx.GraphProto) -> None:
    """Keep the weights in 16 bits, cast to 32 when the model is loaded: half the file."""
    for index, tensor in enumerate(list(graph.initializer)):
        values = onnx.numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or values.size < 1000:
            continue
        name = tensor.name
        short = onnx.numpy_helper.from_array(values.astype(np.float16), f"{name}.half")
        graph.initializer.remove(tensor)
        graph.initializer.append(short)
        cast = onnx.helper.make_node(
            "Cast", [short.name], [name], name=f"widen{index}", to=onnx.TensorProto.FLOAT
        )
        graph.node.insert(0, cast)


def main(source: Path, target: Path) -> None:
    """Write the model and compare both runtimes."""
    state = torch.load(source, weights_only=True)
    network = Detector()
    network.load_state_dict(state["weights"] if "weights" in state else state["average"])
    network.eval()
    model = Exported(network).eval()
    torch.onnx.export(
        model,
        (torch.zeros(1, 3, 320, 416),),
        str(target),
        input_names=["images"],
        output_names=["output0"],
        dynamic_axes={
            "images": {0: "batch", 2: "height", 3: "width"},
            "output0": {0: "batch", 2: "cells"},
        },
        opset_version=OPSET,
        dynamo=False,
    )
    proto = onnx.load(str(target))
    steps = state.get("steps", state.get("step"))
    for key, value in (
        ("names", str(dict(enumerate(CLASSES)))),
        ("author", "The TheBox contributors"),
        ("license", "Apache-2.0"),
        ("description", f"thebox-nano, {steps} steps; see models/MODEL_CARD.md"),
    ):
        entry = proto.metadata_props.add()
        entry.key, entry.value = key, value
    halve(proto.graph)
    onnx.checker.check_model(proto)
    onnx.save(proto, str(target))
    session = onnxruntime.InferenceSession(str(target), providers=["CPUExecutionProvider"])
    for shape in ((1, 3, 512, 640), (3, 3, 256, 320)):
        pixels = np.random.default_rng(1).random(shape, dtype=np.float32)
        (got,) = session.run(None, {"images": pixels})
        with torch.no_grad():
            wanted = model(torch.from_numpy(pixels)).numpy()
        # Relative: a cell of nothing may have a box of thousands of pixels.
        worst = float((np.abs(got - wanted) / (8.0 + np.abs(wanted))).max())
        assert worst < 0.1, f"ONNX Runtime and PyTorch differ by {worst}"  # noqa: S101
    print(f"{target}: {target.stat().st_size / 1e6:.2f} MB, opset {OPSET}, {steps} steps")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
