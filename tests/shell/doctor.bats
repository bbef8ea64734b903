#!/usr/bin/env bats
# utils/doctor.sh: what it says of a machine, and that it changes nothing.
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
  has_everything
}

run_doctor() {
  run --separate-stderr utils/doctor.sh "$@"
}

# says STATE NAME [WORDS]: there is exactly one line for the thing, in that state, with those words.
says() {
  local found
  found=$(grep -E "^(ok|missing|old|low) +$2 " <<<"$output")
  [ "$(wc -l <<<"$found")" -eq 1 ]
  [[ $found == "$1 "* ]]
  [[ $found == *"${3:-}"* ]]
}

@test "--help prints the header; arguments are refused" {
  run_doctor --help
  [ "$status" -eq 0 ]
  [[ $output == "Report what the toolkit needs on this machine"* ]]
  run_doctor all
  [ "$status" -eq 2 ]
}

@test "a bare machine: what is missing, and how to get it" {
  rm "$STUBS"/*
  run_doctor
  [ "$status" -eq 2 ]
  says ok bash
  says ok make
  says missing python "apt install python3"
  says missing uv "make setup"
  says missing "toolkit environment" "make setup"
  says missing hey "apt install hey"
  says missing gateway "make setup"
  says missing Chart.js "optional"
  says missing redis-server "optional"
  says missing docker "optional"
  says missing jq "optional"
  says missing curl "optional"
  says ok "free disk"
  [ -z "$stderr" ]
}

@test "without make" {
  stub make <<<'exit 127'
  run_doctor
  [ "$status" -eq 2 ]
  says missing make "apt install make"
}

@test "after the set-up everything that is needed is there" {
  utils/setup.sh runtime gateway
  run_doctor
  [ "$status" -eq 0 ]
  says ok python "3.11.2"
  says ok uv "0.13.9"
  says ok "toolkit environment"
  says ok hey
  says ok gateway "1.0.7"
  says ok Chart.js "4.0.0"
  says missing docker
}

@test "it changes nothing and asks no network" {
  find . | sort >"$BATS_TEST_TMPDIR/before"
  : >"$CALLS"
  run_doctor
  find . | sort >"$BATS_TEST_TMPDIR/after"
  cmp "$BATS_TEST_TMPDIR/before" "$BATS_TEST_TMPDIR/after"
  [ "$(grep -cvE '^(hey |uv --version|python3 -I -c |    sys.exit|good = |if not good|print)' "$CALLS")" -eq 0 ]
}

@test "another gateway release than the one that is installed" {
  utils/setup.sh runtime gateway
  GATEWAY_VERSION=0.8.0 run_doctor
  [ "$status" -eq 2 ]
  says missing gateway "0.8.0"
  GATEWAY_VERSION=1.0.7 GATEWAY_DEPENDENCIES_DATE=2026-01-01 run_doctor
  [ "$status" -eq 2 ]
  says old gateway "1.0.7 is installed from other packages"
}

@test "a wheel or checkout instead of a release is what it says, not the release" {
  utils/setup.sh runtime gateway
  mkdir "$PARTS/mine"
  touch "$PARTS/mine/pyproject.toml"
  GATEWAY_SOURCE=$PARTS/mine run_doctor
  [ "$status" -eq 2 ]
  says missing gateway "of $PARTS/mine is not installed: make setup with the same GATEWAY_SOURCE"
  [[ $output != *1.0.7* ]]
  GATEWAY_SOURCE=$PARTS/mine utils/setup.sh gateway
  GATEWAY_SOURCE=$PARTS/mine run_doctor
  [ "$status" -eq 0 ]
  says ok gateway "of $PARTS/mine in .tools/gateway/source-"
  GATEWAY_SOURCE=$PARTS/nowhere run_doctor
  [ "$status" -eq 2 ]
  says missing gateway "there is no such file" "GATEWAY_SOURCE"
}

@test "what is old, half there, or another program of that name" {
  utils/setup.sh runtime gateway
  printf '5.0.0\nsha512 aaaa\n' >utils/chartjs.pin
  has_uv 0.4.30
  run_doctor
  [ "$status" -eq 0 ] # charts are optional, and uv of one's own is not needed
  says old Chart.js "5.0.0"
  says old uv "0.4.30"
  has_python 3.9.6
  stub hey <<<'echo "hey there"'
  printf 'one==1.1\n' >requirements.lock
  run_doctor
  [ "$status" -eq 2 ]
  says old python "3.9.6"
  says missing hey
  says old "toolkit environment" "make setup"
  rm .venv/.setup-stamp
  run_doctor
  says missing "toolkit environment"
}

@test "a small machine: few open files, one core, a full disk" {
  utils/setup.sh runtime gateway
  ulimit -n 256
  stub getconf <<<'echo 1'
  run_doctor
  [ "$status" -eq 0 ]
  says low "open files" "ulimit -n"
  says low cores "1:"
  stub df <<<'printf "Filesystem 1M-blocks Used Available Capacity Mounted on\n/dev/x 1000 900 100 90%% /\n"'
  run_doctor
  [ "$status" -eq 2 ]
  says low "free disk" "100 MB"
}

@test "settings that no run would take: their message" {
  utils/setup.sh runtime gateway
  echo 'nonsense: 1' >>config.yaml
  run_doctor
  [ "$status" -eq 2 ]
  [[ $stderr == *"nonsense: there is no such key"* ]]
}

@test "versions of the optional programs" {
  stub docker <<<'echo "Docker version 28.2.2, build e6534b4"'
  stub redis-server <<<'echo "Redis server v=7.0.15 sha=00000000:0"'
  run_doctor
  says ok docker "28.2.2"
  says ok redis-server "7.0.15"
}
