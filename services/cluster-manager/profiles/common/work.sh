# The work of one run, detached. The last run of an operation on this host gives the lock back and leaves the state of its own run only.
state=$1 HOME_OF_USER=$2 last=$3 here=$1/work
shift 3
readValues <"$here/input"
runScripts "$@"
rc=$?
isForgotten=
[ ! -e "$state/forget" ] || isForgotten=1
takeMutex
# What came with the run may be secret, and is not needed again.
set -- "$here"
if [ "$last" = 1 ] && [ "$rc" = 0 ]; then
  for old in "$base/lock" "$base"/op/*; do [ "$old" = "$state" ] || set -- "$@" "$old"; done
fi
rm -rf "$@"
# From here on time alone holds the lock until the next run of the operation.
if [ -s "$base/lock" ]; then
  read -r holder epoch _ of <"$base/lock" && echo "$holder $epoch $(($(date +%s) + 60)) $of" >"$base/lock"
fi
echo "$rc" >"$state/rc"
exec 9>&-
# After a removal nothing is to stay, but the answer must: where people may write for a while. By then the host may be in the middle of
# something else: all goes only where no other run is kept, and while none can begin.
if [ -n "$isForgotten" ]; then
  (
    sleep 2
    takeMutex
    rm -rf "$state"
    rmdir "$base/op" 2>/dev/null
    [ -e "$base/op" ] || { rm -f "$base/lock" "$base/mutex" && rmdir "$base" 2>/dev/null; }
  ) &
fi
