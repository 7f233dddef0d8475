# Places and the start and end of the server, for the scripts of this profile.
home=$base/nats
config=$root/etc/fleetgate/nats.conf
binary=$home/nats-server
unit=$root/etc/systemd/system/fleetgate-nats.service

# Makes $sum the checksum of what is to run here, staged or fetched: that of the program or of its archive, with the address $url.
chooseProgram() { if [ -n "$in_file_nats_server" ]; then sum=$in_file_nats_server; else chooseDownload; fi; }

# Whether that is here: installed, or waiting to be. Where checksums cannot be had the version decides.
isProgramThere() { isProgramInstalled || { [ -n "$sum" ] && [ -s "$base/files/$sum" ]; }; }
isProgramInstalled() {
  is= isVersion=
  read -r is isVersion 2>/dev/null <"$home/sum"
  [ -n "$is" ] || return 1
  if [ -n "$sum" ]; then [ "$is" = "$sum" ]; else [ "$isVersion" = "$in_download_version" ]; fi
}

# Whether the server of this host runs; then $pid is its number.
running() { pid=; read -r pid 2>/dev/null <"$home/pid"; isProcess "$pid" "$binary"; }

startServer() {
  if hasSystemd; then
    systemctl daemon-reload && systemctl enable fleetgate-nats && systemctl restart fleetgate-nats || fail 'systemd does not start fleetgate-nats'
  else
    setsid "$binary" -c "$config" -P "$home/pid" >>"$home/log" 2>&1 </dev/null &
  fi
}

stopServer() {
  if hasSystemd && [ -e "$unit" ]; then systemctl disable --now fleetgate-nats; return 0; fi
  running || return 0
  kill -TERM "$pid" 2>/dev/null
  for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30; do
    kill -0 "$pid" 2>/dev/null || return 0
    sleep 0.2
  done
  kill -KILL "$pid" 2>/dev/null
  return 0
}

# When the server last read its configuration.
readAt() { fetch "http://$local:8222/varz" | sed -n 's/.*"config_load_time": *"\([^"]*\)".*/\1/p'; }

# True where the running server has taken up its changed configuration; some changes it takes at its start only. Without JetStream of its
# own a server needs five seconds for it.
reload() {
  was=$(readAt) rounds=0
  [ -n "$was" ] && kill -HUP "$pid" || return 1
  while [ "$rounds" -lt 30 ]; do
    sleep 0.4
    rounds=$((rounds + 1))
    is=$(readAt)
    [ -z "$is" ] || [ "$is" = "$was" ] || return 0
  done
  return 1
}
