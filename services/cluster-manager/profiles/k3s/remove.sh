# k3s' own uninstaller, then what is ours.
. "$here/k3s.sh"
for script in k3s-agent-uninstall.sh k3s-uninstall.sh; do
  [ ! -x "$root/usr/local/bin/$script" ] || "$root/usr/local/bin/$script" || fail "$script failed"
done
rm -rf "$root/etc/rancher/k3s" "$root/var/lib/rancher/k3s" "$k3s" "$base/k3s-sum" "$base/images-sum" "$base/monitoring-images-sum" "$base/chart-sum" "$base/k3s-restart"
rmdir "$root/etc/rancher" "$root/var/lib/rancher" 2>/dev/null
exit 0
