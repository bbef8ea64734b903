#!/usr/bin/env -S bash -p
# Say whether a run against the gateway could be trusted: a line per requirement with its state (ok, missing, wrong), its
# name, and what was found or what to do. Changes nothing.
#
# usage: utils/check-services.sh [--url URL] [--profile NAME] [--scenarios NAMES]
#
#   gateway         answers, and is an MCP Gateway
#   token           is available, and the gateway accepts it
#   database        the gateway can connect to it
#   cache           the gateway can connect to it, if it has an external one
#   MCP servers     are registered, and the gateway can connect to them
#   rate limiting   is off
#   catalogue       has enough tools, resources and prompts for the scenarios' cases
#
# environment: GATEWAY_URL, GATEWAY_EMAIL, GATEWAY_PASSWORD, GATEWAY_TOKEN, PERF_TOKEN_CACHE, PROFILE, SCENARIOS,
# PERF_PYTHON; NO_COLOR
#
# exit: 0 everything is ok; 2 something is not
set -euo pipefail +o posix
shopt -s inherit_errexit 2>/dev/null || true

SELF=$(readlink -f -- "${BASH_SOURCE[0]}" 2>/dev/null) || SELF=${BASH_SOURCE[0]} # also if called through a link
ROOT=$(CDPATH='' cd -- "$(dirname -- "$SELF")/.." && pwd -P) || exit 2
# shellcheck source=utils/lib/log.sh
. "$ROOT/utils/lib/log.sh" || exit 2
# shellcheck source=utils/lib/cleanup.sh
. "$ROOT/utils/lib/cleanup.sh" || exit 2
# shellcheck source=utils/lib/environment.sh
. "$ROOT/utils/lib/environment.sh" || exit 2

usage() {
  sed -n '2,/^set /s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
}

main() {
  local arguments=()
  cleanup::install
  while [ $# -gt 0 ]; do
    case $1 in
      -h | --help)
        usage
        exit 0
        ;;
      --url | --profile | --scenarios)
        [ $# -ge 2 ] || log::die 2 "$1 needs a value: see utils/check-services.sh --help"
        arguments+=("$1" "$2")
        shift
        ;;
      *) log::die 2 "unknown argument '$1': see utils/check-services.sh --help" ;;
    esac
    shift
  done
  PERF_PYTHON=${PERF_PYTHON:-$ROOT/.venv/bin/python}
  command -v "$PERF_PYTHON" >/dev/null || log::die 2 "$PERF_PYTHON: there is no such program; make setup installs it"
  (environment::python gateway.py check ${arguments[@]+"${arguments[@]}"})
}

if [ "${BASH_SOURCE[0]}" = "$0" ]; then
  main "$@"
fi
