# On the leader, for the nodes that go: no new work, the old moves, and the node is forgotten, so that its name is free.
. "$here/k3s.sh"
for node in $in_nodes; do
  kubectl get node "$node" >/dev/null 2>&1 || continue
  kubectl cordon "$node" || fail "node $node cannot be cordoned"
  kubectl drain "$node" --ignore-daemonsets --delete-emptydir-data --grace-period=120 --timeout=300s ||
    { kubectl uncordon "$node"; fail "node $node cannot be drained"; }
  kubectl delete node "$node" || fail "node $node cannot be deleted"
  say "$node drained"
done
exit 0
