"""The window networks and RRDBNet in PyTorch, as the papers define them, with the tensor names of the published checkpoints (mmediting's, BasicSR's for RRDBNet).

All take and give `[t, 3, h, w]`, f32 in 0..1; the results are not clamped.
Sources: SPyNet (Ranjan and Black 2017), BasicVSR (Chan et al. 2021), BasicVSR++ (Chan et al. 2022), RealBasicVSR (Chan et al. 2022), Real-ESRGAN (Wang et al. 2021).
"""

import torch
import torch.nn.functional as F
from torch import nn
from torchvision.ops import deform_conv2d


def leaky(x):
    return F.leaky_relu(x, 0.1)


def warp(x, flow, padding="zeros"):
    """`x` fetched from each position plus its flow (dx, dy)."""
    _, _, h, w = x.shape
    y, x_ = torch.meshgrid(torch.arange(h, dtype=flow.dtype), torch.arange(w, dtype=flow.dtype), indexing="ij")
    grid = torch.stack([2 * (x_ + flow[:, 0]) / max(w - 1, 1) - 1, 2 * (y + flow[:, 1]) / max(h - 1, 1) - 1], 3)
    return F.grid_sample(x, grid.to(x.dtype), mode="bilinear", padding_mode=padding, align_corners=True)


class ConvModule(nn.Module):
    """A convolution under the name `conv`."""

    def __init__(self, ins, outs, kernel):
        super().__init__()
        self.conv = nn.Conv2d(ins, outs, kernel, padding=kernel // 2)

    def forward(self, x):
        return self.conv(x)


class SpyLevel(nn.Module):
    """One level of the pyramid: what is to be added to the flow."""

    def __init__(self):
        super().__init__()
        channels = [8, 32, 64, 32, 16, 2]
        self.basic_module = nn.ModuleList(ConvModule(a, b, 7) for a, b in zip(channels, channels[1:]))

    def forward(self, x):
        for conv in self.basic_module[:-1]:
            x = F.relu(conv(x))
        return self.basic_module[-1](x)


class SpyNet(nn.Module):
    """Flow from `ref` to `supp`, (dx, dy) in pixels."""

    def __init__(self):
        super().__init__()
        self.basic_module = nn.ModuleList(SpyLevel() for _ in range(6))
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1))

    def forward(self, ref, supp):
        h, w = ref.shape[2:]
        up_h, up_w = -(-h // 32) * 32, -(-w // 32) * 32
        pyramids = []
        for x in (ref, supp):
            x = F.interpolate(x, (up_h, up_w), mode="bilinear", align_corners=False)
            levels = [(x - self.mean) / self.std]
            for _ in range(5):
                levels.insert(0, F.avg_pool2d(levels[0], 2, 2))
            pyramids.append(levels)
        flow = ref.new_zeros(ref.shape[0], 2, up_h // 32, up_w // 32)
        for level, (r, s, module) in enumerate(zip(*pyramids, self.basic_module)):
            if level:
                flow = 2 * F.interpolate(flow, scale_factor=2, mode="bilinear", align_corners=True)
            flow = flow + module(torch.cat([r, warp(s, flow, "border"), flow], 1))
        flow = F.interpolate(flow, (h, w), mode="bilinear", align_corners=False)
        return flow * torch.tensor([w / up_w, h / up_h]).view(1, 2, 1, 1)


def flows(spynet, x):
    """Flows of each frame to the next, and to the one before."""
    return spynet(x[:-1], x[1:]), spynet(x[1:], x[:-1])


class Residual(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x):
        return x + self.conv2(F.relu(self.conv1(x)))


class Blocks(nn.Module):
    """A convolution, LeakyReLU, and residual blocks."""

    def __init__(self, ins, outs, count):
        super().__init__()
        self.main = nn.Sequential(
            nn.Conv2d(ins, outs, 3, padding=1), nn.LeakyReLU(0.1), nn.Sequential(*(Residual(outs) for _ in range(count)))
        )

    def forward(self, x):
        return self.main(x)


class Shuffle(nn.Module):
    """Twice the size."""

    def __init__(self, ins, outs):
        super().__init__()
        self.upsample_conv = nn.Conv2d(ins, 4 * outs, 3, padding=1)

    def forward(self, x):
        return F.pixel_shuffle(self.upsample_conv(x), 2)


class Tail(nn.Module):
    """What comes after the propagation: two pixel shuffles and the picture."""

    def __init__(self, channels):
        super().__init__()
        self.upsample1, self.upsample2 = Shuffle(channels, channels), Shuffle(channels, 64)
        self.conv_hr, self.conv_last = nn.Conv2d(64, 64, 3, padding=1), nn.Conv2d(64, 3, 3, padding=1)

    def picture(self, features, frame):
        x = leaky(self.upsample2(leaky(self.upsample1(features))))
        return self.conv_last(leaky(self.conv_hr(x))) + F.interpolate(frame, scale_factor=4, mode="bilinear", align_corners=False)


class BasicVsr(Tail):
    def __init__(self, channels=64, blocks=30):
        super().__init__(channels)
        self.spynet = SpyNet()
        self.backward_resblocks = Blocks(channels + 3, channels, blocks)
        self.forward_resblocks = Blocks(channels + 3, channels, blocks)
        self.fusion = nn.Conv2d(2 * channels, channels, 1)
        self.channels = channels

    def forward(self, x):
        count, _, h, w = x.shape
        to_next, to_last = flows(self.spynet, x) if count > 1 else (None, None)
        backward, state = [None] * count, x.new_zeros(1, self.channels, h, w)
        for i in reversed(range(count)):
            if i + 1 < count:
                state = warp(state, to_next[i : i + 1])
            backward[i] = state = self.backward_resblocks(torch.cat([x[i : i + 1], state], 1))
        results, state = [], torch.zeros_like(state)
        for i in range(count):
            if i > 0:
                state = warp(state, to_last[i - 1 : i])
            state = self.forward_resblocks(torch.cat([x[i : i + 1], state], 1))
            results.append(self.picture(leaky(self.fusion(torch.cat([backward[i], state], 1))), x[i : i + 1]))
        return torch.cat(results)


class Align(nn.Module):
    """Second-order deformable alignment."""

    def __init__(self, channels):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(channels, 2 * channels, 3, 3))
        self.bias = nn.Parameter(torch.zeros(channels))
        chain = [(3 * channels + 4, channels), (channels, channels), (channels, channels), (channels, 432)]
        layers = []
        for ins, outs in chain:
            layers += [nn.Conv2d(ins, outs, 3, padding=1), nn.LeakyReLU(0.1)]
        self.conv_offset = nn.Sequential(*layers[:-1])

    def forward(self, x, extra, flow_1, flow_2):
        o1, o2, mask = self.conv_offset(torch.cat([extra, flow_1, flow_2], 1)).chunk(3, 1)
        offset_1, offset_2 = (10 * torch.tanh(torch.cat([o1, o2], 1))).chunk(2, 1)
        repeats = offset_1.shape[1] // 2
        offset_1 = offset_1 + flow_1.flip(1).repeat(1, repeats, 1, 1)
        offset_2 = offset_2 + flow_2.flip(1).repeat(1, repeats, 1, 1)
        offset = torch.cat([offset_1, offset_2], 1)
        return deform_conv2d(x, offset, self.weight, self.bias, padding=1, mask=torch.sigmoid(mask))


class BasicVsrPlusPlus(Tail):
    BRANCHES = ("backward_1", "forward_1", "backward_2", "forward_2")

    def __init__(self, channels=64, blocks=7):
        super().__init__(channels)
        self.spynet = SpyNet()
        self.feat_extract = Blocks(3, channels, 5)
        self.deform_align = nn.ModuleDict({branch: Align(channels) for branch in self.BRANCHES})
        self.backbone = nn.ModuleDict(
            {branch: Blocks((2 + i) * channels, channels, blocks) for i, branch in enumerate(self.BRANCHES)}
        )
        self.reconstruction = Blocks(5 * channels, channels, 5)

    def forward(self, x):
        count = len(x)
        to_next, to_last = flows(self.spynet, x) if count > 1 else (None, None)
        features = {"spatial": [self.feat_extract(x[i : i + 1]) for i in range(count)]}
        for branch in self.BRANCHES:
            ahead = branch.startswith("forward")
            order = range(count) if ahead else range(count - 1, -1, -1)
            between = to_last if ahead else to_next
            done, state = {}, torch.zeros_like(features["spatial"][0])
            for n, i in enumerate(order):
                current = features["spatial"][i]
                if n > 0:
                    step = -1 if ahead else 1
                    edge = i - 1 if ahead else i
                    flow_1 = between[edge : edge + 1]
                    cond_1 = warp(state, flow_1)
                    state_2, flow_2, cond_2 = torch.zeros_like(state), torch.zeros_like(flow_1), torch.zeros_like(state)
                    if n > 1:
                        state_2 = done[i + 2 * step]
                        flow_2 = flow_1 + warp(between[edge + step : edge + step + 1], flow_1)
                        cond_2 = warp(state_2, flow_2)
                    cond = torch.cat([cond_1, current, cond_2], 1)
                    state = self.deform_align[branch](torch.cat([state, state_2], 1), cond, flow_1, flow_2)
                others = [current] + [maps[i] for name, maps in features.items() if name != "spatial"]
                done[i] = state = state + self.backbone[branch](torch.cat([*others, state], 1))
            features[branch] = [done[i] for i in range(count)]
        results = []
        for i in range(count):
            maps = torch.cat([features["spatial"][i], *(features[branch][i] for branch in self.BRANCHES)], 1)
            results.append(self.picture(self.reconstruction(maps), x[i : i + 1]))
        return torch.cat(results)


class RealBasicVsr(nn.Module):
    """With the default threshold: cleaned once."""

    def __init__(self, channels=64, blocks=20, cleaning=20):
        super().__init__()
        self.image_cleaning = nn.Sequential(Blocks(3, channels, cleaning), nn.Conv2d(channels, 3, 3, padding=1))
        self.basicvsr = BasicVsr(channels, blocks)

    def forward(self, x):
        return self.basicvsr(torch.cat([frame + self.image_cleaning(frame) for frame in x.split(1)]))


class Dense(nn.Module):
    def __init__(self, features, growth):
        super().__init__()
        for i in range(1, 6):
            setattr(self, f"conv{i}", nn.Conv2d(features + (i - 1) * growth, features if i == 5 else growth, 3, padding=1))

    def forward(self, x):
        maps = [x]
        for i in range(1, 5):
            maps.append(F.leaky_relu(getattr(self, f"conv{i}")(torch.cat(maps, 1)), 0.2))
        return self.conv5(torch.cat(maps, 1)) * 0.2 + x


class Rrdb(nn.Module):
    def __init__(self, features, growth):
        super().__init__()
        self.rdb1, self.rdb2, self.rdb3 = (Dense(features, growth) for _ in range(3))

    def forward(self, x):
        return self.rdb3(self.rdb2(self.rdb1(x))) * 0.2 + x


class RrdbNet(nn.Module):
    def __init__(self, features=64, blocks=23, growth=32):
        super().__init__()
        self.conv_first = nn.Conv2d(3, features, 3, padding=1)
        self.body = nn.Sequential(*(Rrdb(features, growth) for _ in range(blocks)))
        for name in ("conv_body", "conv_up1", "conv_up2", "conv_hr"):
            setattr(self, name, nn.Conv2d(features, features, 3, padding=1))
        self.conv_last = nn.Conv2d(features, 3, 3, padding=1)

    def frame(self, x):
        x = self.conv_first(x)
        x = x + self.conv_body(self.body(x))
        for conv in (self.conv_up1, self.conv_up2):
            x = F.leaky_relu(conv(F.interpolate(x, scale_factor=2, mode="nearest")), 0.2)
        return self.conv_last(F.leaky_relu(self.conv_hr(x), 0.2))

    def forward(self, x):
        return torch.cat([self.frame(frame) for frame in x.split(1)])


# Name -> constructor at the size of the published checkpoints.
NETWORKS = {"basicvsr++": BasicVsrPlusPlus, "basicvsr": BasicVsr, "realbasicvsr": RealBasicVsr, "realesrgan-x4plus": RrdbNet}


def build(name):
    """The network with random weights that keep signals at their size, and flows at a few pixels."""
    torch.manual_seed(1)
    network = NETWORKS[name]().eval().requires_grad_(False)
    for key, value in network.state_dict().items():
        if value.dim() == 4 and not key.endswith(("mean", "std")):
            gain = 0.3 if "conv2" in key or "rdb" in key else 1.0
            if "spynet" in key:
                gain = 0.25 if key.endswith("4.conv.weight") else 1.2
            nn.init.normal_(value, std=gain / value[0].numel() ** 0.5)
        elif key.endswith("bias"):
            nn.init.normal_(value, std=0.01)
    return network
