#!/usr/bin/env -S bash -p
# Resolve the dependencies in pyproject.toml into requirements.lock and requirements-dev.lock, with hashes and without
# download addresses.
#
# usage: utils/lock.sh             bring the locks up to date with pyproject.toml; what still fits keeps its release
#        utils/lock.sh --upgrade   take the newest releases that fit
#        utils/lock.sh --check     change nothing; say whether the locks belong to pyproject.toml
#
# exit: 0 done, or up to date; 2 --check found a lock that is out of date, or it could not be done, and why
set -euo pipefail +o posix
shopt -s inherit_errexit 2>/dev/null || true

SELF=$(readlink -f -- "${BASH_SOURCE[0]}" 2>/dev/null) || SELF=${BASH_SOURCE[0]} # also through a link
ROOT=$(CDPATH='' cd -- "$(dirname -- "$SELF")/.." && pwd -P) || exit 2
# shellcheck source=utils/lib/log.sh
. "$ROOT/utils/lib/log.sh" || exit 2
# shellcheck source=utils/lib/cleanup.sh
. "$ROOT/utils/lib/cleanup.sh" || exit 2
# shellcheck source=utils/lib/tools.sh
. "$ROOT/utils/lib/tools.sh" || exit 2

usage() {
  sed -n '2,/^set /s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
}

# compile DIRECTORY UV... [OPTION...]: writes both locks into the directory, starting from those that are there. Runs in the
# checkout and names its files relatively, so that no path of this machine gets into a lock.
compile() {
  local directory=$1 lock
  shift
  for lock in requirements.lock requirements-dev.lock; do
    [ ! -f "$ROOT/$lock" ] || cp "$ROOT/$lock" "$directory/$lock"
  done
  (
    # Runs where its failure is asked for, so errexit is off. The runtime's releases are the same in both locks.
    cd "$ROOT" \
      && "$@" --output-file "$directory/requirements.lock" pyproject.toml \
      && "$@" --output-file "$directory/requirements-dev.lock" --extra dev \
        --constraint "$directory/requirements.lock" pyproject.toml
  ) >"$directory/log" 2>&1
}

new='' # the locks as they should be

remove_new() {
  rm -rf "$new"
}

main() {
  local mode=write options=() compiler uv lock stale=()
  cleanup::install
  case ${1:-} in
    '') ;;
    --check) mode=check ;;
    --upgrade) options=(--upgrade) ;;
    -h | --help)
      usage
      exit 0
      ;;
    *) log::die 2 "unknown argument '$1': --check, --upgrade or nothing (see utils/lock.sh --help)" ;;
  esac
  LOG_LEVEL=warn "$ROOT/utils/setup.sh" uv || exit 2
  uv=$(tools::uv)
  # Releases of uv resolve differently, so the locks are always made by the same one.
  compiler=("$uv")
  if [ "$(tools::uv_version "$uv")" != "$TOOLS_UV_PIN" ]; then
    compiler=("$uv" tool run --from "uv==$TOOLS_UV_PIN" uv)
  fi
  compiler+=(pip compile --quiet --universal --python-version "$TOOLS_PYTHON_MINIMUM" --generate-hashes
    --no-annotate --custom-compile-command utils/lock.sh)
  cleanup::push remove_new
  new=$(mktemp -d "${TMPDIR:-/tmp}/lock.XXXXXX")
  if ! compile "$new" "${compiler[@]}" ${options[@]+"${options[@]}"}; then
    log::die 2 "the dependencies in pyproject.toml could not be resolved: $(grep -v '^hint:' "$new/log" | sed '/^[[:space:]]*$/d' | tail -n 1)"
  fi
  for lock in requirements.lock requirements-dev.lock; do
    cmp -s "$new/$lock" "$ROOT/$lock" || stale+=("$lock")
  done
  if [ "$mode" = check ] && [ ${#stale[@]} -gt 0 ]; then
    log::die 2 "${stale[*]} out of date with pyproject.toml: run utils/lock.sh and commit what it writes"
  fi
  for lock in ${stale[@]+"${stale[@]}"}; do
    cp "$new/$lock" "$ROOT/$lock.new"
    mv -f "$ROOT/$lock.new" "$ROOT/$lock"
  done
  if [ ${#stale[@]} -gt 0 ]; then
    log::ok "written: ${stale[*]}"
  else
    log::ok "the locks are up to date"
  fi
}

if [ "${BASH_SOURCE[0]}" = "$0" ]; then
  main "$@"
fi
