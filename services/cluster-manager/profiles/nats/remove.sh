# Ends the server and takes away everything that install made.
. "$here/nats.sh"
stopServer
if [ -e "$unit" ]; then rm -f "$unit"; hasSystemd && systemctl daemon-reload; fi
rm -rf "$home" "$config" "$config.new"
(in_registries=0; . "$here/registries.sh") || exit 1
rmdir "$root/etc/fleetgate" 2>/dev/null
exit 0
