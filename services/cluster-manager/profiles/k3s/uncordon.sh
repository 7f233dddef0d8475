# On the leader, for nodes that were to go and stay: they take work again. One that is forgotten already is not known any more.
. "$here/k3s.sh"
known=$(kubectl get node $in_gone --ignore-not-found -o name) || fail 'the nodes of the cluster cannot be read'
[ -n "$known" ] || exit 0
said=$(kubectl uncordon $known 2>&1) || fail "cannot be uncordoned: $(echo "$said" | tr '\n' ' ')"
for node in $known; do say "${node#node/} takes work again"; done
exit 0
