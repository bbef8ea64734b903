# shellcheck shell=bash
# log.sh - messages of the shell programs. A library: it defines functions and nothing else.
#
# All messages go to stderr, because stdout is for results. One message is one line.
#
#   LOG_LEVEL   the lowest level that is shown: info (default), warn or error
#   NO_COLOR    if set and not empty: no colour, even on a terminal

# log::_rank LEVEL: prints its weight; an unknown level counts as info.
log::_rank() {
  case $1 in
    error) echo 3 ;;
    warn) echo 2 ;;
    *) echo 1 ;;
  esac
}

# log::_print LEVEL LABEL COLOUR MESSAGE...
log::_print() {
  local level=$1 label=$2 colour=$3
  shift 3
  [ "$(log::_rank "$level")" -ge "$(log::_rank "${LOG_LEVEL:-info}")" ] || return 0
  if [ -n "$label" ] && [ -t 2 ] && [ -z "${NO_COLOR:-}" ] && [ "${TERM:-dumb}" != dumb ]; then
    label=$(printf '\033[%sm%s\033[0m' "$colour" "$label")
  fi
  printf '%s%s\n' "${label:+$label: }" "$*" >&2
}

# log::info MESSAGE...: reports progress.
log::info() { log::_print info '' 0 "$@"; }

# log::ok MESSAGE...: reports a completed step.
log::ok() { log::_print info ok 32 "$@"; }

# log::warn MESSAGE...: reports a problem that does not stop the program.
log::warn() { log::_print warn warning 33 "$@"; }

# log::error MESSAGE...: reports what is wrong, where, and what to do.
log::error() { log::_print error error 31 "$@"; }

# log::die CODE MESSAGE...: log::error, then exit with CODE.
log::die() {
  local code=$1
  shift
  log::error "$@"
  exit "$code"
}
