# NATS itself draws no images. What runs beside it on these hosts does, by podman, CRI-O or docker: a registry is told
# to them as trusted (certs.d), insecure (registries.conf.d) and with its user (an auth file for REGISTRY_AUTH_FILE).
count=$in_registries
list=$root/etc/fleetgate/registries
[ "${count:-0}" != 0 ] || [ -e "$list" ] || exit 0
conf=$root/etc/containers/registries.conf.d/50-fleetgate.conf
auth=$root/etc/fleetgate/registry-auth.json
mkdir -p "$root/etc/fleetgate"
# Those of last time go first: one that the cluster no longer has must not be trusted any more.
while read -r old; do
  for folder in "$root/etc/docker/certs.d" "$root/etc/containers/certs.d"; do
    rm -f "$folder/$old/ca.crt"
    rmdir "$folder/$old" "$folder" "$(dirname "$folder")" 2>/dev/null
  done
done 2>/dev/null <"$list"
rm -f "$list" "$conf" "$auth"
if [ "${count:-0}" = 0 ]; then
  rmdir "$root/etc/containers/registries.conf.d" "$root/etc/containers" "$root/etc/fleetgate" 2>/dev/null
  exit 0
fi
index=0 users=
while [ "$index" -lt "$count" ]; do
  at=$(value "registry_${index}_address")
  echo "$at" >>"$list"
  ca=$(value "registry_${index}_ca")
  if [ -n "$ca" ]; then
    for folder in "$root/etc/docker/certs.d" "$root/etc/containers/certs.d"; do
      mkdir -p "$folder/$at" && printf '%s\n' "$ca" >"$folder/$at/ca.crt"
    done
  fi
  insecure=$(value "registry_${index}_insecure")
  mkdir -p "$(dirname "$conf")"
  printf '[[registry]]\nlocation = "%s"\ninsecure = %s\n' "$at" "$([ "$insecure" = 1 ] && echo true || echo false)" >>"$conf"
  token=$(value "registry_${index}_auth")
  [ -z "$token" ] || users="$users${users:+,}\"$at\":{\"auth\":\"$token\"}"
  index=$((index + 1))
done
if [ -n "$users" ]; then
  printf '{"auths":{%s}}\n' "$users" >"$here/registry-auth"
  put "$auth" 600 "$here/registry-auth"
fi
say "registries written: $count"
exit 0
