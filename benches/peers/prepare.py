"""Writes what the engines need for one network at one input size, each engine's model converted from the same PyTorch network.

    prepare.py NETWORK WIDTHxHEIGHT CASE_DIR

CASE_DIR receives reference.npz (inputs `in0`… and the outputs `out0`… of PyTorch in f32), weights.safetensors, network.onnx,
network.ncnn.param with .bin, and case.json (network, size, multiply-accumulates, where the weights come from). The last line on stdout
is case.json again.
"""

import json
import pathlib
import sys
import warnings

import numpy
import pnnx
import torch
from safetensors.torch import save_file

import networks


def main(name, size, case_dir):
    case_dir = pathlib.Path(case_dir)
    case_dir.mkdir(parents=True, exist_ok=True)
    width_px, height_px = (int(side) for side in size.split("x"))
    checkpoint = networks.checkpoint(name)
    network = networks.build(name, checkpoint)
    inputs = networks.inputs(name, network, width_px, height_px)
    outputs = networks.as_tuple(network(*inputs))
    tensors = {f"in{i}": t for i, t in enumerate(inputs)} | {f"out{i}": t for i, t in enumerate(outputs)}
    numpy.savez(case_dir / "reference.npz", **{key: t.numpy() for key, t in tensors.items()})
    save_file(network.state_dict(), case_dir / "weights.safetensors")

    # Fixed sizes in the graph, so that the engines can plan for them.
    torch.onnx.export(
        network,
        tuple(inputs),
        str(case_dir / "network.onnx"),
        dynamo=False,
        opset_version=17,
        input_names=[key for key in tensors if key.startswith("in")],
        output_names=[key for key in tensors if key.startswith("out")],
    )
    # ncnn's graph holds no sizes; pnnx runs the network a few times, which a small input makes quick. Warps hold sizes in spite of that.
    small = [t[..., :48, :64].contiguous() for t in inputs] if not networks.is_built_in(name) else inputs
    pnnx.export(network, str(case_dir / "network.pt"), tuple(small), fp16=False, check_trace=False)

    case = {
        "network": name,
        "width": width_px,
        "height": height_px,
        "macs": networks.macs_per_frame(network, width_px, height_px),
        "weights": "built in" if networks.is_built_in(name) else checkpoint.name if checkpoint else "random",
    }
    (case_dir / "case.json").write_text(json.dumps(case))
    print("\n" + json.dumps(case), flush=True)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main(*sys.argv[1:])
