"""The result of a training run as the file that framelift reads, and golden vectors for its tests.

    python export.py --run DIR --out lift_x4.safetensors --data DIR [--score TEXT]... [--golden golden.safetensors]

The weights are rounded to f16, as they are stored; the golden vectors are computed with them so. The metadata names the architecture, the
scale, the training (steps, minutes), the sources with licence and credit out of the manifest of `--data`, the licence of the weights and the scores.
"""

import argparse
import json

import numpy as np
import torch
from safetensors.numpy import save_file

import synth
from model import load

LICENCE = "MIT OR Apache-2.0 (framelift)"


def sources(folder):
    """`credit (licence): files`, one for each credit and licence, of the sources that gave clips."""
    with open(f"{folder}/manifest.json", encoding="utf-8") as file:
        manifest = json.load(file)
    by_credit = {}
    for source in manifest["sources"]:
        by_credit.setdefault((source["credit"], source["licence"]), []).append(source["file"])
    return "; ".join(f"{credit} ({licence}): {', '.join(files)}" for (credit, licence), files in by_credit.items())


def golden(net):
    """Four frames of a moving drawing, 40 × 32, and what comes out, not clamped."""
    rng = np.random.default_rng(7)
    clip = synth.clip(rng, [], [], 4, 40)[:, :32]
    frames = torch.from_numpy(clip.copy()).permute(0, 3, 1, 2).float() / 255
    hidden, outputs = None, []
    for t in range(len(frames)):
        before, now, after = (frames[min(max(t + d, 0), len(frames) - 1)][None] for d in (-1, 0, 1))
        with torch.no_grad():
            output, hidden = net.step(before, now, after, net.begin(now) if hidden is None else hidden)
        outputs.append(output[0])
    return dict(input=frames.numpy(), output=torch.stack(outputs).numpy())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--data", required=True, help="folder with the manifest of the run")
    parser.add_argument("--score", action="append", default=[], help="a line of results for the metadata")
    parser.add_argument("--golden", help="also write golden vectors")
    args = parser.parse_args()
    net, saved = load(args.run)
    net.half().float()
    # The name tells framelift that neighbours and hidden state are brought along the motion.
    first = "conv_aligned" if net.motion else "conv_in"
    tensors = {name.replace("conv_in", first): value.numpy().astype(np.float16) for name, value in net.state_dict().items()}
    metadata = dict(
        architecture="lift",
        scale=str(net.scale),
        licence=LICENCE,
        training=f"{saved['step']} steps, {saved['spent'] / 60:.0f} minutes of the clock; training/NOTES.md",
        training_data=sources(args.data),
        scores="; ".join(args.score),
    )
    save_file(tensors, args.out, metadata)
    if args.golden:
        save_file({name: np.ascontiguousarray(value) for name, value in golden(net).items()}, args.golden)


if __name__ == "__main__":
    main()
