# On a master that stays, for those that went: JetStream decides by majority of all servers it knows, so it is told to know them no
# more. Of its tables only the system account may ask that, by a request of NATS' own protocol.
. "$here/nats.sh"
# The JSON answer to this request of the system account.
request() {
  command -v bash >/dev/null || fail 'bash is needed to speak to nats-server'
  ADDRESS=$address PASSWORD=$in_secret_systemPassword SUBJECT=$1 BODY=$2 bash -c '
    exec 3<>"/dev/tcp/$ADDRESS/4222" || exit 1
    send() { printf "%s\r\n" "$@" >&3; }
    send "CONNECT {\"user\":\"system\",\"pass\":\"$PASSWORD\",\"verbose\":false,\"pedantic\":false}" "SUB answer 1" \
      "PUB $SUBJECT answer ${#BODY}" "$BODY" "PING"
    while IFS= read -r -t 10 line <&3; do
      case $line in
        MSG*) IFS= read -r -t 10 line <&3 && printf "%s\n" "${line%$'"'\r'"'}"; exit ;;
        PING*) send PONG ;;
        -ERR*) printf "%s\n" "$line"; exit ;;
      esac
    done
    exit 1' 2>/dev/null
}
for name in $in_gone; do
  answer=$(request '$JS.API.SERVER.REMOVE' "{\"peer\":\"$name\"}")
  case $answer in
    *'"success":true'*) say "$name is forgotten" ;;
    # It went before, in an attempt whose answer was lost.
    *'"err_code":10044'*) ;;
    *) fail "JetStream does not forget $name: ${answer:-no answer}" ;;
  esac
done
exit 0
