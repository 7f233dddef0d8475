# What is the cluster's and no host's, by one master: which nodes take traffic in, and what keeps watch over all of them.
. "$here/k3s.sh"
end=$(($(date +%s) + in_timeout))
left() {
  left=$((end - $(date +%s)))
  [ "$left" -ge 5 ] || left=5
}
# What kubectl answers, as $said, or for the log of this run (`change`). Of what it complains of besides, an API that is not there yet
# for one, only a failure is told.
order() { said=$(kubectl "$@" 2>"$here/complaint") || fail "kubectl $1: $(tr '\n' ' ' <"$here/complaint" | cut -c 1-400)"; }
change() { order "$@" && echo "$said"; }
# Helm's kinds are there some time after the API itself.
until ask get --raw /apis/helm.cattle.io/v1 | grep -q helmchartconfigs; do
  [ "$(date +%s)" -lt "$end" ] || fail 'k3s does not serve the kinds of its Helm controller'
  sleep 1
done
. "$here/ingress.sh"
. "$here/monitoring.sh"
exit 0
