#!/bin/sh
# Tests and measures the GPU engine on a machine that has a card, its driver, and Python with PyTorch, but neither Rust nor FFmpeg,
# nor a Vulkan loader.
#   scripts/gpu-kit.sh pack                        here: builds programs that need none of these into target/gpu-kit
#   scripts/gpu-kit.sh tests                       there, from the repository's root, with target/gpu-kit: the engine's tests
#   scripts/gpu-kit.sh layers [--input=WxH ...]    each kind of layer: time, arithmetic, memory traffic
#   scripts/gpu-kit.sh compare [OPTION ...]        networks beside PyTorch: benches/peers/gpu.py with its options
# DEVICE=cuda:0 does all of these through CUDA, for which the machine must have NVIDIA's toolkit.
set -eu
cd "$(dirname "$0")/.."
kit=$PWD/target/gpu-kit
[ $# -gt 0 ] || { sed -n '2,9s/^# \{0,1\}//p' "$0" >&2; exit 2; }
what=$1
shift

# The program that cargo says it made of a test or a benchmark.
built() {
    cargo "$@" --no-run --locked -p framelift-engine-gpu --features cuda 2>&1 | tee /dev/stderr | sed -n 's/^ *Executable [^(]*(\(.*\))$/\1/p' | tail -n 1
}

if [ "$what" = pack ]; then
    mkdir -p "$kit"
    strip -o "$kit/tests" "$(built test --release --test gpu)"
    strip -o "$kit/networks" "$(built bench --bench networks)"
    cp -L "$(ldconfig -p | sed -n 's/.*libvulkan\.so\.1 .*=> //p' | head -n 1)" "$kit/libvulkan.so.1"
    # Tests look for their golden vectors where they were built.
    pwd > "$kit/root"
    du -sh "$kit"
    exit
fi

[ -x "$kit/tests" ] || { echo "target/gpu-kit is not there; pack it first" >&2; exit 2; }
ldconfig -p 2>/dev/null | grep -q 'libvulkan\.so\.1' || export LD_LIBRARY_PATH="$kit${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
if [ -z "${VK_DRIVER_FILES:-}" ] && ! ls /usr/share/vulkan/icd.d/*.json /etc/vulkan/icd.d/*.json > /dev/null 2>&1; then
    found=$(find / -path /proc -prune -o -name nvidia_icd.json -print 2> /dev/null | head -n 1)
    [ -z "$found" ] || export VK_DRIVER_FILES="$found"
fi
# NVRTC.
[ ! -d /usr/local/cuda/lib64 ] || export LD_LIBRARY_PATH="${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}/usr/local/cuda/lib64"
root=$(cat "$kit/root")
[ -e "$root" ] || { mkdir -p "$(dirname "$root")"; ln -s "$PWD" "$root"; }

case $what in
    tests) FRAMELIFT_TEST_DEVICE=${DEVICE:-} exec "$kit/tests" --nocapture "$@" ;;
    layers) exec "$kit/networks" --layers --device="${DEVICE:-auto}" "$@" ;;
    compare) exec python3 benches/peers/gpu.py --framelift "$kit/networks" --device "${DEVICE:-gpu}" "$@" ;;
    *) echo "there is no $what" >&2; exit 2 ;;
esac
