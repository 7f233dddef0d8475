# Waits until the server answers, has its routes and, on a master, until JetStream has its leader.
. "$here/nats.sh"
# Whether the server says this of itself at this path, with or without a blank before the value.
says() {
  answer=$(fetch "http://$local:8222/$1") || return 1
  case $answer in *"\"$2\":"$3* | *"\"$2\": "$3*) return 0 ;; esac
  return 1
}
ready() {
  last='nats-server does not run' && running || return 1
  if [ "$in_role" = master ]; then
    last='nats-server is not healthy' && says healthz status '"ok"' || return 1
    [ "$in_clustered" = 1 ] || return 0
    last='JetStream has no leader' && says jsz leader '"[!"]' || return 1
  fi
  # A server without JetStream that answers at all is healthy.
  if [ "$in_clustered" = 1 ]; then last='nats-server has no route to its cluster' && says routez num_routes '[1-9]'
  else last='nats-server is not connected to its master' && says leafz leafnodes '[1-9]'; fi
}
begun= tenths=1
until ready; do
  now=$(date +%s)
  begun=${begun:-$now}
  # A server that ended does not come back by itself where nobody looks after it.
  patience=$in_timeout
  [ "$last" != 'nats-server does not run' ] || patience=10
  [ "$((now - begun))" -lt "$patience" ] || fail "$last$(tail -n 1 "$home/log" 2>/dev/null | sed 's/^/: /')"
  # Ever more rarely: on a small host each look takes from the server what it needs to start.
  sleep "$((tenths / 10)).$((tenths % 10))"
  [ "$tenths" -ge 10 ] || tenths=$((tenths + 1))
done
say 'server is healthy'
exit 0
