#!/bin/sh
# Makes the replica set of one node and a user for each service's database; may run again.
set -eu
root=$(cat /secrets/root)
ask() { mongosh --quiet --host mongo --username root --password "$root" --authenticationDatabase admin --eval "$1"; }
# Returns when the question has an answer; after two minutes says why it has none, and gives up.
patiently() {
  tries=0
  until ask "$1" >${TMPDIR:-/tmp}/answer 2>&1; do
    tries=$((tries + 1))
    [ $tries -lt 120 ] || { cat ${TMPDIR:-/tmp}/answer >&2; exit 1; }
    sleep 1
  done
}
patiently 'db.adminCommand({ ping: 1 }).ok'
ask 'try { rs.status() } catch (error) { rs.initiate({ _id: "rs0", members: [{ _id: 0, host: "mongo:27017" }] }) }'
patiently 'if (!db.hello().isWritablePrimary) quit(1)'
for file in auth devices scheduler broker-proxy cluster-manager; do
  user=$(echo "$file" | tr - _)
  password=$(cat "/secrets/$file")
  ask "
    const of = { pwd: '$password', roles: [{ role: 'readWrite', db: 'fleetgate_$user' }] };
    const admin = db.getSiblingDB('admin');
    admin.getUser('$user') ? admin.updateUser('$user', of) : admin.createUser({ user: '$user', ...of })"
done
