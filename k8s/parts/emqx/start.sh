# Puts this installation's secrets into the configuration, then the image's own start.
set -eu
sed -e "s|@AUTH_SECRET@|$AUTH_SECRET|g; s|@COOKIE@|$COOKIE|; s|@DASHBOARD_PASSWORD@|$DASHBOARD_PASSWORD|" \
  -e "s|\"emqx-peers\"|\"emqx-peers.$POD_NAMESPACE.svc.cluster.local\"|" /template/emqx.conf >/opt/emqx/etc/emqx.conf
echo "$API_KEY:$API_SECRET:administrator" >/tmp/apiKeys
exec /usr/bin/docker-entrypoint.sh /opt/emqx/bin/emqx foreground
