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
# The labels' lower quartile at the input size: nothing smaller was ever labelled, but objects whose
# edge is sharp are found with tighter boxes, which then overlap too little with any label.
LEAST_BOX = (26, 22)
# Cells of stride 8 that the smallest labels cover, or nearly: what is real is seen by as many.
SUPPORT = 8


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


def compare(model: Exported, path: Path, limit: float) -> None:
    """Raise ValueError where a score differs by more than limit, or a box by as much of its size.

    Boxes count where the network sees something: those of empty cells are never read.
    """
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for shape in ((1, 3, 512, 640), (3, 3, 256, 320)):
        pixels = np.random.default_rng(1).random(shape, dtype=np.float32)
        (got,) = session.run(None, {"images": pixels})
        with torch.no_grad():
            wanted = model(torch.from_numpy(pixels)).numpy()
        scores = float(np.abs(got[:, 4:] - wanted[:, 4:]).max())
        seen = wanted[:, 4:].max(axis=1) > 0.05
        size = 8.0 + wanted[:, 2:4].max(axis=1)
        boxes = float(
            (np.abs(got[:, :4] - wanted[:, :4]).max(axis=1) / size)[seen].max(initial=0.0)
        )
        print(
            f"{path.name} {shape}: scores differ by {scores:.2g}, {seen.sum()} boxes by {boxes:.2g}"
        )
        if max(scores, boxes) > limit:
            raise ValueError(f"{path} differs from the network: scores {scores}, boxes {boxes}")


def main(source: Path, target: Path) -> None:
    """Write the model and compare both runtimes."""
    state = torch.load(source, weights_only=True)
    network = Detector()
    network.load_state_dict(state["weights"] if "weights" in state else state["average"])
    network.eval()
    model = Exported(network, LEAST_BOX).eval()
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
        ("least_box", ",".join(map(str, LEAST_BOX))),
        ("support", str(SUPPORT)),
        ("author", "The TheBox contributors"),
        ("license", "Apache-2.0"),
        ("description", f"thebox-nano, {steps} steps; see models/MODEL_CARD.md"),
    ):
        entry = proto.metadata_props.add()
        entry.key, entry.value = key, value
    onnx.save(proto, str(target))
    compare(model, target, 0.001)
    halve(proto.graph)
    onnx.checker.check_model(proto)
    onnx.save(proto, str(target))
    compare(model, target, 0.05)
    print(f"{target}: {target.stat().st_size / 1e6:.2f} MB, opset {OPSET}, {steps} steps")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
