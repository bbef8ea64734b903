# shellcheck shell=bash
# environment.sh - which environment variables the toolkit's programs and their children inherit. A library: lists and
# functions.
#
# An unexpected variable can change a measurement, or break a program before its first line (PYTHONPATH, GODEBUG,
# LD_PRELOAD, OMP_NUM_THREADS). So only the variables listed here are passed on.

# For load generators: none of the toolkit's own variables, because they may hold secrets. Some Pythons start only if
# LD_LIBRARY_PATH leads to their library.
ENVIRONMENT_LOAD=(PATH HOME TMPDIR LANG LC_ALL LC_CTYPE TZ SSL_CERT_FILE SSL_CERT_DIR REQUESTS_CA_BUNDLE CURL_CA_BUNDLE
  LD_LIBRARY_PATH)

# For the toolkit's Python programs: its settings (make settings shows them), the terminal, the desktop that shows a report,
# and the locations of a Docker engine and a CI server.
ENVIRONMENT_PROGRAM=("${ENVIRONMENT_LOAD[@]}" 'LC_*' USER LOGNAME SHELL TERM COLUMNS LINES NO_COLOR LOG_LEVEL
  'PERF_*' 'GATEWAY*' 'GIVEN_*' PROFILE SCENARIOS RESULTS_DIR BASELINES_DIR
  DISPLAY WAYLAND_DISPLAY BROWSER 'XDG_*' DBUS_SESSION_BUS_ADDRESS SSH_CONNECTION
  'DOCKER_*' CI GITHUB_ACTIONS GITHUB_STEP_SUMMARY)

# environment::load COMMAND...: replaces this shell with a load generator; does not return. The values are arguments of env
# for a moment, so none of them may be a secret.
environment::load() {
  local name assignments=()
  for name in "${ENVIRONMENT_LOAD[@]}"; do
    [ -z "${!name+set}" ] || assignments+=("$name=${!name}")
  done
  # env would take a program path with a = for an assignment.
  exec env -i "${assignments[@]}" /bin/sh -c 'exec "$@"' sh "$@"
}

# environment::only PATTERN...: makes all later children of this shell inherit only variables with matching names. For a
# subshell that is about to exec.
environment::only() {
  local name pattern
  for name in $(compgen -e); do
    for pattern in "$@"; do
      # shellcheck disable=SC2254 # it is a pattern
      case $name in $pattern) continue 2 ;; esac
    done
    export -n "${name?}"
  done
}

# environment::python PROGRAM ARGUMENT...: replaces this shell with one of utils/*.py; does not return. -E: ignore the
# caller's PYTHONPATH, PYTHONHOME, PYTHONSTARTUP, PYTHONWARNINGS …; -s: ignore packages in the home directory. Needs ROOT or
# RUNNER_ROOT, and PERF_PYTHON.
environment::python() {
  local program=${RUNNER_ROOT:-${ROOT:-}}/utils/$1
  shift
  environment::only "${ENVIRONMENT_PROGRAM[@]}"
  exec "$PERF_PYTHON" -Es "$program" "$@"
}

# environment::child PROGRAM ARGUMENT...: as environment::python, for programs in the background; does not return. Ctrl-C and
# a closing terminal reach all processes of the terminal. The program ignores them: this shell decides how to react, and sends
# TERM. Otherwise a Python that is still importing modules would end with a traceback.
environment::child() {
  trap '' INT HUP
  environment::python "$@"
}
