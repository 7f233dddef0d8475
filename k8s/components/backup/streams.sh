#!/bin/sh
# Second half of a backup, after the documents: the streams. Only what is whole gets a name of its own; the oldest go.
set -eu
umask 077
folder=${BACKUP_DIR:-/backup}
for stream in EVENTS COMMANDS UPLINK UPLOADS OBJ_files; do
  nats stream backup --no-progress "$stream" "$folder/unfinished/$stream"
done
mv "$folder/unfinished" "$folder/$(date -u +%Y-%m-%dT%H%M%SZ)"
cd "$folder"
ls -d [0-9]*Z | sort -r | tail -n "+$((${KEEP:-7} + 1))" | while read -r old; do rm -rf "./$old"; done
