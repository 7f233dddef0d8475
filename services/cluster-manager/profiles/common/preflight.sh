# Looks, changes nothing, and names everything that is wrong: `problem …`. What it finds out it says as `fact key value`.
wrong() { echo "problem $*"; }

uname=$(uname -sm)
arch=${uname#* }
[ "${uname% *}" = Linux ] || wrong "the system is ${uname% *}, not Linux"
[ -z "$in_arch" ] || [ "$in_arch" = "$arch" ] || wrong "the processor is $arch, the program to install is for $in_arch"
for tool in flock setsid sha256sum cmp sed awk tar; do
  command -v $tool >/dev/null || wrong "the program $tool is missing"
done
command -v curl >/dev/null || command -v wget >/dev/null || command -v perl >/dev/null || wrong 'curl, wget or perl is needed'
for program in zstd gzip; do ! command -v $program >/dev/null || echo "fact unpacks $program"; done

place=$root/var/lib
[ -d "$place" ] || place=$root/var
# The fourth word of the second line.
free=$(df -Pm "$place") && set -- ${free#*"
"} && free=$4
[ "${free:-0}" -ge "$in_diskMegabytes" ] || wrong "$place has ${free:-0} MB free, $in_diskMegabytes MB are needed"
read -r _ memory _ </proc/meminfo
memory=$((memory / 1024))
[ "$memory" -ge "$in_memoryMegabytes" ] || wrong "the host has $memory MB of memory, $in_memoryMegabytes MB are needed"
now=$(date +%s)
skew=$((now - in_now))
[ "${skew#-}" -le 30 ] || wrong "the clock is $skew s away from that of the control plane"

held=
read -r held 2>/dev/null <"$base/cluster"
[ -z "$held" ] || [ "$held" = "$in_cluster" ] || wrong "the host belongs to another cluster ($held)"
if [ -s "$base/lock" ]; then
  read -r holder _ until of <"$base/lock"
  # As run.sh has it: operations of one cluster follow each other.
  [ "$of" != "$in_cluster" ] || until=0
  [ "$holder" = "$in_operation" ] || { [ "$until" -le "$now" ] && ! isWorking "$holder"; } || wrong "another operation ($holder) changes this host"
fi

# Ports that somebody listens on here. A server that listens at every address often does so for IPv6 and IPv4 with one socket, which
# stands among those of IPv6 only. ss asks for what listens; the lists in /proc make the kernel look for every connection as well,
# which takes some milliseconds. $1 is tcp or udp, $2 the ports, $3 what is said behind the number.
taken() {
  if listening=$(ss -Hln --"$1" 2>/dev/null); then
    ports=' '
    while read -r _ _ _ at _; do
      case ${at%:*} in "$address" | 0.0.0.0 | '*' | '[::]' | "[::ffff:$address]") ports="$ports${at##*:} " ;; esac
    done <<LISTENING
$listening
LISTENING
    for port in $2; do case $ports in *" $port "*) wrong "port $port$3 is in use" ;; esac; done
  else
    [ "$1" = tcp ] && state=0A || state=07
    awk -v address="$address" -v ports="$2" -v state="$state" -v words="$3" '
      BEGIN {
        split(address, part, ".")
        mine = sprintf("%02X%02X%02X%02X", part[4], part[3], part[2], part[1])
        count = split(ports, wanted, " ")
      }
      $4 == state { split($2, at, ":"); if (at[1] ~ "^(0+FFFF0000)?" mine "$" || at[1] ~ /^0+$/) used[at[2]] = 1 }
      END { for (i = 1; i <= count; i++) if (sprintf("%04X", wanted[i]) in used) print "problem port " wanted[i] words " is in use" }
    ' "/proc/net/$1" $([ ! -e "/proc/net/${1}6" ] || echo "/proc/net/${1}6")
  fi
}
# A port that our own installation listens on is no problem.
isInstalled=
[ "$held" != "$in_cluster" ] || isInstalled=1
[ -n "$isInstalled" ] || taken tcp "$in_ports"
# What the profile asks beyond that.
! command -v script_demands >/dev/null || script_demands

if [ -n "$in_nic" ] && [ "$in_checkNic" = 1 ]; then
  set -- $(ip -4 -o addr show dev "$in_nic" 2>/dev/null)
  own=${4:-}
  if [ -n "$own" ]; then echo "fact privateIp ${own%/*}"; else wrong "the network interface $in_nic has no IPv4 address, or is not there"; fi
fi
echo "fact hostname $(hostname 2>/dev/null || cat /proc/sys/kernel/hostname)"
for sum in $in_files; do [ ! -s "$base/files/$sum" ] || echo "fact staged $sum"; done
exit 0
