#!/bin/sh
# Ends the server and takes away everything that install made.
here=$1
. "$here/lib.sh"
. "$here/nats.sh"
stopServer
if [ -z "$root" ] && [ -e "$unit" ]; then rm -f "$unit" && systemctl daemon-reload; fi
rm -rf "$home" "$config"
sh "$here/registries.sh" "$here" none || exit 1
rmdir "$root/etc/fleetgate" 2>/dev/null
exit 0
