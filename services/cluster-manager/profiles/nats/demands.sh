# Where the program comes from the network: that the host can fetch it, unless it is there.
if [ -z "$in_file_nats_server" ]; then
  . "$here/nats.sh"
  . "$here/download.sh"
  chooseProgram
  if ! isProgramThere; then
    hasLoader || wrong 'curl or wget is needed to fetch nats-server'
    command -v gzip >/dev/null || wrong 'the program gzip is missing'
    if [ -z "$url" ]; then
      wrong "nats-server $in_download_version cannot be fetched: $(whyNoDownload)"
    elif hasLoader; then
      useProxies
      askForDownload
      # Some servers answer to nothing but a whole request: only what would be the same for that is wrong.
      case $status in '' | 404 | 410) wrong "nats-server cannot be fetched from $url: $(downloadReason)" ;; esac
    fi
  fi
fi
