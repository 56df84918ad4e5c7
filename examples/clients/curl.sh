#!/usr/bin/env bash
# The server's calls with curl: curl.sh MODEL
set -euo pipefail

URL=${HFMODEL_URL:-http://127.0.0.1:8000}
MODEL=${1:?usage: curl.sh MODEL}

call() {
  # The key, if there is one, goes by standard input: arguments show in process lists.
  printf 'header = "Authorization: Bearer %s"\n' "${HFMODEL_API_KEY:-none}" |
    curl --config - --silent --show-error --fail-with-body --no-buffer --header 'Content-Type: application/json' "$@"
  echo
}

call "$URL/health"
call "$URL/models/$MODEL/info"
call "$URL/models/$MODEL/generate" --data '{"text": "The capital of France is", "max_new_tokens": 5, "do_sample": false}'
call "$URL/models/$MODEL/chat" --data '{"message": "What is the capital of France?", "max_new_tokens": 20}'
call "$URL/models/$MODEL/generate" --data '{"text": "Count: one, two,", "max_new_tokens": 5, "stream": true}'
call "$URL/v1/chat/completions" \
  --data '{"model": "'"$MODEL"'", "messages": [{"role": "user", "content": "Hello!"}], "max_tokens": 20}'
call --request POST "$URL/models/$MODEL/unload"
