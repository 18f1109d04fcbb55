"""The networks that the peers run, in PyTorch, with the weights that framelift uses.

A step takes and gives planar f32 tensors: frames `[1, 3, h, w]` in 0..1, and for the recurrent network a hidden state `[1, 32, h, w]`.
Sources: SRVGGNetCompact as published with Real-ESRGAN (`realesr-animevideov3`); lift as it is trained, `training/model.py`, with the weights
that are built into framelift.
"""

import os
import pathlib
import sys

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import nn

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "training"))
from model import load  # noqa: E402


class Compact(nn.Module):
    """SRVGGNetCompact x4: 64 features, 16 inner convolutions, PReLU, pixel shuffle, nearest base."""

    def __init__(self):
        super().__init__()
        layers = [nn.Conv2d(3, 64, 3, padding=1), nn.PReLU(64)]
        for _ in range(16):
            layers += [nn.Conv2d(64, 64, 3, padding=1), nn.PReLU(64)]
        layers.append(nn.Conv2d(64, 3 * 16, 3, padding=1))
        self.body = nn.ModuleList(layers)

    def forward(self, x):
        f = x
        for layer in self.body:
            f = layer(f)
        return F.pixel_shuffle(f, 4) + F.interpolate(x, scale_factor=4.0, mode="nearest")


class LiftStep(nn.Module):
    """One step of the recurrent network: frames t-1, t, t+1 and the hidden state in, frame and hidden state out."""

    def __init__(self, name):
        super().__init__()
        self.network = load(str(ROOT / "crates" / "nets" / "weights" / f"{name.replace('-', '_')}.safetensors"))[0]

    def forward(self, before, now, after, hidden):
        return self.network.step(before, now, after, hidden)


# The checkpoint of animevideov3, below $FRAMELIFT_TEST_DATA/weights.
CHECKPOINT = "realesr-animevideov3-fp32.safetensors"


def is_built_in(name):
    """Whether the weights are framelift's own."""
    return name != "animevideov3"


def checkpoint(name):
    """The checkpoint of a network, or None where its weights are built in or $FRAMELIFT_TEST_DATA does not lead to one."""
    root = os.environ.get("FRAMELIFT_TEST_DATA")
    path = pathlib.Path(root or "", "weights", CHECKPOINT)
    return path if not is_built_in(name) and root and path.exists() else None


def build(name, weights):
    """The network in eval mode, with the weights of a file, or with random ones that keep the signal's size where `weights` is None; what is
    built into framelift has the weights that it has there."""
    if is_built_in(name):
        return LiftStep(name).eval().requires_grad_(False)
    torch.manual_seed(1)
    network = Compact().eval()
    if weights is None:
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, a=0.25)
                nn.init.zeros_(module.bias)
    else:
        network.load_state_dict(load_file(weights))
    return network.requires_grad_(False)


def inputs(name, network, width_px, height_px):
    """Inputs of one step: noise over gradients, drifting by a pixel a frame; the hidden state is the one a first step leaves."""
    y, x = torch.meshgrid(torch.arange(height_px), torch.arange(width_px + 2), indexing="ij")
    wave = torch.stack([torch.sin(x / 7 + y / 11), torch.cos(x / 5 - y / 13), torch.sin(x * y / 997)]) * 0.4 + 0.5
    film = (wave + 0.05 * torch.randn(wave.shape, generator=torch.Generator().manual_seed(2))).clamp(0, 1)[None]
    before, now, after = (film[..., i : i + width_px].contiguous() for i in range(3))
    if not is_built_in(name):
        return [now]
    _, hidden = network(before, before, now, torch.zeros(1, 32, height_px, width_px))
    return [before, now, after, hidden]


def as_tuple(outputs):
    """Outputs of a network as a tuple, also where it has only one."""
    return outputs if isinstance(outputs, tuple) else (outputs,)


def macs_per_frame(network, width_px, height_px):
    """Multiply-accumulates of the convolutions of one step; every convolution here runs at input size."""
    return sum(m.weight.numel() for m in network.modules() if isinstance(m, nn.Conv2d)) * width_px * height_px
