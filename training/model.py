"""lift, version 2: a causal recurrence with one frame of look-ahead whose hidden state is carried along estimated motion.

The formulas are in `crates/nets/src/lift/mod.rs`, which runs what is trained here.
Frames are RGB in [0, 1], `[batch, 3, height, width]`.
"""

import os

import torch
import torch.nn.functional as F
from safetensors import safe_open
from torch import nn

from motion import flows, warp

SLOPE = 0.1


def leaky(x):
    return F.leaky_relu(x, SLOPE)


class Lift(nn.Module):
    """The network; `step` makes one frame, `forward` a sequence."""

    def __init__(self, scale=4, channels=32, blocks=2, motion=True):
        super().__init__()
        self.scale, self.channels = scale, channels
        self.config = dict(scale=scale, channels=channels, blocks=blocks, motion=motion)
        self.motion = motion
        self.conv_in = nn.Conv2d(9 + channels, channels, 3, padding=1)
        self.body = nn.ModuleList(
            [nn.ModuleList([nn.Conv2d(channels, channels, 3, padding=1) for _ in range(2)]) for _ in range(blocks)]
        )
        self.conv_out = nn.Conv2d(channels, 3 * scale * scale, 3, padding=1)
        for pair in self.body:
            nn.init.kaiming_normal_(pair[1].weight, a=SLOPE)
            pair[1].weight.data.mul_(0.1)
            nn.init.zeros_(pair[1].bias)
        self.conv_out.weight.data.mul_(0.1)
        nn.init.zeros_(self.conv_out.bias)

    def begin(self, frame):
        """The hidden state at the start of a shot."""
        return torch.zeros(frame.shape[0], self.channels, *frame.shape[-2:], device=frame.device)

    def step(self, before, now, after, hidden):
        """The frame `now` enlarged, and the hidden state after it."""
        if self.motion:
            flow_before, flow_after = flows(now, (before, after))
            before, after = (warp(x, flow).to(now.dtype) for x, flow in ((before, flow_before), (after, flow_after)))
            hidden = warp(hidden, flow_before)
        f = leaky(self.conv_in(torch.cat([before, now, after, hidden.to(now.dtype)], 1)))
        for a, b in self.body:
            f = f + b(leaky(a(f)))
        base = F.interpolate(now, scale_factor=self.scale, mode="bilinear", align_corners=False)
        return F.pixel_shuffle(self.conv_out(f), self.scale).float() + base, f

    def forward(self, frames, hidden=None):
        """`[batch, time, 3, h, w]` to the same times `scale`, and the hidden state at the end."""
        count = frames.shape[1]
        hidden = self.begin(frames[:, 0]) if hidden is None else hidden
        outputs = []
        for t in range(count):
            before, now, after = (frames[:, min(max(t + d, 0), count - 1)] for d in (-1, 0, 1))
            output, hidden = self.step(before, now, after, hidden)
            outputs.append(output)
        return torch.stack(outputs, 1), hidden

    @torch.no_grad()
    def begin_as(self, other):
        """Takes the weights of a network with at most as many channels and blocks; what is new adds nothing yet.

        The last layer of a network of another scale is left as it is."""
        small, large = other.state_dict(), self.state_dict()
        for name, value in large.items():
            if name.startswith("conv_out") and other.scale != self.scale:
                continue
            if name.startswith("body.") and int(name.split(".")[1]) >= other.config["blocks"]:
                if name.split(".")[2] == "1":
                    value.zero_()
                continue
            source = small[name]
            if value.ndim == 1:
                value[: len(source)] = source
                continue
            outs, ins = source.shape[:2]
            value[:outs, :ins] = source
            value[:outs, ins:] = 0

    def macs_per_pixel(self):
        """Multiply-adds of the convolutions for each pixel that goes in."""
        return sum(p.numel() for p in self.parameters() if p.ndim == 4)

    def parameters_count(self):
        return sum(p.numel() for p in self.parameters())


def load(path, device="cpu"):
    """The network of a training run, its folder or the `last.pt` in it, with its averaged weights, or of a safetensors file that
    `export.py` wrote; and what the run says of itself: its `step` and the seconds `spent`."""
    path = os.path.join(path, "last.pt") if os.path.isdir(path) else path
    if path.endswith(".safetensors"):
        with safe_open(path, "pt") as file:
            metadata, tensors = file.metadata(), {name: file.get_tensor(name).float() for name in file.keys()}
        motion = "conv_aligned.weight" in tensors
        weights = {name.replace("conv_aligned", "conv_in"): value for name, value in tensors.items()}
        blocks = sum(name.startswith("body.") and name.endswith(".0.weight") for name in weights)
        config = dict(scale=int(metadata["scale"]), channels=len(weights["conv_in.bias"]), blocks=blocks, motion=motion)
        about = dict(step=int(metadata["training"].split()[0]), spent=0.0)
    else:
        about = torch.load(path, map_location=device, weights_only=True)
        config, weights = about["config"], about["average"]
    net = Lift(**config).to(device).eval()
    net.load_state_dict(weights)
    return net, about


if __name__ == "__main__":
    for config in (dict(channels=32, blocks=2), dict(channels=48, blocks=3), dict(channels=48, blocks=5)):
        net = Lift(**config)
        print(config, net.parameters_count(), "parameters", f"{net.macs_per_pixel() / 1e3:.1f} kMAC a pixel",
              f"{net.macs_per_pixel() * 320 * 180 / 1e9:.2f} GMAC at 320x180")
