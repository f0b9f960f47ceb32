#!/bin/sh
# Makes .venv hold what a command needs, from nothing if it must, and does nothing when it already does.
#
#   scripts/setup_env.sh demo     to run the demo: the extras a user would install
#   scripts/setup_env.sh dev      to test and to develop: all of them except torch (see `make setup-interop`)
#
# PYTHON=/path/to/python chooses the interpreter. A stamp inside .venv names what it was made from (pyproject.toml,
# constraints.txt, this checkout); any difference installs again. A .venv that this script began and did not finish is
# thrown away and made again. A .venv that somebody else made is completed, never deleted.
set -eu

group=${1:-dev}
demo_extras=cli,train,rigor
dev_extras=dev,cli,train,low-precision,rigor,xla,bench
modules="numpy typer rich matplotlib sklearn safetensors flint"
case $group in
    demo) extras=$demo_extras ;;
    dev) extras=$dev_extras
         modules="$modules ml_dtypes jax scipy mpmath mygrad autograd pytest xdist hypothesis hatchling mypy" ;;
    *) echo "usage: $0 demo|dev" >&2; exit 2 ;;
esac

root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
venv=.venv
vpython=$venv/bin/python
mine=$venv/.prooftape-began
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1

say() { echo "setup: $*" >&2; }

# Every supported series first, newest series nobody has tried yet last; whatever answers must really run
# (a version manager's shim can be on the path with no interpreter behind it).
is_supported() {
    "$1" -c 'import sys; sys.exit(not ((3, 11) <= sys.version_info[:2] <= (3, 14)))' >/dev/null 2>&1
}
is_new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }

# The interpreter itself: not a shim, and not an activated environment, which may be the very one to be replaced.
base_of() { "$1" -c 'import sys; print(getattr(sys, "_base_executable", None) or sys.executable)'; }

find_python() {
    if [ -n "${PYTHON:-}" ]; then
        is_new_enough "$PYTHON" && { base_of "$PYTHON"; return; }
        say "PYTHON=$PYTHON is not a Python 3.11 or newer that runs"
        return 1
    fi
    for test in is_supported is_new_enough; do
        for name in python3 python3.14 python3.13 python3.12 python3.11 python; do
            if $test "$name"; then base_of "$name"; return; fi
        done
    done
    say "no Python 3.11 or newer on the path. Install one (Debian 12, Ubuntu 24.04 or newer: apt-get install python3"
    say "python3-venv; Fedora: dnf install python3; macOS: brew install python) or name it: make PYTHON=/path/to/python"
    return 1
}

# What is on the way: a finished or half-made environment of ours may go, anything else is only moved aside.
set_aside() {
    [ -e $venv ] || [ -L $venv ] || return 0
    if [ -e $mine ] || rmdir $venv 2>/dev/null; then
        rm -rf $venv
    else
        kept=$venv.replaced-$(date +%Y%m%d-%H%M%S)
        mv $venv "$kept"
        say "$venv was not made here and cannot be used; it is now $kept"
    fi
}

has_module() { "$1" -c "import $2" >/dev/null 2>&1; }
pip_in_venv() { "$vpython" -m pip --version >/dev/null 2>&1; }

# Debian and Ubuntu split `ensurepip` out of Python, so `python3 -m venv` alone may fail. Ways to an environment with
# pip in it, the one that touches least first; each may fail and leave the next one to try.
with_venv() { has_module "$1" venv && has_module "$1" ensurepip && "$1" -m venv $venv; }
with_own_pip() {
    has_module "$1" venv && has_module "$1" pip && "$1" -m venv --without-pip $venv &&
        "$1" -m pip --python $vpython install -q pip
}
with_virtualenv() { has_module "$1" virtualenv && "$1" -m virtualenv -q $venv; }
with_apt() {
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || return 1
    series=$("$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    say "installing python$series-venv with apt-get"
    export DEBIAN_FRONTEND=noninteractive
    # The package lists of a fresh container are empty, those of an old one name files that are gone.
    apt-get update -qq >&2 || say "apt-get update failed; trying with the package lists there are"
    apt-get install -y -qq --no-install-recommends "python$series-venv" ca-certificates >&2 ||
        apt-get install -y -qq --no-install-recommends python3-venv ca-certificates >&2 || return 1
    with_venv "$1"
}

create() {
    python=$(find_python) || exit 1
    say "making $venv with $python ($("$python" -c 'import platform; print(platform.python_version())'))"
    for way in with_venv with_own_pip with_virtualenv with_apt; do
        set_aside
        mkdir $venv && : >$mine
        if $way "$python" && pip_in_venv; then return; fi
    done
    set_aside
    say "$python can make no virtual environment: it has neither ensurepip nor pip nor virtualenv. Install one of them:"
    say "  Debian, Ubuntu   sudo apt-get install python3-venv    (or python3.X-venv for the python3.X you chose)"
    say "  Fedora, RHEL     sudo dnf install python3-pip"
    say "  Alpine           sudo apk add py3-pip"
    exit 1
}

key() {
    "$vpython" - "$root" "$1" <<'PY'
import hashlib, pathlib, sys
digest = hashlib.sha256("\0".join([sys.version, *sys.argv[1:]]).encode())
for name in ("pyproject.toml", "constraints.txt", "scripts/setup_env.sh"):
    digest.update(pathlib.Path(name).read_bytes())
print(digest.hexdigest())
PY
}
has_stamp() { [ -e "$venv/.prooftape-$1" ] && [ "$(cat "$venv/.prooftape-$1")" = "$(key "$2")" ]; }
is_ready() { has_stamp dev $dev_extras || { [ "$group" = demo ] && has_stamp demo $demo_extras; }; }

# The proof that an install worked is that everything imports, and that `prooftape` is this checkout.
imports() {
    "$vpython" - "$root/src/prooftape" $modules <<'PY'
import importlib, importlib.util, pathlib, sys
source, *names = sys.argv[1:]
for name in names:
    importlib.import_module(name)
spec = importlib.util.find_spec("prooftape")
assert spec is not None and pathlib.Path(source).samefile(spec.submodule_search_locations[0]), spec
PY
}
install() {
    rm -f $venv/.prooftape-demo $venv/.prooftape-dev
    say "installing prooftape[$extras]"
    "$vpython" -m pip install -q -c constraints.txt -e ".[$extras]" && imports || return 1
    key "$extras" >"$venv/.prooftape-$group"
}

if is_new_enough $vpython; then
    if is_ready; then exit 0; fi
    # A stamp of ours, though of other contents, says that the environment was whole: bring it up to date in place.
    if [ ! -e $mine ] || [ -e $venv/.prooftape-demo ] || [ -e $venv/.prooftape-dev ]; then
        if pip_in_venv && install; then exit 0; fi
        if [ ! -e $mine ]; then
            say "cannot install into $venv, which was not made here; see above, or move it away and try again"
            exit 1
        fi
        say "bringing $venv up to date failed; making it again"
    fi
fi
create
install || { say "the install failed; the reason is above"; exit 1; }
