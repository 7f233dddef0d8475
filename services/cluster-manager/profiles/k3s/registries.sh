# registries.yaml: a mirror and, where there is one, user and authority of each; the system registry also stands in for
# docker.io. k3s reads it at its start, so a change restarts it.
. "$here/k3s.sh"
changed=
count=$in_registries
folder=$root/etc/rancher/k3s/registries.d
[ "${count:-0}" != 0 ] || [ -e "$registries" ] || exit 0
if [ "${count:-0}" = 0 ]; then
  rm -rf "$registries" "$folder"
  changed=1
else
  index=0
  mirrors=$here/mirrors configs=$here/configs stands=$here/stands
  : >"$mirrors" && : >"$configs" && : >"$stands"
  while [ "$index" -lt "$count" ]; do
    at=$(value "registry_${index}_address")
    scheme=https
    [ "$(value "registry_${index}_insecure")" != 1 ] || scheme=http
    { echo "  $(yaml "$at"):"; echo '    endpoint:'; echo "      - $(yaml "$scheme://$at")"; } >>"$mirrors"
    [ "$(value "registry_${index}_system")" != 1 ] || echo "      - $(yaml "$scheme://$at")" >>"$stands"
    echo "  $(yaml "$at"):" >>"$configs"
    user=$(value "registry_${index}_username")
    if [ -n "$user" ]; then
      { echo '    auth:'; echo "      username: $(yaml "$user")"; echo "      password: $(yaml "$(value "registry_${index}_password")")"; } >>"$configs"
    fi
    echo '    tls:' >>"$configs"
    if [ "$scheme" = http ]; then echo '      insecure_skip_verify: true' >>"$configs"; else echo '      insecure_skip_verify: false' >>"$configs"; fi
    ca=$(value "registry_${index}_ca")
    if [ -n "$ca" ]; then
      printf '%s\n' "$ca" >"$here/ca"
      put "$folder/$index.crt" 644 "$here/ca"
      echo "      ca_file: $(yaml "$folder/$index.crt")" >>"$configs"
    fi
    index=$((index + 1))
  done
  # A name stands there once, whatever the number of those that stand in for it.
  [ ! -s "$stands" ] || { echo "  'docker.io':"; echo '    endpoint:'; cat "$stands"; } >>"$mirrors"
  { echo 'mirrors:'; cat "$mirrors"; echo 'configs:'; cat "$configs"; } >"$here/registries.yaml"
  put "$registries" 600 "$here/registries.yaml"
  for old in "$folder"/*.crt; do grep -q -F "'$old'" "$registries" || rm -f "$old"; done
  rmdir "$folder" 2>/dev/null
fi
[ -z "$changed" ] || ! isActive || systemctl restart "$service" || fail "$service does not start again"
[ -z "$changed" ] || say "registries written: $count"
exit 0
