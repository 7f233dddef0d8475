# Waits until the API server has this host's node as Ready. That the service runs proves nothing on a worker: its unit counts as
# started at once, and the agent in it asks again and again where no server takes it in.
. "$here/k3s.sh"
end=$(($(date +%s) + in_timeout))
ready() {
  last="$service does not run" && isActive || return 1
  if [ "$role" = master ]; then
    last='the API server is not ready'
    kubectl get --raw /readyz 2>/dev/null | grep -q ok || return 1
  else
    last="the host has not joined: no server took it in at $api"
    [ -s "$kubelet" ] || return 1
  fi
  last="the API server does not have the node $in_host as Ready" && isReady
}
# What the service itself says is wrong.
complaint() {
  journalctl -u "$service" -n 50 -o cat 2>/dev/null | grep -E 'level=(error|fatal)' | tail -n 1 | cut -c 1-400 | sed 's/^/: /'
}
until ready; do
  [ "$(date +%s)" -lt "$end" ] || fail "$last$(complaint)"
  sleep 1
done
# k3s gives labels to a node as it joins, and never again.
if [ "$role" = shared ]; then
  said=$(kubectl label node "$in_host" $sharedLabels --overwrite "--kubeconfig=$kubelet" 2>&1) || fail "its node cannot be labelled: $said"
fi
. "$here/advice.sh"
say "$service is ready${advice:+, but $advice}"
exit 0
