# After a profile's own remove: the keys, the staged files and every trace of the control plane.
: >"$here/input.d/keys"
(. "$here/keys.sh") || exit 1
rm -rf "$base/files" "$base/cluster" "$HOME_OF_USER/.fleetgate/files"
rmdir "$HOME_OF_USER/.fleetgate" 2>/dev/null
: >"$here/../forget"
say removed
exit 0
