#!/bin/sh
# The image's own start, with the configuration that holds this installation's secrets.
set -eu
cat /secrets/emqx.conf >/opt/emqx/etc/emqx.conf
exec /usr/bin/docker-entrypoint.sh /opt/emqx/bin/emqx foreground
