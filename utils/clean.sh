#!/usr/bin/env -S bash -p
# Remove what runs wrote.
#
# usage: utils/clean.sh results|baselines [--yes]
#
#   results      all runs in RESULTS_DIR (reporting.output_dir)
#   baselines    all baselines in BASELINES_DIR (baselines.storage_dir) with their history; asks, unless --yes is given
#
# Only what the toolkit makes is removed: run directories, baselines, their history, the link to the newest run.
#
# exit: 0 done; 2 usage, or nobody said yes
set -euo pipefail +o posix
shopt -s inherit_errexit 2>/dev/null || true

SELF=$(readlink -f -- "${BASH_SOURCE[0]}" 2>/dev/null) || SELF=${BASH_SOURCE[0]} # also through a link
ROOT=$(CDPATH='' cd -- "$(dirname -- "$SELF")/.." && pwd -P) || exit 2
# shellcheck source=utils/lib/log.sh
. "$ROOT/utils/lib/log.sh" || exit 2

# setting KEY: its value; relative paths start at the checkout.
setting() {
  local value
  value=$("${PERF_PYTHON:-$ROOT/.venv/bin/python}" "$ROOT/utils/show_settings.py" "$1")
  case $value in
    /*) printf '%s\n' "$value" ;;
    *) printf '%s\n' "$ROOT/$value" ;;
  esac
}

clean_results() {
  local directory run count=0
  directory=$(setting reporting.output_dir)
  for run in "$directory"/*/; do
    run=${run%/}
    # A run has its plan, a comparison of several gateways one for each, one over all profiles its state.
    if [ -L "$run" ] || ! { [ -e "$run/plan.json" ] || [ -e "$run/all.json" ] \
      || compgen -G "$run/*/plan.json" >/dev/null; }; then
      continue
    fi
    rm -rf "$run"
    count=$((count + 1))
  done
  [ ! -L "$directory/latest" ] || rm -f "$directory/latest"
  rm -f "$directory/index.html" "$directory/.history.sqlite" "$directory/.groups.sqlite" # their list, and its indexes
  log::info "$count runs removed from $directory"
}

clean_baselines() {
  local directory answer
  directory=$(setting baselines.storage_dir)
  if [ "$1" != --yes ]; then
    [ -t 0 ] || log::die 2 'removing all baselines needs a yes: utils/clean.sh baselines --yes'
    printf 'Remove all baselines in %s, and their history? [y/N] ' "$directory" >&2
    read -r answer
    case $answer in
      y | Y | yes) ;;
      *) log::die 2 'nothing was removed' ;;
    esac
  fi
  rm -rf "$directory"/baseline_*.json "$directory/history"
  log::info "baselines removed from $directory"
}

main() {
  case ${1-} in
    -h | --help) sed -n '2,/^set /s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" ;;
    results) clean_results ;;
    baselines) clean_baselines "${2-}" ;;
    *) log::die 2 "what is to be removed? results or baselines (see utils/clean.sh --help)" ;;
  esac
}

[ "${BASH_SOURCE[0]}" != "$0" ] || main "$@"
