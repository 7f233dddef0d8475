#!/bin/sh
# The work of one run, detached: the scripts in their order, up to the first that fails. The last run of an operation on
# this host gives the lock back and leaves the state of its own run only.
set -u
state=$1 last=$2
shift 2
. "$state/work/lib.sh"
keep() {
  while sleep 10; do
    read -r holder epoch until <"$base/lock" && echo "$holder $epoch $(($(date +%s) + 60))" >"$base/lock.kept" && mv "$base/lock.kept" "$base/lock"
  done
}
keep &
keeper=$!
rc=0
for script in "$@"; do
  sh "$state/work/$script" "$state/work" || { rc=$?; break; }
done
kill "$keeper" 2>/dev/null
# What came with the run may be secret, and is not needed again.
rm -rf "$state/work"
if [ "$last" = 1 ] && [ "$rc" = 0 ]; then
  rm -f "$base/lock"
  for old in "$base"/op/*; do [ "$old" = "$state" ] || rm -rf "$old"; done
fi
# After a removal nothing is to stay, but the answer must: where people may write for a while.
if [ -e "$state/forget" ]; then
  echo "$rc" >"$state/rc"
  (sleep 2; rm -rf "$state"; rmdir "$base/op" 2>/dev/null && rm -f "$base/mutex" "$base/lock" && rmdir "$base" 2>/dev/null) &
else
  echo "$rc" >"$state/rc.new" && mv "$state/rc.new" "$state/rc"
fi
