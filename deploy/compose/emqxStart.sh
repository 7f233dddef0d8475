#!/bin/sh
# The image's own start, with a variable for each file of this installation's settings.
set -eu
for file in /secrets/env/*; do
  export "${file##*/}=$(cat "$file")"
done
exec /usr/bin/docker-entrypoint.sh /opt/emqx/bin/emqx foreground
