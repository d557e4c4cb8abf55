# Running, testing and measuring what ./dev has built. Sourced by ./dev.

free_port() { python3 -c 'import socket; s=socket.socket(); s.bind(("127.0.0.1",0)); print(s.getsockname()[1])'; }

relay_reachable() { timeout 5 bash -c 'exec 3<>/dev/tcp/relay1.us-east.bsky.network/443' 2>/dev/null; }

up() {
  if relay_reachable; then
    exec "$build_dir/src/cli/recordkv" --config config/quickstart.toml up "$@"
  fi
  say "dev: the relay relay1.us-east.bsky.network can't be reached within 5 s; following the demo network instead"
  demo "$@"
}

# The simulated network, and recordkv following it. Ctrl-C ends both.
demo() {
  local sim_out sim_pid
  mkdir -p recordkv-data
  sim_out=$(mktemp)
  "$build_dir/test/recordkv-sim" --die-with-parent --events 0 --past 20000 --rate "${RECORDKV_DEMO_RATE:-200}" --base "$(date +%s)000000" --print 3 >"$sim_out" 2>&1 &
  sim_pid=$!
  trap 'kill $sim_pid 2>/dev/null; wait $sim_pid 2>/dev/null; rm -f "$sim_out"' EXIT
  local url=
  while [ -z "$url" ]; do
    kill -0 $sim_pid 2>/dev/null || { cat "$sim_out" >&2; die "the simulated network did not start"; }
    url=$(grep -oE 'ws://[0-9.:]+' "$sim_out" | head -n1 || true)
    [ -n "$url" ] || read -rt 0.1 <> <(:) || true
  done
  echo "demo    a simulated network at $url"
  grep -v '^listening' "$sim_out" || true
  trap : INT TERM  # recordkv drains first; the simulator goes when it has ended
  "$build_dir/src/cli/recordkv" --config config/quickstart.toml \
    --set source.kind=jetstream --set "source.url=$url" --set source.start=oldest "$@" up
}
