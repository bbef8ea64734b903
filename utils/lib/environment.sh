# shellcheck shell=bash
# environment.sh - what a program of the toolkit, or one that it starts, sees of the caller's environment. A library:
# lists and functions.
#
# A variable that nobody thought of changes a measurement, or breaks a program before its first line (PYTHONPATH,
# GODEBUG, LD_PRELOAD, OMP_NUM_THREADS). So only variables whose names stand here go on.

# Load generators: nothing of the toolkit's own, for its secrets are not their business. Some Pythons start only where
# LD_LIBRARY_PATH leads to their library.
ENVIRONMENT_LOAD=(PATH HOME TMPDIR LANG LC_ALL LC_CTYPE TZ SSL_CERT_FILE SSL_CERT_DIR REQUESTS_CA_BUNDLE CURL_CA_BUNDLE
  LD_LIBRARY_PATH)

# The toolkit's Python programs: its settings (make settings shows them), the terminal, the desktop that shows a report,
# and where a Docker engine and a CI server are found.
ENVIRONMENT_PROGRAM=("${ENVIRONMENT_LOAD[@]}" 'LC_*' USER LOGNAME SHELL TERM COLUMNS LINES NO_COLOR LOG_LEVEL
  'PERF_*' 'GATEWAY*' 'GIVEN_*' PROFILE SCENARIOS RESULTS_DIR BASELINES_DIR
  DISPLAY WAYLAND_DISPLAY BROWSER 'XDG_*' DBUS_SESSION_BUS_ADDRESS SSH_CONNECTION
  'DOCKER_*' CI GITHUB_ACTIONS GITHUB_STEP_SUMMARY)

# environment::load COMMAND...: become a load generator; does not return. The values stand in the arguments of env for a
# moment, so none of them may be a secret.
environment::load() {
  local name assignments=()
  for name in "${ENVIRONMENT_LOAD[@]}"; do
    [ -z "${!name+set}" ] || assignments+=("$name=${!name}")
  done
  # A program whose path holds a = would be an assignment to env.
  exec env -i "${assignments[@]}" /bin/sh -c 'exec "$@"' sh "$@"
}

# environment::only PATTERN...: what this shell starts from now on inherits only variables with such names. For a
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

# environment::python PROGRAM ARGUMENT...: become one of utils/*.py; does not return. -E: no PYTHONPATH, PYTHONHOME,
# PYTHONSTARTUP, PYTHONWARNINGS … of the caller; -s: no packages of his home. Needs ROOT or RUNNER_ROOT, and PERF_PYTHON.
environment::python() {
  local program=${RUNNER_ROOT:-${ROOT:-}}/utils/$1
  shift
  environment::only "${ENVIRONMENT_PROGRAM[@]}"
  exec "$PERF_PYTHON" -Es "$program" "$@"
}

# environment::child PROGRAM ARGUMENT...: as environment::python, for what runs beside this shell; does not return. Ctrl-C, and
# the end of a terminal, reach all processes of it: this shell decides what that means, and says so with TERM. A Python that
# has not read all its modules yet would end with a traceback.
environment::child() {
  trap '' INT HUP
  environment::python "$@"
}
