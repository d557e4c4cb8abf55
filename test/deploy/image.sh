#!/usr/bin/env bash
# Builds Dockerfile without Docker and uses the image: as its own user, on a read-only root, with a NATS server and a
# network of accounts outside it. `./dev image` runs it; it takes some minutes.
#
# Owns: the base image (a Debian 13 made on the spot), what must be true of the image, and of recordkv in it.
# Does not know: what recordkv does; it must answer which accounts like a post, as the simulator says.
# Wants: root, buildah, debootstrap; RECORDKV_NATS_SERVER and RECORDKV_SIM. RECORDKV_IMAGE_STORAGE=DIR keeps images and
# layers there, for a second run that is faster; without it nothing is left.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
scratch=$(mktemp -d "${TMPDIR:-/tmp}/recordkv-image-XXXXXX")
storage=${RECORDKV_IMAGE_STORAGE:-$scratch/storage}
base=docker.io/library/debian:trixie-slim
image=localhost/recordkv
started=()

say() { printf '%s\n' "$*"; }
die() { printf 'image: %s\n' "$*" >&2; exit 1; }
need() { command -v "$1" >/dev/null || die "$1 is not here; install Debian's package $2"; }
store() { buildah --root "$storage" --runroot "$scratch/run" --storage-driver vfs "$@"; }
free_port() { python3 -c 'import socket; s=socket.socket(); s.bind(("127.0.0.1",0)); print(s.getsockname()[1])'; }
pause() { read -rt 0.2 <> <(:) || true; }

finish() {
  local code=$? pid
  [ -z "${inside:-}" ] || kill -KILL "$inside" 2>/dev/null || true  # its change of user ends unshare's --kill-child
  for pid in "${started[@]}"; do kill -KILL "$pid" 2>/dev/null && wait "$pid" 2>/dev/null || true; done
  [ $code = 0 ] || tail -n 25 "$scratch"/*.log >&2 2>/dev/null || true
  store rm --all >/dev/null 2>&1 || true
  rm -rf --one-file-system "$scratch"
  exit $code
}
trap finish EXIT
trap 'exit 130' INT TERM

wait_until() {  # wait_until SECONDS WHAT COMMAND...
  local end=$((SECONDS + $1)) what=$2
  shift 2
  until "$@"; do
    [ $SECONDS -lt $end ] || die "not in time: $what"
    pause
  done
}

# The base: what debian:trixie-slim is, from the mirror and with the certificates and proxies that apt uses here.

mirror_of() {  # mirror_of LABEL: where this machine's apt gets it
  apt-get indextargets --format '$(LABEL) $(REPO_URI)' 'Created-By: Packages' 2>/dev/null |
    awk -v label="$1" '$1 == label {print $2; exit}'
}

make_base() {
  store images --quiet "$base" >/dev/null 2>&1 && return
  local container dir mirror security
  mirror=$(mirror_of Debian); mirror=${mirror:-http://deb.debian.org/debian}
  security=$(mirror_of Debian-Security); security=${security:-http://deb.debian.org/debian-security}
  container=$(store from scratch)
  dir=$(store mount "$container")
  debootstrap --variant=minbase trixie "$dir" "$mirror" >"$scratch/debootstrap.log" 2>&1 || die "debootstrap failed"
  cat >"$dir/etc/apt/sources.list" <<EOT
deb $mirror trixie main
deb $mirror trixie-updates main
deb $security trixie-security main
EOT
  apt-config dump | grep -E '^Acquire::(http|https|Check)' >"$dir/etc/apt/apt.conf.d/90host" || true
  if [ -f /etc/ssl/certs/ca-certificates.crt ]; then
    mkdir -p "$dir/etc/ssl/certs"
    cp /etc/ssl/certs/ca-certificates.crt "$dir/etc/ssl/certs/"
  fi
  printf 'path-exclude /usr/share/%s/*\n' doc man info locale >"$dir/etc/dpkg/dpkg.cfg.d/slim"
  rm -rf "$dir"/usr/share/{doc,man,info,locale}/* "$dir"/var/cache/apt/* "$dir"/var/lib/apt/lists/* "$dir"/var/log/*
  store config --cmd bash --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$container"
  store commit --quiet --rm "$container" "$base" >/dev/null
}

build_image() {
  local layers=()
  [ -z "${RECORDKV_IMAGE_STORAGE:-}" ] || layers=(--layers)
  store bud --isolation chroot --format docker --pull=never "${layers[@]}" --build-arg "JOBS=$(nproc)" \
    --tag "$image" "$root" >"$scratch/build.log" 2>&1 || die "the image does not build"
}

# entrypoint, command, health, variables, user, directory: as the image says
read_image() {
  eval "$(store inspect --type image "$image" | python3 -c '
import json, shlex, sys
c = json.load(sys.stdin)["Docker"]["config"]
for name, words in {"entrypoint": c["Entrypoint"], "command": c["Cmd"], "health": c["Healthcheck"]["Test"][1:],
                    "variables": c["Env"], "user": c["User"].split(":"), "directory": [c["WorkingDir"]]}.items():
    print(name + "=(" + " ".join(map(shlex.quote, words)) + ")")')"
}

check_image() {
  local tools
  mounted=$(store mount "$(store from --pull=never "$image")")
  [ "${user[0]}" -gt 0 ] && [ "${user[1]}" -gt 0 ] || die "the image runs as root"
  tools=$(find "$mounted/usr" \( -name 'clang*' -o -name 'gcc*' -o -name 'c++*' -o -name 'ld' -o -name '*.h' \) \
    -type f -path '*bin*')
  [ -z "$tools" ] || die "a compiler is in the image: $tools"
  ! readelf -S "$mounted/usr/local/bin/recordkv" | grep -q '\.debug_info' || die "recordkv is not stripped"
  say "size    $(store images --format '{{.Size}}' "$image")" \
    "with $(store images --format '{{.Size}}' "$base") of Debian;" \
    "recordkv itself $(du -h --apparent-size "$mounted/usr/local/bin/recordkv" | cut -f1)"
}

# A container by hand: the image's root read-only, its volume, its user, no capabilities, namespaces of its own for
# processes and mounts; the host's network, because NATS is outside.

run_container() {  # run_container VARIABLE=VALUE...
  mkdir -p "$scratch/root" "$scratch/volume"
  chown "${user[0]}:${user[1]}" "$scratch/volume"
  cat >"$scratch/enter.sh" <<EOT
set -eu
mount --bind "$mounted" "$scratch/root"
mount -o remount,bind,ro "$scratch/root"
mount --bind "$scratch/volume" "$scratch/root${directory[0]}"
mount --bind -o ro /etc/resolv.conf "$scratch/root/etc/resolv.conf" 2>/dev/null || true
mount -t proc proc "$scratch/root/proc"
mount --rbind /dev "$scratch/root/dev"
exec setpriv --no-new-privs --clear-groups \
  unshare --root="$scratch/root" --wd="${directory[0]}" --setgid=${user[1]} --setuid=${user[0]} -- "\$@"
EOT
  unshare --mount --propagation private --pid --fork --kill-child=SIGKILL -- sh "$scratch/enter.sh" \
    env -i "${variables[@]}" "$@" "${entrypoint[@]}" "${command[@]}" >"$scratch/recordkv.log" 2>&1 &
  started+=($!)
  container=$!
  wait_until 20 "recordkv runs in the container" find_inside
}

find_inside() {  # the container's first process, once it is recordkv
  kill -0 "$container" 2>/dev/null || die "recordkv has ended"
  inside=$(pgrep -P "$container") && [ "$(cat "/proc/$inside/comm" 2>/dev/null)" = recordkv ]
}

in_container() {  # as `docker exec` would
  nsenter --target "$inside" --mount --pid --root --wd --setgid "${user[1]}" --setuid "${user[0]}" \
    env -i "${variables[@]}" "${settings[@]}" "$@"
}

check_container() {
  local status=/proc/$inside/status
  grep -qE "^Uid:\s+${user[0]}\s+${user[0]}" "$status" || die "recordkv runs as another user"
  grep -qE '^CapEff:\s+0+$' "$status" || die "recordkv has capabilities"
  grep -qE '^NoNewPrivs:\s+1$' "$status" || die "recordkv may gain privileges"
  awk '$5 == "/" {print $6}' "/proc/$inside/mountinfo" | grep -qE '^ro\b' || die "the root can be written to"
  ! in_container touch /usr/local/bin/x 2>"$scratch/touch.err" || die "the root could be written to"
  grep -q 'Read-only' "$scratch/touch.err" || die "not read-only, but: $(cat "$scratch/touch.err")"
  say "runs    as $(in_container id -u):$(in_container id -g), no capabilities, root read-only, data in ${directory[0]}"
}

likes_of() { in_container recordkv likes --of "$1" --limit 1000000 | awk '{print $1}' | sort -u; }
likes_agree() {  # as many as the simulator says, and those that it names are among them
  likes_of "$post" >"$scratch/found" 2>/dev/null && [ "$(wc -l <"$scratch/found")" = "$likes" ] &&
    [ -z "$(sort -u "$scratch/likers" | comm -23 - "$scratch/found")" ]
}
healthy() { in_container "${health[@]}" >/dev/null 2>&1; }
unreachable() { in_container "${health[@]}" >/dev/null 2>&1 && return 1 || [ $? = 3 ]; }

start_nats() {  # with our configuration, but for where it lies
  sed "s|/var/lib/nats|$scratch/nats|" "$root/config/nats-server.conf" >"$scratch/nats-server.conf"
  "$RECORDKV_NATS_SERVER" --config "$scratch/nats-server.conf" --addr 127.0.0.1 --port "$nats_port" \
    --http_port "$(free_port)" >"$scratch/nats.log" 2>&1 &
  started+=($!)
  nats=$!
}

start_network() {
  "$RECORDKV_SIM" --events 5000 --accounts 500 --print 1 --die-with-parent >"$scratch/sim.log" 2>&1 &
  started+=($!)
  wait_until 60 "the simulator listens" grep -q '^listening' "$scratch/sim.log"
  network=$(awk '$1 == "listening" {print $2}' "$scratch/sim.log")
  post=$(awk '$1 == "post" {print $2; exit}' "$scratch/sim.log")
  likes=$(awk '$1 == "post" {print $4; exit}' "$scratch/sim.log")
  awk '$1 == "liked" {print $3}' "$scratch/sim.log" >"$scratch/likers"
  [ -s "$scratch/likers" ] || die "the simulator named no likes"
}

[ "$(id -u)" = 0 ] || die "building without Docker wants root (debootstrap, chroot); run it as root"
need buildah buildah; need debootstrap debootstrap; need python3 python3
need readelf binutils; need pgrep procps; need nsenter util-linux; need setpriv util-linux
[ -x "${RECORDKV_NATS_SERVER:-}" ] && [ -x "${RECORDKV_SIM:-}" ] ||
  die "set RECORDKV_NATS_SERVER and RECORDKV_SIM, or run ./dev image"

make_base
say "base    $base from debootstrap, ${SECONDS} s"
build_image
say "built   $image, ${SECONDS} s"
read_image
check_image
nats_port=$(free_port)
start_network
settings=("RECORDKV_NATS_URL=nats://127.0.0.1:$nats_port" RECORDKV_SOURCE_KIND=jetstream "RECORDKV_SOURCE_URL=$network"
  RECORDKV_SOURCE_START=oldest RECORDKV_SOURCE_SILENT_AFTER=1h "RECORDKV_HTTP_LISTEN=127.0.0.1:$(free_port)")
run_container "${settings[@]}"  # before there is a NATS server: it waits
unreachable || die "without NATS the health check should end with 3: ${health[*]}"
start_nats
check_container
wait_until 60 "the likes in the container are those of the simulator" likes_agree
say "likes   recordkv likes --of $post: $(likes_of "$post" | wc -l) accounts, as the simulator says"
wait_until 30 "the health check is content: ${health[*]}" healthy
memory=$(awk '$1 == "VmRSS:" {print int($2 / 1024)}' "/proc/$inside/status")
kill -TERM "$inside"
wait "$container" && code=0 || code=$?
[ $code = 0 ] || die "recordkv ended with $code after SIGTERM"
say "stopped on SIGTERM with 0; before, the health check was content and recordkv took $memory MB; ${SECONDS} s in all"
