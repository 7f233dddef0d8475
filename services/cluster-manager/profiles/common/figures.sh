# `figure cpu used/all`, `memory` in megabytes, `gpu`: as the host itself counts.
cpus=$(grep -c ^processor /proc/cpuinfo)
echo "figure cpu $(awk -v n="$cpus" '{ printf "%.1f/%d", $1, n }' /proc/loadavg)"
echo "figure memory $(awk '/^MemTotal/ { all = $2 } /^MemAvailable/ { free = $2 } END { printf "%d/%d", (all - free) / 1024, all / 1024 }' /proc/meminfo)"
echo "figure gpu 0/$(find /dev -maxdepth 1 -name 'nvidia[0-9]*' 2>/dev/null | wc -l)"
