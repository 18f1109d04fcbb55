"""What NVIDIA's assembler makes of the kernels of a folder: `report.py TOOLS FOLDER`."""

import collections
import pathlib
import re
import subprocess
import sys

tools, folder = map(pathlib.Path, sys.argv[1:])
# Instructions that say what a kernel waits for, by what their names begin with.
WANTED = ["HMMA", "LDSM", "LDS.128", "LDS.64", "LDS", "STS", "LDG.E.128", "LDG.E.64", "LDG.E", "STG", "LDL", "STL", "BAR", "MUFU"]


def kinds(sass):
    """How many instructions of each kind there are."""
    counts = collections.Counter()
    for name in re.findall(r"^\s+/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\d+ )?([A-Z][A-Z0-9_.]*)", sass, re.M):
        counts["all"] += 1
        # Of loads from global memory, the cache policy says nothing about their width.
        plain = re.sub(r"\.(CONSTANT|STRONG|WEAK|GPU|SYS|EL|LTC128B)\b", "", name)
        kind = next((kind for kind in WANTED if plain.startswith(kind)), None)
        if kind:
            counts[kind] += 1
    return counts


launches = {}
for line in (folder / "launches").read_text().splitlines():
    number, name, count, cubes, units, shared = line.split()
    launches[int(number)] = name, count, cubes, units, int(shared)
print("kernel", "units", "shared", "registers", "spilled", "instructions", *WANTED, sep="\t")
for ptx in sorted(folder.glob("*.ptx")):
    name, _, _, units, shared = launches[int(ptx.stem)]
    target = re.search(r"^\.target (\w+)", ptx.read_text(), re.M)[1]
    cubin = ptx.with_suffix(".cubin")
    said = subprocess.run([tools / "ptxas", "-v", "-arch", target, "-o", cubin, ptx], capture_output=True, text=True, check=True)
    registers = re.search(r"Used (\d+) registers", said.stderr)[1]
    spilled = sum(map(int, re.findall(r"(\d+) bytes spill", said.stderr)))
    sass = subprocess.run([tools / "nvdisasm", "-c", cubin], capture_output=True, text=True, check=True).stdout
    ptx.with_suffix(".sass").write_text(sass)
    counts = kinds(sass)
    row = [f"{ptx.stem} {name}", units, shared, registers, spilled, counts["all"], *(counts[kind] for kind in WANTED)]
    print(*row, sep="\t")
