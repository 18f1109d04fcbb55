"""Trains lift on what `prepare.py` wrote.

    python train.py --data DIR --out DIR --minutes 60 [--channels 32 --blocks 2] [--device cuda --batch 32] [--resume]

The rate of learning falls along a cosine to nothing at the end of `--minutes`. `--out` gets `last.pt` (everything, for `--resume`)
every minute or so, the averaged weights in it are the result. `log.txt` holds each line printed.
"""

import argparse
import copy
import json
import math
import os
import time

import numpy as np
import torch
import torch.nn.functional as F

import picture
from data import Clips
from model import Lift, load


# Weight of changes from frame to frame that are not the truth's, and the epsilon of their Charbonnier: noise that flickers is
# far smaller than errors at edges, and would weigh nothing against them with the same.
CHANGE, CHANGE_EPSILON = 0.7, 0.006


def charbonnier(x, epsilon):
    return (x.square() + epsilon**2).sqrt().mean()


def loss_of(output, truth, epsilon):
    """Charbonnier on luma and on RGB, and on how luma changes from frame to frame."""
    difference = output - truth
    red, green, blue = difference.unbind(-3)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    change = luma[:, 1:] - luma[:, :-1]
    return charbonnier(luma, epsilon) + 0.4 * charbonnier(difference, epsilon) + CHANGE * charbonnier(change, CHANGE_EPSILON)


@torch.no_grad()
def validate(net, clips, count):
    """Mean gain in dB of luma over bicubic, for each kind, of the clips held back."""
    gains = {}
    for kind, small, big in clips.validation(count):
        output = net(small)[0]
        base = picture.enlarge(small, clips.scale)
        gains.setdefault(kind, []).append((picture.psnr_y(output, big) - picture.psnr_y(base, big)).mean().item())
    return {kind: round(float(np.mean(values)), 3) for kind, values in gains.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--minutes", type=float, required=True, help="of the clock, all resumed runs together")
    parser.add_argument("--channels", type=int, default=32)
    parser.add_argument("--blocks", type=int, default=2)
    parser.add_argument("--no-motion", action="store_true", help="neighbours and hidden state as they are, not brought onto the frame")
    parser.add_argument("--profile", default="mixed", choices=["clean", "mixed"])
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--count", type=int, default=7, help="frames of a sequence")
    parser.add_argument("--patch", type=int, default=48, help="side of a patch, a multiple of 8")
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--epsilon", type=float, default=0.03, help="errors below this count by their squares, those above by their size")
    parser.add_argument("--still", type=float, default=0.06, help="share of batches whose hidden state has already lived a while")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--resume", action="store_true", help="go on from OUT/last.pt if there is one")
    parser.add_argument("--from", dest="start", help="what to begin with, of a network of this size or smaller, of any scale: another run's last.pt, or weights that export.py wrote")
    parser.add_argument("--validate-every", type=float, default=5, help="minutes")
    args = parser.parse_args()

    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    device = torch.device(args.device)
    os.makedirs(args.out, exist_ok=True)
    log = open(f"{args.out}/log.txt", "a", encoding="utf-8")

    def say(**what):
        line = json.dumps(what)
        print(line, flush=True)
        print(line, file=log, flush=True)

    clips = Clips(args.data, args.profile, device)
    net = Lift(clips.scale, args.channels, args.blocks, not args.no_motion).to(device, memory_format=torch.channels_last)
    if args.start:
        net.begin_as(load(args.start, device)[0])
    average = copy.deepcopy(net)
    optimizer = torch.optim.Adam(net.parameters(), lr=args.rate, betas=(0.9, 0.99))
    step, spent = 0, 0.0
    last = f"{args.out}/last.pt"
    if args.resume and os.path.exists(last):
        saved = torch.load(last, map_location=device, weights_only=True)
        net.load_state_dict(saved["net"]), average.load_state_dict(saved["average"])
        optimizer.load_state_dict(saved["optimizer"])
        step, spent = saved["step"], saved["spent"]
    rng = np.random.default_rng(args.seed + step)
    say(event="begin", step=step, spent_s=round(spent), clips=len(clips.train), parameters=net.parameters_count(),
        gmac_320x180=round(net.macs_per_pixel() * 57600 / 1e9, 2), **vars(args))

    def save():
        state = dict(net=net.state_dict(), average=average.state_dict(), optimizer=optimizer.state_dict(), config=net.config,
                     step=step, spent=spent)
        torch.save(state, last + ".new")
        os.replace(last + ".new", last)

    began, total = time.monotonic() - spent, args.minutes * 60
    saved_at = said_at = validated_at = spent
    losses = []
    while spent < total:
        rate = args.rate * min(1, (step + 1) / 100) * 0.5 * (1 + math.cos(math.pi * spent / total))
        for group in optimizer.param_groups:
            group["lr"] = max(rate, 1e-6)
        frames, truth = clips.batch(rng, args.batch, args.count, args.patch)
        with torch.autocast(device.type, torch.bfloat16):
            hidden = None
            if rng.random() < args.still:
                with torch.no_grad():
                    for _ in range(int(rng.integers(1, 3))):
                        hidden = net(frames, hidden)[1]
                        hidden = net(frames.flip(1), hidden)[1]
            output, _ = net(frames, hidden)
        loss = loss_of(output, truth, args.epsilon)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 0.5)
        optimizer.step()
        decay = min(0.998, (1 + step) / (10 + step))
        with torch.no_grad():
            for a, b in zip(average.parameters(), net.parameters()):
                a.lerp_(b, 1 - decay)
        step += 1
        if step % 10 == 0:
            losses.append(loss.item())
        spent = time.monotonic() - began
        if spent - said_at > 30 and losses:
            say(step=step, spent_s=round(spent), rate=round(rate, 6), loss=round(float(np.mean(losses)), 5))
            losses, said_at = [], spent
        if spent - validated_at > args.validate_every * 60:
            say(step=step, spent_s=round(spent), gain_db=validate(average, clips, 8))
            validated_at = spent
        if spent - saved_at > 60:
            save()
            saved_at = spent
    save()
    say(event="end", step=step, spent_s=round(spent), gain_db=validate(average, clips, 1000))


if __name__ == "__main__":
    main()
