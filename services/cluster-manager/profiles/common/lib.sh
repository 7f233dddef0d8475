# What every script needs, as functions. Whoever runs the scripts sets $HOME_OF_USER, the home of who logged in, reads the input by
# readValues, and in a run with a folder of its own sets $here, that folder.
umask 077
root=${FLEETGATE_ROOT:-}
base=$root/var/lib/fleetgate

newline='
'
# Makes variables of the lines of the input: of `role=master` comes $in_role, and `+more` is a further line of the one before. Keys are
# letters, digits and _, made by the control plane; what stands behind them is only ever text.
readValues() {
  while IFS= read -r line; do
    case $line in
      +*) eval "in_$key=\$in_$key\$newline\${line#+}" ;;
      *=*) key=${line%%=*} && eval "in_$key=\${line#*=}" ;;
    esac
  done
  address=${in_address-}
  # Where only this host itself can ask; hosts that are addresses of one computer have no more than that address.
  case $address in 127.*) local=$address ;; *) local=127.0.0.1 ;; esac
}

# The value of a key that is put together, such as registry_0_address.
value() { eval "printf '%s\n' \"\${in_$1-}\""; }

# The scripts in their order, each in a shell of its own, up to the first that fails.
runScripts() { for script in "$@"; do ("script_${script%.sh}") || return; done; }

# A word of the run's progress, shown to the operator.
say() { echo "progress $*"; }

# Ends the script, and with it the run, with a reason.
fail() { echo "problem $*" >&2; exit 1; }

# Makes a file of this mode the same as another, which may be `$1.new` already, and tells by `changed=1` whether it was not.
put() {
  [ -d "${1%/*}" ] || mkdir -p "${1%/*}" || fail "cannot make ${1%/*}"
  if [ -e "$1" ] && cmp -s "$3" "$1"; then
    [ "$3" != "$1.new" ] || rm -f "$3"
    return 0
  fi
  [ "$3" = "$1.new" ] || cp "$3" "$1.new" || { rm -f "$1.new"; fail "cannot write $1"; }
  [ "$2" = 600 ] || chmod "$2" "$1.new" || fail "cannot write $1"
  mv "$1.new" "$1" || { rm -f "$1.new"; fail "cannot write $1"; }
  changed=1
}

# The answer of an http server, by whatever the host has; for one without TLS bash itself is by far the cheapest.
fetch() {
  case $1 in
    http://*) if command -v bash >/dev/null; then bash -c "$fetchByBash" "$1" 2>/dev/null; return; fi ;;
  esac
  if command -v curl >/dev/null; then curl -sf -m 5 "$1"
  elif command -v wget >/dev/null; then wget -q -T 5 -O - "$1"
  else
    perl -MIO::Socket::INET -e '
      my ($host, $port, $path) = $ARGV[0] =~ m{^http://([^:/]+):(\d+)(.*)$} or exit 1;
      my $socket = IO::Socket::INET->new(PeerAddr => $host, PeerPort => $port, Timeout => 5) or exit 1;
      print $socket "GET $path HTTP/1.0\r\nHost: $host\r\n\r\n";
      my $answer = join "", <$socket>;
      my ($head, $body) = split /\r\n\r\n/, $answer, 2;
      exit 1 unless $head =~ m{^HTTP/1\.[01] 200};
      print $body;' "$1"
  fi
}
fetchByBash='
at=${0#http://} path=/${0#http://*/} at=${at%%/*}
exec 3<>"/dev/tcp/${at%:*}/${at##*:}" || exit 1
printf "GET %s HTTP/1.0\r\nHost: %s\r\n\r\n" "$path" "$at" >&3
IFS= read -r -t 5 line <&3 && [[ $line == HTTP/1.?" 200"* ]] || exit 1
while IFS= read -r -t 5 line <&3 && [[ ${#line} -gt 1 ]]; do :; done
IFS= read -r -d "" -t 5 body <&3
printf "%s\n" "$body"'

hasSystemd() { [ -d "$root/run/systemd/system" ] && command -v systemctl >/dev/null; }

# Whether the process of this number was started with this word on its command line: numbers are given again. Only a shell that
# skips the bytes of value 0 sees more than the first word, hence the second way.
isProcess() {
  [ -n "$1" ] && [ -e "/proc/$1/cmdline" ] || return 1
  commandLine=
  IFS= read -r commandLine 2>/dev/null <"/proc/$1/cmdline"
  case $commandLine in *"$2"*) return 0 ;; esac
  tr '\0' ' ' <"/proc/$1/cmdline" 2>/dev/null | grep -q -F "$2"
}

# True while the work of a run goes on, by the folder of the run; then $pid is the number of its process.
isAlive() {
  pid=
  [ -s "$1/pid" ] && [ ! -s "$1/rc" ] && read -r pid <"$1/pid" && isProcess "$pid" "$1/work"
}

# True while any work of this operation goes on.
isWorking() {
  for run in "$base/op/$1".*; do ! isAlive "$run" || return 0; done
  return 1
}

# Until this shell ends or closes its file 9, nobody else changes the lock or begins a run. The mutex goes with the last trace of a
# removal: who has waited for one that is gone waits for the one that is there.
takeMutex() {
  tries=0
  until [ "$base/mutex" -ef /proc/self/fd/9 ]; do
    [ "$tries" -lt 20 ] || fail "cannot write $base/mutex"
    tries=$((tries + 1))
    { [ -d "$base" ] || mkdir -p "$base"; } && command exec 9>"$base/mutex" && flock 9
  done
}

# A file that the control plane staged, by its checksum: its path is $file.
staged() {
  file=$base/files/$1
  [ -s "$file" ] || fail "$2 was not staged"
}
