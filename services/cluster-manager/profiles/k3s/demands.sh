# What k3s asks of a host beyond what every profile asks: `preflight` reads it. Without it k3s does not start, or its nodes and what
# runs on them do not reach each other; what only may run short is advice.
. "$here/k3s.sh"
if [ "$role" = master ]; then
  cpus=$(grep -c ^processor "$(hostFile /proc/cpuinfo)")
  [ "$cpus" -ge 2 ] || wrong "the host has $cpus processor, a server of k3s needs 2"
  memory=$(awk '/^MemTotal/ { print int($2 / 1024) }' "$(hostFile /proc/meminfo)")
  # Firmware and kernel keep some of 2 GB for themselves.
  [ "$memory" -ge 1700 ] || wrong "the host has $memory MB of memory, a server of k3s needs 2 GB"
  # Of etcd, which every server has.
  [ -n "$isInstalled" ] || taken tcp '2379 2380'
fi
# Of what tells of each node.
[ -n "$isInstalled" ] || [ "$in_monitoring" != 1 ] || taken tcp 9100 ' (node-exporter)'
case $in_apiAddress in
  *[a-z]*) ! command -v getent >/dev/null || getent hosts "$in_apiAddress" >/dev/null || wrong "the name $in_apiAddress is not known here (apiAddress)" ;;
esac
# Of the network between nodes.
[ -n "$isInstalled" ] || taken udp 8472 ' (UDP)'

isOn() { command -v systemctl >/dev/null && systemctl is-active --quiet "$1"; }
networks='10.42.0.0/16 10.43.0.0/16'
closed=
if isOn firewalld && [ "$(firewall-cmd --get-default-zone 2>/dev/null)" != trusted ]; then
  trusted=" $(firewall-cmd --zone=trusted --list-sources 2>/dev/null) "
  for network in $networks; do case $trusted in *" $network "*) ;; *) closed="$closed $network" ;; esac; done
  [ "$role" != master ] || firewall-cmd -q --query-port=6443/tcp 2>/dev/null || firewall-cmd -q --query-service=kube-apiserver 2>/dev/null || closed="$closed 6443/tcp"
  [ -z "$closed" ] || wrong "firewalld is active and does not let in:$closed"
elif rules=$(ufw status verbose 2>/dev/null); then
  case $rules in
    *'Status: active'*'allow (incoming)'*) ;;
    *'Status: active'*)
      for network in $networks; do echo "$rules" | grep -q "ALLOW.* $network" || closed="$closed $network"; done
      [ "$role" != master ] || echo "$rules" | grep -Eq '^6443(/tcp)? .*ALLOW' || closed="$closed 6443/tcp"
      [ -z "$closed" ] || wrong "ufw is active and does not let in:$closed"
      ;;
  esac
fi
# It takes away routes of containers; from RHEL 8.4 on it leaves them.
release=$(. "$(hostFile /etc/os-release)" 2>/dev/null && echo " $ID $ID_LIKE |$VERSION_ID")
case $release in
  *' rhel '*'|8.'[0-3] | *' centos '*'|8.'[0-3])
    ! systemctl is-enabled --quiet nm-cloud-setup.service nm-cloud-setup.timer 2>/dev/null ||
      wrong 'nm-cloud-setup is enabled: disable its service and timer and restart the host'
    ;;
esac

controllers=$(hostFile /sys/fs/cgroup/cgroup.controllers)
if [ -e "$controllers" ]; then grep -qw memory "$controllers"
else awk '$1 == "memory" && $4 == 1 { is = 1 } END { exit !is }' "$(hostFile /proc/cgroups)" 2>/dev/null; fi ||
  wrong 'the control group of memory is off: a Raspberry Pi wants cgroup_memory=1 cgroup_enable=memory in its cmdline.txt'
# Built into the kernel or to be loaded; where nobody can tell, k3s will.
for module in br_netfilter overlay; do
  [ -e "$(hostFile "/sys/module/$module")" ] || ! command -v modprobe >/dev/null || modprobe -n -q "$module" ||
    wrong "the kernel has no module $module (RHEL 10 has it in the package kernel-modules-extra)"
done
. "$here/advice.sh"
[ -z "$advice" ] || say "$advice"
