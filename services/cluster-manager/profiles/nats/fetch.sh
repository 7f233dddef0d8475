# Brings the program from the network where it is not here, before any host is changed: it lies where a staged one would.
. "$here/nats.sh"
. "$here/download.sh"
chooseProgram
! isProgramThere || exit 0
[ -n "$url" ] || fail "nats-server $in_download_version cannot be fetched: $(whyNoDownload)"
useProxies
download
file=$base/files/$sum
trap 'rm -f "$part" "$file.new"' EXIT
inside=$(tar -tzf "$part" 2>/dev/null | grep -E '(^|/)nats-server$' | head -n 1)
[ -n "$inside" ] || fail "$url is no archive with nats-server in it"
tar -xzOf "$part" "$inside" >"$file.new" && chmod 755 "$file.new" || fail 'cannot unpack nats-server'
said=$("$file.new" --version 2>&1) || fail "nats-server of $url does not run here, on $(uname -m): $said"
[ "$said" = "nats-server: v$in_download_version" ] || fail "$url is $said, not version $in_download_version"
mv "$file.new" "$file" || fail 'cannot keep nats-server'
say "nats-server $in_download_version fetched"
exit 0
