# Places and words of k3s, for the scripts of this profile.
k3s=$root/usr/local/bin/k3s
config=$root/etc/rancher/k3s/config.yaml
registries=$root/etc/rancher/k3s/registries.yaml
kubelet=$root/var/lib/rancher/k3s/agent/kubelet.kubeconfig
role=$in_role
if [ "$role" = master ]; then service=k3s; else service=k3s-agent; fi

# Where a host with a root of its own has what the kernel says; elsewhere the kernel's own.
hostFile() { if [ -e "$root$1" ]; then echo "$root$1"; else echo "$1"; fi; }

# A YAML text that means itself: single quotes, doubled inside.
yaml() { printf "'%s'" "$(printf %s "$1" | sed "s/'/''/g")"; }

kubectl() { "$k3s" kubectl "$@"; }

isActive() { systemctl is-active --quiet "$service"; }

# Whether the API server has this node as Ready. A server asks as administrator; a worker has the log-in of its kubelet, which only a
# server that took it in gives it, and with which it may read the node of its own name.
isReady() {
  if [ "$role" = master ]; then set --; else set -- "--kubeconfig=$kubelet"; fi
  kubectl get node "$in_host" "$@" --request-timeout=5s -o 'jsonpath={.status.conditions[?(@.type=="Ready")].status}' 2>/dev/null | grep -q True
}
