#!/usr/bin/env bash
# A file of likes, one JSON line per change, with nothing but a pipe. See ../README.md.
#
#   likes.sh DURABLE FILE [--new] [--no-ack]        NATS: recordkv's own settings, e.g. RECORDKV_NATS_URL
set -euo pipefail
durable=$1 file=$2 new=() ack=yes
shift 2
for option in "$@"; do
  case $option in --new) new=(--new) ;; --no-ack) ack=no ;; esac
done
[ ! -s "$file" ] || [ -z "$(tail -c 1 "$file")" ] || echo >>"$file"  # a kill may have left half a line: end it

if [ $ack = no ]; then  # a line counts as done once it is in the file
  exec recordkv tail app.bsky.feed.like --durable "$durable" ${new[@]+"${new[@]}"} >>"$file"
fi

acks=$(mktemp -u)
mkfifo "$acks"
exec 3<>"$acks"  # open both ends at once, so that neither side waits for the other
rm "$acks"
recordkv tail app.bsky.feed.like --durable "$durable" --ack stdin ${new[@]+"${new[@]}"} <&3 |
  while IFS= read -r like; do
    printf '%s\n' "$like" >>"$file"  # the work for one like
    echo                             # acknowledge: one line for one line
  done >&3
