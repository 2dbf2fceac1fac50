#!/bin/sh
# Boots the machine of the vm tier and prints what its cases tell.
#   machine.sh IMAGE KEELSON PROGRAM [CASE...]
# IMAGE is the folder that image.sh printed, KEELSON the binary under test, PROGRAM the program of
# the cases. With CASE (filters of the program) only those run, and the machine is not booted anew.
# Nothing is written to IMAGE: the machine's disk ends with the machine.
set -eu

image=$1 keelson=$2 program=$3
shift 3
here=$(cd "$(dirname "$0")" && pwd)
seconds=${KEELSON_VM_SECONDS:-1500}
work=$(mktemp -d "${TMPDIR:-/var/tmp}/keelson-vm.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM

say() { echo "vm: $*"; }

# A second disk, read-only, holds what is under test.
mkdir "$work/tests"
cp "$keelson" "$work/tests/keelson"
cp "$program" "$work/tests/vm"
cp "$here/guest.sh" "$work/tests/guest.sh"
echo "$*" >"$work/tests/only"
size=$(($(du -sm "$work/tests" | cut -f1) + 32))
truncate -s "${size}M" "$work/tests.img"
mke2fs -q -t ext4 -O ^has_journal -d "$work/tests" "$work/tests.img"

boot() { # seconds, accelerator, kernel's words, QEMU's options...
    limit=$1 accelerator=$2 words=$3
    shift 3
    case $accelerator in
    kvm) set -- -accel kvm -cpu host -smp 2 "$@" ;;
    # One processor: several, emulated, trip over code that the kernel patches as it boots. The kernel
    # counts ticks to see whether its timer works, and on a busy host finds too few.
    tcg) set -- -accel tcg -cpu max,la57=off -smp 1 "$@" && words="$words no_timer_check" ;;
    esac
    # A kernel that panics as it boots gets another try; among the cases guest.sh gives up.
    timeout --kill-after=5 "$limit" qemu-system-x86_64 -M q35 -m 2048 \
        -nodefaults -no-user-config -display none \
        -kernel "$image/kernel" -initrd "$image/initrd" -append "console=ttyS0 quiet panic=5 $words" \
        -device virtio-rng-pci -serial "file:$work/console" "$@" </dev/null 2>"$work/qemu"
}

# /dev/kvm may be there and yet boot nothing: a kernel that only says so tells within seconds.
accelerator() {
    if [ -w /dev/kvm ] && boot 15 kvm keelson.probe && grep -q 'this machine boots' "$work/console"; then
        echo kvm
    else
        echo tcg
    fi
}

accelerator=$(accelerator)
say "booting with $accelerator; at most $seconds s"
started=$(date +%s)
boot "$seconds" "$accelerator" "${KEELSON_VM_WORDS:-}" \
    -drive "file=$image/disk.img,if=virtio,format=raw,snapshot=on" \
    -drive "file=$work/tests.img,if=virtio,format=raw,readonly=on" \
    -serial "stdio" | tee "$work/report" || true
say "the machine ended after $(($(date +%s) - started)) s"

if ! grep -q '^vm: the machine is done' "$work/report"; then
    say "it did not come to its end; QEMU said:"
    cat "$work/qemu"
    say "and its console at last:"
    tail -n 60 "$work/console" | tr -d '\033'
    exit 1
fi
