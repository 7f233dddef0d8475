# Whether the server $1, at its port $2, knows an address of the name $3: `resolves`. A question over UDP as RFC 1035 has it (4.1),
# and an answer without an error in it. Hosts have none of the programs that ask a server of one's choice, but for bash.
resolves() { timeout 3 bash -c "$askByBash" "$1" "$2" "$3" 2>/dev/null; }
# What is written goes out line by line, so no label of the name may have ten letters.
askByBash='
exec 3<>"/dev/udp/$0/$1" || exit 1
name=
IFS=.
for label in $2; do name+=$(printf "\\\\x%02x%s" "${#label}" "$label"); done
unset IFS
printf "FG\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00$name\x00\x00\x01\x00\x01" >&3
set -- $(dd bs=512 count=1 <&3 2>/dev/null | od -An -tu1 -N12)
[ $# = 12 ] && [ $(($4 % 16)) = 0 ] && [ $(($7 + $8)) != 0 ]'
