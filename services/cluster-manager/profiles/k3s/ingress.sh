# Traefik runs where traffic comes in, for as long as there is such a node; else as k3s has it. Part of `addons`.
order get helmchartconfig traefik -n kube-system --ignore-not-found -o 'jsonpath={.metadata.name}={.metadata.labels.fleetgate\.io/part}'
case $said in
  '' | = | traefik=ingress)
    if [ "$in_ingressHosts" -gt 0 ]; then
      cat >"$here/ingress.yaml" <<'INGRESS'
apiVersion: helm.cattle.io/v1
kind: HelmChartConfig
metadata:
  name: traefik
  namespace: kube-system
  labels:
    fleetgate.io/part: ingress
spec:
  valuesContent: |-
    nodeSelector:
      linker.io/lb: enable
INGRESS
      change apply -f "$here/ingress.yaml"
    elif [ "$said" = traefik=ingress ]; then
      change delete helmchartconfig traefik -n kube-system --ignore-not-found
    fi
    ;;
  *) say 'the HelmChartConfig of Traefik is not ours and stays as it is' ;;
esac
