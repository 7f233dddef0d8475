# Prometheus with Alertmanager, on one node, and what it asks on all of them: a chart that k3s' own Helm controller installs, from the
# control plane or from the network. Part of `addons`.
version=29.27.0
# What they keep lies on the disk of their node, and cannot move: on another node they begin anew. The namespace, which tells of the
# node, is made before all else and goes last.
forgetMonitoring() {
  left
  change delete helmchart "$monitoring" -n kube-system --ignore-not-found "--timeout=${left}s"
  left
  change delete namespace "$monitoringNamespace" --ignore-not-found "--timeout=${left}s"
}
order get namespace "$monitoringNamespace" --ignore-not-found -o 'jsonpath={.metadata.name}={.metadata.labels.fleetgate\.io/node}'
case $said in '' | = | "$monitoringNamespace=$in_monitor") ;; *) forgetMonitoring ;; esac
if [ -n "$in_monitor" ]; then
  onNode() { printf '    %s:\n      nodeSelector:\n        kubernetes.io/hostname: %s\n' "$1" "$in_monitor"; }
  {
    cat <<MONITORING
apiVersion: v1
kind: Namespace
metadata:
  name: $monitoringNamespace
  labels:
    fleetgate.io/node: $in_monitor
---
apiVersion: helm.cattle.io/v1
kind: HelmChart
metadata:
  name: $monitoring
  namespace: kube-system
  labels:
    fleetgate.io/part: monitoring
spec:
  targetNamespace: $monitoringNamespace
MONITORING
    if [ -s "$base/chart-sum" ]; then
      staged "$(cat "$base/chart-sum")" 'the chart of Prometheus'
      printf '  chartContent: %s\n' "$(base64 <"$file" | tr -d '\n')"
    else
      printf '  repo: %s\n  chart: prometheus\n  version: %s\n' https://prometheus-community.github.io/helm-charts "$version"
    fi
    echo '  valuesContent: |-'
    for part in server alertmanager kube-state-metrics; do onNode "$part"; done
    printf '    prometheus-pushgateway:\n      enabled: false\n'
  } >"$here/monitoring.yaml"
  change apply -f "$here/monitoring.yaml"
fi
