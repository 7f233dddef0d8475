# The names are those of the original system; what does their work here is asked.
. "$here/k3s.sh"
tell() { if [ "$2" = 0 ]; then echo "component $1 Healthy"; else echo "component $1 UnHealthy"; fi; }
deployed() { kubectl -n kube-system get deployment "$1" -o 'jsonpath={.status.availableReplicas}' 2>/dev/null | grep -q '[1-9]'; }
if [ "$role" = master ]; then
  kubectl get --raw /readyz 2>/dev/null | grep -q ok
  tell mesosmaster $?
  kubectl get --raw /readyz/etcd 2>/dev/null | grep -q ok
  tell exhibitor $?
  deployed coredns
  tell dnsserver $?
  deployed traefik
  tell adminrouter $?
else
  isActive && isReady
  tell mesosslave $?
  fetch http://127.0.0.1:10248/healthz | grep -q ok
  tell cadvisormonitor $?
fi
echo "figure task $("$k3s" crictl pods -q 2>/dev/null | wc -l)"
exit 0
