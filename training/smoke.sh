#!/bin/sh
# The whole recipe in small, on a CPU: films made on the spot, clips, a minute of training, export. Under two minutes after the set-up.
# PYTHON names an interpreter that has training/requirements.txt; otherwise a virtual environment is made in target/. Where packages or
# ffmpeg cannot be had, it says so and ends well; FRAMELIFT_SMOKE=must makes that an error.
set -eu
here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
skip() {
    echo "training/smoke.sh: skipped: $1" >&2
    [ "${FRAMELIFT_SMOKE:-}" = must ] && exit 1
    exit 0
}
command -v ffmpeg > /dev/null || skip "there is no ffmpeg"
if [ -z "${PYTHON:-}" ]; then
    venv=$here/../target/training-venv
    PYTHON=$venv/bin/python
    "$PYTHON" -c 'import torch, PIL, safetensors' 2> /dev/null ||
        VENV=$venv REQUIREMENTS=$here/requirements.txt IMPORTS='torch, PIL, safetensors' sh "$here/../benches/peers/setup.sh" ||
        skip "the packages cannot be installed"
fi
"$PYTHON" -c 'import torch, PIL, safetensors' || skip "$PYTHON lacks packages of training/requirements.txt"

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mkdir "$scratch/films" "$scratch/photos"
ffmpeg -v error -f lavfi -i testsrc2=size=640x480:rate=25:duration=3 -pix_fmt yuv420p "$scratch/films/bars.mkv"
ffmpeg -v error -f lavfi -i mandelbrot=size=640x480:rate=25 -t 3 -pix_fmt yuv420p "$scratch/films/fractal.mkv"
ffmpeg -v error -f lavfi -i mandelbrot=size=1000x700 -frames:v 1 "$scratch/photos/fractal.png"
printf 'films\tCC0-1.0\tmade by smoke.sh\nphotos\tCC0-1.0\tmade by smoke.sh\n' > "$scratch/credits.tsv"
cd "$here"
"$PYTHON" prepare.py --films "$scratch/films" --photos "$scratch/photos" --credits "$scratch/credits.tsv" --out "$scratch/data" \
    --film-clips 3 --generated 4 --pack "$scratch/pack.zip"
"$PYTHON" prepare.py --unpack "$scratch/pack.zip" --out "$scratch/unpacked"
small="--channels 16 --blocks 1 --batch 2 --count 4 --patch 32"
"$PYTHON" train.py --data "$scratch/unpacked" --out "$scratch/run" --minutes 0.15 $small
"$PYTHON" train.py --data "$scratch/data" --out "$scratch/run" --minutes 0.3 --resume $small
"$PYTHON" evaluate.py --run "$scratch/run" --truth "$scratch/films/bars.mkv" --frames 4 --crf 23
"$PYTHON" export.py --run "$scratch/run" --data "$scratch/data" --out "$scratch/lift.safetensors" --golden "$scratch/golden.safetensors"
"$PYTHON" train.py --data "$scratch/unpacked" --out "$scratch/grown" --minutes 0.05 --from "$scratch/lift.safetensors" $small --blocks 2
"$PYTHON" evaluate.py --run "$scratch/lift.safetensors" --truth "$scratch/films/bars.mkv" --still 4
"$PYTHON" - "$scratch" << 'CHECK'
import json, sys
from safetensors import safe_open
lines = [json.loads(line) for line in open(f"{sys.argv[1]}/run/log.txt")]
ends = [line for line in lines if line.get("event") == "end"]
assert len(ends) == 2 and ends[1]["step"] > ends[0]["step"] > 0, ends
with safe_open(f"{sys.argv[1]}/lift.safetensors", "np") as file:
    metadata = file.metadata()
    assert metadata["architecture"] == "lift" and "made by smoke.sh" in metadata["training_data"], metadata
    assert file.get_tensor("conv_out.weight").shape == (48, 16, 3, 3)
print("training: prepared, trained, resumed, evaluated, exported, grown")
CHECK
