#!/bin/sh
# Runs a command in the namespaces that run.sh made: loopback is up, /run and /var/lib/keelson are
# empty file systems of its own, and a private containerd listens for the cases that need one.
set -eu

ip link set lo up
mount -t tmpfs -o mode=755 tmpfs /run
work=$(mktemp -d "${TMPDIR:-/var/tmp}/keelson-tests.XXXXXX")
containerd=

finish() {
    [ -z "$containerd" ] || kill "$containerd" 2>/dev/null || true
    [ -z "$containerd" ] || wait "$containerd" 2>/dev/null || true
    awk -v below="$work" 'index($5, below) == 1 { print $5 }' /proc/self/mountinfo | sort -r |
        while read -r mounted; do umount -l "$mounted" || true; done
    rm -rf "$work"
}
trap finish EXIT

# The plugins, under the names by which they are called.
mkdir "$work/cni" "$work/net.d"
for name in bridge host-local loopback portmap; do ln -s "$KEELSON_TEST_KEELSON" "$work/cni/$name"; done
export KEELSON_TEST_CNI_BIN="$work/cni"

if [ -n "${KEELSON_TEST_CONTAINERD_BIN:-}" ]; then
    PATH=$KEELSON_TEST_CONTAINERD_BIN:$PATH
    export PATH KEELSON_TEST_CONTAINERD_SOCKET="$work/containerd.sock"
    cat >"$work/config.toml" <<EOF
version = 3
root = "$work/root"
state = "$work/state"
[grpc]
address = "$KEELSON_TEST_CONTAINERD_SOCKET"
[plugins.'io.containerd.cri.v1.images'.pinned_images]
sandbox = "localhost/keelson/pause:1"
[plugins.'io.containerd.cri.v1.runtime']
restrict_oom_score_adj = true
disable_apparmor = true
[plugins.'io.containerd.cri.v1.runtime'.cni]
bin_dirs = ["$work/cni"]
conf_dir = "$work/net.d"
EOF
    containerd --config "$work/config.toml" >"$work/containerd.log" 2>&1 &
    containerd=$!
    tries=0
    until ctr --address "$KEELSON_TEST_CONTAINERD_SOCKET" version >/dev/null 2>&1; do
        tries=$((tries + 1))
        if [ $tries -gt 600 ]; then
            cat "$work/containerd.log" >&2
            echo "containerd does not answer" >&2
            exit 1
        fi
        sleep 0.1
    done
fi

"$@"
