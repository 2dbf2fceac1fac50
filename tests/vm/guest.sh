#!/bin/sh
# Runs inside the machine, started by its unit keelson-vm.service: runs the cases and tells of them
# on the second serial port, where nothing else writes. Boots the machine anew once on the way.
set -u
exec >/dev/ttyS1 2>&1
stty -F /dev/ttyS1 raw

here=$(dirname "$0")
booted=/var/lib/keelson-vm.booted
begun=/var/lib/keelson-vm.begun
export KEELSON_TEST_KEELSON="$here/keelson"
export KEELSON_TEST_CNI="$here/keelson"
export KEELSON_TEST_SKIPS=/run/keelson-vm.skips
: >"$KEELSON_TEST_SKIPS"

# Answers between pods of one bridge pass the packet filter as on any node.
modprobe br_netfilter

cases() { "$here/vm" --ignored --test-threads=1 "$@"; }

done_now() {
    sed 's/^/skipped: /' "$KEELSON_TEST_SKIPS"
    echo "vm: the machine is done, $(cut -d. -f1 /proc/uptime) s after its last boot"
    systemctl poweroff
    exit
}

# Whoever ends up here again without having asked for it fell over among the cases.
if [ -e "$begun" ]; then
    echo "vm: the machine fell over among the cases"
    systemctl poweroff
    exit
fi
touch "$begun"
sync

only=$(cat "$here/only")
if [ -n "$only" ]; then
    # shellcheck disable=SC2086
    cases $only
    done_now
fi

if [ ! -e "$booted" ]; then
    cases --skip reboot::
    cases reboot::first
    sed 's/^/skipped: /' "$KEELSON_TEST_SKIPS"
    touch "$booted"
    rm "$begun"
    sync
    systemctl reboot
else
    cases reboot::then
    done_now
fi
