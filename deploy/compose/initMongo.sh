#!/bin/sh
# Makes the replica set of one node and a user for each service's database; may run again.
set -eu
root=$(cat /secrets/root)
ask() { mongosh --quiet --host mongo --username root --password "$root" --authenticationDatabase admin --eval "$1"; }
until ask 'db.adminCommand({ ping: 1 }).ok' >/dev/null 2>&1; do sleep 1; done
ask 'try { rs.status() } catch (error) { rs.initiate({ _id: "rs0", members: [{ _id: 0, host: "mongo:27017" }] }) }'
until ask 'if (!db.hello().isWritablePrimary) quit(1)' >/dev/null 2>&1; do sleep 1; done
for file in auth devices scheduler broker-proxy cluster-manager; do
  user=$(echo "$file" | tr - _)
  password=$(cat "/secrets/$file")
  ask "
    const of = { pwd: '$password', roles: [{ role: 'readWrite', db: 'fleetgate_$user' }] };
    const admin = db.getSiblingDB('admin');
    admin.getUser('$user') ? admin.updateUser('$user', of) : admin.createUser({ user: '$user', ...of })"
done
