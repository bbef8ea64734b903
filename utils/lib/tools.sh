# shellcheck shell=bash
# tools.sh - the tools that the toolkit installs below the checkout, and their state. A library: pins and functions.
#
# Read by setup.sh (which installs), doctor.sh (which only checks) and lock.sh. Needs ROOT, the checkout's absolute path.
# Nothing here writes files or uses the network.
#
#   .tools/uv/bin/uv           uv, if there is none on PATH
#   .tools/bin/hey             hey, if there is none on PATH
#   .tools/chartjs/            chart.umd.js and its licence
#   .tools/gateway/            the gateway, see gateway.sh
#   .venv/                     the toolkit's own environment
#
# A tool counts as installed only if its stamp says so. The stamp is written last, so leftovers of an interrupted set-up
# have none.

# The oldest usable uv on PATH (setup.sh was tested with it and with the one of utils/uv.pin).
TOOLS_UV_MINIMUM=0.7.0
TOOLS_PYTHON_MINIMUM=3.11
TOOLS_STAMP=.setup-stamp
# Directories of Pythons that are not on PATH, besides those of version managers in the home directory: built by hand, of
# Homebrew, MacPorts, python.org and container images.
TOOLS_SYSTEM_PYTHONS='/usr/local/bin /usr/bin /opt/homebrew/bin /usr/local/opt/python@3.*/bin /opt/homebrew/opt/python@3.*/bin
  /home/linuxbrew/.linuxbrew/bin /opt/local/bin /Library/Frameworks/Python.framework/Versions/3.*/bin /opt/python/*/bin
  /opt/python*/bin /usr/local/python*/bin /opt/conda/bin'

# tools::at_least MINIMUM VERSION: compares dotted numbers; text after a number (3.14.0a2, 1.0.7.post1) is ignored.
tools::at_least() {
  local minimum=$1. version=$2. wanted had
  while [ -n "$minimum" ]; do
    wanted=${minimum%%.*} had=${version%%.*}
    minimum=${minimum#*.} version=${version#*.}
    had=${had%%[!0-9]*}
    [ "${had:-0}" -gt "$wanted" ] && return 0
    [ "${had:-0}" -lt "$wanted" ] && return 1
  done
  return 0
}

# tools::digest BITS [FILE...]: prints the SHA-2 of the files (or of stdin) as one text, in hexadecimal.
tools::digest() {
  local bits=$1 output
  shift
  if command -v "sha${bits}sum" >/dev/null 2>&1; then
    output=$(cat -- "$@" | "sha${bits}sum") || return
  else
    output=$(cat -- "$@" | shasum -a "$bits") || return
  fi
  printf '%s\n' "${output%% *}"
}

# tools::stamped DIRECTORY TEXT: succeeds if the directory has a stamp with this text.
tools::stamped() {
  [ -f "$1/$TOOLS_STAMP" ] && [ "$(cat "$1/$TOOLS_STAMP")" = "$2" ]
}

# tools::python_version PROGRAM: prints 3.12.1 if the program is a Python suitable for environments: CPython, no
# pre-release, not free-threaded, with the modules that some builds lack. It runs the program, because a version manager's
# shim, for example, may not lead to a Python.
tools::python_version() {
  "$1" -I -c 'import sys, sysconfig, ctypes, sqlite3, ssl, zlib
good = sys.implementation.name == "cpython" and sys.version_info[3] == "final"
if not good or sysconfig.get_config_var("Py_GIL_DISABLED"):
    sys.exit(1)
print("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null </dev/null
}

# tools::python_places: prints the directories where Pythons are commonly installed, PATH first.
tools::python_places() {
  local home=${HOME:-/nonexistent} pyenv=${PYENV_ROOT:-} place
  [ -n "$pyenv" ] || pyenv=$(pyenv root 2>/dev/null) || pyenv=$home/.pyenv
  printf '%s\n' "${PATH//:/$'\n'}"
  # shellcheck disable=SC2086 # words with patterns
  for place in "$pyenv"/versions/*/bin \
    "${UV_PYTHON_INSTALL_DIR:-$ROOT/.tools/python}"/*/bin "${XDG_DATA_HOME:-$home/.local/share}"/uv/python/*/bin \
    "${ASDF_DATA_DIR:-$home/.asdf}"/installs/python/*/bin \
    "${MISE_DATA_DIR:-${XDG_DATA_HOME:-$home/.local/share}/mise}"/installs/python/*/bin \
    "$home"/.local/bin "$home"/miniconda3/bin "$home"/miniforge3/bin "$home"/anaconda3/bin \
    $TOOLS_SYSTEM_PYTHONS; do
    [ ! -d "$place" ] || printf '%s\n' "$place"
  done
}

# tools::pythons: prints the Pythons of this machine that are new enough, newest first, each as "VERSION PATH".
tools::pythons() {
  local place path version
  tools::python_places | awk '!seen[$0]++' | while IFS= read -r place; do
    for path in "$place"/python3.[1-9][0-9] "$place"/python3; do
      [ -x "$path" ] || continue
      version=$(tools::python_version "$path") || continue
      ! tools::at_least "$TOOLS_PYTHON_MINIMUM" "$version" || printf '%s %s\n' "$version" "$path"
    done
  done | sort -s -t . -k 2,2nr -k 3,3nr
}

# tools::pick_python PYTHONS MINORS: prints the path of the first of PYTHONS (as tools::pythons prints them) whose version is
# among MINORS, like "3.12 3.13".
tools::pick_python() {
  local version path minor
  while read -r version path; do
    for minor in $2; do
      case $version in
        "$minor".*)
          printf '%s\n' "$path"
          return 0
          ;;
      esac
    done
  done <<<"$1"
  return 1
}

# tools::python: prints the path of a Python that is new enough: the first one on PATH, else the newest one elsewhere.
tools::python() {
  local name path version
  for name in python3 python3.13 python3.12 python3.11 python3.14 python; do
    path=$(command -v "$name") || continue
    version=$(tools::python_version "$path") || continue
    tools::at_least "$TOOLS_PYTHON_MINIMUM" "$version" || continue
    printf '%s\n' "$path"
    return 0
  done
  path=$(tools::pythons | head -n 1)
  [ -n "$path" ] && printf '%s\n' "${path#* }"
}

# tools::uv_version PROGRAM: prints 0.13.9 for "uv 0.13.9 (x86_64-unknown-linux-gnu)".
tools::uv_version() {
  local output
  output=$("$1" --version 2>/dev/null) || return 1
  case $output in
    uv\ [0-9]*) output=${output#uv } ;;
    *) return 1 ;;
  esac
  printf '%s\n' "${output%% *}"
}

# tools::uv_pin: prints the release of uv that is installed here.
tools::uv_pin() {
  sed -n 's/^uv==\([^ ]*\).*/\1/p' "$ROOT/utils/uv.pin"
}

# tools::uv: prints the path of a usable uv: the one on PATH if it is new enough, else the one installed here.
tools::uv() {
  local path version
  if path=$(command -v uv) && version=$(tools::uv_version "$path") && tools::at_least "$TOOLS_UV_MINIMUM" "$version"; then
    printf '%s\n' "$path"
  elif tools::stamped "$ROOT/.tools/uv" "uv $(tools::uv_pin)" && [ -x "$ROOT/.tools/uv/bin/uv" ]; then
    printf '%s\n' "$ROOT/.tools/uv/bin/uv"
  else
    return 1
  fi
}

# tools::is_hey PROGRAM: succeeds if it is the load generator, is new enough, and starts. (It has no --version; its usage
# exits with 1. Before a run utils/benchkit/load/engines/hey.py checks more.)
tools::is_hey() {
  local output
  output=$("$1" 2>&1 </dev/null) || true
  case $output in
    *'hey [options...] <url>'*-disable-redirects*) return 0 ;;
    *) return 1 ;;
  esac
}

# tools::hey: prints the path of hey: the one that performance.hey_binary (PERF_HEY) names, else the one on PATH, else the
# one installed here. Needs tools::read_settings.
tools::hey() {
  local name path
  name=$(tools::setting hey)
  for name in ${name:+"$name"} hey "$ROOT/.tools/bin/hey"; do
    if path=$(command -v "$name") && tools::is_hey "$path"; then
      printf '%s\n' "$path"
      return 0
    fi
  done
  return 1
}

# tools::npm: prints the path of an npm that starts.
tools::npm() {
  local path
  path=$(command -v npm) && "$path" --version >/dev/null 2>&1 || return 1
  printf '%s\n' "$path"
}

# tools::python_stamp runtime|dev: prints the stamp of the toolkit's environment. An environment cannot be moved, so the
# stamp includes the checkout's path. The development environment includes the runtime environment.
tools::python_stamp() {
  printf '%s at %s\n' "$1" "$ROOT"
  tools::digest 256 "$ROOT/requirements.lock"
  [ "$1" = runtime ] || tools::digest 256 "$ROOT/requirements-dev.lock"
}

# tools::python_state runtime|dev: prints ok, missing (absent or incomplete), or old (from other locks, or without the
# development tools).
tools::python_state() {
  local venv=$ROOT/.venv
  if [ ! -x "$venv/bin/python" ] || [ ! -f "$venv/$TOOLS_STAMP" ] || ! grep -qxF -e "runtime at $ROOT" -e "dev at $ROOT" "$venv/$TOOLS_STAMP"; then
    echo missing
  elif tools::stamped "$venv" "$(tools::python_stamp dev)"; then
    echo ok
  elif [ "$1" = runtime ] && tools::stamped "$venv" "$(tools::python_stamp runtime)"; then
    echo ok
  else
    echo old
  fi
}

# tools::chartjs_state: prints ok, missing, or old (another release than utils/chartjs.pin names).
tools::chartjs_state() {
  local directory=$ROOT/.tools/chartjs
  if [ ! -s "$directory/chart.umd.js" ] || [ ! -f "$directory/$TOOLS_STAMP" ]; then
    echo missing
  elif cmp -s "$directory/$TOOLS_STAMP" "$ROOT/utils/chartjs.pin"; then
    echo ok
  else
    echo old
  fi
}

# tools::read_settings: reads the settings that set-up needs from config.yaml and the environment, with utils/wanted.py, for
# tools::setting. Needs the toolkit's environment. If settings are wrong, it prints an error and fails.
TOOLS_SETTINGS=''
tools::read_settings() {
  TOOLS_SETTINGS=$("$ROOT/.venv/bin/python" -Es "$ROOT/utils/wanted.py")
}

# tools::setting NAME: prints one setting (hey, version, source, source-name, source-day, source-requires or releases; see
# utils/wanted.py); nothing if it is not set.
tools::setting() {
  sed -n "s/^$1=//p" <<<"$TOOLS_SETTINGS"
}
