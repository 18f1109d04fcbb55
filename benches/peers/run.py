#!/usr/bin/env python3
"""Milliseconds per frame of the network alone: framelift beside PyTorch, ONNX Runtime, OpenVINO and ncnn, in one run on one machine.

Every measurement is a process of its own. First each engine tries all its settings at the smallest size; then, for every model and size,
the settings that came out best for each engine and precision are measured in interleaved rounds, framelift among them.
"""

import argparse
import itertools
import json
import math
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time

import engines
import report

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
MODELS = ("animevideov3", "lift-x4", "lift-fast-x4", "lift-x2")
PEERS = tuple(engines.SETTINGS)
# Settings this close to an engine's best in the trial go on to the measurement, at most two.
CLOSE = 1.05
# Not worth the time: a setting this many times slower than its engine's best is timed once in the trial, and 16 bits this many times
# slower than f32 (the machine has no 16-bit arithmetic and the engine imitates it) are measured in one round only.
SLOW = 1.5
# Longest time for one process.
LIMIT_S = 300
# Above this share of the machine, in percent, other programs' work shows in the figures.
QUIET_PERCENT = 3


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])

    def listed(text):
        return text.split(",")

    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    parser.add_argument("--models", type=listed, default=list(MODELS[:2]), help=f"of {','.join(MODELS)} (default: the first two)")
    parser.add_argument("--sizes", type=listed, default=["320x180", "640x360"], help="input sizes, WIDTHxHEIGHT")
    parser.add_argument("--only", type=listed, default=[*PEERS, "framelift"], help=f"of {','.join(PEERS)},framelift")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=2, help="interleaved rounds of the measurement")
    parser.add_argument(
        "--seconds", type=float, default=1.5, help="time of each measurement in a round (at least two frames); a trial takes a third"
    )
    parser.add_argument("--framelift", type=pathlib.Path, default=target / "release" / "framelift", help="the program to measure")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="write every figure and the machine there")
    options = parser.parse_args()
    for given, known in ((options.models, MODELS), (options.only, (*PEERS, "framelift"))):
        if unknown := set(given) - set(known):
            parser.error(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(known)}")
    return options


class Bench:
    """Runs measurements and remembers them; `results` is what --json writes."""

    def __init__(self, options, work_dir):
        self.options = options
        self.work_dir = work_dir
        self.results = []
        # Thread counts that libraries read before any option reaches them; compiled kernels that go with the run; and an allocator that
        # keeps freed memory, in huge pages, as maps given back and taken again with every frame cost page faults.
        self.peer_environment = os.environ | {
            "OMP_NUM_THREADS": str(options.threads),
            "TORCHINDUCTOR_CACHE_DIR": str(work_dir / "inductor"),
            "TORCHINDUCTOR_COMPILE_THREADS": "1",
            "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
            "MALLOC_MMAP_MAX_": "0",
            "MALLOC_TRIM_THRESHOLD_": str(1 << 36),
        }

    def call(self, *command, environment=None):
        """The JSON that a command ends with, or its error; and the share of the machine's cores that others used meanwhile, in percent."""
        before, start = busy_seconds(), time.perf_counter()
        command = [str(part) for part in command]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, env=environment, check=False)
            found = last_json(done.stdout)
            if done.returncode or found is None:
                last_line = (done.stderr.strip() or "no message").splitlines()[-1]
                found = {"error": f"exit code {done.returncode}: {last_line}"}
        except subprocess.TimeoutExpired:
            found = {"error": f"still running after {LIMIT_S} s"}
        wall = time.perf_counter() - start
        return found, 100 * max(0.0, busy_seconds() - before) / (wall * os.cpu_count())

    def prepare(self, model, size):
        """Converts a network for all engines; gives the case's folder and facts."""
        folder = self.work_dir / f"{model}-{size}"
        case, _ = self.call(sys.executable, HERE / "prepare.py", model, size, folder, environment=self.peer_environment)
        if "error" in case:
            sys.exit(f"cannot prepare {model} at {size}: {case['error']}")
        return folder, case

    def measure_peer(self, stage, folder, case, engine, setting, seconds, give_up_ms=math.inf):
        command = (sys.executable, HERE / "engines.py", folder, engine, setting, self.options.threads, seconds, give_up_ms)
        found, others = self.call(*command, environment=self.peer_environment)
        return self.note(stage, case, engine, setting, engines.SETTINGS[engine][setting][0], found, others)

    def measure_framelift(self, folder, case, precision):
        built_in = case["network"].startswith("lift")
        network = ("--model", case["network"]) if built_in else ("--weights", folder / "weights.safetensors")
        asked = {"width": case["width"], "height": case["height"], "precision": precision, "threads": self.options.threads}
        size = ("--input", f"{case['width']}x{case['height']}")
        how = ("--precision", precision, "--threads", self.options.threads)
        found, others = self.call(self.options.framelift, "bench", "--json", *network, *size, *how)
        if "error" not in found:
            rows = [row for row in found.get("results", []) if all(row.get(key) == value for key, value in asked.items())]
            found = {"median_ms": rows[0]["ms_per_frame"], "min_ms": rows[0]["ms_min"]} if rows else {"error": f"its JSON lacks {asked}"}
        return self.note("measurement", case, "framelift", "", precision, found, others)

    def measure_case(self, folder, case, plan, round_):
        """One round: every entry once, framelift among the peers, the order turned round each time."""
        entries = [(engine, setting) for engine, setting, rounds in plan if round_ < rounds]
        if "framelift" in self.options.only:
            entries.insert(len(entries) // 2, ("framelift", "f16"))
            entries.insert(0, ("framelift", "f32"))
        for engine, setting in reversed(entries) if round_ % 2 else entries:
            if engine == "framelift":
                self.measure_framelift(folder, case, setting)
            else:
                self.measure_peer("measurement", folder, case, engine, setting, self.options.seconds)

    def note(self, stage, case, engine, setting, precision, found, others):
        result = {
            "stage": stage,
            "model": case["network"],
            "width": case["width"],
            "height": case["height"],
            "engine": engine,
            "setting": setting,
            "precision": precision,
            "threads": self.options.threads,
        }
        if "error" in found:
            result["error"] = found["error"]
        else:
            runs_ms = found.get("runs_ms")
            result["ms_per_frame"] = statistics.median(runs_ms) if runs_ms else found["median_ms"]
            result["ms_min"] = min(runs_ms) if runs_ms else found["min_ms"]
            result["runs"] = len(runs_ms) if runs_ms else None
            result["max_abs_diff"] = found.get("max_abs_diff")
            result["gflops"] = 2e-6 * case["macs"] / result["ms_min"]
        result["others_percent"] = round(others, 1)
        self.results.append(result)
        figure = result.get("error") or f"{result['ms_min']:.1f} ms"
        print(f"{stage}: {case['network']} {case['width']}x{case['height']} {engine} {setting or precision}: {figure}", file=sys.stderr)
        return result

    def best_settings(self, folder, case):
        """(engine, setting, rounds) worth measuring for a model: the best of each engine in f32 and in 16 bits, and a close second."""
        chosen = []
        for engine in (peer for peer in PEERS if peer in self.options.only):
            tried_f32 = self.try_settings(folder, case, engine, False, math.inf)
            slow_ms = SLOW * min(tried_f32, default=(math.inf,))[0]
            tried_16 = self.try_settings(folder, case, engine, True, slow_ms)
            for tried in (tried_f32, tried_16):
                for ms, setting in sorted(tried)[:2]:
                    if ms <= CLOSE * min(tried)[0]:
                        emulated = tried is tried_16 and ms > slow_ms
                        chosen.append((engine, setting, 1 if emulated else self.options.rounds))
        return chosen

    def try_settings(self, folder, case, engine, half, slow_ms):
        """(milliseconds, setting) of an engine's f32 or 16-bit settings; ends after a first one slower than `slow_ms`."""
        tried = []
        for setting, (precision, _) in engines.SETTINGS[engine].items():
            if (precision != "f32") != half:
                continue
            give_up_ms = SLOW * min(tried, default=(math.inf,))[0]
            result = self.measure_peer("trial", folder, case, engine, setting, self.options.seconds / 3, give_up_ms)
            if "error" not in result:
                tried.append((result["ms_min"], setting))
                # ncnn's 16-bit settings differ in method, so one slow one says nothing about the next.
                if engine != "ncnn" and tried[0][0] > slow_ms:
                    break
        return tried


def last_json(text):
    """The JSON object that a text is, or that its last line is; None if neither."""
    for candidate in (text, *text.splitlines()[-1:]):
        try:
            return json.loads(candidate)
        except json.JSONDecodeError:
            continue
    return None


def busy_seconds():
    """Processor seconds spent by everyone but this process and its ended children, since the machine started (0 where unknown)."""
    try:
        ticks = [int(field) for field in pathlib.Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    except OSError:
        return 0.0
    user, nice, system, _idle, _iowait, irq, softirq, steal = ticks
    ours = sum(u.ru_utime + u.ru_stime for u in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)))
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK") - ours


def main():
    options = arguments()
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="framelift-peers-") as work_dir:
        bench = Bench(options, pathlib.Path(work_dir))
        cases = {}
        for model, size in itertools.product(options.models, sorted(options.sizes, key=lambda s: math.prod(map(int, s.split("x"))))):
            cases.setdefault(model, []).append(bench.prepare(model, size))
        if "framelift" in options.only and not options.framelift.exists():
            options.only.remove("framelift")
            print(f"framelift: {options.framelift} does not exist, so it is left out; make it with cargo build --release", file=sys.stderr)
        plan = {model: bench.best_settings(*sized[0]) for model, sized in cases.items()}
        for round_, (model, sized) in itertools.product(range(options.rounds), cases.items()):
            for folder, case in sized:
                bench.measure_case(folder, case, plan[model], round_)
                report.save(options.json, bench.results)
    best, about = report.summary(bench.results), report.machine()
    facts = [sized[0][1] for sized in cases.values()]
    print(report.table(best))
    print(report.verdict(best))
    print("\nSettings tried, least milliseconds a frame (or why not):\n")
    print(report.trials(bench.results))
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    weights = ", ".join(
        f"{case['network']} {case['macs'] / case['width'] / case['height'] / 1e3:.1f} kMAC a pixel, weights {case['weights']}"
        for case in facts
    )
    print(f"\n{about['cpu']}, {about['cores']} cores, {options.threads} threads; {versions}; {weights}.")
    print(f"{time.perf_counter() - started:.0f} s.", file=sys.stderr)
    busiest = max((row["others_percent"] for row in best), default=0)
    if busiest > QUIET_PERCENT:
        print(f"Other programs took up to {busiest:.0f} % of the machine: measure again when it is quiet.", file=sys.stderr)


if __name__ == "__main__":
    main()
