#!/usr/bin/env -S bash -p
# Tools, resources and prompts at once, weighted, spread over all MCP servers.
set -euo pipefail +o posix
SELF=$(readlink -f -- "${BASH_SOURCE[0]}" 2>/dev/null) || SELF=${BASH_SOURCE[0]} # also through a link
# shellcheck source=utils/lib/runner.sh
. "$(dirname -- "$SELF")/../utils/lib/runner.sh" || exit 2
runner::main scenario/mixed "$@"
