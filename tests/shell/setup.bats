#!/usr/bin/env bats
# utils/setup.sh: what it installs, from where, and what it says when it cannot.
#
# shellcheck disable=SC2030,SC2031,SC2154 # each test is a subshell; run sets stderr

bats_require_minimum_version 1.5.0

setup_file() {
  load bare_machine
  system_programs
}

setup() {
  load bare_machine
  bare_machine
  has_uv 0.13.9 "$PARTS" # what "pip install uv" puts there
}

teardown() {
  [ -z "${background:-}" ] || kill -KILL "$background" 2>/dev/null || true
  [ ! -f "$PARTS/slow" ] || kill -KILL "$(cat "$PARTS/slow")" 2>/dev/null || true
}

run_setup() {
  run --separate-stderr utils/setup.sh "$@"
}

# one_error WORDS...: exactly one line of error, with all of the words.
one_error() {
  local word
  [ "$(grep -c '^error: ' <<<"$stderr")" -eq 1 ]
  for word in "$@"; do
    grep '^error: ' <<<"$stderr" | grep -qF -- "$word"
  done
}

# in_background ARGUMENT...: starts the set-up as a shell with a terminal would, so that Ctrl-C reaches it.
in_background() {
  set -m
  utils/setup.sh "$@" >/dev/null 2>"$BATS_TEST_TMPDIR/err" </dev/null 3>&- &
  background=$!
  set +m
}

# until_true COMMAND...: within 10 s.
until_true() {
  local tries
  for ((tries = 0; tries < 100; tries++)); do
    if "$@"; then
      return 0
    fi
    sleep 0.1
  done
  return 1
}

was_called() { [ "$(calls "$1")" -gt 0 ]; }

# --- the usual way ---

@test "--help prints the header" {
  run_setup --help
  [ "$status" -eq 0 ]
  [[ $output == "Install what the toolkit needs"*"exit: 0"* ]]
  [ ! -e .tools ]
}

@test "an unknown part is refused before anything is installed" {
  has_everything
  run_setup runtime nonsense
  [ "$status" -eq 2 ]
  one_error "'nonsense'" "--help"
  [ ! -e .tools ]
}

@test "everything is installed below the checkout, nothing in the home directory" {
  has_everything
  run_setup all
  [ "$status" -eq 0 ]
  cmp .venv/installed requirements-dev.lock
  [ -x .tools/gateway/1.0.7/bin/python ]
  cmp .tools/chartjs/chart.umd.js "$PARTS/chart.js/package/dist/chart.umd.min.js"
  cmp .tools/chartjs/LICENSE.md "$PARTS/chart.js/package/LICENSE.md"
  cmp .tools/axe/axe.min.js "$PARTS/axe-core/package/axe.min.js"
  cmp .tools/axe/LICENSE "$PARTS/axe-core/package/LICENSE"
  [ -z "$(ls -A "$HOME")" ]
  [ -z "$output" ]
}

@test "without arguments: what a run needs, with the gateway" {
  has_everything
  run_setup
  [ "$status" -eq 0 ]
  cmp .venv/installed requirements.lock
  [ -d .tools/gateway/1.0.7 ]
  [ ! -e .tools/axe ] # only the tests need it
}

@test "the second time nothing is started but hey and the Pythons, to see that they are what they are called" {
  has_everything
  utils/setup.sh runtime gateway
  : >"$CALLS"
  run_setup runtime gateway
  [ "$status" -eq 0 ]
  [ "$(calls uv)" -eq 0 ]
  [ "$(grep -cvE '^(hey |python3 -I -c |    sys.exit|good = |if not good|print)' "$CALLS")" -eq 0 ]
}

@test "LOG_LEVEL=warn: not a word when all is well" {
  has_everything
  utils/setup.sh runtime
  LOG_LEVEL=warn run_setup runtime
  [ "$status" -eq 0 ]
  [ -z "$stderr" ]
}

@test "no temporary file and no lock is left" {
  has_everything
  utils/setup.sh all
  [ -z "$(find .tools .venv -name tmp -o -name '.lock*' -o -name '*.new')" ]
}

# --- uv ---

@test "uv on PATH is used" {
  has_everything
  run_setup python
  [ "$status" -eq 0 ]
  [ ! -e .tools/uv ]
}

@test "without uv: into an environment of its own, at the pinned release" {
  has_python 3.11.2
  run_setup python
  [ "$status" -eq 0 ]
  [ -x .tools/uv/bin/uv ]
  [ "$(calls '-m venv .*/.tools/uv$')" -eq 1 ]
  [ "$(calls "-m pip install .* --require-hashes -r .*/utils/uv.pin\$")" -eq 1 ]
  cmp .venv/installed requirements.lock
}

@test "without uv and the venv module: by pip" {
  has_python 3.11.2
  NO_VENV=1 run_setup python
  [ "$status" -eq 0 ]
  [ "$(calls '-m pip install --target .*/.tools/uv ')" -eq 1 ]
  cmp .venv/installed requirements.lock
}

@test "without uv, the venv module and pip: by Debian's package of pip" {
  has_python 3.11.2
  has_apt
  NO_VENV=1 NO_PIP=1 run_setup python
  [ "$status" -eq 0 ]
  [ "$(calls '^apt-get .* download python3-pip-whl')" -eq 1 ]
  [ "$(calls '^apt-get .* update')" -eq 0 ]
  [ "$(calls 'pip-23.0-py3-none-any.whl/pip install --target .*/.tools/uv ')" -eq 1 ]
  cmp .venv/installed requirements.lock
}

@test "the same without package lists: own lists, fetched once" {
  has_python 3.11.2
  has_apt
  NO_VENV=1 NO_PIP=1 NO_LISTS=1 run_setup python hey
  [ "$status" -eq 0 ]
  [ "$(calls '^apt-get .* update')" -eq 1 ]
  [ -x .tools/bin/hey ]
}

@test "without uv, the venv module, pip and apt: says what to install" {
  has_python 3.11.2
  NO_VENV=1 NO_PIP=1 run_setup python
  [ "$status" -eq 2 ]
  one_error "venv" "pip" "uv"
  [ ! -e .venv ]
}

@test "an old uv on PATH is not used" {
  has_everything
  has_uv 0.6.30
  run_setup python
  [ "$status" -eq 0 ]
  [ -x .tools/uv/bin/uv ]
}

@test "a uv on PATH that does not start is not used" {
  has_everything
  stub uv <<<'echo "uv: command not found" >&2; exit 127'
  run_setup python
  [ "$status" -eq 0 ]
  [ -x .tools/uv/bin/uv ]
}

@test "uv cannot be downloaded: the real error, no half installation" {
  has_python 3.11.2
  FAIL_PIP=1 run_setup python
  [ "$status" -eq 2 ]
  one_error "uv could not be installed" "No matching distribution found for uv" "$CHECKOUT/.tools/log/uv.log"
  [ ! -e .tools/uv/.setup-stamp ]
  run_setup python
  [ "$status" -eq 0 ]
}

# --- Python and its environment ---

@test "no Python at all" {
  run_setup python
  [ "$status" -eq 2 ]
  one_error "no Python 3.11 or newer"
}

@test "an old Python" {
  has_python 3.10.12
  run_setup python
  [ "$status" -eq 2 ]
  one_error "no Python 3.11 or newer"
}

@test "an old Python, but uv: uv finds one" {
  has_python 3.10.12
  has_uv 0.13.9
  run_setup python
  [ "$status" -eq 0 ]
  [ "$(calls 'venv --no-project --python >=3.11 ')" -eq 1 ]
}

@test "no network: the last line of the real error, the log is kept, and the next set-up goes on" {
  has_everything
  FAIL_UV='pip sync' run_setup python
  [ "$status" -eq 2 ]
  one_error "requirements.lock could not be installed" "Caused by: dns error" "$CHECKOUT/.tools/log/python.log"
  grep -q 'Request failed' .tools/log/python.log
  [ ! -e .venv/.setup-stamp ]
  run_setup python
  [ "$status" -eq 0 ]
  cmp .venv/installed requirements.lock
}

@test "a lock that changed is installed into the same environment" {
  has_everything
  utils/setup.sh python
  touch .venv/was-here
  printf 'one==1.1\n' >requirements.lock
  run_setup python
  [ "$status" -eq 0 ]
  cmp .venv/installed requirements.lock
  [ -e .venv/was-here ]
}

@test "an environment with the development tools will do for a run, and keeps them" {
  has_everything
  utils/setup.sh dev
  : >"$CALLS"
  run_setup python
  [ "$(calls uv)" -eq 0 ]
  printf 'one==1.1\n' >requirements.lock
  printf 'one==1.1\ntwo==2.0\n' >requirements-dev.lock
  run_setup python
  [ "$status" -eq 0 ]
  cmp .venv/installed requirements-dev.lock
}

@test "development tools are added to an environment without them" {
  has_everything
  utils/setup.sh python
  run_setup dev
  [ "$status" -eq 0 ]
  cmp .venv/installed requirements-dev.lock
}

@test "an environment whose Python is gone is made again" {
  has_everything
  utils/setup.sh python
  rm .venv/bin/python
  run_setup python
  [ "$status" -eq 0 ]
  [ -x .venv/bin/python ]
}

@test "an environment that somebody else made, or half of one, is made again" {
  has_everything
  mkdir -p .venv/bin
  cp "$STUBS/python3" .venv/bin/python
  touch .venv/half
  run_setup python
  [ "$status" -eq 0 ]
  [ ! -e .venv/half ]
  cmp .venv/installed requirements.lock
}

@test "a checkout that was moved gets its environments again" {
  has_everything
  utils/setup.sh python gateway
  mv "$CHECKOUT" "$BATS_TEST_TMPDIR/elsewhere"
  cd "$BATS_TEST_TMPDIR/elsewhere"
  touch .venv/from-before .tools/gateway/1.0.7/from-before
  run_setup python gateway
  [ "$status" -eq 0 ]
  [ ! -e .venv/from-before ]
  [ ! -e .tools/gateway/1.0.7/from-before ]
}

@test "an environment that is active in the caller's shell is left alone" {
  has_everything
  # shellcheck disable=SC2016 # expanded when the stub runs
  stub uv <<<'case $1 in venv | pip) [ -z "${VIRTUAL_ENV:-}" ] || wrong VIRTUAL_ENV ;; esac; exec "$PARTS/uv" "$@"'
  VIRTUAL_ENV=/somewhere run_setup python
  [ "$status" -eq 0 ]
}

@test "uv's cache is below the checkout when there is no home to write to" {
  has_everything
  # shellcheck disable=SC2016 # expanded when the stub runs
  stub uv <<<'echo "cache ${UV_CACHE_DIR:-default}" >>"$CALLS"; exec "$PARTS/uv" "$@"'
  run_setup python
  [ "$status" -eq 0 ]
  [ "$(calls "cache $CHECKOUT")" -eq 0 ]
  rm -rf .venv
  HOME=/dev/null/nobody run_setup python
  [ "$status" -eq 0 ]
  [ "$(calls "cache $CHECKOUT/.tools/cache/uv")" -gt 0 ]
}

# --- hey ---

@test "hey absent: Debian's package, unpacked" {
  has_everything
  rm "$STUBS/hey"
  has_apt
  run_setup hey
  [ "$status" -eq 0 ]
  [ -x .tools/bin/hey ]
  [ "$(calls '^apt-get .* update')" -eq 0 ]
}

@test "hey on PATH is another program of that name" {
  has_everything
  stub hey <<<'echo "hey there"'
  has_apt
  run_setup hey
  [ "$status" -eq 0 ]
  [ -x .tools/bin/hey ]
}

@test "PERF_HEY names one" {
  has_everything
  mv "$STUBS/hey" "$PARTS/my hey"
  PERF_HEY="$PARTS/my hey" run_setup hey
  [ "$status" -eq 0 ]
  [ ! -e .tools/bin/hey ]
}

@test "performance.hey_binary of config.yaml names one" {
  has_everything
  mv "$STUBS/hey" "$PARTS/my hey"
  sed "s|hey_binary: \"hey\"|hey_binary: \"$PARTS/my hey\"|" config.yaml >"$PARTS/config.yaml"
  PERF_CONFIG="$PARTS/config.yaml" run_setup hey
  [ "$status" -eq 0 ]
  [ ! -e .tools/bin/hey ]
}

@test "hey cannot be downloaded: the real error; the other parts are there" {
  has_everything
  rm "$STUBS/hey"
  has_apt
  FAIL_APT=1 run_setup runtime
  [ "$status" -eq 2 ]
  one_error "hey could not be downloaded" "E: Unable to locate package hey" "$CHECKOUT/.tools/log/hey.log"
  [ -e .venv/.setup-stamp ]
  [ -e .tools/chartjs/chart.umd.js ]
  [ ! -e .tools/bin/hey ]
}

@test "the downloaded hey does not start" {
  has_everything
  rm "$STUBS/hey"
  has_apt
  stub hey "$PARTS" <<<'echo "Exec format error" >&2; exit 126'
  run_setup hey
  [ "$status" -eq 2 ]
  one_error "does not start"
  [ ! -e .tools/bin/hey ]
}

@test "hey absent on macOS: brew" {
  has_everything
  mv "$STUBS/hey" "$PARTS/hey"
  # shellcheck disable=SC2016 # expanded when the stub runs
  stub brew <<<'[ "$*" = "install hey" ] || wrong "$@"; cp "$PARTS/hey" "$STUBS/hey"'
  run_setup hey
  [ "$status" -eq 0 ]
  [ -x "$STUBS/hey" ]
}

@test "hey absent, neither apt nor brew: says what to do" {
  has_everything
  rm "$STUBS/hey"
  run_setup hey
  [ "$status" -eq 2 ]
  one_error "install hey" "performance.hey_binary"
}

# --- Chart.js ---

@test "npm absent: npm from PyPI" {
  has_everything
  rm "$STUBS/npm"
  run_setup chartjs
  [ "$status" -eq 0 ]
  [ "$(calls 'pip sync --python .*/node/bin/python --require-hashes .*/utils/nodejs.pin')" -eq 1 ]
  [ -s .tools/chartjs/chart.umd.js ]
}

@test "an npm that does not start counts as absent" {
  has_everything
  stub npm <<<'exit 127'
  run_setup chartjs
  [ "$status" -eq 0 ]
  [ -s .tools/chartjs/chart.umd.js ]
}

@test "npm from PyPI that cannot be had: charts are missing, and why" {
  has_everything
  rm "$STUBS/npm"
  FAIL_UV=nodejs.pin run_setup chartjs
  [ "$status" -eq 0 ]
  [[ $stderr == *"warning: reports come without charts"*"npm could not be installed"*"dns error"* ]]
}

@test "with npm, Chart.js does not need uv" {
  has_npm
  run_setup chartjs
  [ "$status" -eq 0 ]
  [ -s .tools/chartjs/chart.umd.js ]
}

@test "Chart.js cannot be had: one warning, the rest is there, and a run does not try again at once" {
  has_everything
  FAIL_NPM=1 run_setup runtime
  [ "$status" -eq 0 ]
  [ "$(grep -c '^warning: ' <<<"$stderr")" -eq 1 ]
  [[ $stderr == *"warning: reports come without charts"*"EAI_AGAIN"* ]]
  [ -e .venv/.setup-stamp ]
  : >"$CALLS"
  run_setup runtime
  [ "$status" -eq 0 ]
  [ "$(calls npm)" -eq 0 ]
  [ "$(grep -c '^warning: ' <<<"$stderr")" -eq 1 ]
  run_setup chartjs
  [ "$status" -eq 0 ]
  [ -s .tools/chartjs/chart.umd.js ]
  run_setup runtime
  [[ $stderr != *warning* ]]
}

@test "Chart.js is tried again after an hour" {
  has_everything
  FAIL_NPM=1 utils/setup.sh runtime
  echo $(($(date +%s) - 3700)) >.tools/chartjs.failed
  run_setup runtime
  [ "$status" -eq 0 ]
  [ -s .tools/chartjs/chart.umd.js ]
}

@test "another file than the pinned one is not used" {
  has_everything
  sed -i.bak 's/sha512-..../sha512-AAAA/' utils/chartjs.pin
  run_setup chartjs
  [ "$status" -eq 2 ]
  one_error "utils/chartjs.pin" "sha512"
  [ ! -e .tools/chartjs ]
}

@test "another pinned file replaces the old one" {
  has_everything
  utils/setup.sh chartjs
  chartjs_package 'charts(2)'
  run_setup chartjs
  [ "$status" -eq 0 ]
  grep -qF 'charts(2)' .tools/chartjs/chart.umd.js
}

# --- axe ---

@test "npm absent: axe by npm from PyPI" {
  has_everything
  rm "$STUBS/npm"
  run_setup axe
  [ "$status" -eq 0 ]
  [ "$(calls 'pip sync --python .*/node/bin/python --require-hashes .*/utils/nodejs.pin')" -eq 1 ]
  [ -s .tools/axe/axe.min.js ]
}

@test "axe and Chart.js at once, and nothing the second time" {
  has_npm
  run_setup axe chartjs
  [ "$status" -eq 0 ]
  [ -s .tools/axe/axe.min.js ]
  [ -s .tools/chartjs/chart.umd.js ]
  : >"$CALLS"
  run_setup axe
  [ "$status" -eq 0 ]
  [ ! -s "$CALLS" ]
}

@test "axe cannot be had: the real error, for tests that are left out are worse than none" {
  has_everything
  FAIL_NPM=1 run_setup axe
  [ "$status" -eq 2 ]
  one_error "axe" "npm could not fetch it" "EAI_AGAIN" "$CHECKOUT/.tools/log/axe.log"
  [ ! -e .tools/axe ]
  run_setup axe
  [ "$status" -eq 0 ]
}

@test "another axe than the pinned one is not used; another pinned one replaces it" {
  has_everything
  utils/setup.sh axe
  sed -i.bak 's/sha512-..../sha512-AAAA/' utils/axe.pin
  run_setup axe
  [ "$status" -eq 2 ]
  one_error "utils/axe.pin" "sha512"
  grep -qF 'axe()' .tools/axe/axe.min.js
  axe_package 'axe(2)'
  run_setup axe
  [ "$status" -eq 0 ]
  grep -qF 'axe(2)' .tools/axe/axe.min.js
}

# --- the gateway ---

# installed_from NAME: prints the lock that an environment of the gateway was filled from.
installed_from() {
  local target
  target=$(sed -n "s|^uv pip sync --python .*/gateway/$1/bin/python --require-hashes ||p" "$CALLS" | tail -n 1)
  printf '%s\n' "${target#"$CHECKOUT/"}"
}

# python_of NAME: prints the Python that an environment of the gateway was made with.
python_of() {
  sed -n "s|^uv venv --no-project --python \(.*\) $CHECKOUT/.tools/gateway/$1\$|\1|p" "$CALLS" | tail -n 1
}

@test "gateway: newest is the newest tested release that a Python of this machine can run" {
  has_everything
  run_setup gateway
  [ "$status" -eq 0 ]
  [ "$(installed_from 1.0.7)" = utils/gateway-locks/1.0.7.lock ]
  [ ! -e .tools/gateway/1.1.0 ]
  has_python 3.12.4 python3.12
  run_setup gateway
  [ "$status" -eq 0 ]
  [ "$(installed_from 1.1.0)" = utils/gateway-locks/1.1.0.lock ]
  [ "$(python_of 1.1.0)" = "$STUBS/python3.12" ]
  # It is installed now, so it stays the newest.
  rm "$STUBS/python3.12"
  run_setup gateway
  [ "$status" -eq 0 ]
  [ -x .tools/gateway/1.1.0/bin/python ]
}

@test "gateway: no Python runs any tested release: uv is asked for one that runs the newest" {
  has_everything
  has_python 3.14.0
  run_setup gateway
  [ "$status" -eq 0 ]
  [ "$(python_of 1.1.0)" = 3.13 ]
}

@test "gateway: Pythons are found where people have them" {
  has_everything
  local place
  for place in .pyenv/versions/3.12.1/bin .asdf/installs/python/3.12.1/bin .local/share/mise/installs/python/3.12/bin \
    .local/share/uv/python/cpython-3.12-linux-x86_64-gnu/bin; do
    has_python 3.12.1 python3.12 "$HOME/$place"
    run_setup gateway
    [ "$status" -eq 0 ]
    [ "$(python_of 1.1.0)" = "$HOME/$place/python3.12" ]
    rm -r "${HOME:?}/$place" .tools/gateway
  done
  has_python 3.13.5 python3.13 "$PARTS/opt/python/bin"
  run_setup gateway
  [ "$(python_of 1.1.0)" = "$PARTS/opt/python/bin/python3.13" ]
}

@test "gateway: pyenv says where its Pythons are, when nothing else does" {
  has_everything
  mkdir "$PARTS/pyenv"
  stub pyenv <<<"[ \"\$*\" = root ] && echo '$PARTS/pyenv'"
  has_python 3.13.0 python3.13 "$PARTS/pyenv/versions/3.13.0/bin"
  has_python 3.12.9 python3.12 "$PARTS/pyenv/versions/3.12.9/bin"
  run_setup gateway
  [ "$(python_of 1.1.0)" = "$PARTS/pyenv/versions/3.13.0/bin/python3.13" ] # the newest of them
}

@test "gateway: what is called python3.12 and does not run, as a shim of pyenv, is passed over" {
  has_everything
  stub python3.12 <<<'echo "pyenv: python3.12: command not found" >&2; exit 127'
  run_setup gateway
  [ "$status" -eq 0 ]
  [ -d .tools/gateway/1.0.7 ]
  [ ! -e .tools/gateway/1.1.0 ]
}

@test "gateway: the release and the day that are asked for, with its drivers" {
  has_everything
  GATEWAY_VERSION=0.8.0 GATEWAY_DEPENDENCIES_DATE=2025-11-20 run_setup gateway
  [ "$status" -eq 0 ]
  [ "$(calls 'resolved .*--generate-hashes .*--exclude-newer 2025-11-20')" -eq 1 ]
  [ "$(installed_from 0.8.0)" = .tools/gateway-locks/0.8.0.asked-2025-11-20.lock ]
  [ "$(cat .tools/gateway/0.8.0/installed)" = $'mcp-contextforge-gateway==0.8.0\npsycopg[binary]\nredis!=7.2.0' ]
}

@test "gateway: a release gets the packages of the day on which it was published; resolved once" {
  has_everything
  GATEWAY_VERSION=1.0.0b2 run_setup gateway
  [ "$status" -eq 0 ]
  [ "$(calls 'resolved .*--exclude-newer 2025-11-01')" -eq 1 ]
  grep -qx 'packages of 2025-11-01' .tools/gateway/1.0.0b2/.setup-stamp
  local digest
  digest=$({ sha256sum || shasum -a 256; } <.tools/gateway-locks/1.0.0b2.of-2025-11-01.lock 2>/dev/null)
  grep -qx "sha256 ${digest%% *}" .tools/gateway/1.0.0b2/.setup-stamp
  : >"$CALLS"
  GATEWAY_VERSION=1.0.0b2 run_setup gateway
  [ "$(calls uv)" -eq 0 ]
  rm -r .tools/gateway
  GATEWAY_VERSION=1.0.0b2 run_setup gateway
  [ "$status" -eq 0 ]
  [ "$(calls resolved)" -eq 0 ]
}

@test "gateway: an index that does not say when a release was published: today's packages, with a warning" {
  has_everything
  NO_DAY=1 GATEWAY_VERSION=1.0.0rc1 run_setup gateway
  [ "$status" -eq 0 ]
  [[ $stderr == *"warning: gateway 1.0.0rc1: the package index does not say"* ]]
  [ "$(calls 'exclude-newer')" -eq 0 ]
}

@test "gateway: a committed lock that changed is installed again; another day is not the committed one" {
  has_everything
  GATEWAY_VERSION=1.0.7 utils/setup.sh gateway
  echo '# another' >>utils/gateway-locks/1.0.7.lock
  GATEWAY_VERSION=1.0.7 run_setup gateway
  cmp .tools/gateway/1.0.7/installed utils/gateway-locks/1.0.7.lock
  GATEWAY_VERSION=1.0.7 GATEWAY_DEPENDENCIES_DATE=2025-12-01 run_setup gateway
  [ "$(installed_from 1.0.7)" = .tools/gateway-locks/1.0.7.asked-2025-12-01.lock ]
}

@test "gateway: releases stand beside each other; another day makes one again" {
  has_everything
  GATEWAY_VERSION=0.8.0 GATEWAY_DEPENDENCIES_DATE=2025-11-01 utils/setup.sh gateway
  GATEWAY_VERSION=1.0.6 utils/setup.sh gateway
  : >"$CALLS"
  GATEWAY_VERSION=0.8.0 GATEWAY_DEPENDENCIES_DATE=2025-11-01 run_setup gateway
  [ "$(calls uv)" -eq 0 ]
  GATEWAY_VERSION=0.8.0 GATEWAY_DEPENDENCIES_DATE=2025-11-02 run_setup gateway
  [ "$(calls 'resolved .*exclude-newer 2025-11-02')" -eq 1 ]
  [ -d .tools/gateway/1.0.6 ]
}

@test "gateway: a Python that the release allows" {
  has_everything
  REQUIRES='>=3.12,<3.14' GATEWAY_VERSION=1.0.9 run_setup gateway
  [ "$(python_of 1.0.9)" = 3.13 ] # none here, so uv is asked
  has_python 3.14.0
  GATEWAY_VERSION=1.0.6 run_setup gateway
  [ "$(python_of 1.0.6)" = 3.13 ]
  has_python 3.13.1
  REQUIRES='>=3.12' GATEWAY_VERSION=1.0.10 run_setup gateway
  [ "$(python_of 1.0.10)" = "$STUBS/python3" ]
}

@test "gateway: no Python that the release runs on" {
  has_everything
  FAIL_UV='--python 3.13' GATEWAY_VERSION=1.1.0 run_setup gateway
  [ "$status" -eq 2 ]
  one_error "gateway 1.1.0, which needs Python 3.12 or 3.13: no Python for it" "dns error" "install such a Python"
}

@test "gateway: a release that does not exist" {
  has_everything
  GATEWAY_VERSION=9.9.9 run_setup gateway
  [ "$status" -eq 2 ]
  one_error "9.9.9 does not exist" "the newest is 1.1.0" "GATEWAY_VERSION"
  [ ! -e .tools/gateway/9.9.9 ]
}

@test "gateway: a day before the release" {
  has_everything
  GATEWAY_VERSION=1.0.7 GATEWAY_DEPENDENCIES_DATE=2020-01-01 run_setup gateway
  [ "$status" -eq 2 ]
  one_error "younger than 2020-01-01" "GATEWAY_DEPENDENCIES_DATE"
  [[ $stderr != *stack.gateway.dependencies* ]] # there is no such key
  [ ! -e .tools/gateway/1.0.7 ]
}

@test "gateway: no network" {
  has_everything
  local step
  for step in 'pylock.toml' 'generate-hashes' 'gateway-locks'; do
    FAIL_UV=$step GATEWAY_VERSION=1.0.6 run_setup gateway
    [ "$status" -eq 2 ]
    one_error "Caused by: dns error" "gateway-1.0.6.log"
    [ ! -e .tools/gateway/1.0.6/.setup-stamp ]
  done
  GATEWAY_VERSION=1.0.6 run_setup gateway
  [ "$status" -eq 0 ]
}

@test "config.yaml is read as the runs read it: four spaces, another order, an alias, quotes" {
  has_everything
  cat >config.yaml <<END
x: &release '1.0.6'
END
  sed -e 's/^\( *\)/\1\1/' -e "s/version: newest.*/version: '1.0.6'/" "$SOURCE/config.yaml" >config.yaml
  run_setup gateway
  [ "$status" -eq 0 ]
  [ -d .tools/gateway/1.0.6 ]
  cp "$SOURCE/config.yaml" config.yaml
  sed -i.bak 's/^  gateway:$/  "gateway":/; s/version: newest.*/"version": "1.0.5"/' config.yaml
  run_setup gateway
  [ "$status" -eq 0 ]
  [ -d .tools/gateway/1.0.5 ]
}

@test "config.yaml that no run would take stops the set-up with the run's message" {
  has_everything
  echo 'nonsense: 1' >>config.yaml
  run_setup gateway
  [ "$status" -eq 2 ]
  one_error "nonsense" "there is no such key"
}

@test "gateway: a checkout of one's own is built, and built again when a file of it changed" {
  has_everything
  local own="$PARTS/gateway checkout"
  mkdir -p "$own/.git"
  touch "$own/main.py"
  printf '[project]\nrequires-python = ">=3.11,<3.12"\n' >"$own/pyproject.toml"
  GATEWAY_SOURCE=$own run_setup gateway
  [ "$status" -eq 0 ]
  [ "$(calls "pip install .*/gateway/source-[0-9a-f]*/bin/python --no-deps $own\$")" -eq 1 ]
  [ "$(calls 'resolved .*--generate-hashes')" -eq 1 ]
  : >"$CALLS"
  touch -d '1 hour' "$own/.git/index"
  GATEWAY_SOURCE=$own run_setup gateway
  [ "$(calls uv)" -eq 0 ]
  touch -d '1 hour' "$own/main.py"
  GATEWAY_SOURCE=$own run_setup gateway
  [ "$(calls 'pip install ')" -eq 1 ]
}

# a_wheel FILE TIME REQUIRES: a wheel whose files are of that time.
a_wheel() {
  "$SOURCE/.venv/bin/python" - "$@" <<'END'
import sys, zipfile
name, time, requires = sys.argv[1:]
with zipfile.ZipFile(name, "w") as wheel:
    member = zipfile.ZipInfo("g-1.dist-info/METADATA", tuple(map(int, time.split())))
    wheel.writestr(member, f"Name: g\nRequires-Python: {requires}\n\n")
END
}

@test "gateway: a wheel gets the packages of the day of its release" {
  has_everything
  a_wheel "$PARTS/gateway-1.0.6-py3-none-any.whl" '2026 1 2 3 4 6' '>=3.11'
  GATEWAY_SOURCE=$PARTS/gateway-1.0.6-py3-none-any.whl run_setup gateway
  [ "$status" -eq 0 ]
  [ "$(calls 'resolved .*--exclude-newer 2025-11-01 ')" -eq 1 ]
}

@test "gateway: a wheel of no release gets the packages of the day on which it was built, if its files have one" {
  has_everything
  a_wheel "$PARTS/gateway-9.0.0.dev1-py3-none-any.whl" '2026 1 2 3 4 6' '>=3.11,<3.13'
  GATEWAY_SOURCE=$PARTS/gateway-9.0.0.dev1-py3-none-any.whl run_setup gateway
  [ "$status" -eq 0 ]
  [ "$(calls 'resolved .*--exclude-newer 2026-01-02 ')" -eq 1 ]
  a_wheel "$PARTS/gateway-9.0.1.dev1-py3-none-any.whl" '1980 1 1 0 0 0' '>=3.11,<3.13'
  GATEWAY_SOURCE=$PARTS/gateway-9.0.1.dev1-py3-none-any.whl run_setup gateway
  [ "$status" -eq 0 ]
  [ "$(calls 'resolved .*--exclude-newer')" -eq 1 ]
}

@test "gateway: a file that is no wheel" {
  has_everything
  utils/setup.sh python
  echo 'no archive' >"$PARTS/gateway-1.0.6-py3-none-any.whl"
  GATEWAY_SOURCE=$PARTS/gateway-1.0.6-py3-none-any.whl run_setup gateway
  [ "$status" -eq 2 ]
  one_error "is no wheel" "gateway-1.0.6-py3-none-any.whl"
}

@test "gateway: the release, although config.yaml names a source" {
  has_everything
  sed -i "s|source: .*|source: \"$PARTS/nowhere\"|" config.yaml
  run_setup gateway
  [ "$status" -eq 2 ]
  GATEWAY_SOURCE=none run_setup gateway
  [ "$status" -eq 0 ]
}

@test "gateway: a source that is not there, or is something else" {
  has_everything
  GATEWAY_SOURCE=$PARTS/nowhere run_setup gateway
  [ "$status" -eq 2 ]
  one_error "there is no $PARTS/nowhere" "GATEWAY_SOURCE"
  mkdir "$PARTS/other"
  GATEWAY_SOURCE=$PARTS/other run_setup gateway
  [ "$status" -eq 2 ]
  one_error "$PARTS/other: is no checkout" "pyproject.toml"
  touch "$PARTS/other/pyproject.toml"
  GATEWAY_SOURCE=$PARTS/other run_setup gateway
  [ "$status" -eq 2 ]
  one_error "$PARTS/other: is no gateway"
  [ -z "$(find .tools/gateway -name .setup-stamp)" ]
}

@test "gateway: what is no version or no day is refused" {
  has_everything
  local bad
  for bad in ../../x '1.0 7' latest '>=1' 1.0.7/..; do
    GATEWAY_VERSION=$bad run_setup gateway
    [ "$status" -eq 2 ]
    one_error "'$bad'" "GATEWAY_VERSION"
  done
  GATEWAY_DEPENDENCIES_DATE=yesterday run_setup gateway
  [ "$status" -eq 2 ]
  one_error "'yesterday'"
  [ ! -e .tools/gateway ]
}

# --- interrupts, and two at once ---

interrupted_by() { # SIGNAL CODE
  local code=0
  has_everything
  SLOW_UV='pip sync' in_background python
  until_true [ -s "$PARTS/slow" ]
  kill -"$1" "$background"
  wait "$background" || code=$?
  background=
  [ "$code" -eq "$2" ]
  until_true is_gone "$(cat "$PARTS/slow")"
  [ ! -e .venv/.setup-stamp ]
  [ ! -L .tools/.lock ]
  [ ! -e .tools/tmp ]
  run_setup python
  [ "$status" -eq 0 ]
  cmp .venv/installed requirements.lock
}

is_gone() { ! kill -0 "$1" 2>/dev/null; }

@test "Ctrl-C: 130, what it started is gone, the next set-up is a whole one" {
  interrupted_by INT 130
}

@test "TERM: 143, what it started is gone, the next set-up is a whole one" {
  interrupted_by TERM 143
}

@test "a closed terminal: 129, what it started is gone, the next set-up is a whole one" {
  interrupted_by HUP 129
}

@test "killed: its lock does not stop the next set-up, half an environment is not taken for a whole one" {
  has_everything
  SLOW_UV='pip sync' in_background python
  until_true [ -s "$PARTS/slow" ]
  kill -KILL "$background"
  wait "$background" || true
  background=
  [ -L .tools/.lock ]
  [ -x .venv/bin/python ]
  touch .venv/half
  run_setup python
  [ "$status" -eq 0 ]
  [[ $stderr == *interrupted* ]]
  [ ! -e .venv/half ]
  cmp .venv/installed requirements.lock
}

@test "two at once: the second waits, and finds everything done" {
  has_everything
  # shellcheck disable=SC2016 # expanded when the stub runs
  stub uv <<<'case "$*" in "pip sync"*) sleep 1 ;; esac; exec "$PARTS/uv" "$@"'
  in_background python
  until_true was_called 'pip sync'
  run_setup python
  [ "$status" -eq 0 ]
  [[ $stderr == *"another set-up (pid $background) is running"* ]]
  wait "$background"
  background=
  [ "$(calls 'pip sync')" -eq 2 ] # one, counted by the stub and by the one that it starts
}

@test "another one does not end: says whom it waited for" {
  has_everything
  mkdir -p .tools
  ln -s $$ .tools/.lock
  SETUP_PATIENCE=1 run_setup python
  [ "$status" -eq 2 ]
  one_error "pid $$" ".tools/.lock"
  [ "$(readlink .tools/.lock)" = $$ ]
}

@test "ten at once after one that was killed: one of them does it" {
  has_everything
  mkdir -p .tools
  ln -s 999999999 .tools/.lock
  local pids=() i
  for i in 1 2 3 4 5 6 7 8 9 10; do
    utils/setup.sh python 2>"$BATS_TEST_TMPDIR/err.$i" 3>&- &
    pids+=($!)
  done
  for i in "${pids[@]}"; do
    wait "$i"
  done
  [ "$(calls 'pip sync')" -eq 1 ]
  [ ! -L .tools/.lock ]
}

@test "a checkout that cannot be written to" {
  has_everything
  touch .tools
  run_setup python
  [ "$status" -eq 2 ]
  one_error "cannot write to $CHECKOUT/.tools"
}
