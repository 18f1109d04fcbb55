#!/usr/bin/env bash
# Fuzzes every target, or those named: scripts/fuzz.sh [-t SECONDS] [TARGET…]. What is found lies in fuzz/artifacts/.
set -euo pipefail
cd "$(dirname "$0")/../fuzz"

seconds=1200
if [ "${1:-}" = -t ]; then
    seconds=$2
    shift 2
fi
[ $# -gt 0 ] || set -- arguments checkpoint journal plan y4m

for target in "$@"; do
    echo "== $target, $seconds s"
    mkdir -p "corpus/$target"
    # No sanitizer: outside FFmpeg, which is not instrumented, unsafe code is not fuzzed; so a stable compiler will do.
    cargo fuzz run --sanitizer none "$target" "corpus/$target" "seeds/$target" -- \
        -max_total_time="$seconds" -timeout=20 -rss_limit_mb=2048 -print_final_stats=1
done
