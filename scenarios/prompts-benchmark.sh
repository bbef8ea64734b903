#!/usr/bin/env -S bash -p
# List and expand prompts: by RPC and REST, with and without validation, and one expected error.
#
# usage: scenarios/prompts-benchmark.sh [option...]
#
#   --profile NAME                   load profile: light (default), medium, heavy, or one of your own in profiles/
#   --baseline save|compare|skip     make the run part of its baseline, hold it against it (default), or neither
#   --requests N  --concurrency N  --iterations N  --timeout SECONDS    instead of the profile's values
#   --url URL                        the gateway (default: service.base_url of config.yaml)
#   --results-dir DIR                where the run is written (default: results)
#   --no-report                      no HTML report
#
# The cases are in config.yaml, scenarios.prompts. Without a gateway at the URL, the local stack is started and stopped.
#
# exit: 0 passed; 1 regression; 2 usage, configuration or a service that is not there; 3 measurement invalid;
#       130, 143 interrupted
set -euo pipefail +o posix
shopt -s inherit_errexit 2>/dev/null || true

SELF=$(readlink -f -- "${BASH_SOURCE[0]}" 2>/dev/null) || SELF=${BASH_SOURCE[0]} # also through a link
# shellcheck source=utils/lib/load.sh
. "$(dirname -- "$SELF")/../utils/lib/load.sh" || exit 2

main() {
  load::main "${BASH_SOURCE[0]}" "$@" --scenarios prompts
}

[ "${BASH_SOURCE[0]}" != "$0" ] || main "$@"
