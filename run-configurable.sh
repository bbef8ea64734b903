#!/usr/bin/env -S bash -p
# Run scenarios under a load profile, compare the run with its baseline, and write the report.
set -euo pipefail +o posix
SELF=$(readlink -f -- "${BASH_SOURCE[0]}" 2>/dev/null) || SELF=${BASH_SOURCE[0]} # also through a link
# shellcheck source=utils/lib/runner.sh
. "$(dirname -- "$SELF")/utils/lib/runner.sh" || exit 2
runner::main run "$@"
