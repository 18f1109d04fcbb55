#!/usr/bin/env python3
"""Milliseconds per frame on a graphics card: framelift beside PyTorch (f16, channels last; eager, CUDA graph, torch.compile), in one run.

Before the networks the card's own limits are measured: a large f16 matrix product and a copy within its memory. Each measurement is a process
of its own, warms up, and runs in interleaved rounds; the least time counts. The weights are random, the same for both. `--torch-device cpu`
and a small size try the script itself out where there is no card.
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
# Network -> sizes that it is measured at.
NETWORKS = {
    "basicvsr++": ("320x180", "960x540"),
    "basicvsr": ("320x180",),
    "realbasicvsr": ("320x180",),
    "realesrgan-x4plus": ("320x180",),
    "animevideov3": ("1280x720",),
    "lift-x4": ("1280x720",),
}
SETTINGS = ("eager", "cuda graph", "compile")


def sees_windows(name):
    """Whether the network is one of temporal_networks.py, which take all frames at once."""
    return name not in ("animevideov3", "lift-x4")


def prepare(name, width, height, frames, device):
    """The network in f16, channels last, and what it is called with."""
    import torch

    import networks
    import temporal
    import temporal_networks

    half = torch.float16 if device == "cuda" else torch.float32
    if sees_windows(name):
        network = temporal_networks.build(name).to(device, half).to(memory_format=torch.channels_last)
        x = temporal.film(frames, width, height).to(device, half).contiguous(memory_format=torch.channels_last)
        return network, (x,)
    network = networks.build(name, networks.checkpoint(name))
    inputs = networks.inputs(name, network, width, height)
    network = network.to(device, half).to(memory_format=torch.channels_last)
    return network, tuple(t.to(device, half).contiguous(memory_format=torch.channels_last) for t in inputs)


def measure_pytorch(name, setting, width, height, frames, device):
    """Milliseconds of a frame: the least of several calls, after some that warm up."""
    import torch

    torch.set_grad_enabled(False)
    torch.backends.cudnn.benchmark = True
    wait = torch.cuda.synchronize if device == "cuda" else lambda: None
    network, inputs = prepare(name, width, height, frames, device)
    call = lambda: network(*inputs)
    if setting == "compile":
        compiled = torch.compile(network, mode="max-autotune" if device == "cuda" else "default")
        call = lambda: compiled(*inputs)
    for _ in range(3):
        call()
    wait()
    if setting == "cuda graph":
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            call()
        call = graph.replay
        call()
        wait()
    count = frames if sees_windows(name) else 1
    times, begun = [], time.perf_counter()
    while len(times) < 3 or time.perf_counter() - begun < 3:
        start = time.perf_counter()
        call()
        wait()
        times.append((time.perf_counter() - start) * 1e3 / count)
    return min(times)


def measure_limits(device):
    """TFLOP/s of a large f16 product with f32 sums, and GB/s of a copy, read and written."""
    import torch

    wait = torch.cuda.synchronize if device == "cuda" else lambda: None
    half, side, size = (torch.float16, 8192, 1 << 30) if device == "cuda" else (torch.float32, 1024, 1 << 26)
    a, b = (torch.randn(side, side, device=device).to(half) for _ in range(2))
    source = torch.empty(size, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)

    def least(call):
        times = []
        for _ in range(12):
            start = time.perf_counter()
            call()
            wait()
            times.append(time.perf_counter() - start)
        return min(times)

    name = torch.cuda.get_device_name() if device == "cuda" else "the processor"
    return {
        "device": name,
        "tflop_s": 2 * side**3 / least(lambda: a @ b) / 1e12,
        "gb_s": 2 * size / least(lambda: target.copy_(source)) / 1e9,
    }


def child(*command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip() or "no message").splitlines()[-1]
        print(f"  {' '.join(map(str, command[1:]))}: exit code {done.returncode}: {last}", file=sys.stderr)
        return None
    return json.loads(done.stdout.strip().splitlines()[-1])


def export(name, folder):
    """The same weights as framelift reads them."""
    from safetensors.torch import save_file

    if sees_windows(name):
        import temporal

        return temporal.export(name, folder)
    import networks

    state = networks.build(name, networks.checkpoint(name)).state_dict()
    path = folder / f"{name}.safetensors"
    save_file({key: value.contiguous() for key, value in state.items()}, path)
    return path


def framelift(name, weights, size, precision, options):
    model = ("--model", name) if name.startswith("lift") else ("--weights", weights)
    found = child(
        *(options.framelift, "bench", "--json", *model, "--input", size, "--precision", precision),
        *("--device", options.device, "--window", options.frames, "--seconds", 3),
    )
    return found and found["results"][0]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    parser.add_argument("--networks", type=lambda text: text.split(","), default=list(NETWORKS), help=f"of {','.join(NETWORKS)}")
    parser.add_argument("--settings", type=lambda text: text.split(";"), default=list(SETTINGS), help=f"of {';'.join(SETTINGS)}")
    parser.add_argument("--sizes", type=lambda text: text.split(","), help="WxH of the input, in place of each network's own")
    parser.add_argument("--frames", type=int, default=30, help="frames of a window")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--device", default="gpu", help="framelift's --device")
    parser.add_argument("--torch-device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--framelift", type=pathlib.Path, default=target / "release" / "framelift", help="or the networks program of scripts/gpu-kit.sh")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="write every figure there")
    parser.add_argument("--one", nargs=3, metavar=("NETWORK", "SETTING", "SIZE"), help=argparse.SUPPRESS)
    parser.add_argument("--limits", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.limits:
        print(json.dumps(measure_limits(options.torch_device)))
        return
    if options.one:
        name, setting, size = options.one
        width, height = map(int, size.split("x"))
        print(json.dumps(measure_pytorch(name, setting, width, height, options.frames, options.torch_device)))
        return

    same = ("--frames", options.frames, "--torch-device", options.torch_device)
    limits = child(sys.executable, __file__, *same, "--limits") or {"device": "?", "tflop_s": float("nan"), "gb_s": float("nan")}
    print(f"{limits['device']}: {limits['tflop_s']:.1f} TFLOP/s f16 product, {limits['gb_s']:.0f} GB/s copy")
    print(f"ms a frame, windows of {options.frames}, least of {options.rounds} rounds")
    results = {"limits": limits, "networks": {}}
    with tempfile.TemporaryDirectory() as folder:
        for name in options.networks:
            weights = export(name, pathlib.Path(folder))
            for size in options.sizes or NETWORKS[name]:
                rows, first, gflop = {}, {}, None
                for _ in range(options.rounds):
                    for setting in options.settings:
                        rows.setdefault(setting, []).append(child(sys.executable, __file__, *same, "--one", name, setting, size))
                    for precision in ("f16", "f32"):
                        found = framelift(name, weights, size, precision, options)
                        gflop = found["gflop_per_frame"] if found else gflop
                        rows.setdefault(f"framelift {precision}", []).append(found and found["ms_min"])
                        if found and "first_frame_ms" in found:
                            first.setdefault(precision, []).append(found["first_frame_ms"])
                report(name, size, rows, gflop, limits, options.settings)
                for precision, times in first.items():
                    print(f"{name:20} {size:>9} first frame in {precision}, ms after the start, round by round: {', '.join(f'{t:.0f}' for t in times)}")
                results["networks"][f"{name} {size}"] = {"rounds": rows, "first_frame_ms": first, "gflop_per_frame": gflop}
                if options.json:
                    options.json.parent.mkdir(parents=True, exist_ok=True)
                    options.json.write_text(json.dumps(results, indent=1))


def report(name, size, rows, gflop, limits, settings):
    best = {key: min((v for v in values if v is not None), default=None) for key, values in rows.items()}
    eager, peer = best.get("eager"), min((best[s] for s in settings if best.get(s)), default=None)
    for key, value in best.items():
        if value is None:
            print(f"{name:20} {size:>9} {key:16}       n/a", flush=True)
            continue
        share = f"{gflop / value / 10 / limits['tflop_s']:5.1f} % of the product" if gflop else ""
        ratios = "".join(f"  {other / value:5.2f} x {what}" for other, what in ((eager, "eager"), (peer, "best")) if other)
        print(f"{name:20} {size:>9} {key:16} {value:9.3f}  {share}{ratios}", flush=True)


if __name__ == "__main__":
    main()
