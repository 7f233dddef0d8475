# `component name Healthy|UnHealthy` for each part that belongs on this host, and the number of connections as its tasks.
. "$here/nats.sh"
role=$in_role
tell() { if [ "$2" = 0 ]; then echo "component $1 Healthy"; else echo "component $1 UnHealthy"; fi; }
running && fetch "http://$local:8222/healthz" | grep -q '"ok"'
healthy=$?
tell nats $healthy
if [ "$role" = master ]; then
  if [ "$in_clustered" = 1 ]; then fetch "http://$local:8222/jsz" | grep -q '"leader": *"[^"]'; else [ $healthy = 0 ]; fi
  tell jetstream $?
fi
varz=$(fetch "http://$local:8222/varz")
if [ "$role" = master ] || { [ "$role" = shared ] && [ "$in_clustered" = 1 ]; }; then
  [ $healthy = 0 ] && echo "$varz" | tr -d '\n' | grep -q '"mqtt": *{[^}]*"port": *1883'
  tell mqtt $?
fi
tasks=$(echo "$varz" | sed -n 's/^ *"connections": *\([0-9]*\).*/\1/p' | head -n 1)
echo "figure task ${tasks:-0}"
exit 0
