# Lame duck: the server asks its clients to go elsewhere, waits for them, and ends.
. "$here/nats.sh"
running || exit 0
kill -USR2 "$pid"
end=$(($(date +%s) + in_timeout))
while kill -0 "$pid" 2>/dev/null && [ "$(date +%s)" -lt "$end" ]; do sleep 0.2; done
say drained
exit 0
