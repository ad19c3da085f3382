# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Turn a shipped ONNX file back into weights that training can go on from.

    python restore.py thebox-nano.onnx OUT/model.pt --data DIR [--pictures 96]

The export has folded each batch normalisation into its convolution. A normalisation that does
nothing would work at inference, but in training it would divide by the batch's own spread and
destroy what was learned. So the spread and the mean of each convolution's output are measured on
training crops, and the normalisation is set to undo exactly these: the network gives what it gave,
in training as at inference.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from augment import Sampler, load
from network import Conv, Detector, Exported
from torch import Tensor, nn


def _module_of(node: str) -> str:
    """The module of a node, which the exporter names by the way to it: what repeats is left out.

    /network/to4/to4.2/enter/enter.0/Conv is to4.2.enter.0.
    """
    parts: list[str] = []
    for part in node.split("/")[2:-1]:
        if parts and part.startswith(f"{parts[-1]}."):
            parts[-1] = part
        else:
            parts.append(part)
    return ".".join(parts)


def folded(path: Path) -> dict[str, Tensor]:
    """Weights and biases by their names in the network, as 32-bit numbers."""
    graph = onnx.load(str(path)).graph
    stored = {t.name: onnx.numpy_helper.to_array(t) for t in graph.initializer}
    for node in graph.node:  # Kept in 16 bits and widened by a cast (export.py).
        if node.op_type == "Cast" and node.input[0] in stored:
            stored[node.output[0]] = stored[node.input[0]]
    out: dict[str, Tensor] = {}
    network = Detector()
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    by_node = [n for n in graph.node if n.op_type == "Conv"]
    if len(convolutions) != len(by_node):
        raise ValueError(f"{path} has {len(by_node)} convolutions, the network {len(convolutions)}")
    names = {id(m): name for name, m in network.named_modules()}
    paths = {names[id(m)]: m for m in convolutions}
    for node in by_node:
        name = _module_of(node.name)
        if name not in paths:
            raise ValueError(f"{path}: no convolution {name} in the network")
        module = paths.pop(name)
        weight = np.array(stored[node.input[1]], np.float32)
        if weight.shape != tuple(module.weight.shape):
            raise ValueError(f"{path}: {name} is {weight.shape}, not {module.weight.shape}")
        out[f"{name}.weight"] = torch.from_numpy(weight)
        bias = np.array(stored[node.input[2]], np.float32)
        out[f"{name}.bias"] = torch.from_numpy(bias)
    return out


def restore(path: Path, crops: Tensor) -> Detector:
    """The network with batch normalisations that undo what they measure on `crops` (N, 3, S, S)."""
    network = Detector().eval()
    weights = folded(path)
    blocks: list[Conv] = []
    for name, module in network.named_modules():
        if isinstance(module, Conv):
            module[0].weight.data = weights[f"{name}.0.weight"]
            normal = module[1]
            normal.running_var.fill_(1.0 - normal.eps)
            normal.bias.data = weights[f"{name}.0.bias"].clone()
            blocks.append(module)
        elif isinstance(module, nn.Conv2d) and module.bias is not None:
            module.weight.data = weights[f"{name}.weight"]
            module.bias.data = weights[f"{name}.bias"]
    sums = {
        id(b): [torch.zeros(b[1].num_features, dtype=torch.float64) for _ in "ab"] for b in blocks
    }
    counts = dict.fromkeys(sums, 0)

    def measure(block: Conv) -> object:
        def hook(_: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
            values = output.double()
            sums[id(block)][0] += values.sum((0, 2, 3))
            sums[id(block)][1] += values.pow(2).sum((0, 2, 3))
            counts[id(block)] += values.numel() // values.shape[1]

        return block[0].register_forward_hook(hook)

    hooks = [measure(b) for b in blocks]
    with torch.no_grad():
        for part in crops.split(8):
            network(part)
    for hook in hooks:
        hook.remove()  # type: ignore[attr-defined]
    for block in blocks:
        total, squares = sums[id(block)]
        mean = total / counts[id(block)]
        spread = (squares / counts[id(block)] - mean.pow(2)).clamp(min=0)
        normal = block[1]
        normal.running_mean.copy_(mean)
        normal.running_var.copy_(spread)
        normal.weight.data = torch.sqrt(spread + normal.eps).float()
        normal.bias.data = (normal.bias.double() + mean).float()
    return network


def main() -> None:
    """Restore, compare with the ONNX file, write; see the module's text."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--pictures", type=int, default=96, help="crops that are measured on")
    parser.add_argument("--size", type=int, default=320)
    args = parser.parse_args()
    torch.set_num_threads(1)
    sampler = Sampler(load(args.data / "train"), 5)
    drawn = np.stack([sampler.draw(args.size)[0] for _ in range(args.pictures)])
    crops = torch.from_numpy(drawn[..., ::-1].copy()).permute(0, 3, 1, 2).float() / 255
    network = restore(args.source, crops)
    session = onnxruntime.InferenceSession(str(args.source), providers=["CPUExecutionProvider"])
    (wanted,) = session.run(None, {"images": crops[:4].numpy()})
    with torch.no_grad():
        got = Exported(network).eval()(crops[:4]).numpy()
    worst = float(np.abs(got[:, 4:] - wanted[:, 4:]).max())
    print(f"scores differ from the ONNX file's by {worst:.2g}")
    if worst > 1e-3:
        raise ValueError(f"{args.source} was not restored: scores differ by {worst}")
    args.target.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"weights": network.state_dict(), "steps": 0, "seed": 0}, args.target)


if __name__ == "__main__":
    main()
