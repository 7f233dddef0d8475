import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { SshHosts } from '@fleetgate/testkit'

/** k3s itself does not run on the test hosts: these stand for the program, its installer and systemctl, and write down how they were called. */
const say = (name: string) => `echo "${name} $*" >>"$FLEETGATE_ROOT/var/lib/calls"`
export const authority = 'c0'.repeat(32)

/**
 * What kubectl does with the objects that our scripts make: kept as they were given, one file each, in a folder of the host that stands
 * for the API server. `$*` is the command line from `kubectl` on. It answers of an object its name and the label that is asked for.
 */
export const kubectlObjects = `
objects="$FLEETGATE_ROOT/var/lib/objects"
mkdir -p "$objects"
field() { sed -n "s#^ *$1: ##p" "$2" | head -n 1; }
case "$*" in
  'kubectl get --raw /apis/helm.cattle.io/v1'*) [ -e "$objects/.late" ] && rm "$objects/.late" || echo '{"resources":[{"name":"helmcharts"},{"name":"helmchartconfigs"}]}' ;;
  'kubectl apply -f '*)
    parts=$(mktemp -d)
    awk -v at="$parts/" '/^---$/ { n++; next } { print > (at n + 0) }' "$4"
    for part in "$parts"/*; do
      object=$(field kind "$part" | tr A-Z a-z).$(field name "$part")
      if [ ! -e "$objects/$object" ]; then word=created
      elif cmp -s "$part" "$objects/$object"; then word=unchanged
      else word=configured; fi
      if [ $word = unchanged ]; then rm "$part"; else mv "$part" "$objects/$object"; fi
      echo "$(echo "$object" | tr . /) $word"
    done
    rmdir "$parts" ;;
  'kubectl get helmchartconfig '* | 'kubectl get helmchart '* | 'kubectl get namespace '*)
    echo 'memcache.go: metrics.k8s.io/v1beta1: the server is currently unable to handle the request' >&2
    label=$(echo "$*" | sed -n 's#.*{.metadata.labels.fleetgate[\\]\\.io/\\([a-z]*\\)}.*#\\1#p')
    [ ! -e "$objects/$3.$4" ] || printf '%s=%s' "$4" "$(field "fleetgate.io/$label" "$objects/$3.$4")" ;;
  'kubectl delete helmchartconfig '* | 'kubectl delete helmchart '* | 'kubectl delete namespace '*)
    [ ! -e "$objects/$3.$4" ] || { rm "$objects/$3.$4"; echo "$3 \\"$4\\" deleted"; } ;;
esac`

const k3s = `${say('k3s')}
lib="$FLEETGATE_ROOT/var/lib"
[ "$1" != kubectl ] || { cache="\${KUBECACHEDIR:-$HOME/.kube/cache}"; mkdir -p "$cache" && touch "$cache/discovery"; }
${kubectlObjects}
case "$*" in
  'kubectl get node'*' -o name')
    shift 3
    while [ "$1" != --ignore-not-found ]; do grep -qx "$1" "$lib/deleted" 2>/dev/null || echo "node/$1"; shift; done ;;
  'kubectl delete node'*)
    [ ! -e "$lib/stuck" ] || { echo 'timed out waiting for the condition' >&2; exit 1; }
    shift 3
    while [ "$1" != --ignore-not-found ]; do echo "$1" >>"$lib/deleted"; shift; done ;;
  *readyz* | *'--raw /healthz'*) echo ok ;;
  'kubectl get node'*--kubeconfig=*) [ ! -s "$lib/rancher/k3s/agent/kubelet.kubeconfig" ] || echo True ;;
  *jsonpath=*Ready\\"*) echo True ;;
  'kubectl -n kube-system get deployments '*) echo ' coredns=1 traefik=1 ' ;;
  'kubectl -n fleetgate-monitoring get '*) [ ! -e "$objects/helmchart.fleetgate-prometheus" ] || echo ' fleetgate-prometheus-server=1 fleetgate-prometheus-alertmanager=1 ' ;;
  *metrics.k8s.io*) echo '{"items":[{"usage":{"cpu":"1n"}}]}' ;;
esac`

const installer = `${say('install $INSTALL_K3S_EXEC $INSTALL_K3S_SKIP_DOWNLOAD')}
[ ! -e "$FLEETGATE_ROOT/var/lib/refused" ] || { echo 'node password rejected' >&2; exit 1; }
name=k3s
[ "$INSTALL_K3S_EXEC" = server ] || name=k3s-agent
mkdir -p "$FLEETGATE_ROOT/etc/systemd/system"
touch "$FLEETGATE_ROOT/var/lib/active" "$FLEETGATE_ROOT/etc/systemd/system/$name.service"
mkdir -p "$FLEETGATE_ROOT/var/lib/rancher/k3s/agent"
echo joined >"$FLEETGATE_ROOT/var/lib/rancher/k3s/agent/kubelet.kubeconfig"
mkdir -p "$FLEETGATE_ROOT/var/lib/rancher/k3s/server"
[ "$INSTALL_K3S_EXEC" = agent ] || echo "K10${authority}::server:x" >"$FLEETGATE_ROOT/var/lib/rancher/k3s/server/token"
[ "$INSTALL_K3S_EXEC" = agent ] || echo 'clusters:
- cluster:
    server: https://127.0.0.1:6443
users:
- user:
    client-key-data: a2V5IG9mIGFkbWlu' >"$FLEETGATE_ROOT/etc/rancher/k3s/k3s.yaml"
printf '#!/bin/sh\\necho uninstalled >>"$FLEETGATE_ROOT/var/lib/calls"; rm -r "$FLEETGATE_ROOT/var/lib/active" "$FLEETGATE_ROOT/var/lib/rancher" "$FLEETGATE_ROOT"/etc/systemd/system/k3s*.service "$0"\\n' >"$FLEETGATE_ROOT/usr/local/bin/$name-uninstall.sh"
chmod 755 "$FLEETGATE_ROOT/usr/local/bin/$name-uninstall.sh"`

const systemctl = `${say('systemctl')}
case "$1" in
  is-active) case "$3" in k3s*) [ -e "$FLEETGATE_ROOT/var/lib/active" ] ;; *) exit 1 ;; esac ;;
  restart)
    begun=$(date +%s%N)
    sleep 0.5
    echo "restart $begun $(date +%s%N)" >>"$FLEETGATE_ROOT/var/lib/calls" ;;
esac`

function write(folder: string, programs: Record<string, string>): void {
  mkdirSync(folder, { recursive: true })
  for (const [name, text] of Object.entries(programs))
    writeFileSync(join(folder, name), `#!/bin/sh\n${text}\n`, { mode: 0o755 })
}

/** Makes a K3S_DIR in `dir`. */
export function layK3s(dir: string): string {
  const folder = join(dir, 'k3s')
  write(folder, { k3s, 'install.sh': installer })
  return folder
}

/** What k3s needs of hosts; what the machine under the test can load, lets in or knows says nothing of them. */
export function prepareHosts({ hosts }: SshHosts): void {
  for (const { disk } of hosts)
    write(join(disk, 'usr/local/bin'), {
      systemctl,
      modprobe: 'exit 0',
      ufw: 'exit 1',
      getent: '[ "$2" != nowhere.example.com ]'
    })
}
