# On the leader, for the nodes that go: no new work on any of them, then the old moves. A node that does not let go of its work in
# time is named, and keeps no other from being drained.
. "$here/k3s.sh"
end=$(($(date +%s) + in_timeout))
known=$(kubectl get node $in_gone --ignore-not-found -o name) || fail 'the nodes of the cluster cannot be read'
nodes=
for node in $known; do nodes="$nodes ${node#node/}"; done
[ -n "$nodes" ] || exit 0
kubectl cordon $nodes || fail "cannot be cordoned:$nodes"
drain() {
  left=$((end - $(date +%s)))
  [ "$left" -ge 5 ] || left=5
  if kubectl drain "$1" --ignore-daemonsets --delete-emptydir-data --grace-period=120 --timeout="${left}s"; then
    say "$1 drained"
  else
    echo "$1" >>"$here/undrained"
  fi
}
count=0
for node in $nodes; do
  drain "$node" &
  count=$((count + 1))
  # Each is a program of its own, and the leader has other work.
  [ $((count % 10)) != 0 ] || wait
done
wait
[ ! -s "$here/undrained" ] || fail "cannot be drained: $(tr '\n' ' ' <"$here/undrained")"
exit 0
