#!/usr/bin/env -S bash -p
# Resolve the dependencies in pyproject.toml into requirements.lock and requirements-dev.lock, with hashes and without
# download addresses.
#
# usage: utils/lock.sh             update the locks to match pyproject.toml; releases that still fit are kept
#        utils/lock.sh --upgrade   take the newest releases that fit
#        utils/lock.sh --check     change nothing; say whether the locks match pyproject.toml
#        utils/lock.sh --gateway RELEASE
#                                  write utils/gateway-locks/RELEASE.lock: the release with the packages of its day, for
#                                  every machine. Measure with it before you commit it: "newest"
#                                  (stack.gateway.version) means the newest of these releases
#
# exit: 0 done, or up to date; 2 --check found a lock that is out of date, or an error, with the reason
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

usage() {
  sed -n '2,/^set /s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
}

# compile DIRECTORY UV... [OPTION...]: writes both locks into the directory, starting from the existing ones. Runs in the
# checkout with relative file names, so that no path of this machine gets into a lock.
compile() {
  local directory=$1 lock
  shift
  for lock in requirements.lock requirements-dev.lock; do
    [ ! -f "$ROOT/$lock" ] || cp "$ROOT/$lock" "$directory/$lock"
  done
  (
    # The caller tests its exit code, so errexit is off here. The runtime's releases are the same in both locks.
    cd "$ROOT" \
      && "$@" --output-file "$directory/requirements.lock" pyproject.toml \
      && "$@" --output-file "$directory/requirements-dev.lock" --extra dev \
        --constraint "$directory/requirements.lock" pyproject.toml
  ) >"$directory/log" 2>&1
}

new='' # directory of the new locks

remove_new() {
  rm -rf "$new"
}

# use_pinned_uv: sets `pinned`, the uv of utils/uv.pin. Releases of uv resolve differently, so the locks are always made
# with the same one.
use_pinned_uv() {
  LOG_LEVEL=warn "$ROOT/utils/setup.sh" uv || exit 2
  pinned=$(tools::uv)
  if [ "$(tools::uv_version "$pinned")" != "$(tools::uv_pin)" ]; then
    if ! "$pinned" venv --quiet --no-project --python "$(tools::python)" "$new/uv" \
      || ! "$pinned" pip sync --quiet --python "$new/uv/bin/python" --require-hashes "$ROOT/utils/uv.pin"; then
      log::die 2 "uv $(tools::uv_pin), which makes the locks, could not be installed: check the network"
    fi
    pinned=$new/uv/bin/uv
  fi
}

# lock_gateway RELEASE
lock_gateway() {
  local release=$1 target=$GATEWAY_LOCKS/$1.lock found pythons day
  case $release in
    '' | *[!0-9.]* | .* | *.) log::die 2 "'$release' is no release that can be tested for good: give one like 1.1.0" ;;
  esac
  found=$(gateway::look_up "$new/log" "$release" "$new/release" "$(tools::python)" "$pinned") \
    || log::die 2 "gateway $release could not be looked up: $(sed '/^[[:space:]]*$/d' "$new/log" | tail -n 1)"
  pythons=${found%|*} day=${found#*|}
  [ -n "$day" ] || log::die 2 "the package index does not say when gateway $release was published: use another index"
  gateway::requirements "$release" >"$new/gateway.in"
  "$pinned" pip compile --quiet --universal --python-version "${pythons%% *}" --generate-hashes --no-annotate \
    --no-header --no-emit-index-url --exclude-newer "$day" --output-file "$new/gateway.lock" "$new/gateway.in" \
    >>"$new/log" 2>&1 \
    || log::die 2 "the packages of gateway $release could not be resolved: $(sed '/^[[:space:]]*$/d' "$new/log" | tail -n 1)"
  mkdir -p "$GATEWAY_LOCKS"
  {
    printf '# %s\n' "Made by utils/lock.sh --gateway $release, with the packages of $day." "Python: $pythons"
    cat "$new/gateway.lock"
  } >"$target.new"
  mv -f "$target.new" "$target"
  log::ok "written: ${target#"$ROOT/"}"
}

main() {
  local mode=write options=() compiler lock pinned stale=()
  cleanup::install
  case ${1:-} in
    '') ;;
    --check) mode=check ;;
    --upgrade) options=(--upgrade) ;;
    --gateway) mode=gateway ;;
    -h | --help)
      usage
      exit 0
      ;;
    *) log::die 2 "unknown argument '$1': --check, --upgrade, --gateway RELEASE or nothing (see utils/lock.sh --help)" ;;
  esac
  cleanup::push remove_new
  new=$(mktemp -d "${TMPDIR:-/tmp}/lock.XXXXXX")
  use_pinned_uv
  if [ "$mode" = gateway ]; then
    lock_gateway "${2:-}"
    exit 0
  fi
  compiler=("$pinned" pip compile --quiet --universal --python-version "$TOOLS_PYTHON_MINIMUM" --generate-hashes
    --no-annotate --custom-compile-command utils/lock.sh)
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
