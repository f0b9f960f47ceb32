#!/bin/sh
# Makes Rocq (coqc, with Coquelicot) available through apt, where it is missing and we may install; else says how.
#
#   scripts/setup_rocq.sh          exit status 0 if it is there now, 1 if not
#   scripts/setup_rocq.sh there    the same, without installing or saying anything
#
# Only Debian's and Ubuntu's packages are tried: nothing is built, nothing else is changed.
set -eu

packages="coq libcoq-coquelicot"

say() { echo "setup: $*" >&2; }

# coqc alone is not enough: the theory needs Coquelicot
works() {
    command -v coqc >/dev/null 2>&1 || return 1
    lib=$(coqc -where 2>/dev/null) || return 1
    [ -f "$lib/user-contrib/Coquelicot/Coquelicot.vo" ]
}

if works; then exit 0; fi
if [ "${1:-}" = there ]; then exit 1; fi
as_root=
if [ "$(id -u)" != 0 ]; then
    if command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then as_root="sudo -n"; fi
fi
if command -v apt-get >/dev/null 2>&1 && { [ "$(id -u)" = 0 ] || [ -n "$as_root" ]; }; then
    say "installing $packages (about 256 MB)"
    export DEBIAN_FRONTEND=noninteractive
    # old lists are tried first: updating them may need a network that installing from a cache does not
    $as_root apt-get install -y -qq $packages >/dev/null 2>&1 ||
        { $as_root apt-get update -qq >/dev/null 2>&1; $as_root apt-get install -y -qq $packages >/dev/null 2>&1; } ||
        say "apt-get could not install $packages"
    if works; then say "installed $(coqc --version | head -n 1)"; exit 0; fi
fi
say "Rocq is missing: the theory is not checked here and tests marked proofs are left out."
say "Install it with your system's packages; Debian, Ubuntu: apt-get install $packages"
exit 1
