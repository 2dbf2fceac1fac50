#!/bin/sh
# Installs what building and running need and is not there: Debian packages, a Rust toolchain.
# `prepare.sh tests` adds what only the tests use, `prepare.sh vm` what makes and boots a machine.
# A machine that has everything is left alone.
set -eu

needed_rust=1.91
# What a machine without Rust gets: a newer one knows lints that `make check` was not written for.
fetched_rust=1.95.0

say() { echo "prepare: $*" >&2; }
die() { say "$*"; exit 1; }

missing() {
    for package; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || echo "$package"
    done
}

install() {
    wanted=$(missing "$@" | tr '\n' ' ')
    [ -n "$wanted" ] || return 0
    [ "$(id -u)" = 0 ] || die "these Debian packages are missing, and only root can install them: $wanted"
    say "installing $wanted"
    export DEBIAN_FRONTEND=noninteractive
    # shellcheck disable=SC2086
    apt-get install -y -q --no-install-recommends $wanted >/dev/null 2>&1 ||
        { apt-get update -q >/dev/null && apt-get install -y -q --no-install-recommends $wanted >/dev/null; }
}

# The toolchain's version is new enough: compares MAJOR.MINOR as numbers.
rust_is_new_enough() {
    command -v cargo >/dev/null || return 1
    version=$(cargo --version 2>/dev/null | cut -d' ' -f2) || return 1
    [ "$(printf '%s\n%s\n' "$needed_rust" "$version" | sort -V | head -1)" = "$needed_rust" ]
}

rust() {
    . "$(dirname "$0")/rust-env.sh"
    rust_is_new_enough && return 0
    if ! command -v rustup >/dev/null; then
        if apt-cache policy rustup 2>/dev/null | grep -q 'Candidate: [0-9]'; then
            install rustup
        else
            rustup_from_its_home
        fi
    fi
    say "installing Rust $fetched_rust (there is none that is $needed_rust or newer)"
    rustup toolchain install "$fetched_rust" --profile minimal --component clippy,rustfmt >&2 || no_rust
    rustup default "$fetched_rust" >&2
    rust_is_new_enough || die "cargo is still older than $needed_rust: which one does PATH find? $(command -v cargo)"
}

no_rust() {
    die "Rust could not be fetched from static.rust-lang.org (the reason is above). Install Rust $needed_rust or newer
yourself and run make again; behind a proxy that signs certificates itself, put its CA into
/usr/local/share/ca-certificates/NAME.crt, run update-ca-certificates and make again"
}

# Debian 12 has no rustup package: its own installer, checked against its published checksum.
rustup_from_its_home() {
    say "Debian has no rustup package here: fetching it from static.rust-lang.org"
    work=$(mktemp -d)
    base=https://static.rust-lang.org/rustup/dist/$(uname -m)-unknown-linux-gnu
    curl -fsSL --proto '=https' --tlsv1.2 --retry 3 -o "$work/rustup-init" "$base/rustup-init" &&
        sum=$(curl -fsSL --proto '=https' --tlsv1.2 --retry 3 "$base/rustup-init.sha256" | cut -d' ' -f1) &&
        [ "$(sha256sum "$work/rustup-init" | cut -d' ' -f1)" = "$sum" ] ||
        no_rust
    chmod +x "$work/rustup-init"
    "$work/rustup-init" -y --no-modify-path --default-toolchain "$fetched_rust" --profile minimal \
        --component clippy --component rustfmt >&2 || no_rust
    rm -rf "$work"
}

install ca-certificates curl xz-utils gcc libc6-dev busybox-static debian-archive-keyring
command -v gpgv >/dev/null || command -v sqv >/dev/null || install gpgv
rust
case "${1:-}" in
tests) install iproute2 util-linux nftables iptables python3-venv ;;
vm) install qemu-system-x86 seabios mmdebstrap e2fsprogs cpio ;;
esac
