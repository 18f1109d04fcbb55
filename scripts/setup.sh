#!/bin/sh
# Installs what a build needs and the machine lacks: FFmpeg's libraries, libclang (for bindings), a C toolchain.
# With GPU=1 also Vulkan's loader and Mesa's drivers, which the tests of the GPU engine run on where there is no card.
# With TRAINING=1 also the ffmpeg program and Python's venv, which the recipe of the built-in models wants.
# On Debian and its kin through apt, with sudo when not root; elsewhere it says what to install.
set -eu

libraries="libavcodec libavfilter libavformat libavutil libswscale libswresample"
packages="build-essential pkg-config clang libclang-dev libavcodec-dev libavfilter-dev libavformat-dev libavutil-dev libswscale-dev libswresample-dev"

# Whether the loader and a driver for Vulkan are installed: tests of the GPU engine want one, Mesa's software if there is no card.
has_vulkan() {
    ldconfig -p 2>/dev/null | grep -q 'libvulkan\.so\.1' || return 1
    for file in /usr/share/vulkan/icd.d/*.json /etc/vulkan/icd.d/*.json; do
        [ -e "$file" ] && return 0
    done
    return 1
}

lacking() {
    command -v cc >/dev/null 2>&1 || echo "a C compiler"
    command -v pkg-config >/dev/null 2>&1 || { echo "pkg-config"; return; }
    command -v clang >/dev/null 2>&1 || echo "clang with libclang"
    [ -z "${GPU:-}" ] || has_vulkan || echo "a Vulkan driver"
    if [ -n "${TRAINING:-}" ]; then
        command -v ffmpeg >/dev/null 2>&1 || echo "the ffmpeg program"
        python3 -c 'import sys, venv, ensurepip; assert sys.version_info >= (3, 11)' 2>/dev/null || echo "Python 3.11 or newer with venv"
    fi
    for library in $libraries; do
        pkg-config --exists "$library" || echo "$library (headers)"
    done
}

if ! command -v cargo >/dev/null 2>&1; then
    echo "setup: cargo is missing; install Rust 1.89 or newer (https://rustup.rs), then run this again" >&2
    exit 1
fi

[ -z "${GPU:-}" ] || packages="$packages libvulkan1 mesa-vulkan-drivers"
[ -z "${TRAINING:-}" ] || packages="$packages ffmpeg python3 python3-venv"

missing=$(lacking)
[ -n "$missing" ] || exit 0

echo "setup: missing:" >&2
echo "$missing" | sed 's/^/  - /' >&2

if command -v apt-get >/dev/null 2>&1; then
    sudo=""
    if [ "$(id -u)" -ne 0 ]; then
        if ! command -v sudo >/dev/null 2>&1; then
            echo "setup: not root and no sudo; as root run: apt-get install $packages" >&2
            exit 1
        fi
        sudo="sudo"
    fi
    echo "setup: installing through apt" >&2
    $sudo apt-get update -q >&2
    # shellcheck disable=SC2086  # a list of words
    DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -q --no-install-recommends $packages >&2
else
    cat >&2 <<'LIST'
setup: this is not a Debian-like system; install these with its package manager, then run this again:
  - FFmpeg 5.1 or newer with headers   Fedora: ffmpeg-devel   Arch: ffmpeg   macOS: brew install ffmpeg
  - clang with libclang                Fedora: clang-devel    Arch: clang    macOS: xcode-select --install
  - pkg-config and a C compiler        Fedora: pkgconf gcc    Arch: base-devel   macOS: brew install pkgconf
LIST
    exit 1
fi

missing=$(lacking)
if [ -n "$missing" ]; then
    echo "setup: still missing after the installation:" >&2
    echo "$missing" | sed 's/^/  - /' >&2
    exit 1
fi
