#!/bin/sh
# Runs a program on the newest Mesa that Debian has, whose software Vulkan has matrix cores, which the installed one may not
# have: `scripts/newest-mesa.sh PROGRAM ARGUMENT...`. Debian's packages are unpacked under target/mesa, nothing is installed.
# Ends with 77 where it cannot be had. MESA_SUITE takes another of Debian's suites, MESA_DRIVER another of Mesa's drivers (radeon ...).
set -eu
[ $# -gt 0 ] || { echo "usage: $0 PROGRAM ARGUMENT..." >&2; exit 2; }
suite=${MESA_SUITE:-unstable}
driver=${MESA_DRIVER:-lvp}
root=$(cd "$(dirname "$0")/.." && pwd)/target/mesa/$suite

cannot() { echo "$1" >&2; exit 77; }

# The mirror that this machine's packages come from; unstable is where the newest Mesa is.
get() {
    command -v apt-get > /dev/null || cannot "no apt-get: the newest Mesa cannot be fetched"
    mirror=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE)' 'Created-By: Packages' \
        | grep -v -- '-security' | head -n 1 | cut -d ' ' -f 1)
    [ -n "$mirror" ] || cannot "apt-get knows no mirror: the newest Mesa cannot be fetched"
    rm -rf "$root"
    mkdir -p "$root/lists/partial" "$root/cache/archives/partial" "$root/tree"
    echo "deb $mirror $suite main" > "$root/sources"
    : > "$root/status"
    set -- -q -o Dir::Etc::sourcelist="$root/sources" -o Dir::Etc::sourceparts=- -o Dir::State::lists="$root/lists" \
        -o Dir::State::status="$root/status" -o Dir::Cache="$root/cache" -o Debug::NoLocking=true \
        -o APT::Sandbox::User="$(id -un)"
    apt-get "$@" update > "$root/log" 2>&1 || cannot "the newest Mesa cannot be fetched: $(tail -n 1 "$root/log")"
    apt-get "$@" install --download-only --yes --no-install-recommends mesa-vulkan-drivers libvulkan1 \
        >> "$root/log" 2>&1 || cannot "the newest Mesa cannot be fetched: $(tail -n 1 "$root/log")"
    for package in "$root"/cache/archives/*.deb; do
        dpkg-deb -x "$package" "$root/tree"
    done
    rm -rf "$root/lists" "$root/cache"
    libraries=$(find "$root/tree/usr/lib" -name libvulkan_lvp.so)
    [ -n "$libraries" ] || cannot "Debian's package of the newest Mesa has no software Vulkan"
    dirname "$libraries" > "$root/libraries"
}

[ -e "$root/libraries" ] || get
loader=$(find "$root/tree/usr" -name 'ld-linux-*.so.*' | head -n 1)
libraries=$(cat "$root/libraries")
printf '{"file_format_version": "1.0.1", "ICD": {"library_path": "%s/libvulkan_%s.so", "api_version": "1.4.0"}}\n' \
    "$libraries" "$driver" > "$root/$driver.json"
VK_DRIVER_FILES="$root/$driver.json" exec "$loader" --library-path "$libraries" "$@"
