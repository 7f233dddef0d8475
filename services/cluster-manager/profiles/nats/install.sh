# Puts program and configuration in place and (re)starts the server where one of them changed or it does not run.
. "$here/nats.sh"
. "$here/download.sh"
changed=
[ -d "$home/data" ] && [ -d "${config%/*}" ] || mkdir -p "$home/data" "${config%/*}" || fail 'cannot make the folders of the server'
echo "$in_cluster" >"$base/cluster" || fail 'cannot write to the host'

chooseProgram
if ! isProgramInstalled; then
  staged "$sum" nats-server
  # Another name first: a running program cannot be written over. A second name of one file needs no room.
  new=$binary
  [ ! -e "$binary" ] || new=$binary.new
  ln -f "$file" "$new" 2>/dev/null || cp "$file" "$new" || fail 'cannot copy nats-server'
  chmod 755 "$new" && { [ "$new" = "$binary" ] || mv "$new" "$binary"; } && echo "$sum $in_download_version" >"$home/sum" && changed=1
fi

isNew=$changed changed=
role=$in_role
# All values below are made by the control plane itself: addresses, numbers, and secrets of letters, digits, - and _.
{
  echo "server_name: \"$in_host\""
  echo "host: \"$address\""
  echo "port: 4222"
  echo "http: \"$local:8222\""
  echo 'lame_duck_duration: 30s'
  echo 'lame_duck_grace_period: 2s'
  echo "accounts { FLEET { jetstream: enabled, users: [ { user: fleet, password: \"$in_secret_password\" } ] }"
  echo "  SYS { users: [ { user: system, password: \"$in_secret_systemPassword\" } ] } }"
  echo 'system_account: SYS'
  if [ "$role" = master ]; then
    echo "jetstream { store_dir: \"$home/data\", max_memory_store: 64MB, max_file_store: ${in_storeMegabytes}MB }"
  fi
  if [ "$in_clustered" = 1 ]; then
    echo "cluster { name: \"$in_cluster\", listen: \"$address:6222\", no_advertise: false"
    echo "  authorization { user: route, password: \"$in_secret_routePassword\", timeout: 5 }"
    echo '  routes: ['
    for peer in $in_masters; do
      [ "$peer" = "$address" ] || printf '    "nats://route:%s@%s:6222"\n' "$in_secret_routePassword" "$peer"
    done
    echo ' ] }'
  fi
  if [ "$in_clustered" != 1 ]; then
    # One master cannot be a JetStream cluster: it stands alone, and the others are its leaves.
    if [ "$role" = master ]; then
      echo "leafnodes { listen: \"$address:7422\", authorization { user: leaf, password: \"$in_secret_routePassword\", account: FLEET } }"
    else
      echo "leafnodes { remotes: [ { url: \"nats://leaf:$in_secret_routePassword@$in_masters:7422\", account: FLEET } ] }"
    fi
  fi
  if [ "$role" = master ] || { [ "$role" = shared ] && [ "$in_clustered" = 1 ]; }; then
    echo "mqtt { listen: \"$address:1883\", stream_replicas: $in_replicas }"
  fi
} >"$config.new" || fail "cannot write $config"
put "$config" 600 "$config.new"
isOther=$changed changed=

if hasSystemd; then
  cat >"$here/unit" <<UNIT
[Unit]
Description=NATS of a Fleetgate cluster
Wants=network-online.target
After=network-online.target

[Service]
ExecStart=$binary -c $config -P $home/pid
ExecReload=/bin/kill -HUP \$MAINPID
Restart=on-failure
RestartSec=1
LimitNOFILE=65536

[Install]
WantedBy=multi-user.target
UNIT
  put "$unit" 644 "$here/unit"
fi

if running; then
  [ -n "$isNew$isOther$changed" ] || { say 'nothing to change'; exit 0; }
  # What runs is not ended for a configuration that would not start again, nor for one that it can take up as it runs.
  said=$("$binary" -t -c "$config" 2>&1) || fail "nats-server does not accept its configuration: $said"
  if [ -z "$isNew$changed" ] && reload; then say 'configuration taken up'; exit 0; fi
  stopServer
fi
startServer
say 'server started'
exit 0
