#!/bin/sh
# Runs the tests and counts them.
#   run.sh         every tier this machine can run
#   run.sh node    only the cases that need root
#   run.sh bench   the benchmarks
#   run.sh vm      the cases that need a whole machine with systemd, in QEMU
# `make` is the way in: it builds the release binary and fetches containerd first.
set -eu

cd "$(dirname "$0")/.."
root=$PWD
target=${CARGO_TARGET_DIR:-$root/target}
mode=${1:-all}

say() { echo "tests: $*"; }

# Adds up the "test result:" lines of a log: $1 is the log, $2 passed, failed or ignored.
count() {
    awk -v want="$2" '/^test result:/ { for (i = 2; i <= NF; i++) if ($i ~ "^" want) sum += $(i - 1) } END { print sum + 0 }' "$1"
}

# Everything that needs root happens in namespaces of its own: whatever a case leaves behind or
# breaks, the machine's network and mounts are not the ones it sees, and its processes end with it.
isolated() {
    unshare --net --mount --pid --fork --kill-child --mount-proc --propagation private "$root/tests/isolated.sh" "$@"
}

passed=0 failed=0 skipped=0 status=0 alone=
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT INT TERM

run() { # log, command...
    log=$1
    shift
    { "$@" 2>&1 || echo "exit status $?" >"$log.status"; } | tee "$log"
    passed=$((passed + $(count "$log" passed)))
    failed=$((failed + $(count "$log" failed)))
    [ ! -e "$log.status" ] || status=1
}

# A case with real processes may lose the race for the processor to the cases beside it. The few
# that failed run once more, one by one, and that judges them; who needed it is told by name.
again_alone() { # log of the first run, the status before it
    failures=$(sed -n 's/^test \(.*\) \.\.\. FAILED$/\1/p' "$1" | sort -u)
    few=$(echo "$failures" | grep -c .) || return 0
    [ "$few" -le 3 ] || return 0
    for case in $failures; do
        say "once more, alone: $case"
        isolated cargo test --locked --target-dir "$target" --offline --workspace --no-fail-fast -- --ignored --exact "$case" >"$logs/again" 2>&1 || true
        cat "$logs/again"
        [ "$(count "$logs/again" failed)" = 0 ] && [ "$(count "$logs/again" passed)" -gt 0 ] || return 0
        passed=$((passed + 1))
        failed=$((failed - 1))
        alone="$alone $case"
        rm "$logs/again"
    done
    [ "$failed" != 0 ] || status=$2
}

tell() {
    [ "$status" = 0 ] && [ "$failed" = 0 ] || grep -h '^test .* FAILED$' "$logs"/* 2>/dev/null | sed 's/^/failed: /' || true
    for case in $alone; do echo "passed only alone: $case"; done
    [ "$failed" = 0 ] || status=1
    echo "$passed passed, $failed failed, $skipped skipped"
    exit $status
}

# Prints the folder of the machine's image, or says on its error output why there is none.
image() {
    [ "$(id -u)" = 0 ] || { echo "making a machine's disk needs root" >&2; return 1; }
    [ "$(uname -m)" = x86_64 ] || { echo "the machine is an x86_64 one" >&2; return 1; }
    systemd/prepare.sh vm && tests/vm/image.sh
}

vm() {
    say "tier vm"
    program=$(cargo test --locked --target-dir "$target" -p keelson-tests --test vm --no-run --message-format=json |
        sed -n 's|.*"executable":"\([^"]*/vm-[^"]*\)".*|\1|p')
    listed=$("$program" --ignored --list 2>/dev/null | grep -c ': test$')
    if ! folder=$(image 2>"$logs/image"); then
        sed 's/^/tests: | /' "$logs/image"
        say "tier vm SKIPPED, all $listed cases of it: there is no machine to run them in (see above)"
        skipped=$((skipped + listed))
        return
    fi
    run "$logs/vm" tests/vm/machine.sh "$folder" "$target/release/keelson" "$program"
    ran=$((passed + failed))
    told=$(grep -c '^skipped: ' "$logs/vm" || true)
    passed=$((passed - told))
    skipped=$((skipped + told))
    if [ "$ran" -lt "$listed" ]; then
        say "$listed cases that need a machine are listed, only $ran ran"
        status=1
    fi
}

if [ "$mode" = vm ]; then
    vm
    tell
fi

if [ "$mode" = all ]; then
    say "tiers pure and sim"
    run "$logs/pure" cargo test --locked --target-dir "$target" --workspace --no-fail-fast
fi

KEELSON_TEST_KEELSON=$target/release/keelson
export KEELSON_TEST_KEELSON
if [ "$(id -u)" != 0 ]; then
    listed=$(cargo test --locked --target-dir "$target" --workspace -- --ignored --list 2>/dev/null | grep -c ': test$' || true)
    say "tier node skipped: it makes namespaces and starts containers, which needs root"
    before=$((passed + failed))
    if KEELSON_TEST_ETCD_BIN=$(systemd/fetch-runtime.sh etcd); then
        export KEELSON_TEST_ETCD_BIN
        run "$logs/etcd" cargo test --locked --target-dir "$target" -p keelson-store --test etcd -p keelson-apiserver --test several -- --ignored
    fi
    skipped=$((skipped + listed - (passed + failed - before)))
elif [ "$mode" = bench ]; then
    cargo bench --locked --target-dir "$target" -p keelson-tests -p keelson-store -p keelson-apiserver -p keelson-scheduler --no-run
    KEELSON_TEST_CONTAINERD_BIN=$(systemd/fetch-runtime.sh)
    KEELSON_TEST_GO_CNI_BIN=$(systemd/fetch-runtime.sh cni-plugins)
    export KEELSON_TEST_CONTAINERD_BIN KEELSON_TEST_GO_CNI_BIN
    isolated cargo bench --locked --target-dir "$target" --offline -p keelson-tests
    KEELSON_TEST_ETCD_BIN=$(systemd/fetch-runtime.sh etcd)
    export KEELSON_TEST_ETCD_BIN
    cargo bench --locked --target-dir "$target" --offline -p keelson-store -p keelson-apiserver -p keelson-scheduler
    exit
else
    say "tier node"
    KEELSON_TEST_CONTAINERD_BIN=$(systemd/fetch-runtime.sh)
    KEELSON_TEST_GO_CNI_BIN=$(systemd/fetch-runtime.sh cni-plugins)
    KEELSON_TEST_SKIPS=$logs/skips
    KEELSON_TEST_ETCD_BIN=$(systemd/fetch-runtime.sh etcd)
    KUBECTL=$(systemd/fetch-runtime.sh kubectl)
    KEELSON_GO_SOURCES=$(systemd/fetch-runtime.sh api-sources)
    export KEELSON_TEST_CONTAINERD_BIN KEELSON_TEST_GO_CNI_BIN KEELSON_TEST_ETCD_BIN KEELSON_TEST_SKIPS
    export KUBECTL KEELSON_GO_SOURCES
    # Without it the cases that run it count as skipped.
    KEELSON_TEST_PYTHON=$(tests/clients/prepare.sh 37.0.2 || true)
    export KEELSON_TEST_PYTHON
    : >"$KEELSON_TEST_SKIPS"
    listed=$(cargo test --locked --target-dir "$target" --workspace -- --ignored --list 2>/dev/null | grep -c ': test$' || true)
    before=$((passed + failed)) status_before=$status
    run "$logs/node" isolated cargo test --locked --target-dir "$target" --offline --workspace --no-fail-fast -- --ignored
    again_alone "$logs/node" $status_before
    ran=$((passed + failed - before))
    told=$(wc -l <"$KEELSON_TEST_SKIPS")
    passed=$((passed - told))
    skipped=$((skipped + told))
    sed 's/^/skipped: /' "$KEELSON_TEST_SKIPS"
    if [ "$ran" -lt "$listed" ]; then
        say "$listed cases that need root are listed, only $ran ran"
        status=1
    fi
fi

tell
