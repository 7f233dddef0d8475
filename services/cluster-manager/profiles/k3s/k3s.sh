# Places and words of k3s, for the scripts of this profile.
k3s=$root/usr/local/bin/k3s
config=$root/etc/rancher/k3s/config.yaml
registries=$root/etc/rancher/k3s/registries.yaml
kubelet=$root/var/lib/rancher/k3s/agent/kubelet.kubeconfig
role=$in_role
if [ "$role" = master ]; then service=k3s; else service=k3s-agent; fi
# Where those that join ask: at the address that stays whatever becomes of a master, else at the leader.
api=https://${in_apiAddress:-$in_leader}:6443
# What the tags lb=enable and public_ip=true of a shared host are among nodes. With the last one on any node ServiceLB leaves all others.
sharedLabels='linker.io/lb=enable linker.io/public_ip=true svccontroller.k3s.cattle.io/enablelb=true'
# Of the monitoring: the chart among those of k3s' own Helm, and the place of all that comes of it.
monitoring=fleetgate-prometheus monitoringNamespace=fleetgate-monitoring

# Where a host with a root of its own has what the kernel says; elsewhere the kernel's own.
hostFile() { if [ -e "$root$1" ]; then echo "$root$1"; else echo "$1"; fi; }

# A YAML text that means itself: single quotes, doubled inside.
yaml() { printf "'%s'" "$(printf %s "$1" | sed "s/'/''/g")"; }

# What it remembers of the API is k3s', and goes with it.
kubectl() { KUBECACHEDIR=$root/var/lib/rancher/k3s/kubectl "$k3s" kubectl "$@"; }

# A question for which nobody waits long.
ask() { kubectl "$@" --request-timeout=5s 2>/dev/null; }

isActive() { systemctl is-active --quiet "$service"; }

# Whether the API server has this node as Ready. A server asks as administrator; a worker has the log-in of its kubelet, which only a
# server that took it in gives it, and with which it may read the node of its own name.
isReady() {
  if [ "$role" = master ]; then set --; else set -- "--kubeconfig=$kubelet"; fi
  ask get node "$in_host" "$@" -o 'jsonpath={.status.conditions[?(@.type=="Ready")].status}' | grep -q True
}
