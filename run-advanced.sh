#!/usr/bin/env -S bash -p
# Measure gateways side by side, block by block, and say what changed between them.
#
# usage: ./run-advanced.sh --base SPEC --head SPEC [option...]      is the head slower than the base?
#        ./run-advanced.sh --releases "SPEC SPEC…" [option...]      between which two did it change?
#        ./run-advanced.sh --tune [SPEC] [option...]                what is each setting of paired.tune worth?
#
#   SPEC                             a release on PyPI (1.0.6; it gets the packages of its time), a wheel, a checkout of
#                                    the gateway, or the address of one that runs (http://127.0.0.1:4444)
#   --base-env KEY=VALUE|KEY         a setting of the base's gateway; may be repeated. Of a KEY alone, the environment has
#                                    the value: a secret then stands in no process list
#   --head-env KEY=VALUE|KEY         the same for the head's
#   --blocks K                       paired measurements (paired.blocks of config.yaml: 8), at least 5. It ends earlier
#                                    when everything is decided; what is undecided gets up to twice as many
#   --rounds N                       measurements of each case within a block, the variants in turns (paired.rounds: 3)
#   --scenarios all|NAME,NAME        scenarios of config.yaml (default: those of the profile)
#   --cases PATTERN,PATTERN          only these cases of them, like 'tools/list_*,gateway-core/health'
#   --profile NAME                   load profile (default: light)
#   --requests N  --concurrency N  --timeout SECONDS    per case, variant and round, instead of the configured ones
#   --results-dir DIR                where it is written (default: results)
#   --fail-on-inconclusive           exit 4 when something stays undecided
#   --env-file FILE                  with --tune: takes the settings, each with its measured effect
#   --no-report                      no HTML report (of --base and --head)
#
# Every block starts the gateways anew, each with a database of its own; all share the same simulated MCP servers. A
# gateway that runs already is used as it is and left as it is.
#
# exit: 0 no regression; 1 the head is slower; 2 usage, configuration or a service that is not there; 3 measurement
#       invalid; 4 undecided, with --fail-on-inconclusive; 130, 143 interrupted
set -euo pipefail +o posix
shopt -s inherit_errexit 2>/dev/null || true

SELF=$(readlink -f -- "${BASH_SOURCE[0]}" 2>/dev/null) || SELF=${BASH_SOURCE[0]} # also through a link
# shellcheck source=utils/lib/load.sh
. "$(dirname -- "$SELF")/utils/lib/load.sh" || exit 2
# shellcheck source=utils/lib/variants.sh
. "$LOAD_ROOT/utils/lib/variants.sh" || exit 2

main() {
  variants::main "${BASH_SOURCE[0]}" "$@"
}

[ "${BASH_SOURCE[0]}" != "$0" ] || main "$@"
