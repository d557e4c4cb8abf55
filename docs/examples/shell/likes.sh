#!/usr/bin/env bash
# A file of likes, one JSON line a change, with nothing but a pipe. See ../README.md.
#
#   likes.sh DURABLE FILE [--new] [--no-ack]        where NATS is: recordkv's own settings, e.g. RECORDKV_NATS_URL
set -euo pipefail
durable=$1 file=$2 new=() ack=yes
shift 2
for option in "$@"; do
  case $option in --new) new=(--new) ;; --no-ack) ack=no ;; esac
done
[ ! -s "$file" ] || [ -z "$(tail -c 1 "$file")" ] || echo >>"$file"  # a kill may have left half a line: it is none

if [ $ack = no ]; then  # a line counts as done once it is in the file
  exec recordkv tail app.bsky.feed.like --durable "$durable" ${new[@]+"${new[@]}"} >>"$file"
fi

acks=$(mktemp -u)
mkfifo "$acks"
exec 3<>"$acks"  # both ends at once, so that neither side waits for the other to open it
rm "$acks"
recordkv tail app.bsky.feed.like --durable "$durable" --ack stdin ${new[@]+"${new[@]}"} <&3 |
  while IFS= read -r like; do
    printf '%s\n' "$like" >>"$file"  # what is to be done with one like
    echo                             # done: a line for a line
  done >&3
