# What may run short on this host, or work only because k3s sets it at its start, as $advice.
. "$here/k3s.sh"
advice=
advise() { advice="$advice${advice:+; }$1"; }
# Whether the kernel's own number is lower than this.
isLess() { read -r number 2>/dev/null <"$(hostFile "/proc/sys/$1")" && [ "$number" -lt "$2" ]; }
! isLess net/ipv4/ip_forward 1 || advise 'net.ipv4.ip_forward is 0, and should be 1 for good'
! isLess fs/inotify/max_user_instances 128 || advise "fs.inotify.max_user_instances is $number: 128 or more are good"
! isLess fs/inotify/max_user_watches 8192 || advise "fs.inotify.max_user_watches is $number: 8192 or more are good"
