"""How frames lie to each other: dense Lucas-Kanade, coarse to fine. Nothing in it is trained.

The formulas are in `crates/engine/src/motion.rs`, which the networks run; both give the same flows.
"""

import torch
import torch.nn.functional as F

LEVELS, LEAST_SIDE = 4, 16
WINDOW, SMOOTH = 4, 2
DAMPING, STEP = 5e-5, 1.0


def warp(x, flow):
    """For each position the bilinear value of `x` at that position plus its flow `(dx, dy)` in pixels; the border is repeated."""
    height, width = x.shape[-2:]
    ys, xs = torch.meshgrid(
        torch.arange(height, device=x.device, dtype=torch.float32),
        torch.arange(width, device=x.device, dtype=torch.float32),
        indexing="ij",
    )
    gx = (xs + flow[:, 0]) * (2 / max(width - 1, 1)) - 1
    gy = (ys + flow[:, 1]) * (2 / max(height - 1, 1)) - 1
    grid = torch.stack((gx, gy), dim=-1)
    return F.grid_sample(x.float(), grid, mode="bilinear", padding_mode="border", align_corners=True)


def mean(x, radius, count_outside):
    return F.avg_pool2d(x, 2 * radius + 1, 1, radius, count_include_pad=count_outside)


def softened(x):
    """The binomial mean over 3 × 3, the border repeated."""
    return F.avg_pool2d(F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), 2, 1), 2, 1)


@torch.no_grad()
@torch.autocast("cpu", enabled=False)
def flows(now, others):
    """The flow `[batch, 2, h, w]` from `now` `[batch, 3, h, w]` to each of `others`, in pixels."""
    red_green_blue = torch.tensor([0.299, 0.587, 0.114], device=now.device)[:, None, None]
    sizes = [[(x.float() * red_green_blue).sum(1, keepdim=True) for x in (now, *others)]]
    while len(sizes) < LEVELS and min(sizes[-1][0].shape[-2:]) >= LEAST_SIDE:
        sizes.append([F.avg_pool2d(x, 2) for x in sizes[-1]])
    results = None
    for level in reversed(sizes):
        here, *there = [softened(x) for x in level]
        if results is None:
            results = [torch.zeros(len(here), 2, *here.shape[-2:], device=now.device) for _ in there]
        else:
            results = [2 * F.interpolate(x, size=here.shape[-2:], mode="bilinear", align_corners=False) for x in results]
        edged = F.pad(here, (1, 1, 1, 1), mode="replicate")
        gx = (edged[..., 1:-1, 2:] - edged[..., 1:-1, :-2]) / 2
        gy = (edged[..., 2:, 1:-1] - edged[..., :-2, 1:-1]) / 2
        xx, xy, yy = mean(torch.cat([gx * gx, gx * gy, gy * gy], 1), WINDOW, True).split(1, 1)
        xx, yy = xx + DAMPING, yy + DAMPING
        for i, other in enumerate(there):
            left = here - warp(other, results[i])
            xt, yt = mean(torch.cat([gx * left, gy * left], 1), WINDOW, True).split(1, 1)
            step = torch.cat([yy * xt - xy * yt, xx * yt - xy * xt], 1) / (xx * yy - xy * xy)
            results[i] = mean(results[i] + step.clamp(-STEP, STEP), SMOOTH, False)
    return results
