# After a profile's own remove: the keys, the staged files and every trace of the control plane.
(in_keys=; . "$here/keys.sh") || exit 1
rm -rf "$base/files" "$base/cluster"
: >"$here/../forget"
say removed
exit 0
