#!/usr/bin/env -S bash -p
# Sample the gateway with py-spy while one case runs, and say where its time goes.
set -euo pipefail +o posix
SELF=$(readlink -f -- "${BASH_SOURCE[0]}" 2>/dev/null) || SELF=${BASH_SOURCE[0]} # also through a link
# shellcheck source=utils/lib/runner.sh
. "$(dirname -- "$SELF")/utils/lib/runner.sh" || exit 2
runner::main cpu-profile "$@"
