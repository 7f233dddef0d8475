#!/bin/sh
# Runs the scripts of one phase, once, whatever happens to the connection that asked for it: the work is a process of its
# own, and what it has come to is in files. Asked again for the same run it follows that one, or tells how it ended.
#
#   run.sh <run> <operation> <epoch> <last: 0|1> <script>...     from the folder that the control plane unpacked
#
# Nothing of what a person wrote is on this line: ids, numbers and names of our own scripts only. All else is in the files
# `input` (key=value, one line each) and `input.d` (one file each).
set -u
here=$(cd "$(dirname "$0")" && pwd)
if [ "${1:-}" = --root ]; then
  shift
elif [ "$(id -u)" != 0 ]; then
  command -v sudo >/dev/null || { echo 'problem sudo is missing, and the user is not root' >&2; exit 77; }
  sudo -n true 2>/dev/null || { echo 'problem sudo asks for a password: allow it without (NOPASSWD), or use root' >&2; exit 77; }
  exec sudo -n sh "$here/run.sh" --root "$@"
fi
run=$1 operation=$2 epoch=$3 last=$4
shift 4
. "$here/lib.sh"
ops=$base/op
state=$ops/$run

if [ "$run" = direct ]; then
  for script in "$@"; do sh "$here/$script" "$here" || exit $?; done
  rm -rf "$here"
  exit 0
fi

mkdir -p "$state" || exit 1
chmod 700 "$base" "$ops" "$state"

# True while the work of this run goes on. A number may belong to another process by now: the name decides.
alive() { [ -s "$state/pid" ] && tr '\0' ' ' <"/proc/$(cat "$state/pid")/cmdline" 2>/dev/null | grep -q -F "$state/work.sh"; }

# The lock names who changes this host and until when; its holder writes it anew while it works.
lock() {
  now=$(date +%s)
  if [ -s "$base/lock" ]; then
    read -r holder holderEpoch until <"$base/lock"
    if [ "$holder" != "$operation" ] && [ "$until" -gt "$now" ]; then
      echo "problem another operation ($holder) changes this host until $until" >&2
      return 75
    fi
    if [ "$holder" = "$operation" ] && [ "$holderEpoch" -gt "$epoch" ]; then
      echo "problem a newer holder of this operation (epoch $holderEpoch) changes this host" >&2
      return 76
    fi
  fi
  echo "$operation $epoch $((now + 60))" >"$base/lock.new" && mv "$base/lock.new" "$base/lock"
}

# Work of this operation from an earlier phase goes on only where nobody waits for it any more: cancelled, or too long.
stopOthers() {
  for other in "$ops/$operation".*; do
    [ "$other" != "$state" ] && [ -s "$other/pid" ] && [ ! -s "$other/rc" ] || continue
    tr '\0' ' ' <"/proc/$(cat "$other/pid")/cmdline" 2>/dev/null | grep -q -F "$other/work.sh" && kill -KILL -- "-$(cat "$other/pid")"
  done
}

exec 9>"$base/mutex"
flock 9
lock || exit $?
stopOthers
if [ ! -s "$state/rc" ] && ! alive; then
  rm -rf "$state/work" && cp -R "$here" "$state/work" || exit 1
  cp "$here/work.sh" "$state/work.sh"
  : >"$state/log"
  setsid nohup sh "$state/work.sh" "$state" "$last" "$@" >>"$state/log" 2>&1 </dev/null 9>&- &
  echo $! >"$state/pid"
fi
exec 9>&-
rm -rf "$here"
rmdir "$(dirname "$here")" 2>/dev/null

shown=0
show() {
  lines=$(wc -l <"$state/log")
  [ "$lines" -gt "$shown" ] || return 0
  sed -n "$((shown + 1)),${lines}p" "$state/log"
  shown=$lines
}
# Waiting is done by the shell itself, but for the sleep: many hosts may be one computer.
pid=$(cat "$state/pid")
round=0
while [ ! -s "$state/rc" ]; do
  round=$((round + 1))
  [ $((round % 5)) != 0 ] || show
  if ! kill -0 "$pid" 2>/dev/null || { [ $((round % 50)) = 0 ] && ! alive; }; then
    [ -s "$state/rc" ] || { echo 'problem the work on this host broke off' >&2; exit 79; }
  fi
  sleep 0.1
done
show
exit "$(cat "$state/rc")"
