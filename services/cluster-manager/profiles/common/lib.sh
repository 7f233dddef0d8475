# What every script needs. Read once by run.sh or work.sh, which read the scripts themselves into subshells of their own: on a
# small host starting a program costs more than what the program does. `here` is the folder with the scripts and their input.
umask 077
root=${FLEETGATE_ROOT:-}
base=$root/var/lib/fleetgate

# Each line of the input as a variable: of `role=master` comes $in_role. Keys are letters, digits and _, made by the control
# plane; what stands behind them is only ever text.
if [ -s "$here/input" ]; then
  while IFS= read -r line; do eval "in_${line%%=*}=\${line#*=}"; done <"$here/input"
fi
HOME_OF_USER=${HOME:-/root}
[ ! -s "$here/home" ] || IFS= read -r HOME_OF_USER <"$here/home"

# The value of a key that is put together, such as registry_0_address.
value() { eval "printf '%s\n' \"\${in_$1-}\""; }

# A word of the run's progress, shown to the operator.
say() { echo "progress $*"; }

# Ends the script, and with it the run, with a reason.
fail() { echo "problem $*" >&2; exit 1; }

# Makes a file of this mode the same as another, and tells by `changed=1` whether it was not.
put() {
  [ -d "${1%/*}" ] || mkdir -p "${1%/*}" || fail "cannot make ${1%/*}"
  [ ! -e "$1" ] || ! cmp -s "$3" "$1" || return 0
  cp "$3" "$1.new" || { rm -f "$1.new"; fail "cannot write $1"; }
  [ "$2" = 600 ] || chmod "$2" "$1.new" || fail "cannot write $1"
  mv "$1.new" "$1" && changed=1
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
exec cat <&3'

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

# A file that the control plane staged, by its checksum, kept below the base once it is seen to be whole: its path is $file.
# openssl uses what the processor has for it, where it is there.
staged() {
  file=$base/files/$1
  [ ! -s "$file" ] || return 0
  came=$HOME_OF_USER/.fleetgate/files/$1
  [ -s "$came" ] || fail "$2 was not staged"
  sum=$(openssl dgst -sha256 -r "$came" 2>/dev/null || sha256sum "$came")
  [ "${sum%% *}" = "$1" ] || fail "the staged $2 is not whole"
  [ -d "$base/files" ] || mkdir -p "$base/files" || fail "cannot make $base/files"
  # Under another name first: a move from one disk to another may end half way.
  said=$(mv "$came" "$file.new" 2>&1) || { rm -f "$file.new"; fail "$2 cannot be kept: $said"; }
  mv "$file.new" "$file"
}

address=${in_address-}
# Where only this host itself can ask; hosts that are addresses of one computer have no more than that address.
case $address in 127.*) local=$address ;; *) local=127.0.0.1 ;; esac
