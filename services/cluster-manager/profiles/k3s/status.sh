# The names are those of the original system; what does their work here is asked.
. "$here/k3s.sh"
. "$here/dns.sh"
tell() { if [ "$2" = 0 ]; then echo "component $1 Healthy"; else echo "component $1 UnHealthy"; fi; }
# What these kinds have ready in a namespace, as ` name=number` each, for `has`.
readyOf() { ask -n "$1" get "$2" -o 'jsonpath={range .items[*]} {.metadata.name}={.status.readyReplicas}{end} '; }
has() { case $ready in *" $1="[1-9]*) ;; *) false ;; esac; }
# A part of the control plane, by what it says of itself on this host; its certificate may be its own.
isWell() { ask "--server=https://127.0.0.1:$1" --insecure-skip-tls-verify get --raw /healthz | grep -q ok; }
if [ "$role" = master ]; then
  ask get --raw /readyz | grep -q ok
  up=$?
  tell mesosmaster $up
  # The controllers and the scheduler.
  isWell 10257 && isWell 10259
  tell marathon $?
  ask get --raw /readyz/etcd | grep -q ok
  tell exhibitor $?
  # What does not answer is not asked again: each question would take its time.
  [ $up = 0 ] || ask() { false; }
  ready=$(readyOf kube-system deployments)
  has coredns
  tell dnsserver $?
  has traefik
  tell adminrouter $?
  # Helm's own controller is part of the server; what it takes charts from is served once it is there.
  ask get --raw /apis/helm.cattle.io/v1 | grep -q helmcharts
  tell cosmos $?
  # Answered by metrics-server, with what it has collected.
  ask get --raw /apis/metrics.k8s.io/v1beta1/nodes | grep -q usage
  tell metricscollector $?
  if [ "$in_monitoring" = 1 ]; then
    ready=$(readyOf "$monitoringNamespace" deployments,statefulsets)
    has "$monitoring-server"
    tell prometheus $?
    has "$monitoring-alertmanager"
    tell alertmanager $?
  fi
else
  isActive && isReady
  tell mesosslave $?
  fetch http://127.0.0.1:10248/healthz | grep -q ok
  tell cadvisormonitor $?
fi
# As a pod on this node would ask, at the address that k3s gives to CoreDNS.
resolves 10.43.0.10 53 kube-dns.kube-system.svc.cluster.local
tell genresolvconf $?
echo "figure task $("$k3s" crictl pods -q 2>/dev/null | wc -l)"
exit 0
