# Configuration first: k3s' own installer never touches it, and run again without the same arguments would forget them.
. "$here/k3s.sh"
changed=
mkdir -p "$base" && echo "$in_cluster" >"$base/cluster" || fail 'cannot write to the host'
command -v systemctl >/dev/null || fail 'k3s needs systemd'
leader=$in_leader
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
    echo "  - 'linker.io/lb=enable'"
    echo "  - 'linker.io/public_ip=true'"
    echo "  - 'svccontroller.k3s.cattle.io/enablelb=true'"
  fi
  echo "  - $(yaml "fleetgate.io/role=$role")"
  if [ "$role" = master ]; then
    echo "token: $(yaml "${secure:+${secure}server:}$in_secret_serverToken")"
    echo "agent-token: $(yaml "$in_secret_agentToken")"
    echo 'tls-san:'
    for master in $in_masters $in_publicAddress; do echo "  - $(yaml "$master")"; done
    echo 'secrets-encryption: true'
    if [ "$in_isLeader" = 1 ]; then echo 'cluster-init: true'; else echo "server: $(yaml "https://$leader:6443")"; fi
    # In compact the one master works too.
    if [ "$in_category" = ha ]; then
      echo 'node-taint:'
      echo "  - 'node-role.kubernetes.io/control-plane=true:NoSchedule'"
    fi
  else
    echo "server: $(yaml "https://$leader:6443")"
    echo "token: $(yaml "${secure:+${secure}node:}$in_secret_agentToken")"
  fi
} >"$here/config"
put "$config" 600 "$here/config"

wanted=$in_file_k3s
if [ -n "$wanted" ]; then
  if [ "$(cat "$base/k3s-sum" 2>/dev/null)" != "$wanted" ]; then
    staged "$wanted" k3s
    mkdir -p "$(dirname "$k3s")" && cp "$file" "$k3s.new" && chmod 755 "$k3s.new" && mv "$k3s.new" "$k3s" || fail 'cannot copy k3s'
    changed=1
  fi
  images=$in_file_images
  place=$root/var/lib/rancher/k3s/agent/images
  if [ -n "$images" ] && [ ! -e "$place/k3s-airgap-images-amd64.tar.zst" ]; then
    staged "$images" 'the archive of images'
    mkdir -p "$place" && cp "$file" "$place/k3s-airgap-images-amd64.tar.zst" || fail 'cannot copy the images of k3s'
  fi
fi

if [ -z "$changed" ] && [ "$(cat "$base/k3s-sum" 2>/dev/null)" = "${wanted:-network}" ] && isActive; then
  say 'nothing to change'
  tellAuthority
  exit 0
fi
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
[ -z "$changed" ] || systemctl restart "$service" || fail "$service does not start"
echo "${wanted:-network}" >"$base/k3s-sum"
say "$service started"
tellAuthority
exit 0
