# What hosts fetch themselves, by curl or wget. `download_<processor>` of the input is the checksum of an archive and its address.

# Makes $sum and $url those for this host; both are empty where there is nothing for its processor, $arch.
chooseDownload() {
  arch=$(uname -m) sum= url=
  case $arch in
    x86_64) arch=amd64 ;;
    aarch64) arch=arm64 ;;
    armv7* | armv8l) arch=arm7 ;;
    armv6*) arch=arm6 ;;
    i?86) arch=386 ;;
    loongarch64) arch=loong64 ;;
  esac
  read -r sum url <<CHOSEN
$(value "download_$arch")
CHOSEN
}

# Why there is nothing to fetch.
whyNoDownload() { printf '%s\n' "${in_download_problem:-there is none for the processor $arch (NATS_SERVER_SHA256)}"; }

# The host's own proxies. Whoever logs in by a key or becomes root by sudo often has none of what stands there.
useProxies() {
  while IFS= read -r line; do
    line=${line#export }
    name=${line%%=*} text=${line#*=}
    case $name in
      http_proxy | HTTP_PROXY) name=http_proxy ;;
      https_proxy | HTTPS_PROXY) name=https_proxy ;;
      no_proxy | NO_PROXY) name=no_proxy ;;
      *) continue ;;
    esac
    text=${text#[\"\']}
    eval "[ -n \"\${$name-}\" ]" || export "$name=${text%[\"\']}"
  done 2>/dev/null <"$root/etc/environment"
}

hasCurl() { command -v curl >/dev/null; }
hasLoader() { hasCurl || command -v wget >/dev/null; }

# Asks whether $url is there, without fetching it. What came of it are $status, the last that an HTTP server answered, empty where none
# did, and $said, the last line that was complained of.
askForDownload() {
  if hasCurl; then hear "$(curl -gsSIL -m 10 -o /dev/null -w "$statusLine" "$url" 2>&1)"
  else hear "$(LC_ALL=C wget -S --spider -T 10 -t 1 "$url" 2>&1)"; fi
}

# Fetches $url into the file $part, from where an earlier try broke off; false where it breaks off again.
tryDownload() {
  if hasCurl; then
    answer=$(curl -gfsSL -C - --connect-timeout 15 -y 30 -Y 1 -o "$part" -w "$statusLine" "$url" 2>&1)
    code=$?
    # A server that does not go on in the middle.
    [ "$code" != 33 ] || rm -f "$part"
  else
    answer=$(LC_ALL=C wget -S -nv -c -T 30 -t 1 -O "$part" "$url" 2>&1)
    code=$?
  fi
  hear "$answer"
  return "$code"
}

# What wget shows of an answer, and curl is told to.
statusLine='\nHTTP/1.1 %{http_code}\n'
hear() {
  said= status=
  while IFS= read -r line; do
    case $line in
      *HTTP/*\ 000) ;;
      *HTTP/*\ [1-9][0-9][0-9]*) status=${line#*HTTP/* } && status=${status%% *} ;;
      # wget shows the rest of the answer's head with blanks before it.
      [!\ ]*) said=$line ;;
    esac
  done <<HEARD
$1
HEARD
}

# What came of it, for people.
downloadReason() {
  case $status in
    [345]*) echo "it answers $status" ;;
    2*) echo "${said:-it broke off}" ;;
    *) echo "${said:-nobody answers}" ;;
  esac
}

isWhole() { is=$(sha256sum "$part" 2>/dev/null) && [ "${is%% *}" = "$sum" ]; }

# Fetches the archive to $part, whole and as it should be, or leaves nothing.
download() {
  part=$base/files/$sum.part tries=0
  mkdir -p "$base/files" || fail "cannot make $base/files"
  until isWhole; do
    before=0
    [ ! -s "$part" ] || before=1
    if tryDownload || [ "$status" = 416 ]; then
      ! isWhole || break
      rm -f "$part"
      # What was begun may be of another file that stood there then.
      [ "$before" = 1 ] || fail "$url is not the file that it should be: it has another checksum than $sum"
    fi
    case $status in
      408 | 416 | 429) ;;
      4*) tries=5 ;;
    esac
    tries=$((tries + 1))
    if [ "$tries" -ge 5 ]; then rm -f "$part"; fail "$url cannot be fetched: $(downloadReason)"; fi
    say "fetching it broke off, trying again: $(downloadReason)"
    sleep "$tries"
  done
}
