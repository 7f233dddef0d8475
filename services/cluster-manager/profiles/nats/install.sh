#!/bin/sh
# Puts program and configuration in place and (re)starts the server where one of them changed or it does not run.
here=$1
. "$here/lib.sh"
. "$here/nats.sh"
changed=
mkdir -p "$home/data" && chmod 700 "$home" || fail 'cannot make the folder of the server'
value cluster >"$base/cluster"

sum=$(value file.nats-server)
if [ "$(cat "$home/sum" 2>/dev/null)" != "$sum" ]; then
  file=$(staged "$sum") || fail 'the staged nats-server is not whole'
  # Another name first: a running program cannot be written over. A second name of one file needs no room.
  ln -f "$file" "$binary.new" 2>/dev/null || cp "$file" "$binary.new" || fail 'cannot copy nats-server'
  chmod 755 "$binary.new" && mv "$binary.new" "$binary" && echo "$sum" >"$home/sum" && changed=1
fi

role=$(value role)
# All values below are made by the control plane itself: addresses, numbers, and secrets of letters, digits, - and _.
{
  echo "server_name: \"$(value host)\""
  echo "host: \"$address\""
  echo "port: 4222"
  echo "http: \"$local:8222\""
  echo 'lame_duck_duration: 30s'
  echo 'lame_duck_grace_period: 2s'
  echo "accounts { FLEET { jetstream: enabled, users: [ { user: fleet, password: \"$(value secret.password)\" } ] }"
  echo "  SYS { users: [ { user: system, password: \"$(value secret.systemPassword)\" } ] } }"
  echo 'system_account: SYS'
  if [ "$role" = master ]; then
    echo "jetstream { store_dir: \"$home/data\", max_memory_store: 64MB, max_file_store: $(value storeMegabytes)MB }"
  fi
  if [ "$(value clustered)" = 1 ]; then
    echo "cluster { name: \"$(value cluster)\", listen: \"$address:6222\", no_advertise: false"
    echo "  authorization { user: route, password: \"$(value secret.routePassword)\", timeout: 5 }"
    echo '  routes: ['
    for peer in $(value masters); do
      [ "$peer" = "$address" ] || printf '    "nats://route:%s@%s:6222"\n' "$(value secret.routePassword)" "$peer"
    done
    echo ' ] }'
  fi
  if [ "$(value clustered)" != 1 ]; then
    # One master cannot be a JetStream cluster: it stands alone, and the others are its leaves.
    if [ "$role" = master ]; then
      echo "leafnodes { listen: \"$address:7422\", authorization { user: leaf, password: \"$(value secret.routePassword)\", account: FLEET } }"
    else
      echo "leafnodes { remotes: [ { url: \"nats://leaf:$(value secret.routePassword)@$(value masters):7422\", account: FLEET } ] }"
    fi
  fi
  if [ "$role" = master ] || { [ "$role" = shared ] && [ "$(value clustered)" = 1 ]; }; then
    echo "mqtt { listen: \"$address:1883\", stream_replicas: $(value replicas) }"
  fi
} >"$here/config"
put "$config" 600 <"$here/config"

if hasSystemd; then
  put "$unit" 644 <<UNIT
[Unit]
Description=NATS of a Fleetgate cluster
After=network-online.target

[Service]
ExecStart=$binary -c $config -P $home/pid
ExecReload=/bin/kill -HUP \$MAINPID
Restart=always
LimitNOFILE=65536

[Install]
WantedBy=multi-user.target
UNIT
fi

if [ -z "$changed" ] && pidOf >/dev/null; then say 'nothing to change'; exit 0; fi
said=$("$binary" -t -c "$config" 2>&1) || fail "nats-server does not accept its configuration: $said"
stopServer
startServer
say 'server started'
exit 0
