#!/usr/bin/env -S bash -p
# Log in at the gateway and keep the token; prints the user, the expiry and the file on stderr. A kept token is reused as
# long as the gateway accepts it.
#
# usage: utils/setup-auth.sh [--print | --export] [--renew] [--url URL]
#
#   --print    also write the token to stdout
#   --export   also write shell commands to stdout that set GATEWAY_URL and GATEWAY_TOKEN:
#              eval "$(utils/setup-auth.sh --export)"
#   --renew    get a new token even if the kept one is valid
#   --url URL  the gateway's address, instead of GATEWAY_URL
#
# environment: GATEWAY_URL, GATEWAY_EMAIL, GATEWAY_PASSWORD, GATEWAY_TOKEN (used unchanged), PERF_TOKEN_CACHE (the file
# that keeps the token, mode 0600; not used if it is a link, somebody else's, or readable by others), PERF_PYTHON
#
# exit: 0 there is a token that the gateway accepts, or it needs none; 2 there is not
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
  local output='' renew=() url=()
  cleanup::install
  while [ $# -gt 0 ]; do
    case $1 in
      -h | --help)
        usage
        exit 0
        ;;
      --print) output='token' ;;
      --export) output='env' ;;
      --renew) renew=(--renew) ;;
      --url)
        [ $# -ge 2 ] || log::die 2 "--url needs an address, like http://127.0.0.1:4444"
        url=(--url "$2")
        shift
        ;;
      *) log::die 2 "unknown argument '$1': see utils/setup-auth.sh --help" ;;
    esac
    shift
  done
  PERF_PYTHON=${PERF_PYTHON:-$ROOT/.venv/bin/python}
  command -v "$PERF_PYTHON" >/dev/null || log::die 2 "$PERF_PYTHON: there is no such program; make setup installs it"
  case $output in
    token) (environment::python gateway.py token ${renew[@]+"${renew[@]}"} ${url[@]+"${url[@]}"}) ;;
    *) (environment::python gateway.py login ${renew[@]+"${renew[@]}"} ${url[@]+"${url[@]}"}) ;;
  esac
  [ "$output" != env ] || (environment::python gateway.py env ${url[@]+"${url[@]}"})
}

if [ "${BASH_SOURCE[0]}" = "$0" ]; then
  main "$@"
fi
