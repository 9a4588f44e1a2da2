#!/bin/sh
# Runs an installed Centrifugo with the settings of this folder; see README.md.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
program=${CENTRIFUGO:-centrifugo}
case ${HISTORY:-on} in
  on) config=$here/history.json ;;
  off) config=$here/no-history.json ;;
  *) echo "HISTORY must be on or off" >&2; exit 2 ;;
esac
listen=${LISTEN:-127.0.0.1:8000}
address=${listen%:*} port=${listen##*:}
# It takes no port 0 itself.
if [ "$port" = 0 ]; then
  port=$(node -e 'const s = require("net").createServer().listen(0, process.argv[1], () => { console.log(s.address().port); s.close(); })' "$address")
fi
# By the environment alone: arguments are for everybody on the machine to see.
export CENTRIFUGO_CLIENT_TOKEN_HMAC_SECRET_KEY="${JWT_SECRET:?JWT_SECRET must be set}"
export CENTRIFUGO_HTTP_SERVER_ADDRESS="$address" CENTRIFUGO_HTTP_SERVER_PORT="$port"
if [ -n "${REDIS_URL:-}" ]; then
  export CENTRIFUGO_ENGINE_TYPE=redis CENTRIFUGO_ENGINE_REDIS_ADDRESS="$REDIS_URL"
  export CENTRIFUGO_ENGINE_REDIS_PREFIX="${REDIS_PREFIX:-centrifugo}"
fi
"$program" --config "$config" >&2 &
server=$!
trap 'kill -TERM $server 2>/dev/null || :' TERM INT
until curl --silent --fail --output /dev/null "http://$address:$port/health"; do
  kill -0 "$server" 2>/dev/null || { wait "$server"; exit 1; }
  sleep 0.1
done
echo "listening on http://$address:$port"
# A signal ends the first wait; the second one is for the server's own end.
wait "$server" || :
wait "$server" 2>/dev/null || :
