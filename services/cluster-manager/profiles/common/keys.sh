# The cluster's public keys, as one block in authorized_keys of the user that the control plane logs in as.
file=$HOME_OF_USER/.ssh/authorized_keys
begin='# fleetgate: keys of the cluster, written by the control plane' end='# fleetgate: end'
hasBlock() {
  [ -s "$file" ] || return 1
  while IFS= read -r line; do [ "$line" != "$begin" ] || return 0; done <"$file"
  return 1
}
[ -n "$in_keys" ] || hasBlock || exit 0
mkdir -p "$HOME_OF_USER/.ssh"
owner=$(stat -c %u:%g "$HOME_OF_USER")
{
  [ ! -e "$file" ] || awk -v begin="$begin" -v end="$end" '$0 == begin { skip = 1 } !skip { print } $0 == end { skip = 0 }' "$file"
  [ -z "$in_keys" ] || printf '%s\n' "$begin" "$in_keys" "$end"
} >"$file.new" || fail "cannot write $file"
if [ ! -s "$file.new" ]; then
  rm -f "$file.new" "$file"
  rmdir "$HOME_OF_USER/.ssh" 2>/dev/null
  exit 0
fi
chmod 600 "$file.new" && chown "$owner" "$file.new" "$HOME_OF_USER/.ssh"
if cmp -s "$file.new" "$file"; then rm -f "$file.new"; else mv "$file.new" "$file" && say 'keys written'; fi
exit 0
