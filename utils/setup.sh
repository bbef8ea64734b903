#!/usr/bin/env -S bash -p
# Install what the toolkit needs, below the checkout and nowhere else: no root, nothing in the system or in your home.
#
# usage: utils/setup.sh [PART...]         (without a PART: runtime gateway)
#
#   runtime   python hey chartjs
#   dev       the same, the tools that `make check` needs, bats and axe
#   all       dev gateway
#
#   uv        the installer: the one on PATH, else .tools/uv
#   python    the toolkit's environment .venv, from requirements.lock
#   hey       the load generator: the one on PATH, else .tools/bin/hey
#   bats      runs the tests of the shell side: the one on PATH, else .tools/bats
#   chartjs   the chart library of the reports, .tools/chartjs
#   axe       finds what keeps people out of the reports, for their tests, .tools/axe
#   gateway   the gateway to measure, .tools/gateway/VERSION
#
# hey and gateway bring the toolkit's environment, which reads config.yaml. Everything from a package index is checked against
# the hashes of a lock: requirements*.lock, utils/*.pin, utils/gateway-locks/; a release of the gateway without one is resolved
# once, to the packages of the day on which it was published, and its lock is kept in .tools/gateway-locks.
#
# Asks the network only for what is missing or out of date; an interrupted set-up is simply run again.
# Needs Python 3.11 or newer: on PATH, of pyenv, asdf, mise, uv, Homebrew, or below /usr/local or /opt. The gateway runs on the
# newest of them that its release allows. The machine's own settings of pip, uv, npm and apt are used as they are.
#
# environment:
#   GATEWAY_VERSION             release of the gateway, or newest: the newest one with a committed lock that a Python of
#                               this machine can run (default: stack.gateway.version of config.yaml)
#   GATEWAY_SOURCE              a wheel or checkout of the gateway, built and run instead of a release
#                               (default: stack.gateway.source of config.yaml); none: the release all the same
#   GATEWAY_DEPENDENCIES_DATE   install it with the packages of that day (YYYY-MM-DD); default: those of its committed
#                               lock, else of the day of its release; of a checkout today's
#   PERF_HEY                    another hey than the one on PATH (default: performance.hey_binary of config.yaml)
#   SETUP_PATIENCE=300          how long another set-up that runs is waited for, in seconds
#   LOG_LEVEL=warn              only warnings and errors
#   NO_COLOR=1                  no colour
#
# exit: 0 everything asked for is there (Chart.js may be missing, with a warning); 2 something is not, and why;
#       129, 130, 143 stopped by a closed terminal, Ctrl-C, TERM. Full logs: .tools/log/
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
# shellcheck source=utils/lib/gateway.sh
. "$ROOT/utils/lib/gateway.sh" || exit 2

TOOLS=$ROOT/.tools
LOCK=$TOOLS/.lock
PATIENCE=${SETUP_PATIENCE:-300}
# For so many seconds after it could not be had, Chart.js is not tried again unless it is asked for by name.
CHARTJS_RETRY=3600

usage() {
  sed -n '2,/^set /s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
}

# --- what is asked for -----------------------------------------------------------------------------------------------

parts=()
level=runtime # of the toolkit's environment: runtime or dev
retry_chartjs=false

add_part() {
  local part
  for part in ${parts[@]+"${parts[@]}"}; do
    [ "$part" != "$1" ] || return 0
  done
  parts+=("$1")
}

read_arguments() {
  local argument
  [ $# -gt 0 ] || set -- runtime gateway
  for argument in "$@"; do
    case $argument in
      -h | --help)
        usage
        exit 0
        ;;
      uv | python | bats | axe) add_part "$argument" ;;
      hey | gateway)
        add_part python # reads the settings
        add_part "$argument"
        ;;
      chartjs)
        add_part chartjs
        retry_chartjs=true
        ;;
      runtime)
        add_part python
        add_part hey
        add_part chartjs
        ;;
      dev)
        level=dev
        add_part python
        add_part hey
        add_part bats
        add_part chartjs
        add_part axe
        ;;
      all)
        level=dev
        add_part python
        add_part hey
        add_part bats
        add_part chartjs
        add_part axe
        add_part gateway
        ;;
      *) log::die 2 "unknown part '$argument': uv, python, hey, bats, chartjs, axe, gateway, runtime, dev or all (see utils/setup.sh --help)" ;;
    esac
  done
}

check_date() {
  case ${GATEWAY_DEPENDENCIES_DATE:-} in
    '' | [0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]) ;;
    *) log::die 2 "GATEWAY_DEPENDENCIES_DATE '$GATEWAY_DEPENDENCIES_DATE' is not a date: write it as YYYY-MM-DD" ;;
  esac
}

# read_settings: what config.yaml and the environment say. Sets `source` and `source_name` (a wheel or checkout), or `release`.
source='' source_name='' release=''
read_settings() {
  tools::read_settings || exit 2
  source=$(tools::setting source)
  if [ -n "$source" ]; then
    [ -e "$source" ] \
      || log::die 2 "GATEWAY_SOURCE (stack.gateway.source in config.yaml): there is no $source: name a wheel or a checkout of the gateway"
    source_name=$(tools::setting source-name)
  else
    release=$(gateway::release)
  fi
}

# gateway_state: prints ok, missing or old.
gateway_state() {
  if [ -n "$source" ]; then
    gateway::source_state
  else
    gateway::release_state "$release"
  fi
}

# is_there PART: nothing to be done for it?
is_there() {
  case $1 in
    uv) tools::uv >/dev/null ;;
    python) [ "$(tools::python_state "$level")" = ok ] ;;
    hey) tools::hey >/dev/null ;;
    bats) tools::bats >/dev/null ;;
    chartjs) [ "$(tools::chartjs_state)" = ok ] || { chartjs_is_given_up && chartjs_warn 'it could not be had a while ago'; } ;;
    axe) [ "$(tools::axe_state)" = ok ] ;;
    gateway) [ "$(gateway_state)" = ok ] ;;
  esac
}

# find_missing PART...: sets `missing` to those that need work.
missing=()
find_missing() {
  local part
  missing=()
  for part in "$@"; do
    is_there "$part" || missing+=("$part")
  done
}

# --- one set-up at a time --------------------------------------------------------------------------------------------

# The lock is a symbolic link whose target is the owner's pid: made and filled in one step, on every system.
has_lock=false

is_running() {
  local answer
  answer=$(LC_ALL=C kill -0 "$1" 2>&1) && return 0
  case $answer in
    *ermitted*) return 0 ;; # somebody else's process
    *) return 1 ;;
  esac
}

# break_lock PID: takes away the lock of a set-up that is gone. Only one of several waiters may, and only that lock.
break_lock() {
  mkdir "$LOCK.of-$1" 2>/dev/null || return 0
  if [ "$(readlink "$LOCK" || true)" = "$1" ]; then
    rm -f "$LOCK"
  fi
  rmdir "$LOCK.of-$1"
}

take_lock() {
  local owner end=$((SECONDS + PATIENCE)) told=false
  until ln -sn "$$" "$LOCK" 2>/dev/null; do
    owner=$(readlink "$LOCK" || true) # empty when it was released just now
    if [ "$SECONDS" -ge "$end" ]; then
      log::die 2 "another set-up (pid ${owner:-unknown}) has held $LOCK for $PATIENCE s: wait for it, or remove $LOCK if there is none"
    elif [ -n "$owner" ] && ! is_running "$owner"; then
      log::info "the set-up of pid $owner was interrupted; going on from there"
      break_lock "$owner"
    elif ! $told; then
      log::info "another set-up (pid ${owner:-unknown}) is running: waiting for it"
      told=true
    fi
    sleep 0.2
  done
  has_lock=true
}

# --- jobs: parts that run side by side, each in a process group of its own so that all of it can be stopped ------------

job_pids=()

start_job() {
  set -m
  (install_"$1") </dev/null &
  set +m
  job_pids+=("$!")
}

# wait_for_jobs: 0 when all succeeded, else 2.
wait_for_jobs() {
  local pid result=0
  for pid in ${job_pids[@]+"${job_pids[@]}"}; do
    wait "$pid" 2>/dev/null || result=2
  done
  job_pids=()
  return "$result"
}

# stop_jobs: TERM to every process of every job, and KILL to those that are still there 3 s later.
stop_jobs() {
  local pid end=$((SECONDS + 3))
  for pid in ${job_pids[@]+"${job_pids[@]}"}; do
    kill -TERM -- "-$pid" 2>/dev/null || true
  done
  for pid in ${job_pids[@]+"${job_pids[@]}"}; do
    while kill -0 -- "-$pid" 2>/dev/null; do
      [ "$SECONDS" -lt "$end" ] || kill -KILL -- "-$pid" 2>/dev/null || true
      sleep 0.1
    done
  done
}

clean_up() {
  stop_jobs
  if $has_lock; then
    rm -rf "$TOOLS/tmp"
    rm -f "$LOCK"
  fi
}

on_signal() {
  trap '' HUP INT TERM
  log::error "set-up interrupted by $1: run it again to go on"
  exit "$2"
}

# run LOG COMMAND...: runs it, with what it prints in the log.
run() {
  local log=$1
  shift
  printf '+ %s\n' "$*" >>"$log"
  "$@" >>"$log" 2>&1
}

# last_error LOG: prints the last line of the log that says what went wrong. What apt cannot fetch is a warning to it.
last_error() {
  local line
  line=$(sed -n '/^[EW]: Failed to fetch/p' "$1" | tail -n 1)
  [ -n "$line" ] || line=$(sed -e 's/^[[:space:]]*//' -e '/^$/d' -e '/^+ /d' -e '/^hint:/d' -e '/^W: /d' -e '/^\[notice\]/d' \
    -e '/^npm error A complete log/,$d' -e '/^npm error network/d' "$1" | tail -n 1)
  printf '%s\n' "${line:-no message}"
}

# fail LOG WHAT DO: ends a job with one line.
fail() {
  log::die 2 "$2: $(last_error "$1"); $3 (log: $1)"
}

new_log() {
  : >"$TOOLS/log/$1.log"
  printf '%s\n' "$TOOLS/log/$1.log"
}

# write_stamp DIRECTORY TEXT: the last step of an installation.
write_stamp() {
  printf '%s\n' "$2" >"$1/$TOOLS_STAMP.new"
  mv -f "$1/$TOOLS_STAMP.new" "$1/$TOOLS_STAMP"
}

readonly ASK_NETWORK="check the network and the machine's settings of the package registry, then run it again"

# --- packages of Debian and Ubuntu, without root -----------------------------------------------------------------------

# apt_unpack LOG PACKAGE DIRECTORY: downloads a package and unpacks it there. Uses the system's package lists when it has
# them, else its own; the system's are not written to, nor its cache.
apt_unpack() {
  local log=$1 package=$2 directory=$3 work=$TOOLS/tmp/apt lists
  mkdir -p "$work/cache/archives/partial" "$work/lists/partial" "$work/$package"
  for lists in system own; do
    {
      printf 'Dir::Cache "%s";\n' "$work/cache"
      printf 'Acquire::Retries "1";\nAcquire::http::Timeout "20";\nAcquire::https::Timeout "20";\n'
      if [ "$lists" = own ]; then
        printf 'Dir::State::lists "%s";\nAcquire::Languages "none";\n' "$work/lists"
        # The system's hooks around an update clean the system's cache.
        printf '#clear %s;\n' APT::Update::Pre-Invoke APT::Update::Post-Invoke APT::Update::Post-Invoke-Success
      fi
    } >"$work/apt.conf"
    if [ "$lists" = own ] && [ ! -e "$work/updated" ]; then
      run "$log" apt-get -c "$work/apt.conf" update || true # what counts is whether the package can be had
      touch "$work/updated"
    fi
    (cd "$work/$package" && run "$log" apt-get -c "$work/apt.conf" download "$package") || continue
    mkdir -p "$directory"
    run "$log" dpkg-deb -x "$work/$package/"*.deb "$directory" || return
    return 0
  done
  return 1
}

# --- the parts ---------------------------------------------------------------------------------------------------------

install_uv() {
  local log python wheel pip=() target=$TOOLS/uv
  log=$(new_log uv)
  python=$(tools::python) \
    || log::die 2 "no Python $TOOLS_PYTHON_MINIMUM or newer on this machine: install one (Debian, Ubuntu: apt install python3; macOS: brew install python)"
  log::info "uv: installing $(tools::uv_pin) into .tools/uv"
  rm -rf "$target"
  if run "$log" "$python" -m venv "$target"; then
    pip=("$target/bin/python" -m pip install)
  else # Debian ships Python without what makes environments, and without pip
    rm -rf "$target"
    if run "$log" "$python" -m pip --version; then
      pip=("$python" -m pip install --target "$target")
    elif command -v apt-get >/dev/null 2>&1 && command -v dpkg-deb >/dev/null 2>&1; then
      apt_unpack "$log" python3-pip-whl "$TOOLS/tmp/pip" \
        || fail "$log" "pip could not be downloaded" "$ASK_NETWORK, or install uv, or python3-venv"
      for wheel in "$TOOLS/tmp/pip/usr/share/python-wheels/pip-"*.whl; do
        pip=("$python" "$wheel/pip" install --target "$target")
      done
    else
      log::die 2 "uv cannot be installed: $python has neither the venv module nor pip; install one of them, or uv itself, then run it again"
    fi
  fi
  run "$log" "${pip[@]}" --no-cache-dir --disable-pip-version-check --require-hashes -r "$ROOT/utils/uv.pin" \
    || fail "$log" "uv could not be installed" "$ASK_NETWORK, or install uv yourself"
  run "$log" "$target/bin/uv" --version || fail "$log" "the installed uv does not start" "install uv yourself"
  write_stamp "$target" "uv $(tools::uv_pin)"
}

# can_write PATH: could it be written to, or made?
can_write() {
  local path=$1
  until [ -e "$path" ]; do
    path=${path%/*}
    [ -n "$path" ] || return 1
  done
  [ -d "$path" ] && [ -w "$path" ]
}

# use_uv: sets UV, and the environment that all its calls share.
use_uv() {
  UV=$(tools::uv) || log::die 2 "uv was installed and is not usable: see $TOOLS/log/uv.log"
  # An environment that happens to be active in the caller's shell is not the one to install into.
  unset VIRTUAL_ENV CONDA_PREFIX UV_SYSTEM_PYTHON UV_PROJECT_ENVIRONMENT PYTHONHOME PYTHONPATH
  export UV_NO_PROGRESS=1
  export UV_PYTHON_INSTALL_DIR=${UV_PYTHON_INSTALL_DIR:-$TOOLS/python} UV_TOOL_DIR=$TOOLS/tmp/uv-tools
  if [ -z "${UV_CACHE_DIR:-}" ] && ! can_write "${XDG_CACHE_HOME:-${HOME:-}/.cache}/uv"; then
    export UV_CACHE_DIR=$TOOLS/cache/uv
  fi
}

# The interpreter for uv: the machine's own when it will do, else the one that uv finds or fetches.
python_for_uv() {
  tools::python || printf '>=%s\n' "$TOOLS_PYTHON_MINIMUM"
}

install_python() {
  local log venv=$ROOT/.venv lock=$ROOT/requirements.lock began=$SECONDS
  log=$(new_log python)
  if grep -qs "^dev at" "$venv/$TOOLS_STAMP"; then
    level=dev # an environment with the development tools keeps them
  fi
  [ "$level" = runtime ] || lock=$ROOT/requirements-dev.lock
  log::info "toolkit environment: installing ${lock##*/} into .venv"
  if [ "$(tools::python_state "$level")" = missing ]; then
    rm -rf "$venv"
    run "$log" "$UV" venv --no-project --python "$(python_for_uv)" "$venv" \
      || fail "$log" "the toolkit's environment could not be made in $venv" "install Python $TOOLS_PYTHON_MINIMUM or newer"
  fi
  rm -f "$venv/$TOOLS_STAMP"
  run "$log" "$UV" pip sync --python "$venv/bin/python" --require-hashes "$lock" \
    || fail "$log" "${lock##*/} could not be installed" "$ASK_NETWORK"
  write_stamp "$venv" "$(tools::python_stamp "$level")"
  log::ok "toolkit environment: ready after $((SECONDS - began)) s"
}

install_hey() {
  local log unpacked=$TOOLS/tmp/hey
  local advice="install hey and put it on PATH, or name it in performance.hey_binary of config.yaml (PERF_HEY)"
  log=$(new_log hey)
  if command -v apt-get >/dev/null 2>&1 && command -v dpkg-deb >/dev/null 2>&1; then
    log::info "hey: unpacking the system's package into .tools"
    apt_unpack "$log" hey "$unpacked" || fail "$log" "hey could not be downloaded" "$ASK_NETWORK, or $advice"
    tools::is_hey "$unpacked/usr/bin/hey" || fail "$log" "the downloaded hey does not start" "$advice"
    mkdir -p "$TOOLS/bin"
    mv -f "$unpacked/usr/bin/hey" "$TOOLS/bin/hey"
  elif command -v brew >/dev/null 2>&1; then
    log::info "hey: brew install hey"
    HOMEBREW_NO_AUTO_UPDATE=1 run "$log" brew install hey || fail "$log" "brew could not install hey" "$advice"
    tools::hey >/dev/null || fail "$log" "brew's hey does not start" "$advice"
  else
    log::die 2 "hey, the load generator, is not there, and neither is apt-get or brew: $advice"
  fi
  log::ok "hey: ready"
}

install_bats() {
  local log unpacked=$TOOLS/tmp/bats advice="install bats and put it on PATH"
  log=$(new_log bats)
  if command -v apt-get >/dev/null 2>&1 && command -v dpkg-deb >/dev/null 2>&1; then
    log::info "bats: unpacking the system's package into .tools"
    apt_unpack "$log" bats "$unpacked" || fail "$log" "bats could not be downloaded" "$ASK_NETWORK, or $advice"
    run "$log" "$unpacked/usr/bin/bats" --version || fail "$log" "the downloaded bats does not start" "$advice"
    rm -rf "$TOOLS/bats"
    mv "$unpacked/usr" "$TOOLS/bats"
  elif command -v brew >/dev/null 2>&1; then
    log::info "bats: brew install bats-core"
    HOMEBREW_NO_AUTO_UPDATE=1 run "$log" brew install bats-core || fail "$log" "brew could not install bats" "$advice"
  else
    log::die 2 "bats, which runs the shell tests, is not there, and neither is apt-get or brew: $advice"
  fi
  log::ok "bats: ready"
}

# chartjs_is_given_up: did it fail a short while ago, and did nobody ask for it by name?
chartjs_is_given_up() {
  local failed=$TOOLS/chartjs.failed since
  ! $retry_chartjs && [ -f "$failed" ] || return 1
  since=$(cat "$failed")
  case $since in
    '' | *[!0-9]*) return 1 ;;
  esac
  [ $(($(date +%s) - since)) -lt "$CHARTJS_RETRY" ]
}

chartjs_warn() {
  log::warn "reports come without charts, Chart.js is missing: $1; to try again: utils/setup.sh chartjs"
}

# give_up_chartjs LOG WHAT: a report without charts is still a report.
give_up_chartjs() {
  date +%s >"$TOOLS/chartjs.failed"
  chartjs_warn "$2: $(last_error "$1") (log: $1)"
  exit 0
}

# npm_digest INTEGRITY: the hexadecimal form of npm's sha512-BASE64.
npm_digest() {
  printf '%s' "${1#sha512-}" | base64 --decode | od -An -v -tx1 | tr -d ' \n'
}

# npm_fetch LOG PACKAGE PIN DIRECTORY FILE...: fetches the release that utils/PIN names and unpacks these files of it into
# DIRECTORY/package. Returns 1, with the reason in `npm_problem`, when it cannot be had; ends the job when it is another
# file than the pinned one.
npm_fetch() {
  local log=$1 package=$2 pin=$3 work=$4 version integrity npm=() archive digest
  shift 4
  { read -r version && read -r integrity; } <"$ROOT/utils/$pin"
  log::info "$package: fetching $version"
  mkdir -p "$work"
  # npm's own cache and notices would be written to the home directory.
  export npm_config_cache=$work/npm npm_config_update_notifier=false npm_config_fetch_retries=1 npm_config_fetch_timeout=30000
  npm_problem="npm could not be installed"
  if archive=$(tools::npm); then
    npm=("$archive")
  else
    run "$log" "$UV" venv --no-project --python "$(python_for_uv)" "$work/node" \
      && run "$log" "$UV" pip sync --python "$work/node/bin/python" --require-hashes "$ROOT/utils/nodejs.pin" || return 1
    npm=("$work/node/bin/npm")
  fi
  npm_problem="npm could not fetch it"
  (cd "$work" && run "$log" "${npm[@]}" pack --ignore-scripts "$package@$version") || return 1
  archive=$work/$package-$version.tgz
  npm_problem="npm fetched no ${archive##*/}"
  [ -f "$archive" ] || return 1
  digest=$(tools::digest 512 "$archive")
  if [ "$digest" != "$(npm_digest "$integrity")" ]; then
    printf 'sha512 of %s: %s\nexpected: %s\n' "${archive##*/}" "$digest" "$(npm_digest "$integrity")" >>"$log"
    log::die 2 "$package $version is not the file that utils/$pin names (sha512 differs): not used; find out where npm got it from (log: $log)"
  fi
  npm_problem="${archive##*/} could not be unpacked"
  run "$log" tar -xzf "$archive" -C "$work" "${@/#/package/}" || return 1
}

install_chartjs() {
  local log work=$TOOLS/tmp/chartjs
  log=$(new_log chartjs)
  npm_fetch "$log" chart.js chartjs.pin "$work" dist/chart.umd.min.js LICENSE.md || give_up_chartjs "$log" "$npm_problem"
  rm -rf "$TOOLS/chartjs" "$TOOLS/chartjs.failed"
  mkdir "$TOOLS/chartjs"
  mv "$work/package/dist/chart.umd.min.js" "$TOOLS/chartjs/chart.umd.js"
  mv "$work/package/LICENSE.md" "$TOOLS/chartjs/LICENSE.md"
  write_stamp "$TOOLS/chartjs" "$(cat "$ROOT/utils/chartjs.pin")"
  log::ok "chart.js: ready"
}

install_axe() {
  local log work=$TOOLS/tmp/axe
  log=$(new_log axe)
  npm_fetch "$log" axe-core axe.pin "$work" axe.min.js LICENSE \
    || fail "$log" "axe, which the reports' tests need, is missing: $npm_problem" "$ASK_NETWORK"
  rm -rf "$TOOLS/axe"
  mkdir "$TOOLS/axe"
  mv "$work/package/axe.min.js" "$work/package/LICENSE" "$TOOLS/axe/"
  write_stamp "$TOOLS/axe" "$(cat "$ROOT/utils/axe.pin")"
  log::ok "axe-core: ready"
}

# use_python PYTHONS: sets `python` to the newest Python of this machine that is among PYTHONS ("3.12 3.13"), else to what uv
# shall look for or fetch.
use_python() {
  python=$(tools::pick_python "$(tools::pythons)" "$1") || python=${1##* }
}

# newest_release LOG: prints the newest release that there is; nothing when that cannot be found out.
newest_release() {
  "$UV" pip compile --quiet --no-deps --no-header --python "$(python_for_uv)" --python-version "${GATEWAY_PYTHONS##* }" - \
    <<<"$GATEWAY_PACKAGE" 2>>"$1" | sed -n "s/^$GATEWAY_PACKAGE==//p"
}

# resolve LOG LOCK DAY REQUIREMENTS...: writes the packages of that day (empty: of today) with their hashes to a lock, for $python.
resolve() {
  local log=$1 lock=$2 day=$3 limit=()
  shift 3
  [ -z "$day" ] || limit=(--exclude-newer "$day")
  mkdir -p "${lock%/*}"
  run "$log" "$UV" pip compile --quiet --no-header --no-annotate --no-emit-index-url --generate-hashes --python "$python" \
    ${limit[@]+"${limit[@]}"} --output-file "$lock.new" "$@" || return 1
  mv -f "$lock.new" "$lock"
}

# fill_environment LOG TARGET LOCK: makes the environment anew, with exactly the packages of the lock. On failure
# `problem` says at what.
fill_environment() {
  problem="no Python for it"
  rm -rf "$2"
  mkdir -p "${2%/*}"
  run "$1" "$UV" venv --no-project --python "$python" "$2" || return 1
  problem="its packages could not be installed"
  run "$1" "$UV" pip sync --python "$2/bin/python" --require-hashes "$3" || return 1
}

# install_source: builds the gateway from the user's wheel or checkout. A wheel gets the packages of its release's day, else of
# the day on which it was built; a checkout today's.
install_source() {
  local log day=${GATEWAY_DEPENDENCIES_DATE:-} python version requires found lock=$TOOLS/gateway-locks/$source_name.lock began=$SECONDS
  local target=$TOOLS/gateway/$source_name pythons problem wanted=$source/pyproject.toml
  local advice="mend it there, or set GATEWAY_SOURCE to another wheel or checkout"
  log=$(new_log "gateway-$source_name")
  log::info "gateway of $source: building into .tools/gateway/$source_name"
  [ ! -d "$source" ] || [ -f "$wanted" ] || log::die 2 "$source: is no checkout of the gateway, it has no pyproject.toml"
  requires=$(tools::setting source-requires)
  pythons=$(gateway::runs_on "${requires// /}")
  [ -n "$pythons" ] || log::die 2 "$source: requires Python $requires, and none of $GATEWAY_PYTHONS is that"
  case $source in
    *.whl) # NAME-VERSION-TAGS.whl
      wanted=$TOOLS/tmp/wheel.in
      printf '%s\n' "$source" >"$wanted"
      version=${source##*/}
      version=${version#*-}
      found=$(gateway::look_up "$log" "${version%%-*}" "$TOOLS/tmp/release" "$(python_for_uv)" "$UV") || found='|'
      day=${day:-${found#*|}}
      day=${day:-$(tools::setting source-day)}
      ;;
  esac
  use_python "$pythons"
  printf '%s\n' "${GATEWAY_DRIVERS[@]}" >"$TOOLS/tmp/drivers.in"
  rm -f "$lock"
  resolve "$log" "$lock" "$day" "$wanted" "$TOOLS/tmp/drivers.in" || fail "$log" "gateway of $source could not be built" "$advice"
  fill_environment "$log" "$target" "$lock" || fail "$log" "gateway of $source: $problem" "$advice"
  case $source in
    *.whl) ;;
    *)
      run "$log" "$UV" pip install --python "$target/bin/python" --no-deps "$source" \
        || fail "$log" "gateway of $source could not be built" "$advice"
      ;;
  esac
  compgen -G "$target/lib/python*/site-packages/mcp_contextforge_gateway-*.dist-info" >/dev/null \
    || log::die 2 "$source: is no gateway ($GATEWAY_PACKAGE); set GATEWAY_SOURCE to a wheel or checkout of it"
  # The second makes two builds of one checkout two gateways, whose databases are not mixed up.
  write_stamp "$target" "built $(date -u +%Y-%m-%dT%H:%M:%SZ) of $source at $ROOT
sha256 $(tools::digest 256 "$lock")"
  log::ok "gateway of $source: ready after $((SECONDS - began)) s"
}

install_gateway() {
  if [ -n "$source" ]; then
    install_source
  else
    install_release
  fi
}

# look_up_release LOG: as gateway::look_up, for the wanted release; ends the job when it cannot be had.
look_up_release() {
  local newest
  gateway::look_up "$1" "$release" "$TOOLS/tmp/release" "$(python_for_uv)" "$UV" && return 0
  grep -q "no version of $GATEWAY_PACKAGE" "$1" || fail "$1" "gateway $release could not be looked up" "$ASK_NETWORK"
  newest=$(newest_release "$1")
  log::die 2 "gateway $release does not exist${newest:+, the newest is $newest}: set GATEWAY_VERSION (stack.gateway.version in config.yaml) to a release of $GATEWAY_PACKAGE"
}

install_release() {
  local log lock python packages=committed asked=${GATEWAY_DEPENDENCIES_DATE:-} day problem pythons found began=$SECONDS
  local target=$TOOLS/gateway/$release
  log=$(new_log "gateway-$release")
  if lock=$(gateway::committed_lock "$release"); then
    log::info "gateway $release: installing into .tools/gateway/$release, with the packages of ${lock#"$ROOT/"}"
    pythons=$(gateway::lock_pythons "$lock")
    use_python "$pythons"
  else
    found=$(look_up_release "$log") || exit 2
    pythons=${found%|*} day=${found#*|}
    packages="of ${day:-today}"
    if [ -n "$asked" ]; then
      packages="asked $asked"
      [[ ! $asked < $day ]] \
        || log::die 2 "gateway $release is of $day, younger than $asked: set GATEWAY_DEPENDENCIES_DATE to a later day, or leave it out"
      day=$asked
    elif [ -z "$day" ]; then
      log::warn "gateway $release: the package index does not say when it was published, so it gets today's packages; GATEWAY_DEPENDENCIES_DATE sets another day"
    fi
    log::info "gateway $release: installing into .tools/gateway/$release, with the packages of ${day:-today}"
    use_python "$pythons"
    lock=$TOOLS/gateway-locks/$release.${packages// /-}.lock
    if [ ! -f "$lock" ] || [ -z "$day" ]; then
      gateway::requirements "$release" >"$TOOLS/tmp/gateway.in"
      resolve "$log" "$lock" "$day" "$TOOLS/tmp/gateway.in" \
        || fail "$log" "the packages of gateway $release could not be resolved" "$ASK_NETWORK"
    fi
  fi
  fill_environment "$log" "$target" "$lock" \
    || fail "$log" "gateway $release, which needs Python ${pythons// / or }: $problem" \
      "install such a Python, $ASK_NETWORK, or choose another GATEWAY_VERSION (stack.gateway.version in config.yaml)"
  write_stamp "$target" "$(gateway::stamp "$release" "$packages" "$lock")"
  log::ok "gateway $release: ready after $((SECONDS - began)) s"
}

# needs_uv PART
needs_uv() {
  case $1 in
    uv | python | gateway) return 0 ;;
    chartjs | axe) ! tools::npm >/dev/null ;;
    *) return 1 ;;
  esac
}

# begin: takes the lock, once, before the first thing that is written.
begin() {
  ! $has_lock || return 0
  { mkdir -p "$TOOLS/log" && [ -w "$TOOLS" ]; } 2>/dev/null \
    || log::die 2 "cannot write to $TOOLS: make the checkout writable for $(id -un)"
  cleanup::push clean_up
  trap 'on_signal HUP 129' HUP
  trap 'on_signal INT 130' INT
  trap 'on_signal TERM 143' TERM
  take_lock
  rm -rf "$TOOLS/tmp"
  mkdir "$TOOLS/tmp"
}

# install_missing PART...: what of them is missing. 0 when all is there, else 2.
install_missing() {
  local part uv=false
  [ $# -gt 0 ] || return 0
  find_missing "$@"
  [ ${#missing[@]} -gt 0 ] || return 0
  begin
  find_missing "$@" # another set-up may have done it
  for part in ${missing[@]+"${missing[@]}"}; do
    ! needs_uv "$part" || uv=true
  done
  if $uv; then
    if ! is_there uv; then
      start_job uv
      wait_for_jobs || exit 2
    fi
    use_uv
  fi
  for part in ${missing[@]+"${missing[@]}"}; do
    [ "$part" = uv ] || start_job "$part"
  done
  wait_for_jobs
}

main() {
  local part first=() then=() result=0
  cleanup::install
  read_arguments "$@"
  check_date
  for part in "${parts[@]}"; do
    case $part in
      hey | gateway) then+=("$part") ;; # need the settings
      *) first+=("$part") ;;
    esac
  done
  install_missing ${first[@]+"${first[@]}"} || result=$?
  if [ ${#then[@]} -gt 0 ]; then
    is_there python || exit 2
    read_settings
    install_missing "${then[@]}" || result=$?
  fi
  if [ "$result" -eq 0 ]; then
    log::ok "set-up is complete: ${parts[*]}"
  fi
  exit "$result"
}

if [ "${BASH_SOURCE[0]}" = "$0" ]; then
  main "$@"
fi
