# What a shell of root is given once for all runs of an operation on this host, then one request after the other on the same standard
# input: a line of ids, numbers and names of our own scripts, and after it so many lines of values, which are read as text and never
# as commands. $1 is the home of who logged in. Before this text stand $common, what every script needs and the scripts, $work, what
# runs them in a process of its own, and $mark, which begins the lines that are said to the control plane itself.
HOME_OF_USER=$1
eval "$common"
ops=$base/op

# The lock names who changes this host and until when, or for as long as work of that operation goes on. Operations of one cluster
# follow each other, and who drives them has a number that grows: what an earlier one left, a failed one for instance, holds nobody up.
lock() {
  now=$(date +%s)
  if [ -s "$base/lock" ]; then
    read -r holder holderEpoch until of <"$base/lock"
    [ "$of" != "$cluster" ] || until=0
    if [ "$holder" != "$operation" ] && { [ "$until" -gt "$now" ] || isWorking "$holder"; }; then
      echo "problem another operation ($holder) changes this host" >&2
      return 75
    fi
    if { [ "$holder" = "$operation" ] || [ "$of" = "$cluster" ]; } && [ "$holderEpoch" -gt "$epoch" ]; then
      echo "problem a newer holder of this operation (epoch $holderEpoch) changes this host" >&2
      return 76
    fi
  fi
  echo "$operation $epoch $((now + 60)) $cluster" >"$base/lock" || { echo "problem cannot write $base/lock" >&2; return 1; }
}

# Work of this operation from an earlier phase goes on only where nobody waits for it any more: cancelled, or too long.
stopOthers() {
  for other in "$ops/$operation".*; do
    [ "$other" = "$state" ] || ! isAlive "$other" || kill -KILL -- "-$pid"
  done
}

# What was said since the last look, half a line as it is.
show() {
  while IFS= read -r line <&8; do printf '%s\n' "$line"; done
  printf %s "$line"
}

# Runs the scripts of one phase, once, whatever happens to the connection that asked for it: the work is a process of its own, and
# what it has come to is in files. Asked again for the same run it follows that one, or tells how it ended.
once() {
  isOurs=
  takeMutex
  lock || exit
  stopOthers
  if [ ! -s "$state/rc" ] && ! isAlive "$state"; then
    [ ! -e "$state" ] || rm -rf "$state"
    mkdir -p "$state/work" && printf '%s\n' "$values" >"$state/work/input" &&
      printf '%s\n' "$common" "$work" >"$state/work/run.sh" || exit 1
    : >"$state/log"
    setsid sh "$state/work/run.sh" "$state" "$HOME_OF_USER" "$last" $scripts >>"$state/log" 2>&1 </dev/null 9>&- &
    pid=$! isOurs=1
    echo "$pid" >"$state/pid"
  fi
  exec 8<"$state/log" 9>&-
  # The work of this shell is waited for without a look; once a second another wakes it to show what was said. It is ended with this
  # one, which therefore outlives whoever listened. $$ would be the number of the shell around it.
  if [ -n "$isOurs" ]; then
    trap : USR1
    trap '' PIPE
    read -r self _ </proc/self/stat
    (while sleep 1; do kill -USR1 "$self" || exit; done) >/dev/null 2>&1 &
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
  read -r rc <"$state/rc"
  exit "$rc"
}

# Where a look is all that is wanted: nothing is kept.
look() {
  readValues <<VALUES
$values
VALUES
  runScripts $scripts
}

# One command: a shell reads its input in blocks, and had it to look for the end of this when it has said that it is ready, it would take
# a request that is there by then for more of its program.
{
  printf '%sready\n' "$mark"
  while read -r lines run operation cluster epoch last scripts; do
    values=
    while [ "$lines" -gt 0 ]; do
      IFS= read -r line || exit 74
      values=${values:+$values$newline}$line lines=$((lines - 1))
    done
    state=$ops/$run
    # In a shell of its own, so that what it sets is gone with it.
    if [ "$run" = direct ]; then (look) </dev/null; else (once) </dev/null; fi
    printf '\n%s%s\n' "$mark" "$?"
  done
}
