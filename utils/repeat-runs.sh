#!/usr/bin/env -S bash -p
# Measure one gateway several times under one profile, to learn how much its runs vary.
set -euo pipefail +o posix
SELF=$(readlink -f -- "${BASH_SOURCE[0]}" 2>/dev/null) || SELF=${BASH_SOURCE[0]} # also if called through a link
# shellcheck source=utils/lib/runner.sh
. "$(dirname -- "$SELF")/lib/runner.sh" || exit 2
runner::main repeat "$@"
