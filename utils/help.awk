# Print a Makefile's targets: `##@ Group` opens a group, `target: ... ## text` is one line of it.
# Where a target is a variable, the text itself names the targets, up to its first colon.
BEGIN {
  FS = ":.*## "
  print "usage: make [target] [SETTING=value]\n"
  print "  make test                     measure a gateway and write a report, in minutes"
  print "  make test PROFILE=medium      under another load profile"
}
/^##@ / { printf "\n%s\n", substr($0, 5) }
/^[a-z][a-z0-9-]*:.*## / { printf "  %-18s %s\n", $1, $2 }
/^\$\(.*## / {
  split($2, halves, ": ")
  printf "  %s\n  %-18s %s\n", halves[1], "", halves[2]
}
