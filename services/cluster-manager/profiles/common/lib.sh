# What every script needs. `here` is set by whoever sources this, or is the script's first argument.
here=${here:-${state:+$state/work}}
root=${FLEETGATE_ROOT:-}
base=$root/var/lib/fleetgate

# The value of a key of the input; nothing where it is not there.
# Read by the shell itself: on a small host each further program costs more than the whole file.
value() {
  while IFS= read -r line; do
    case $line in "$1="*) printf '%s\n' "${line#*=}" && return 0 ;; esac
  done <"$here/input"
}

# A word of the run's progress, shown to the operator.
say() { echo "progress $*"; }

# Ends the run with a reason.
fail() { echo "problem $*" >&2; exit 1; }

# Writes standard input to a file of this mode, and tells by `changed=1` whether it was another before.
put() {
  mkdir -p "$(dirname "$1")"
  cat >"$1.new" && chmod "$2" "$1.new" || fail "cannot write $1"
  if cmp -s "$1.new" "$1"; then rm -f "$1.new"; else mv "$1.new" "$1" && changed=1; fi
}

# The answer of an http server on this host, by whatever the host has.
fetch() {
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

hasSystemd() { [ -z "$root" ] && [ -d /run/systemd/system ] && command -v systemctl >/dev/null; }

# A file that the control plane staged, by its checksum; moved to its place below the base once it is whole.
staged() {
  [ -s "$base/files/$1" ] && { echo "$base/files/$1"; return 0; }
  echo "$1  $HOME_OF_USER/.fleetgate/files/$1" | sha256sum -c >/dev/null 2>&1 || return 1
  mkdir -p "$base/files" && mv "$HOME_OF_USER/.fleetgate/files/$1" "$base/files/$1" && echo "$base/files/$1"
}
HOME_OF_USER=$(cat "$here/home" 2>/dev/null || echo "${HOME:-/root}")

address=$([ -s "$here/input" ] && value address)
# Where only this host itself can ask; hosts that are addresses of one computer have no more than that address.
case ${address:-} in 127.*) local=$address ;; *) local=127.0.0.1 ;; esac
