#!/bin/sh
# Installs the agent on a machine with systemd and Node 20.19 or newer, or a newer one over an older one. Needs root and no
# network but the fleet itself. May be run again at any time, also after it was interrupted.
set -eu

usage() {
  cat <<'USAGE'
usage: install.sh [--url URL --token TOKEN | --url URL --token-file FILE] [options]
  Without a token the machine must be enrolled already: its program is replaced.
  --client-id ID        names the machine (its host name)
  --role STORE|SERVER
  --root DIR            folder that jobs may touch (/srv/fleetgate); may be repeated
  --program FILE|DIR    what jobs may run (nothing); may be repeated
  --ca FILE             certificate authority of the fleet's address
  --bundle FILE         the agent (fleetgate-agent.mjs beside this script)
  --user NAME           runs the agent (fleetgate); made where it is missing
  --destdir DIR         put everything below DIR and start nothing: for images
  --dry-run             only say what would be done
USAGE
}

fail() {
  echo "install.sh: $*" >&2
  exit 1
}

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
bundle=$here/fleetgate-agent.mjs
unit=$here/fleetgate-agent.service
user=fleetgate
destdir=
dry=
token=
token_file=
# What enrol is told, one argument a line: paths with line ends in them are refused.
enrol_args=
roots=

add_arg() {
  case $2 in *"
"*) fail "$1 must not hold a line end" ;; esac
  enrol_args="$enrol_args$1
$2
"
}

while [ $# -gt 0 ]; do
  case $1 in
    --help | -h) usage && exit 0 ;;
    --dry-run) dry=yes && shift && continue ;;
    --url | --token | --token-file | --client-id | --role | --root | --program | --ca | --bundle | --user | --destdir) ;;
    *) usage >&2 && fail "unknown option $1" ;;
  esac
  [ $# -ge 2 ] || fail "$1 needs a value"
  case $1 in
    --token) token=$2 ;;
    --token-file) token_file=$2 ;;
    --bundle) bundle=$2 ;;
    --user) user=$2 ;;
    --destdir) destdir=$2 ;;
    --root) add_arg --root "$2" && roots="$roots$2
" ;;
    *) add_arg "$1" "$2" ;;
  esac
  shift 2
done

lib=$destdir/usr/local/lib/fleetgate
etc=$destdir/etc/fleetgate
units=$destdir/etc/systemd/system
config=$etc/agent.json

# Says what is done, and does it.
run() {
  echo "+ $*"
  [ -n "$dry" ] || "$@"
}

check_needs() {
  case $user in '' | -* | *[!A-Za-z0-9_-]*) fail "--user must be a plain name, not '$user'" ;; esac
  [ -f "$bundle" ] || fail "$bundle is not there: make it with scripts/agent-bundle, or name it with --bundle"
  [ -f "$unit" ] || fail "$unit is not there"
  command -v node >/dev/null 2>&1 || fail 'Node.js 20.19 or newer is needed (https://nodejs.org)'
  node -e 'const [a, b] = process.versions.node.split("."); process.exit(a > 20 || (a == 20 && b >= 19) ? 0 : 1)' ||
    fail "Node.js 20.19 or newer is needed, this is $(node --version)"
  [ -z "$token_file" ] || [ "$token_file" = - ] || [ -r "$token_file" ] || fail "$token_file cannot be read"
  [ -z "$token$token_file" ] || [ -z "$destdir" ] || [ -n "$dry" ] || fail 'an image is enrolled on the machine that it becomes'
  [ -n "$token$token_file" ] || [ -n "$dry" ] || [ -f "$config" ] || [ -n "$destdir" ] ||
    fail 'this machine is not enrolled: --url and --token are needed'
  [ -n "$dry" ] || [ -n "$destdir" ] || [ "$(id -u)" = 0 ] || fail 'root is needed (or --dry-run)'
  [ -n "$destdir" ] || command -v systemctl >/dev/null 2>&1 || fail 'systemd is needed (or --destdir)'
}

make_user() {
  [ -z "$destdir" ] || return 0
  id "$user" >/dev/null 2>&1 && return 0
  run useradd --system --user-group --no-create-home --home-dir /var/lib/fleetgate --shell /usr/sbin/nologin "$user"
}

# The file is the old one or the new one, never half of it.
put() {
  run install -m "$1" "$2" "$3.new"
  run mv -f "$3.new" "$3"
}

make_unit() {
  echo "+ $units/fleetgate-agent.service for the user $user"
  [ -z "$dry" ] || return 0
  sed "s/^User=.*/User=$user/; s/^Group=.*/Group=$user/" "$unit" >"$units/fleetgate-agent.service.new"
  mv -f "$units/fleetgate-agent.service.new" "$units/fleetgate-agent.service"
}

make_roots() {
  [ -n "$roots" ] || roots=/srv/fleetgate
  echo "$roots" | while IFS= read -r root; do
    [ -n "$root" ] || continue
    [ -d "$destdir$root" ] && continue
    run mkdir -p "$destdir$root"
    [ -n "$destdir" ] || run chown "$user:$user" "$root"
  done
}

enrol() {
  if [ -z "$token$token_file" ]; then return 0; fi
  case $enrol_args in *--root*) ;; *) [ -f "$config" ] || add_arg --root /srv/fleetgate ;; esac
  old_ifs=$IFS
  IFS='
'
  set -f
  # shellcheck disable=SC2086 # one argument a line
  set -- $enrol_args
  set +f
  IFS=$old_ifs
  echo "+ node $lib/fleetgate-agent.mjs enrol --config $config --token-file - $*"
  [ -z "$dry" ] || return 0
  # By a pipe: arguments can be read by everybody on the machine.
  if [ -n "$token" ]; then printf '%s' "$token"; else cat -- "$token_file"; fi |
    node "$lib/fleetgate-agent.mjs" enrol --config "$config" --token-file - "$@"
}

give_away() {
  [ -z "$destdir" ] || return 0
  for file in "$config" "$etc/broker-ca.pem"; do
    if [ -n "$dry" ] || [ -f "$file" ]; then run chown "$user:$user" "$file"; fi
  done
}

start() {
  [ -z "$destdir" ] || return 0
  run systemctl daemon-reload
  run systemctl enable fleetgate-agent.service
  run systemctl restart fleetgate-agent.service
}

check_needs
make_user
run mkdir -p "$lib" "$etc" "$units"
put 0755 "$bundle" "$lib/fleetgate-agent.mjs"
make_unit
make_roots
enrol
give_away
start
