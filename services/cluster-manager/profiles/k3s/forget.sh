# On a master that stays, for the nodes that go: their names are free. A node that was a master goes only when k3s' own controller
# has taken its member out of etcd (a finalizer), so that what comes after this may end the server of that member.
. "$here/k3s.sh"
said=$(kubectl delete node $in_gone --ignore-not-found --timeout="${in_timeout}s" 2>&1) ||
  fail "the nodes cannot be deleted: $(echo "$said" | tr '\n' ' ')"
for node in $in_gone; do say "$node is forgotten"; done
exit 0
