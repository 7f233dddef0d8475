#!/bin/sh
# First half of a backup: all documents, as they are together at the moment when the dump ends.
set -eu
umask 077
unfinished=${BACKUP_DIR:-/backup}/unfinished
rm -rf "$unfinished"
mkdir -p "$unfinished"
# mongodump takes a database in the address for the only one wanted, and then refuses --oplog; the operator writes one there.
host='^([a-z+]+://[^/]+)'
address=$(printf '%s' "$MONGODB_URI" | sed -E -e "s#$host(/[^?]*)?\$#\1/?authSource=admin#" -e t -e "s#$host/[^?]*\?#\1/?authSource=admin\&#")
# Not on the command line, where others see it.
settings=${TMPDIR:-/tmp}/mongodump.yaml
printf 'uri: "%s"\n' "$address" >"$settings"
mongodump --config="$settings" --oplog --gzip --archive="$unfinished/documents.gz"
