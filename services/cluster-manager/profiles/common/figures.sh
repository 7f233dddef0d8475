# `figure cpu used/all`, `memory` in megabytes, `gpu`: as the host itself counts.
cpus=$(grep -c ^processor /proc/cpuinfo)
echo "figure cpu $(awk -v n="$cpus" '{ printf "%.1f/%d", $1, n }' /proc/loadavg)"
echo "figure memory $(awk '/^MemTotal/ { all = $2 } /^MemAvailable/ { free = $2 } END { printf "%d/%d", (all - free) / 1024, all / 1024 }' /proc/meminfo)"
# A GPU is used while a program computes on it; it stands there once for each.
gpus=$(find /dev -maxdepth 1 -name 'nvidia[0-9]*' 2>/dev/null | wc -l) used=0
if command -v nvidia-smi >/dev/null; then
  said=$(timeout 5 nvidia-smi --query-compute-apps=gpu_uuid --format=csv,noheader 2>/dev/null) &&
    used=$(printf '%s\n' "$said" | sort -u | grep -c '^GPU-')
fi
echo "figure gpu $used/$gpus"
