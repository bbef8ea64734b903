#!/usr/bin/env -S bash -p
# Report what the toolkit needs on this machine, what is missing, and how to get it. Changes nothing.
#
# usage: utils/doctor.sh
#
# Prints a line per requirement: its state (ok, missing, old, low), its name, and what was found or what to do.
# Requirements marked "optional" may be missing.
#
# environment: GATEWAY_VERSION, GATEWAY_DEPENDENCIES_DATE, PERF_HEY as for utils/setup.sh; NO_COLOR
#
# exit: 0 everything required is there; 2 something is not
set -euo pipefail +o posix
shopt -s inherit_errexit 2>/dev/null || true

SELF=$(readlink -f -- "${BASH_SOURCE[0]}" 2>/dev/null) || SELF=${BASH_SOURCE[0]} # also if called through a link
ROOT=$(CDPATH='' cd -- "$(dirname -- "$SELF")/.." && pwd -P) || exit 2
# shellcheck source=utils/lib/log.sh
. "$ROOT/utils/lib/log.sh" || exit 2
# shellcheck source=utils/lib/cleanup.sh
. "$ROOT/utils/lib/cleanup.sh" || exit 2
# shellcheck source=utils/lib/tools.sh
. "$ROOT/utils/lib/tools.sh" || exit 2
# shellcheck source=utils/lib/gateway.sh
. "$ROOT/utils/lib/gateway.sh" || exit 2

# The heavy profile opens 200 connections. A gateway holds one to each client and may hold one to an MCP server for
# each, in addition to its own files.
OPEN_FILES=600
FREE_MEGABYTES=2000

usage() {
  sed -n '2,/^set /s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
}

complete=true

# line STATE NAME TEXT
line() {
  local colour=31 state
  state=$(printf '%-8s' "$1")
  [ "$1" != ok ] || colour=32
  if [ -t 1 ] && [ -z "${NO_COLOR:-}" ] && [ "${TERM:-dumb}" != dumb ]; then
    state=$(printf '\033[%sm%s\033[0m' "$colour" "$state")
  fi
  printf '%s %-20s %s\n' "$state" "$2" "$3"
}

# needed STATE NAME TEXT: prints a line whose state must be ok.
needed() {
  [ "$1" = ok ] || complete=false
  line "$@"
}

# optional NAME WHAT-FOR [VERSION-ARGUMENT]: prints a line for a program that may be missing.
optional() {
  local path version=
  if path=$(command -v "$1"); then
    [ -z "${3:-}" ] || version=$("$path" "$3" 2>/dev/null | sed -n '1s/^[^0-9]*\([0-9][0-9.]*\).*/\1/p') || version=
    line ok "$1" "${version:+$version }($path)"
  else
    line missing "$1" "optional: $2"
  fi
}

check_shell() {
  local version
  needed ok bash "$BASH_VERSION"
  if version=$(make --version 2>/dev/null | sed -n '1s/.* //p'); then
    needed ok make "$version"
  else
    needed missing make "install it: apt install make, or on macOS: xcode-select --install"
  fi
}

check_python() {
  local path found
  if path=$(tools::python); then
    needed ok python "$(tools::python_version "$path") ($path)"
  elif path=$(command -v python3) && found=$(tools::python_version "$path"); then
    needed old python "$found ($path): $TOOLS_PYTHON_MINIMUM or newer is needed: apt install python3, or on macOS: brew install python"
  else
    needed missing python "$TOOLS_PYTHON_MINIMUM or newer is needed: apt install python3, or on macOS: brew install python"
  fi
}

# A machine without uv is complete as long as nothing has to be installed.
check_uv() {
  local path found
  if path=$(tools::uv); then
    line ok uv "$(tools::uv_version "$path") ($path)"
  elif path=$(command -v uv) && found=$(tools::uv_version "$path"); then
    line old uv "$found ($path): optional, make setup installs $(tools::uv_pin) into .tools"
  else
    line missing uv "optional, make setup installs $(tools::uv_pin) into .tools"
  fi
}

check_environment() {
  local state
  state=$(tools::python_state runtime)
  case $state in
    ok) needed ok "toolkit environment" ".venv matches requirements.lock" ;;
    missing) needed missing "toolkit environment" "make setup" ;;
    *) needed "$state" "toolkit environment" ".venv does not match requirements.lock: make setup" ;;
  esac
}

# read_settings: fails if the toolkit's environment, which reads them, is missing.
read_settings() {
  [ "$(tools::python_state runtime)" != missing ] || return 1
  tools::read_settings || exit 2
}

check_hey() {
  local path
  if path=$(tools::hey); then
    needed ok hey "$path"
  else
    needed missing hey "make setup; or install it: apt install hey, brew install hey; or name it in performance.hey_binary (PERF_HEY)"
  fi
}

check_gateway() {
  local what name source state remedy="make setup"
  source=$(tools::setting source)
  if [ -n "$source" ]; then
    what="of $source"
    name=$(tools::setting source-name)
    state=$(gateway::source_state)
    remedy="make setup with the same GATEWAY_SOURCE"
    [ -e "$source" ] || remedy="there is no such file: set GATEWAY_SOURCE (stack.gateway.source in config.yaml)"
  else
    what=$(gateway::release)
    name=$what
    state=$(gateway::release_state "$what")
  fi
  case $state in
    ok) needed ok gateway "$what in .tools/gateway/$name" ;;
    missing) needed missing gateway "$what is not installed: $remedy" ;;
    *) needed old gateway "$what is installed from other packages or older files than are wanted now: $remedy" ;;
  esac
}

check_chartjs() {
  local state version
  state=$(tools::chartjs_state)
  read -r version <"$ROOT/utils/chartjs.pin"
  if [ "$state" = ok ]; then
    line ok Chart.js "$version in .tools/chartjs"
  else
    line "$state" Chart.js "optional: reports come without charts; to get $version: utils/setup.sh chartjs"
  fi
}

check_machine() {
  local megabytes files cores
  megabytes=$(df -Pm "$ROOT" | awk 'NR == 2 { print $4 }')
  if [ "$megabytes" -ge "$FREE_MEGABYTES" ]; then
    needed ok "free disk" "$((megabytes / 1000)) GB"
  else
    needed low "free disk" "$megabytes MB in $ROOT, $FREE_MEGABYTES MB are needed: make room"
  fi
  files=$(ulimit -n)
  if [ "$files" = unlimited ] || [ "$files" -ge "$OPEN_FILES" ]; then
    line ok "open files" "$files"
  else
    line low "open files" "$files: the heavy profile's 200 connections need $OPEN_FILES: ulimit -n 4096"
  fi
  cores=$(getconf _NPROCESSORS_ONLN)
  if [ "$cores" -ge 2 ]; then
    line ok cores "$cores"
  else
    line low cores "$cores: load generator and gateway share it, the figures say little about the gateway; use a larger machine"
  fi
}

main() {
  cleanup::install
  case ${1:-} in
    '') ;;
    -h | --help)
      usage
      exit 0
      ;;
    *) log::die 2 "unknown argument '$1': utils/doctor.sh takes none" ;;
  esac
  check_shell
  check_python
  check_uv
  check_environment
  if read_settings; then
    check_hey
    check_gateway
  else
    TOOLS_SETTINGS=${PERF_HEY:+hey=$PERF_HEY}
    check_hey
    needed missing gateway "make setup"
  fi
  check_chartjs
  check_machine
  optional redis-server "the gateway's cache in Redis: apt install redis-server, brew install redis" --version
  optional docker "the stack in containers" --version
  optional jq "to look into results by hand" --version
  optional curl "to ask the gateway by hand" --version
  $complete || exit 2
}

if [ "${BASH_SOURCE[0]}" = "$0" ]; then
  main "$@"
fi
