#!/bin/sh
# Runs a program with CUDA where there is no card of NVIDIA's: a driver that stands in for theirs (cuda-without-card/driver.c)
# takes the kernels, which NVRTC compiles for the card of the compute capability CARD_CAPABILITY (90), and launches nothing.
#   scripts/cuda-without-card.sh PROGRAM ARGUMENT...   keeps the kernels in target/cuda/kernels, or in CARD_KERNELS
#   scripts/cuda-without-card.sh --report              what NVIDIA's assembler makes of those: registers, spills, instructions
# NVRTC, headers and assembler come from PyPI into target/cuda, nothing is installed. Ends with 77 where they cannot be had.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
home=$(dirname "$here")/target/cuda
[ $# -gt 0 ] || { sed -n '2,6s/^# \{0,1\}//p' "$0" >&2; exit 2; }

cannot() { echo "$1" >&2; exit 77; }

if [ ! -e "$home/there" ]; then
    mkdir -p "$home/lib"
    python3 -m venv "$home/python" || cannot "no Python: the CUDA toolkit cannot be fetched"
    "$home/python/bin/pip" install -q 'nvidia-cuda-nvrtc==13.0.*' 'nvidia-cuda-runtime==13.0.*' 'nvidia-cuda-crt==13.0.*' \
        'nvidia-cuda-nvcc==13.0.*' 'nvidia-nvvm==13.0.*' nvidia-cuda-nvdisasm > "$home/log" 2>&1 \
        || cannot "the CUDA toolkit cannot be fetched: $(tail -n 1 "$home/log")"
    touch "$home/there"
fi
toolkit=$(echo "$home"/python/lib/python3*/site-packages/nvidia/cu13)
driver=$here/cuda-without-card/driver.c
[ "$home/lib/libcuda.so.1" -nt "$driver" ] || cc -O2 -Wall -Wextra -shared -fPIC -o "$home/lib/libcuda.so.1" "$driver"
export CARD_KERNELS="${CARD_KERNELS:-$home/kernels}"
if [ "$1" = --report ]; then
    exec "$home/python/bin/python" "$here/cuda-without-card/report.py" "$toolkit/bin" "$CARD_KERNELS"
fi
rm -rf "$CARD_KERNELS"
mkdir -p "$CARD_KERNELS"
export CUDA_PATH="$toolkit" LD_LIBRARY_PATH="$home/lib:$toolkit/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
exec "$@"
