#!/bin/sh
# Makes the virtual environment of the peers: $VENV, by default .venv in the repository's root. Wants Python 3.11 or newer, a C and a C++ compiler, ldd.
# $REQUIREMENTS and $IMPORTS make another one with torch, such as that of training/.
set -eu
here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
venv=${VENV:-$here/../../.venv}

"${PYTHON:-python3}" -m venv "$venv"
"$venv/bin/python" -m pip install --quiet --no-deps --requirement "${REQUIREMENTS:-$here/requirements.txt}"

# torch links CUDA's large libraries although nothing on a CPU calls them: empty stand-ins take their place, and functions are looked up
# when called, not when loaded. The one symbol that is looked up at load all the same is a variable of nvshmem.
site=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
echo 'import os, sys; sys.setdlopenflags(os.RTLD_LAZY)' > "$site/lazy_binding.pth"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
echo 'NVSHMEM { global: *; };' > "$scratch/nvshmem.map"
for library in $(ldd "$site/torch/lib/libtorch_python.so" | awk '/=> not found/ { print $1 }' | sort -u); do
    case $library in
    libnvshmem_host*)
        echo 'void *nvshmem_selected_device_transport[64];' > "$scratch/empty.c"
        version=-Wl,--version-script=$scratch/nvshmem.map
        ;;
    *)
        : > "$scratch/empty.c"
        version=
        ;;
    esac
    cc -shared -fPIC "-Wl,-soname,$library" $version -o "$site/torch/lib/$library" "$scratch/empty.c"
done

"$venv/bin/python" -c "import ${IMPORTS:-torch, onnxruntime, openvino, ncnn, pnnx}; print('torch', torch.__version__, 'is ready')"
