#!/bin/sh
# Looks, changes nothing, and names everything that is wrong: `problem …`. What it finds out it says as `fact key value`.
here=$1
. "$here/lib.sh"
wrong() { echo "problem $*"; }

[ "$(uname -s)" = Linux ] || wrong "the system is $(uname -s), not Linux"
arch=$(uname -m)
wanted=$(value arch)
[ -z "$wanted" ] || [ "$wanted" = "$arch" ] || wrong "the processor is $arch, the program to install is for $wanted"
for tool in flock setsid nohup sha256sum cmp sed awk tar; do
  command -v $tool >/dev/null || wrong "the program $tool is missing"
done
command -v curl >/dev/null || command -v wget >/dev/null || command -v perl >/dev/null || wrong 'curl, wget or perl is needed'

place=$root/var/lib
[ -d "$place" ] || place=$root/var
free=$(df -Pm "$place" | awk 'NR == 2 { print $4 }')
need=$(value diskMegabytes)
[ "${free:-0}" -ge "$need" ] || wrong "$place has ${free:-0} MB free, $need MB are needed"
memory=$(awk '/^MemTotal/ { print int($2 / 1024) }' /proc/meminfo)
need=$(value memoryMegabytes)
[ "$memory" -ge "$need" ] || wrong "the host has $memory MB of memory, $need MB are needed"
skew=$(($(date +%s) - $(value now)))
[ "${skew#-}" -le 30 ] || wrong "the clock is $skew s away from that of the control plane"

cluster=$(value cluster)
held=$(cat "$base/cluster" 2>/dev/null)
[ -z "$held" ] || [ "$held" = "$cluster" ] || wrong "the host belongs to another cluster ($held)"
if [ -s "$base/lock" ]; then
  read -r holder _ until <"$base/lock"
  [ "$holder" = "$(value operation)" ] || [ "$until" -le "$(date +%s)" ] || wrong "another operation ($holder) changes this host"
fi

# A port that our own installation listens on is no problem.
if [ "$held" != "$cluster" ]; then
  mine=$(echo "$address" | awk -F. '{ printf "%02X%02X%02X%02X", $4, $3, $2, $1 }')
  for port in $(value ports); do
    hex=$(printf '%04X' "$port")
    awk -v mine="$mine:$hex" -v any="00000000:$hex" '$4 == "0A" && ($2 == mine || $2 == any) { found = 1 } END { exit !found }' /proc/net/tcp \
      && wrong "port $port is in use"
  done
fi

nic=$(value nic)
if [ -n "$nic" ] && [ "$(value checkNic)" = 1 ]; then
  own=$(ip -4 -o addr show dev "$nic" 2>/dev/null | awk '{ sub("/.*", "", $4); print $4; exit }')
  [ -n "$own" ] && echo "fact privateIp $own"
  [ -n "$own" ] || wrong "the network interface $nic has no IPv4 address, or is not there"
fi
echo "fact hostname $(hostname 2>/dev/null || cat /proc/sys/kernel/hostname)"
for sum in $(value files); do [ -s "$base/files/$sum" ] && echo "fact staged $sum"; done
exit 0
