"""What is printed and written of the measurements: best settings, the trials behind them, the machine."""

import datetime
import importlib.metadata
import itertools
import json
import os
import pathlib
import platform
import statistics


def summary(results):
    """One row for each model, size, precision class and engine: its best setting over all rounds."""
    measured = [r for r in results if r["stage"] == "measurement" and "error" not in r]
    entry = lambda r: (r["model"], r["height"], r["width"], r["precision"], r["engine"], r["setting"])
    rows = []
    for _, group_of_rounds in itertools.groupby(sorted(measured, key=entry), key=entry):
        rounds = list(group_of_rounds)
        row = {key: value for key, value in rounds[0].items() if key != "stage"}
        row["ms_per_frame"] = statistics.median(r["ms_per_frame"] for r in rounds)
        row["ms_min"] = min(r["ms_min"] for r in rounds)
        row["gflops"] = max(r["gflops"] for r in rounds)
        row["others_percent"] = max(r["others_percent"] for r in rounds)
        rows.append(row)
    group = lambda r: (r["model"], r["height"], r["width"], r["precision"] != "f32", r["engine"])
    rows.sort(key=lambda r: (*group(r), r["ms_min"]))
    best = [next(settings) for _, settings in itertools.groupby(rows, key=group)]
    best.sort(key=lambda r: (*group(r)[:4], r["ms_min"]))
    return best


def trials(results):
    """What each engine was tried with, a line for each engine and model."""
    lines = []
    of_line = lambda r: (r["model"], r["width"], r["height"], r["engine"])
    for (model, width, height, engine), rows in itertools.groupby((r for r in results if r["stage"] == "trial"), key=of_line):
        tried = ", ".join(f"{r['setting']}: {r.get('error') or round(r['ms_min'], 1)}" for r in rows)
        lines.append(f"- {model} {width}×{height} {engine}: {tried}")
    failed = sorted(
        {
            f"- {r['model']} {r['width']}×{r['height']} {r['engine']} {r['setting'] or r['precision']}: {r['error']}"
            for r in results
            if r["stage"] == "measurement" and "error" in r
        }
    )
    return "\n".join(lines + failed)


def table(best):
    """The summary as a Markdown table; `others` is the share of the machine that other programs took."""
    lines = [
        "| model | input | precision | engine | setting | ms a frame | least | GFLOP/s | largest difference | others |",
        "|---|---|---|---|---|--:|--:|--:|--:|--:|",
    ]
    for row in best:
        difference = "" if row["max_abs_diff"] is None else f"{row['max_abs_diff']:.1e}"
        figures = f"{row['ms_per_frame']:.1f} | {row['ms_min']:.1f} | {row['gflops']:.0f} | {difference} | {row['others_percent']:.0f} %"
        lines.append(
            f"| {row['model']} | {row['width']}×{row['height']} | {row['precision']} | {row['engine']} | {row['setting']} | {figures} |"
        )
    return "\n".join(lines)


def verdict(best):
    """framelift's least time as a multiple of the best peer's, a line for each model, size and precision class."""
    lines = []
    case = lambda r: (r["model"], r["width"], r["height"], "f32" if r["precision"] == "f32" else "16 bits")
    for (model, width, height, kind), group in itertools.groupby(best, key=case):
        rows = list(group)
        ours = [row for row in rows if row["engine"] == "framelift"]
        peers = [row for row in rows if row["engine"] != "framelift"]
        if ours and peers:
            peer = min(peers, key=lambda row: row["ms_min"])
            ratio = ours[0]["ms_min"] / peer["ms_min"]
            lines.append(f"- {model} {width}×{height} {kind}: framelift takes {ratio:.2f} times as long as {peer['engine']}, the best peer")
    return "\n".join(["", *lines]) if lines else ""


def machine():
    """What the figures depend on besides the code."""
    cpu = platform.processor()
    info = pathlib.Path("/proc/cpuinfo")
    flags = []
    if info.exists():
        fields = dict(line.split(":", 1) for line in info.read_text().split("\n\n")[0].splitlines() if ":" in line)
        fields = {key.strip(): value.strip() for key, value in fields.items()}
        cpu = fields.get("model name", cpu)
        flags = [flag for flag in fields.get("flags", "").split() if flag.startswith(("avx", "amx", "fma", "f16c"))]
    versions = {name: importlib.metadata.version(name) for name in ("torch", "onnxruntime", "openvino", "ncnn", "pnnx")}
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "flags": flags,
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": versions,
    }


def save(path, results):
    """Everything measured so far as JSON, if a path was given."""
    if path:
        written = {"date": datetime.date.today().isoformat(), "machine": machine(), "best": summary(results), "results": results}
        path.write_text(json.dumps(written, indent=1) + "\n")
