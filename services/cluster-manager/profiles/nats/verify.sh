#!/bin/sh
# Waits until the server answers, has its routes and, on a master, until JetStream has its leader.
here=$1
. "$here/lib.sh"
. "$here/nats.sh"
end=$(($(date +%s) + $(value timeout)))
last=
ready() {
  last='nats-server does not run' && pidOf >/dev/null || return 1
  last='nats-server is not healthy' && fetch "http://$local:8222/healthz" | grep -q '"ok"' || return 1
  if [ "$(value clustered)" = 1 ]; then
    last='nats-server has no route to its cluster' && fetch "http://$local:8222/routez" | grep -q '"num_routes": *[1-9]' || return 1
  fi
  if [ "$(value role)" != master ] && [ "$(value clustered)" != 1 ]; then
    last='nats-server is not connected to its master' && fetch "http://$local:8222/leafz" | grep -q '"leafnodes": *[1-9]' || return 1
  fi
  if [ "$(value role)" = master ] && [ "$(value clustered)" = 1 ]; then
    last='JetStream has no leader' && fetch "http://$local:8222/jsz" | grep -q '"leader": *"[^"]' || return 1
  fi
  return 0
}
until ready; do
  [ "$(date +%s)" -lt "$end" ] || fail "$last"
  sleep 0.3
done
say 'server is healthy'
exit 0
