# What comes beside the program. Of archives of images k3s takes in whatever lies there when it starts, so that a new one counts from
# then on.
. "$here/k3s.sh"
images=$root/var/lib/rancher/k3s/agent/images
# $1 is the checksum of what was staged, $2 where that of the one that is there is kept, $3 the name that it has there, and $4 which
# files it takes the place of: these go first, for two of them may be more than the disk holds.
bringImages() {
  [ -n "$1" ] && [ "$(cat "$base/$2" 2>/dev/null)" != "$1" ] || return 0
  staged "$1" 'an archive of images'
  change
  rm -f "$images"/$4
  mkdir -p "$images" && cp "$file" "$images/$3" && echo "$1" >"$base/$2" || fail 'cannot copy images'
}
bringImages "$in_file_images" images-sum k3s-airgap-images.tar.zst 'k3s-airgap-images*.tar.zst'
bringImages "$in_file_monitoring_images" monitoring-images-sum fleetgate-prometheus-images.tar.zst fleetgate-prometheus-images.tar.zst
# Those that are taken in stay until k3s wants their room.
[ "$in_monitoring" = 1 ] || [ ! -e "$base/monitoring-images-sum" ] || rm -f "$images/fleetgate-prometheus-images.tar.zst" "$base/monitoring-images-sum"
# The chart that came last, by its checksum: when other hosts come or go there may be a newer one, which did not come here.
if [ -n "$in_file_chart" ]; then echo "$in_file_chart" >"$base/chart-sum"
elif [ -e "$base/chart-sum" ]; then rm -f "$base/chart-sum"; fi
