# Waits for the service, and on masters until the API is ready and knows this node as Ready.
. "$here/k3s.sh"
end=$(($(date +%s) + $in_timeout))
ready() {
  isActive || return 1
  [ "$role" = master ] || return 0
  kubectl get --raw /readyz 2>/dev/null | grep -q ok || return 1
  kubectl get node "$in_host" -o 'jsonpath={.status.conditions[?(@.type=="Ready")].status}' 2>/dev/null | grep -q True
}
until ready; do
  [ "$(date +%s)" -lt "$end" ] || fail "$service is not ready"
  sleep 1
done
say "$service is ready"
exit 0
