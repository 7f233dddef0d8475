#!/bin/sh
# Runs the scripts of one phase, once, whatever happens to the connection that asked for it: the work is a process of its
# own, and what it has come to is in files. Asked again for the same run it follows that one, or tells how it ended.
#
#   sh run.sh <run> <operation> <epoch> <last: 0|1> <script>...
#
# It lies in the folder `work` of what the control plane unpacked, all of which is gone afterwards. Nothing of what a person wrote is on this line: ids,
# numbers and names of our own scripts only. All else is in the files `input` (key=value, one line each) and `input.d`.
here=${0%/*} came=${0%/*/*}
tidy() { rm -rf "$came"; rmdir "${came%/*}" 2>/dev/null; }
if [ "${1:-}" = --root ]; then
  shift
elif [ "$(id -u)" != 0 ]; then
  command -v sudo >/dev/null || { tidy; echo 'problem sudo is missing, and the user is not root' >&2; exit 77; }
  sudo -n true 2>/dev/null || { tidy; echo 'problem sudo asks for a password: allow it without (NOPASSWD), or use root' >&2; exit 77; }
  exec sudo -n sh "$here/run.sh" --root "$@"
fi
run=$1 operation=$2 epoch=$3 last=$4
shift 4
. "$here/lib.sh"
ops=$base/op
state=$ops/$run

if [ "$run" = direct ]; then
  rc=0
  for script in "$@"; do (. "$here/$script") || { rc=$?; break; }; done
  tidy
  exit "$rc"
fi

[ -d "$ops" ] || mkdir -p "$ops" || { tidy; exit 1; }

# The lock names who changes this host and until when, or for as long as work of that operation goes on. Operations of one cluster
# follow each other, and who drives them has a number that grows: what an earlier one left, a failed one for instance, holds nobody up.
lock() {
  now=$(date +%s)
  if [ -s "$base/lock" ]; then
    read -r holder holderEpoch until of <"$base/lock"
    [ "$of" != "$in_cluster" ] || until=0
    if [ "$holder" != "$operation" ] && { [ "$until" -gt "$now" ] || isWorking "$holder"; }; then
      echo "problem another operation ($holder) changes this host" >&2
      return 75
    fi
    if { [ "$holder" = "$operation" ] || [ "$of" = "$in_cluster" ]; } && [ "$holderEpoch" -gt "$epoch" ]; then
      echo "problem a newer holder of this operation (epoch $holderEpoch) changes this host" >&2
      return 76
    fi
  fi
  echo "$operation $epoch $((now + 60)) $in_cluster" >"$base/lock" || { echo "problem cannot write $base/lock" >&2; return 1; }
}

# Work of this operation from an earlier phase goes on only where nobody waits for it any more: cancelled, or too long.
stopOthers() {
  for other in "$ops/$operation".*; do
    [ "$other" = "$state" ] || ! isAlive "$other" || kill -KILL -- "-$pid"
  done
}

isOurs=
exec 9>"$base/mutex"
flock 9
lock || { rc=$?; tidy; exit "$rc"; }
stopOthers
if [ ! -s "$state/rc" ] && ! isAlive "$state"; then
  [ ! -e "$state" ] || rm -rf "$state"
  # As root's own: who logged in without being root has made these files.
  if [ -O "$came" ]; then mv "$came" "$state"; else cp -R "$came" "$state" && rm -rf "$came"; fi || { tidy; exit 1; }
  here=$state/work
  : >"$state/log"
  setsid sh "$here/work.sh" "$state" "$last" "$@" >>"$state/log" 2>&1 </dev/null 9>&- &
  pid=$! isOurs=1
  echo "$pid" >"$state/pid"
else
  rm -rf "$came"
fi
exec 8<"$state/log" 9>&-

# Each line that was said since the last look; half a line waits for its other half.
half=
show() {
  while IFS= read -r line <&8; do printf '%s%s\n' "$half" "$line"; half=; done
  half=$half$line
}
# The work of this shell is waited for without a look; once a second another wakes it to show what was said. It is ended with this
# one, which therefore outlives whoever listened.
if [ -n "$isOurs" ]; then
  trap : USR1
  trap '' PIPE
  (while sleep 1; do kill -USR1 $$ || exit; done) >/dev/null 2>&1 &
  waker=$!
  trap 'kill "$waker" 2>/dev/null' EXIT
fi
while [ ! -s "$state/rc" ]; do
  if [ -n "$isOurs" ]; then wait "$pid"; else sleep 0.3; fi
  if [ ! -s "$state/rc" ] && ! isAlive "$state"; then
    [ -s "$state/rc" ] || { echo 'problem the work on this host broke off' >&2; exit 79; }
  fi
  show
done
show
[ -z "$half" ] || printf '%s\n' "$half"
read -r rc <"$state/rc"
[ "$last$rc" = 00 ] || rmdir "$HOME_OF_USER/.fleetgate" 2>/dev/null
exit "$rc"
