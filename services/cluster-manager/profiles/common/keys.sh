# The cluster's public keys, as one block in authorized_keys of the user that the control plane logs in as.
file=$HOME_OF_USER/.ssh/authorized_keys
begin='# fleetgate: keys of the cluster, written by the control plane' end='# fleetgate: end'
[ -s "$here/input.d/keys" ] || grep -q -F "$begin" "$file" 2>/dev/null || exit 0
mkdir -p "$HOME_OF_USER/.ssh"
owner=$(stat -c %u:%g "$HOME_OF_USER")
{
  [ ! -e "$file" ] || awk -v begin="$begin" -v end="$end" '$0 == begin { skip = 1 } !skip { print } $0 == end { skip = 0 }' "$file"
  if [ -s "$here/input.d/keys" ]; then echo "$begin"; cat "$here/input.d/keys"; echo "$end"; fi
} >"$file.new" || fail "cannot write $file"
if [ ! -s "$file.new" ]; then
  rm -f "$file.new" "$file"
  rmdir "$HOME_OF_USER/.ssh" 2>/dev/null
  exit 0
fi
chmod 600 "$file.new" && chown "$owner" "$file.new" "$HOME_OF_USER/.ssh"
if cmp -s "$file.new" "$file"; then rm -f "$file.new"; else mv "$file.new" "$file" && say 'keys written'; fi
exit 0
