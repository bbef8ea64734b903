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

# installs PART...: the set-up succeeds.
installs() {
  run_setup "$@"
  [ "$status" -eq 0 ]
}

# refused WORDS...: the last set-up ended with 2 and exactly one line of error, with all of the words.
refused() {
  local word
  [ "$status" -eq 2 ]
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

@test "--help prints the header; an unknown part is refused before anything is installed" {
  has_everything
  installs --help
  [[ $output == "Install what the toolkit needs"*"exit: 0"* ]]
  run_setup runtime nonsense
  refused "'nonsense'" "--help"
  [ ! -e .tools ]
}

@test "everything is installed below the checkout, nothing in the home directory, and nothing temporary is left" {
  has_everything
  installs all
  cmp .venv/installed requirements-dev.lock
  [ -x .tools/gateway/1.0.7/bin/python ]
  cmp .tools/chartjs/chart.umd.js "$PARTS/chart.js/package/dist/chart.umd.min.js"
  cmp .tools/chartjs/LICENSE.md "$PARTS/chart.js/package/LICENSE.md"
  [ -z "$(ls -A "$HOME")" ]
  [ -z "$output" ]
  [ -z "$(find .tools .venv -name 'tmp*' -o -name '*.new')" ]
}

@test "the second time nothing is started but hey and the Pythons, to see that they are what they are called" {
  has_everything
  installs # without arguments: what a run needs, with the gateway
  cmp .venv/installed requirements.lock
  [ -d .tools/gateway/1.0.7 ]
  : >"$CALLS"
  LOG_LEVEL=warn installs runtime gateway
  [ -z "$stderr" ]
  [ "$(calls uv)" -eq 0 ]
  [ "$(grep -cvE '^(hey |python3 -I -c |    sys.exit|good = |if not good|print)' "$CALLS")" -eq 0 ]
}

@test "a checkout that cannot be written to" {
  has_everything
  touch .tools
  run_setup python
  refused "cannot write to $CHECKOUT/.tools"
}

# --- uv ---

@test "uv on PATH is used, unless it is old or does not start" {
  has_everything
  installs python
  [ ! -e .tools/uv ]
  rm -r .venv
  has_uv 0.6.30
  installs python
  [ -x .tools/uv/bin/uv ]
  rm -r .venv .tools
  stub uv <<<'echo "uv: command not found" >&2; exit 127'
  installs python
  [ -x .tools/uv/bin/uv ]
}

@test "without uv: into an environment of its own, at the pinned release; without the venv module by pip" {
  has_python 3.11.2
  installs python
  [ "$(calls '-m venv .*/.tools/uv$')" -eq 1 ]
  [ "$(calls "-m pip install .* --require-hashes -r .*/utils/uv.pin\$")" -eq 1 ]
  cmp .venv/installed requirements.lock
  rm -r .tools .venv
  NO_VENV=1 installs python
  [ "$(calls '-m pip install --target .*/.tools/uv ')" -eq 1 ]
  cmp .venv/installed requirements.lock
}

@test "without uv, the venv module and pip: by Debian's package of pip; with own package lists where there are none" {
  has_python 3.11.2
  has_apt
  NO_VENV=1 NO_PIP=1 installs python
  [ "$(calls '^apt-get .* download python3-pip-whl')" -eq 1 ]
  [ "$(calls '^apt-get .* update')" -eq 0 ]
  [ "$(calls 'pip-23.0-py3-none-any.whl/pip install --target .*/.tools/uv ')" -eq 1 ]
  cmp .venv/installed requirements.lock
  rm -r .tools .venv
  NO_VENV=1 NO_PIP=1 NO_LISTS=1 installs python hey
  [ "$(calls '^apt-get .* update')" -eq 1 ] # once for both
  [ -x .tools/bin/hey ]
}

@test "uv cannot be had: the real error, no half installation" {
  has_python 3.11.2
  NO_VENV=1 NO_PIP=1 run_setup python
  refused "venv" "pip" "uv"
  FAIL_PIP=1 run_setup python
  refused "uv could not be installed" "No matching distribution found for uv" "$CHECKOUT/.tools/log/uv.log"
  [ ! -e .venv ]
  installs python
}

# --- Python and its environment ---

@test "no Python at all, or an old one; with uv an old one will do, for uv finds another" {
  run_setup python
  refused "no Python 3.11 or newer"
  has_python 3.10.12
  run_setup python
  refused "no Python 3.11 or newer"
  has_uv 0.13.9
  installs python
  [ "$(calls 'venv --no-project --python >=3.11 ')" -eq 1 ]
}

@test "no network: the last line of the real error, the log is kept, and the next set-up goes on" {
  has_everything
  FAIL_UV='pip sync' run_setup python
  refused "requirements.lock could not be installed" "Caused by: dns error" "$CHECKOUT/.tools/log/python.log"
  grep -q 'Request failed' .tools/log/python.log
  [ ! -e .venv/.setup-stamp ]
  installs python
  cmp .venv/installed requirements.lock
}

@test "a lock that changed, and the development tools, are installed into the same environment, which keeps them" {
  has_everything
  installs python
  touch .venv/was-here
  printf 'one==1.1\n' >requirements.lock
  installs python
  cmp .venv/installed requirements.lock
  installs dev
  cmp .venv/installed requirements-dev.lock
  : >"$CALLS"
  installs python
  [ "$(calls uv)" -eq 0 ]
  printf 'one==1.2\n' >requirements.lock
  printf 'one==1.2\ntwo==2.0\n' >requirements-dev.lock
  installs python
  cmp .venv/installed requirements-dev.lock
  [ -e .venv/was-here ]
}

@test "an environment whose Python is gone, that somebody else made, or half of one, is made again" {
  has_everything
  mkdir -p .venv/bin
  cp "$STUBS/python3" .venv/bin/python
  touch .venv/half
  installs python
  [ ! -e .venv/half ]
  rm .venv/bin/python
  installs python
  [ -x .venv/bin/python ]
  cmp .venv/installed requirements.lock
}

@test "a checkout that was moved gets its environments again" {
  has_everything
  installs python gateway
  mv "$CHECKOUT" "$BATS_TEST_TMPDIR/elsewhere"
  cd "$BATS_TEST_TMPDIR/elsewhere"
  touch .venv/from-before .tools/gateway/1.0.7/from-before
  installs python gateway
  [ ! -e .venv/from-before ]
  [ ! -e .tools/gateway/1.0.7/from-before ]
}

@test "an active environment is left alone; uv's cache is below the checkout where there is no home to write to" {
  has_everything
  # shellcheck disable=SC2016 # expanded when the stub runs
  stub uv <<<'echo "cache ${UV_CACHE_DIR:-default} ${VIRTUAL_ENV:-none}" >>"$CALLS"; exec "$PARTS/uv" "$@"'
  VIRTUAL_ENV=/somewhere installs python
  [ "$(calls "cache default none")" -gt 0 ]
  [ "$(calls "cache $CHECKOUT")" -eq 0 ]
  rm -rf .venv
  HOME=/dev/null/nobody installs python
  [ "$(calls "cache $CHECKOUT/.tools/cache/uv")" -gt 0 ]
}

# --- hey ---

@test "hey absent, or another program of that name: Debian's package, unpacked" {
  has_everything
  has_apt
  rm "$STUBS/hey"
  installs hey
  [ -x .tools/bin/hey ]
  [ "$(calls '^apt-get .* update')" -eq 0 ]
  rm .tools/bin/hey
  stub hey <<<'echo "hey there"'
  installs hey
  [ -x .tools/bin/hey ]
}

@test "PERF_HEY or performance.hey_binary of config.yaml name one" {
  has_everything
  mv "$STUBS/hey" "$PARTS/my hey"
  PERF_HEY="$PARTS/my hey" installs hey
  sed -i.bak "s|hey_binary: \"hey\"|hey_binary: \"$PARTS/my hey\"|" config.yaml
  installs hey
  [ ! -e .tools/bin/hey ]
}

@test "hey cannot be had: the real error; the other parts are there" {
  has_everything
  rm "$STUBS/hey"
  run_setup hey
  refused "install hey" "performance.hey_binary"
  has_apt
  FAIL_APT=1 run_setup runtime gateway
  refused "hey could not be downloaded" "E: Unable to locate package hey" "$CHECKOUT/.tools/log/hey.log"
  [ -e .venv/.setup-stamp ]
  [ -e .tools/chartjs/chart.umd.js ]
  [ -e .tools/gateway/1.0.7/.setup-stamp ]
  stub hey "$PARTS" <<<'echo "Exec format error" >&2; exit 126'
  run_setup hey
  refused "does not start"
  [ ! -e .tools/bin/hey ]
}

@test "hey absent on macOS: brew" {
  has_everything
  mv "$STUBS/hey" "$PARTS/hey"
  # shellcheck disable=SC2016 # expanded when the stub runs
  stub brew <<<'[ "$*" = "install hey" ] || wrong "$@"; cp "$PARTS/hey" "$STUBS/hey"'
  installs hey
  [ -x "$STUBS/hey" ]
}

# --- Chart.js ---

@test "npm absent, or one that does not start: npm from PyPI" {
  has_everything
  rm "$STUBS/npm"
  installs chartjs
  [ "$(calls 'pip sync --python .*/node/bin/python --require-hashes .*/utils/nodejs.pin')" -eq 1 ]
  [ -s .tools/chartjs/chart.umd.js ]
  rm -r .tools
  stub npm <<<'exit 127'
  installs chartjs
  [ -s .tools/chartjs/chart.umd.js ]
  rm -r .tools
  FAIL_UV=nodejs.pin installs chartjs
  [[ $stderr == *"warning: reports come without charts"*"npm could not be installed"*"dns error"* ]]
}

@test "Chart.js cannot be had: one warning, the rest is there, and a run does not try again for an hour" {
  has_everything
  FAIL_NPM=1 installs runtime
  [ "$(grep -c '^warning: ' <<<"$stderr")" -eq 1 ]
  [[ $stderr == *"warning: reports come without charts"*"EAI_AGAIN"* ]]
  [ -e .venv/.setup-stamp ]
  : >"$CALLS"
  installs runtime
  [ "$(calls npm)" -eq 0 ]
  [ "$(grep -c '^warning: ' <<<"$stderr")" -eq 1 ]
  [[ $stderr == *"EAI_AGAIN"* ]]
  touch -t 202001010000 .tools/chartjs.failed
  FAIL_NPM=1 installs runtime
  [ "$(calls npm)" -gt 0 ]
  installs chartjs # by name at once
  [ -s .tools/chartjs/chart.umd.js ]
  installs runtime
  [[ $stderr != *warning* ]]
}

@test "with npm Chart.js does not need uv; another file than the pinned one is not used; another pinned one replaces it" {
  has_npm
  installs chartjs
  sed -i.bak 's/sha512 ..../sha512 beef/' utils/chartjs.pin
  run_setup chartjs
  refused "utils/chartjs.pin" "sha512"
  grep -qF 'charts()' .tools/chartjs/chart.umd.js
  chartjs_package 'charts(2)'
  installs chartjs
  grep -qF 'charts(2)' .tools/chartjs/chart.umd.js
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
  installs gateway
  [ "$(installed_from 1.0.7)" = utils/gateway-locks/1.0.7.lock ]
  [ ! -e .tools/gateway/1.1.0 ]
  has_python 3.12.4 python3.12
  installs gateway
  [ "$(installed_from 1.1.0)" = utils/gateway-locks/1.1.0.lock ]
  [ "$(python_of 1.1.0)" = "$STUBS/python3.12" ]
  # It is installed now, so it stays the newest.
  rm "$STUBS/python3.12"
  installs gateway
  [ -x .tools/gateway/1.1.0/bin/python ]
}

@test "gateway: no Python runs any tested release: uv is asked for one that runs the newest" {
  has_everything
  has_python 3.14.0
  installs gateway
  [ "$(python_of 1.1.0)" = 3.13 ]
}

@test "gateway: Pythons are found where people have them, and where pyenv says that its are" {
  has_everything
  local place
  for place in .pyenv/versions/3.12.1/bin .asdf/installs/python/3.12.1/bin .local/share/mise/installs/python/3.12/bin \
    .local/share/uv/python/cpython-3.12-linux-x86_64-gnu/bin; do
    has_python 3.12.1 python3.12 "$HOME/$place"
    installs gateway
    [ "$(python_of 1.1.0)" = "$HOME/$place/python3.12" ]
    rm -r "${HOME:?}/$place" .tools/gateway
  done
  has_python 3.13.5 python3.13 "$PARTS/opt/python/bin"
  installs gateway
  [ "$(python_of 1.1.0)" = "$PARTS/opt/python/bin/python3.13" ]
  rm -r "$PARTS/opt" .tools/gateway
  mkdir "$PARTS/pyenv"
  stub pyenv <<<"[ \"\$*\" = root ] && echo '$PARTS/pyenv'"
  has_python 3.13.0 python3.13 "$PARTS/pyenv/versions/3.13.0/bin"
  has_python 3.12.9 python3.12 "$PARTS/pyenv/versions/3.12.9/bin"
  installs gateway
  [ "$(python_of 1.1.0)" = "$PARTS/pyenv/versions/3.13.0/bin/python3.13" ] # the newest of them
}

@test "gateway: what is called python3.12 and does not run, as a shim of pyenv, is passed over" {
  has_everything
  stub python3.12 <<<'echo "pyenv: python3.12: command not found" >&2; exit 127'
  installs gateway
  [ -d .tools/gateway/1.0.7 ]
  [ ! -e .tools/gateway/1.1.0 ]
}

@test "gateway: the release and the day that are asked for, with its drivers; without a known day, today's packages" {
  has_everything
  GATEWAY_VERSION=0.8.0 GATEWAY_DEPENDENCIES_DATE=2025-11-20 installs gateway
  [ "$(calls 'resolved .*--generate-hashes .*--exclude-newer 2025-11-20')" -eq 1 ]
  [ "$(installed_from 0.8.0)" = .tools/gateway-locks/0.8.0.asked-2025-11-20.lock ]
  [ "$(cat .tools/gateway/0.8.0/installed)" = $'mcp-contextforge-gateway==0.8.0\npsycopg[binary]\nredis!=7.2.0' ]
  NO_DAY=1 GATEWAY_VERSION=1.0.0rc1 installs gateway
  [[ $stderr == *"warning: gateway 1.0.0rc1: the package index does not say"* ]]
  [ "$(calls 'resolved .*exclude-newer')" -eq 1 ] # the one before
}

@test "gateway: a release gets the packages of the day on which it was published; resolved once" {
  has_everything
  GATEWAY_VERSION=1.0.0b2 installs gateway
  [ "$(calls 'resolved .*--exclude-newer 2025-11-01')" -eq 1 ]
  grep -qx 'packages of 2025-11-01' .tools/gateway/1.0.0b2/.setup-stamp
  local digest
  digest=$({ sha256sum || shasum -a 256; } <.tools/gateway-locks/1.0.0b2.of-2025-11-01.lock 2>/dev/null)
  grep -qx "sha256 ${digest%% *}" .tools/gateway/1.0.0b2/.setup-stamp
  : >"$CALLS"
  GATEWAY_VERSION=1.0.0b2 installs gateway
  [ "$(calls uv)" -eq 0 ]
  rm -r .tools/gateway
  GATEWAY_VERSION=1.0.0b2 installs gateway
  [ "$(calls resolved)" -eq 0 ]
}

@test "gateway: a lock that changed, or another day, makes one again; releases stand beside each other" {
  has_everything
  GATEWAY_VERSION=1.0.7 installs gateway
  echo '# another' >>utils/gateway-locks/1.0.7.lock
  GATEWAY_VERSION=1.0.7 installs gateway
  cmp .tools/gateway/1.0.7/installed utils/gateway-locks/1.0.7.lock
  GATEWAY_VERSION=1.0.7 GATEWAY_DEPENDENCIES_DATE=2025-12-01 installs gateway
  [ "$(installed_from 1.0.7)" = .tools/gateway-locks/1.0.7.asked-2025-12-01.lock ]
  GATEWAY_VERSION=0.8.0 GATEWAY_DEPENDENCIES_DATE=2025-11-01 installs gateway
  GATEWAY_VERSION=1.0.6 installs gateway
  : >"$CALLS"
  GATEWAY_VERSION=0.8.0 GATEWAY_DEPENDENCIES_DATE=2025-11-01 installs gateway
  [ "$(calls uv)" -eq 0 ]
  GATEWAY_VERSION=0.8.0 GATEWAY_DEPENDENCIES_DATE=2025-11-02 installs gateway
  [ "$(calls 'resolved .*exclude-newer 2025-11-02')" -eq 1 ]
  [ -d .tools/gateway/1.0.6 ]
}

@test "gateway: a Python that the release allows" {
  has_everything
  REQUIRES='>=3.12,<3.14' GATEWAY_VERSION=1.0.9 installs gateway
  [ "$(python_of 1.0.9)" = 3.13 ] # none here, so uv is asked
  has_python 3.14.0
  GATEWAY_VERSION=1.0.6 installs gateway
  [ "$(python_of 1.0.6)" = 3.13 ]
  has_python 3.13.1
  REQUIRES='>=3.12' GATEWAY_VERSION=1.0.10 installs gateway
  [ "$(python_of 1.0.10)" = "$STUBS/python3" ]
}

@test "gateway: no Python that the release runs on, no such release, a day before it, what is no version or day" {
  has_everything
  FAIL_UV='--python 3.13' GATEWAY_VERSION=1.1.0 run_setup gateway
  refused "gateway 1.1.0, which needs Python 3.12 or 3.13: no Python for it" "dns error" "install such a Python"
  GATEWAY_VERSION=9.9.9 run_setup gateway
  refused "9.9.9 does not exist" "the newest is 1.1.0" "GATEWAY_VERSION"
  GATEWAY_VERSION=1.0.7 GATEWAY_DEPENDENCIES_DATE=2020-01-01 run_setup gateway
  refused "younger than 2020-01-01" "GATEWAY_DEPENDENCIES_DATE"
  [[ $stderr != *stack.gateway.dependencies* ]] # there is no such key
  [ ! -e .tools/gateway/1.0.7 ]
  local bad
  for bad in ../../x '1.0 7' latest '>=1' 1.0.7/..; do
    GATEWAY_VERSION=$bad run_setup gateway
    refused "'$bad'" "GATEWAY_VERSION"
  done
  GATEWAY_DEPENDENCIES_DATE=yesterday run_setup gateway
  refused "'yesterday'"
  [ -z "$(find .tools/gateway -name .setup-stamp)" ]
}

@test "gateway: no network" {
  has_everything
  local step
  for step in 'pylock.toml' 'generate-hashes' 'gateway-locks'; do
    FAIL_UV=$step GATEWAY_VERSION=1.0.6 run_setup gateway
    refused "Caused by: dns error" "gateway-1.0.6.log"
    [ ! -e .tools/gateway/1.0.6/.setup-stamp ]
  done
  GATEWAY_VERSION=1.0.6 installs gateway
}

@test "config.yaml is read as the runs read it: four spaces, another order, an alias, quotes; what no run would take stops it" {
  has_everything
  cat >config.yaml <<END
x: &release '1.0.6'
END
  sed -e 's/^\( *\)/\1\1/' -e "s/version: newest.*/version: '1.0.6'/" "$SOURCE/config.yaml" >config.yaml
  installs gateway
  [ -d .tools/gateway/1.0.6 ]
  cp "$SOURCE/config.yaml" config.yaml
  sed -i.bak 's/^  gateway:$/  "gateway":/; s/version: newest.*/"version": "1.0.5"/' config.yaml
  installs gateway
  [ -d .tools/gateway/1.0.5 ]
  echo 'nonsense: 1' >>config.yaml
  run_setup gateway
  refused "nonsense" "there is no such key"
}

@test "gateway: a checkout of one's own is built, and built again when a file of it changed" {
  has_everything
  local own="$PARTS/gateway checkout"
  mkdir -p "$own/.git"
  touch "$own/main.py"
  printf '[project]\nrequires-python = ">=3.11,<3.12"\n' >"$own/pyproject.toml"
  GATEWAY_SOURCE=$own installs gateway
  [ "$(calls "pip install .*/gateway/source-[0-9a-f]*/bin/python --no-deps $own\$")" -eq 1 ]
  [ "$(calls 'resolved .*--generate-hashes')" -eq 1 ]
  : >"$CALLS"
  touch -d '1 hour' "$own/.git/index"
  GATEWAY_SOURCE=$own installs gateway
  [ "$(calls uv)" -eq 0 ]
  touch -d '1 hour' "$own/main.py"
  GATEWAY_SOURCE=$own installs gateway
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

@test "gateway: a wheel gets the packages of the day of its release, else of its files, if they have one; a file that is no wheel" {
  has_everything
  a_wheel "$PARTS/gateway-1.0.6-py3-none-any.whl" '2026 1 2 3 4 6' '>=3.11'
  GATEWAY_SOURCE=$PARTS/gateway-1.0.6-py3-none-any.whl installs gateway
  [ "$(calls 'resolved .*--exclude-newer 2025-11-01 ')" -eq 1 ]
  a_wheel "$PARTS/gateway-9.0.0.dev1-py3-none-any.whl" '2026 1 2 3 4 6' '>=3.11,<3.13'
  GATEWAY_SOURCE=$PARTS/gateway-9.0.0.dev1-py3-none-any.whl installs gateway
  [ "$(calls 'resolved .*--exclude-newer 2026-01-02 ')" -eq 1 ]
  a_wheel "$PARTS/gateway-9.0.1.dev1-py3-none-any.whl" '1980 1 1 0 0 0' '>=3.11,<3.13'
  GATEWAY_SOURCE=$PARTS/gateway-9.0.1.dev1-py3-none-any.whl installs gateway
  [ "$(calls 'resolved .*--exclude-newer')" -eq 2 ] # those before
  echo 'no archive' >"$PARTS/gateway-1.0.6-py3-none-any.whl"
  GATEWAY_SOURCE=$PARTS/gateway-1.0.6-py3-none-any.whl run_setup gateway
  refused "is no wheel" "gateway-1.0.6-py3-none-any.whl"
}

@test "gateway: a source that is not there, or is something else; none: the release although config.yaml names a source" {
  has_everything
  sed -i "s|source: .*|source: \"$PARTS/nowhere\"|" config.yaml
  run_setup gateway
  [ "$status" -eq 2 ]
  GATEWAY_SOURCE=none installs gateway
  GATEWAY_SOURCE=$PARTS/nowhere run_setup gateway
  refused "there is no $PARTS/nowhere" "GATEWAY_SOURCE"
  mkdir "$PARTS/other"
  GATEWAY_SOURCE=$PARTS/other run_setup gateway
  refused "$PARTS/other: is no checkout" "pyproject.toml"
  touch "$PARTS/other/pyproject.toml"
  GATEWAY_SOURCE=$PARTS/other run_setup gateway
  refused "$PARTS/other: is no gateway"
  [ -z "$(find .tools/gateway/source-* -name .setup-stamp)" ]
}

# --- interrupts, and two at once ---

is_gone() { ! kill -0 "$1" 2>/dev/null; }

@test "Ctrl-C, TERM, a closed terminal: what it started is gone, the next set-up is a whole one" {
  has_everything
  local signal code slow
  for signal in INT/130 TERM/143 HUP/129; do
    code=0
    SLOW_UV='pip sync' in_background python
    until_true [ -s "$PARTS/slow" ]
    slow=$(cat "$PARTS/slow")
    kill -"${signal%/*}" "$background"
    wait "$background" || code=$?
    background=
    [ "$code" -eq "${signal#*/}" ]
    grep -q "^error: set-up interrupted by ${signal%/*}: run it again" "$BATS_TEST_TMPDIR/err"
    until_true is_gone "$slow"
    rm "$PARTS/slow"
    [ ! -e .venv/.setup-stamp ]
    [ -z "$(find .tools -name 'tmp*')" ]
  done
  installs python
  cmp .venv/installed requirements.lock
}

@test "killed: the next set-up waits for what it left, and half an environment is not taken for a whole one" {
  has_everything
  SLOW_UV='pip sync' in_background python
  until_true [ -s "$PARTS/slow" ]
  kill -KILL "$background"
  SETUP_PATIENCE=1 run_setup python
  refused "pid $background" ".tools/lock"
  kill -KILL -- "-$(ps -o pgid= -p "$(cat "$PARTS/slow")" | tr -d ' ')"
  background=
  [ -x .venv/bin/python ]
  touch .venv/half
  installs python
  [ ! -e .venv/half ]
  cmp .venv/installed requirements.lock
}

@test "many at once: one of them does it, the others say whom they wait for" {
  has_everything
  # shellcheck disable=SC2016 # expanded when the stub runs
  stub uv <<<'case "$*" in "pip sync"*) sleep 1 ;; esac; exec "$PARTS/uv" "$@"'
  in_background python
  until_true was_called 'pip sync'
  local pids=("$background") i
  for i in 1 2 3; do
    utils/setup.sh python 2>"$BATS_TEST_TMPDIR/err.$i" 3>&- &
    pids+=($!)
  done
  for i in "${pids[@]}"; do
    wait "$i"
  done
  grep -q "another set-up (pid $background) is running" "$BATS_TEST_TMPDIR/err.1"
  background=
  [ "$(calls 'pip sync')" -eq 2 ] # one, counted by the stub and by the one that it starts
}

@test "without flock perl keeps two apart" {
  type -P perl >/dev/null || skip "no perl"
  has_everything
  mkdir "$BATS_TEST_TMPDIR/bin"
  cp -P "$BATS_FILE_TMPDIR/bin/"* "$BATS_TEST_TMPDIR/bin/"
  rm -f "$BATS_TEST_TMPDIR/bin/flock"
  PATH=$STUBS:$BATS_TEST_TMPDIR/bin
  mkdir -p .tools
  perl -e 'open(LOCK, ">>", shift) && flock(LOCK, 2) && mkdir(shift); sleep 60' .tools/lock "$PARTS/held" 3>&- &
  background=$!
  until_true [ -e "$PARTS/held" ]
  SETUP_PATIENCE=1 run_setup python
  refused "another set-up" ".tools/lock"
  kill "$background"
  wait "$background" || true
  background=
  installs python
}
