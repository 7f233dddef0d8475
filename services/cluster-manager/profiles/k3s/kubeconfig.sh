# The administrator's log-in, with the address of the API, else that at which others reach this server, in the place of the host's own
# for itself.
. "$here/k3s.sh"
file=$root/etc/rancher/k3s/k3s.yaml
[ -s "$file" ] || fail 'k3s has not written its kubeconfig'
sed -e "s|^\( *server: *https://\)[^/]*:|\1${in_apiAddress:-$in_publicAddress}:|" -e 's/^/access /' "$file"
