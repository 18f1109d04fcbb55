#!/usr/bin/env python3
"""Milliseconds per frame of the window networks and RRDBNet at the size of their published checkpoints: framelift beside PyTorch, in one run.

Each measurement is a process of its own and runs a window of a few frames once to warm up and then in interleaved rounds; the least time
counts. The weights are random, the same for both; the pictures are compared before anything is timed.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
NAMES = ("basicvsr++", "basicvsr", "realbasicvsr", "realesrgan-x4plus")
# Setting -> precision, channels last, autocast.
SETTINGS = {
    "pytorch": ("f32", False, False),
    "pytorch, channels last": ("f32", True, False),
    "pytorch, bf16 autocast": ("bf16", True, True),
}


def film(frames, width, height):
    """Waves and noise that drift by a pixel and a half a frame."""
    import torch

    noise = 0.05 * torch.randn(3, height, width + 2 * frames, generator=torch.Generator().manual_seed(2))
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width + 2 * frames), indexing="ij")

    def frame(t):
        phase = x - 1.5 * t
        wave = torch.stack([torch.sin(phase / 7 + y / 11), torch.cos(phase / 5 - y / 13), torch.sin(phase / 3 + y / 29)])
        return (0.4 * wave + 0.5 + noise.roll(-t, 2)).clamp(0, 1)[..., :width]

    return torch.stack([frame(t) for t in range(frames)])


def measure_pytorch(name, setting, frames, width, height, threads):
    """Seconds of one window, after a window of two frames that warms up."""
    import torch

    import temporal_networks

    torch.set_grad_enabled(False)
    torch.set_num_threads(threads)
    _, channels_last, autocast = SETTINGS[setting]
    layout = torch.channels_last if channels_last else torch.contiguous_format
    network = temporal_networks.build(name).to(memory_format=layout)
    x = film(frames, width, height).contiguous(memory_format=layout)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        network(x[:1])
        start = time.perf_counter()
        network(x)
    return time.perf_counter() - start


def export(name, folder):
    """The random weights as framelift reads them."""
    import temporal_networks
    from safetensors.torch import save_file

    state = {key: value.contiguous() for key, value in temporal_networks.build(name).state_dict().items()}
    path = folder / f"{name}.safetensors"
    save_file(state, path)
    return path


def child(*command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip() or "no message").splitlines()[-1]
        print(f"  {command[-1]}: exit code {done.returncode}: {last}", file=sys.stderr)
        return None
    return json.loads(done.stdout)


def framelift(program, weights, precision, options):
    size = f"{options.width}x{options.height}"
    found = child(
        *(program, "bench", "--json", "--weights", weights, "--input", size, "--precision", precision),
        *("--threads", options.threads, "--window", options.frames, "--seconds", 1),
    )
    return found and found["results"][0]["ms_min"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    parser.add_argument("--networks", type=lambda text: text.split(","), default=list(NAMES), help=f"of {','.join(NAMES)}")
    parser.add_argument("--settings", type=lambda text: text.split(";"), default=list(SETTINGS), help=f"of {';'.join(SETTINGS)}")
    parser.add_argument("--frames", type=int, default=5, help="frames of the window")
    parser.add_argument("--width", type=int, default=320)
    parser.add_argument("--height", type=int, default=180)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--framelift", type=pathlib.Path, default=target / "release" / "framelift")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="write every figure there")
    parser.add_argument("--one", nargs=2, metavar=("NETWORK", "SETTING"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        seconds = measure_pytorch(*options.one, options.frames, options.width, options.height, options.threads)
        print(json.dumps(seconds * 1e3 / options.frames))
        return

    same = ("--frames", options.frames, "--width", options.width, "--height", options.height, "--threads", options.threads)
    print(f"ms a frame, {options.width}x{options.height}, window of {options.frames}, {options.threads} threads, least of {options.rounds}")
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in options.networks:
            weights = export(name, pathlib.Path(folder))
            rows = results[name] = {}
            for _ in range(options.rounds):
                for setting in options.settings:
                    rows.setdefault(setting, []).append(child(sys.executable, __file__, *same, "--one", name, setting))
                for precision in ("f32", "f16", "bf16"):
                    rows.setdefault(f"framelift {precision}", []).append(framelift(options.framelift, weights, precision, options))
            best = {key: min((v for v in values if v is not None), default=None) for key, values in rows.items()}
            peer = min((best[s] for s in options.settings if SETTINGS[s][0] == "f32" and best[s]), default=None)
            for key, value in best.items():
                ratio = f"{peer / value:6.2f} times PyTorch's best f32" if peer and value else ""
                print(f"{name:20} {key:28} {value or float('nan'):9.0f} {ratio}", flush=True)
            if options.json:
                options.json.parent.mkdir(parents=True, exist_ok=True)
                options.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
