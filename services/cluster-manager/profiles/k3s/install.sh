# Configuration first: k3s' own installer never touches it, and run again without the same arguments would forget them.
. "$here/k3s.sh"
mkdir -p "$base" && echo "$in_cluster" >"$base/cluster" || fail 'cannot write to the host'
command -v systemctl >/dev/null || fail 'k3s needs systemd'
# With the checksum of the cluster's authority who joins sees whether it is the cluster, before it says the password. The leader makes
# that authority at its first start, and takes the password alone.
secure=
[ -z "$in_authority" ] || [ "$in_isLeader" = 1 ] || secure=K10$in_authority::
# Every server says it once it runs: it writes its own token with that checksum.
tellAuthority() {
  [ "$role" = master ] || return 0
  written=$root/var/lib/rancher/k3s/server/token patience=30
  until [ -s "$written" ]; do
    [ "$patience" -gt 0 ] || fail "k3s has not written $written"
    sleep 1
    patience=$((patience - 1))
  done
  sed -n 's/^K10\([0-9a-f]\{64\}\)::.*/fact authority \1/p' "$written"
}
{
  echo "node-name: $(yaml "$in_host")"
  echo "node-ip: $(yaml "$address")"
  echo 'node-label:'
  if [ "$role" = shared ]; then
    for label in $sharedLabels; do echo "  - $(yaml "$label")"; done
  fi
  echo "  - $(yaml "fleetgate.io/role=$role")"
  if [ "$role" = master ]; then
    echo "token: $(yaml "${secure:+${secure}server:}$in_secret_serverToken")"
    echo "agent-token: $(yaml "$in_secret_agentToken")"
    echo 'tls-san:'
    for master in $in_masters $in_publicAddress $in_apiAddress; do echo "  - $(yaml "$master")"; done
    echo 'secrets-encryption: true'
    if [ "$in_isLeader" = 1 ]; then echo 'cluster-init: true'; else echo "server: $(yaml "$api")"; fi
    . "$here/snapshots.sh"
    # In compact the one master works too.
    if [ "$in_category" = ha ]; then
      echo 'node-taint:'
      echo "  - 'node-role.kubernetes.io/control-plane=true:NoSchedule'"
    fi
  else
    echo "server: $(yaml "$api")"
    echo "token: $(yaml "${secure:+${secure}node:}$in_secret_agentToken")"
  fi
} >"$here/config"
# What is changed here counts from the next start on, which may be left to another run.
due=$base/k3s-restart
change() { : >"$due" || fail "cannot write $due"; }
cmp -s "$here/config" "$config" || change
put "$config" 600 "$here/config"

# What is there: the checksum of the program that was staged, or where it came from, with the version that was asked for. Without one
# what the network gave once stays.
wanted=$in_file_k3s
want=${wanted:-network${in_version:+ $in_version}}
isSame=
case $(cat "$base/k3s-sum" 2>/dev/null) in "$want" | "$want "*) isSame=1 ;; esac
if [ -n "$wanted" ] && [ -z "$isSame" ]; then
  staged "$wanted" k3s
  mkdir -p "$(dirname "$k3s")" && cp "$file" "$k3s.new" && chmod 755 "$k3s.new" || fail 'cannot copy k3s'
  "$k3s.new" --version >/dev/null || { rm -f "$k3s.new"; fail "the program k3s of the control plane does not run here, on $(uname -m)"; }
  change
  mv "$k3s.new" "$k3s" || fail 'cannot copy k3s'
fi
. "$here/images.sh"

isThere=
[ ! -e "$root/etc/systemd/system/$service.service" ] || isThere=1
if [ -n "$isSame" ] && [ -n "$isThere" ] && [ ! -e "$due" ] && isActive; then
  say 'nothing to change'
  tellAuthority
  exit 0
fi
if [ -z "$isSame" ] || [ -z "$isThere" ]; then
  if [ "$role" = master ]; then command=server; else command=agent; fi
  if [ -n "$wanted" ]; then
    [ -n "$in_file_install_sh" ] || fail 'install.sh of k3s is not staged: it must stand beside k3s'
    staged "$in_file_install_sh" install.sh
    INSTALL_K3S_SKIP_DOWNLOAD=true INSTALL_K3S_EXEC=$command sh "$file" || fail 'the installer of k3s failed'
  else
    script=$here/install-k3s.sh
    fetch https://get.k3s.io >"$script" && [ -s "$script" ] || fail 'the installer of k3s cannot be fetched from https://get.k3s.io'
    INSTALL_K3S_VERSION=$in_version INSTALL_K3S_EXEC=$command sh "$script" || fail 'the installer of k3s failed'
  fi
fi
# The installer starts what it brought, and nothing else.
if [ -n "$isThere" ] && [ -e "$due" ] || ! isActive; then
  systemctl restart "$service" || fail "$service does not start"
fi
rm -f "$due"
echo "$want" >"$base/k3s-sum"
say "$service started"
tellAuthority
exit 0
