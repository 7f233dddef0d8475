#!/bin/sh
# Installs the agent on macOS with Node 20.19 or newer as a daemon of launchd, or a newer one over an older one. Needs root and no
# network but the fleet itself. May be run again at any time, also after it was interrupted.
set -eu

usage() {
  cat <<'USAGE'
usage: install.sh [--url URL --token-file FILE] [options]
  Without a token the machine must be enrolled already: its program is replaced. FILE may be - (standard input).
  --user NAME    runs the agent (_fleetgate); made where it is missing
  --bundle FILE  the agent (fleetgate-agent.mjs beside this script)
  --node FILE    Node (the one on PATH)
  --dry-run      only say what would be done
  What the machine is to be; without it an enrolled one stays what it is:
  --client-id ID         names the machine (its host name)
  --role STORE|SERVER
  --root DIR             folder that jobs may touch: needed the first time, and must be there, for NAME to write in; may be repeated
  --program FILE|DIR     what jobs may run (nothing); may be repeated
  --ca FILE              certificate authority of the fleet's address
USAGE
}

fail() {
  echo "install.sh: $*" >&2
  exit 1
}

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
bundle=$here/fleetgate-agent.mjs
plist=$here/com.fleetgate.agent.plist
user=_fleetgate
node=
url=
token_file=
dry=

# What is meant for enrol goes behind all others, so that it is what is left at the end.
left=$#
while [ "$left" -gt 0 ]; do
  case $1 in
    --help | -h) usage && exit 0 ;;
    --dry-run) dry=yes && left=$((left - 1)) && shift && continue ;;
    # As it was called before: what is meant for enrol stood behind it.
    --) left=$((left - 1)) && shift && continue ;;
    --url | --token-file | --user | --bundle | --node) ;;
    --client-id | --role | --root | --program | --ca) ;;
    *) usage >&2 && fail "unknown option $1" ;;
  esac
  [ "$left" -ge 2 ] || fail "$1 needs a value"
  case $1 in
    --url) url=$2 ;;
    --token-file) token_file=$2 ;;
    --user) user=$2 ;;
    --bundle) bundle=$2 ;;
    --node) node=$2 ;;
    *) set -- "$@" "$1" "$2" ;;
  esac
  shift 2
  left=$((left - 2))
done

lib=/usr/local/lib/fleetgate
config=/etc/fleetgate/agent.json
state=/var/lib/fleetgate
daemon=/Library/LaunchDaemons/com.fleetgate.agent.plist

# Says what is done, and does it.
run() {
  echo "+ $*"
  [ -n "$dry" ] || "$@"
}

check_needs() {
  case $user in '' | -* | *[!A-Za-z0-9_-]*) fail "--user must be a plain name, not '$user'" ;; esac
  [ -f "$bundle" ] || fail "$bundle is not there: make it with scripts/agent-bundle, or name it with --bundle"
  [ -f "$plist" ] || fail "$plist is not there"
  [ -n "$node" ] || node=$(command -v node) || fail 'Node.js 20.19 or newer is needed (https://nodejs.org), or its place with --node'
  case $node in /*) ;; *) fail "--node must be an absolute path, not $node" ;; esac
  case $node in *[\&\<\>\|\\]*) fail "--node holds characters that a property list would need written in another way" ;; esac
  "$node" -e 'const [a, b] = process.versions.node.split("."); process.exit(a > 20 || (a == 20 && b >= 19) ? 0 : 1)' ||
    fail "Node.js 20.19 or newer is needed, this is $("$node" --version)"
  [ -z "$token_file" ] || [ -n "$url" ] || [ -f "$config" ] || fail '--url is needed with a token'
  [ -z "$dry" ] || return 0
  [ -n "$token_file" ] || [ -f "$config" ] || fail 'this machine is not enrolled: --url and --token-file are needed'
  [ "$(uname)" = Darwin ] || fail 'this is for macOS (or --dry-run)'
  [ "$(id -u)" = 0 ] || fail 'root is needed (or --dry-run)'
}

# A hidden user of the system's own kind: no password, no shell, not in the log-in window.
make_user() {
  id "$user" >/dev/null 2>&1 && return 0
  number=400
  while [ -z "$dry" ] && { dscl . -search /Users UniqueID "$number"; dscl . -search /Groups PrimaryGroupID "$number"; } | grep -q .; do
    number=$((number + 1))
  done
  run dscl . -create "/Groups/$user" PrimaryGroupID "$number"
  run dscl . -create "/Users/$user" UniqueID "$number"
  run dscl . -create "/Users/$user" PrimaryGroupID "$number"
  run dscl . -create "/Users/$user" UserShell /usr/bin/false
  run dscl . -create "/Users/$user" NFSHomeDirectory "$state"
  run dscl . -create "/Users/$user" IsHidden 1
}

make_folders() {
  run mkdir -p "$lib" /etc/fleetgate "$state/log"
  run chown -R "$user" "$state"
  run chmod 700 "$state"
}

# The file is the old one or the new one, never half of it.
put() {
  run install -m "$1" "$2" "$3.new"
  run mv -f "$3.new" "$3"
}

make_plist() {
  echo "+ $daemon for the user $user with $node"
  [ -z "$dry" ] || return 0
  sed "s|@USER@|$user|; s|@NODE@|$node|" "$plist" >"$daemon.new"
  chown root:wheel "$daemon.new"
  chmod 644 "$daemon.new"
  mv -f "$daemon.new" "$daemon"
}

enrol() {
  [ -n "$token_file" ] || return 0
  [ -z "$url" ] || set -- --url "$url" "$@"
  run "$node" "$lib/fleetgate-agent.mjs" enrol --config "$config" --token-file "$token_file" "$@"
}

give_away() {
  for file in "$config" /etc/fleetgate/broker-ca.pem; do
    if [ -n "$dry" ] || [ -f "$file" ]; then run chown "$user" "$file"; fi
  done
}

# launchd refuses the new one while the old one is on its way out, which takes the agent some seconds.
start() {
  [ -n "$dry" ] || launchctl bootout system/com.fleetgate.agent 2>/dev/null || true
  for pause in 1 2 4 8 16; do
    run launchctl bootstrap system "$daemon" && return 0
    sleep "$pause"
  done
  fail 'launchd does not take the daemon'
}

check_needs
make_user
make_folders
put 0755 "$bundle" "$lib/fleetgate-agent.mjs"
make_plist
enrol "$@"
give_away
start
