# Places and words of k3s, for the scripts of this profile.
k3s=$root/usr/local/bin/k3s
config=$root/etc/rancher/k3s/config.yaml
registries=$root/etc/rancher/k3s/registries.yaml
role=$in_role
if [ "$role" = master ]; then service=k3s; else service=k3s-agent; fi

# A YAML text that means itself: single quotes, doubled inside.
yaml() { printf "'%s'" "$(printf %s "$1" | sed "s/'/''/g")"; }

kubectl() { "$k3s" kubectl "$@"; }

isActive() { systemctl is-active --quiet "$service"; }
