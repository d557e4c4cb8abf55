# Runs, tests and measures what ./dev has built. Sourced by ./dev.

free_port() { python3 -c 'import socket; s=socket.socket(); s.bind(("127.0.0.1",0)); print(s.getsockname()[1])'; }

relay_reachable() { timeout 5 bash -c 'exec 3<>/dev/tcp/relay1.us-east.bsky.network/443' 2>/dev/null; }

up() {
  if relay_reachable; then
    exec "$build_dir/src/cli/recordkv" up "$@"
  fi
  say "dev: the relay relay1.us-east.bsky.network can't be reached within 5 s; following the demo network instead"
  demo "$@"
}

# Runs the simulated network with keys and signatures, and recordkv following it. A signal is passed to recordkv, which
# drains. Then the network ends.
demo() {
  local url=
  sim_out=$(mktemp)
  # Event times are apart by the rate (rate 0: 2 µs), and the simulated past ends now.
  local rate=${RECORDKV_DEMO_RATE:-200} step=2
  [ "$rate" -eq 0 ] || step=$((1000000 / rate > 2 ? 1000000 / rate : 2))
  "$build_dir/test/recordkv-sim" --network signed --accounts 2000 --settled 100 --die-with-parent --events 0 \
    --past 20000 --rate "$rate" --step "$step" --base "$(($(date +%s) * 1000000 - 20000 * step))" \
    --print 3 >"$sim_out" 2>&1 &
  sim_pid=$! main_pid=
  trap 'kill $sim_pid 2>/dev/null || true; wait $sim_pid 2>/dev/null || true; rm -f "$sim_out"' EXIT
  while [ -z "$url" ]; do
    kill -0 $sim_pid 2>/dev/null || { cat "$sim_out" >&2; die "the simulated network did not start"; }
    url=$(sed -n 's/^listening //p' "$sim_out")
    [ -n "$url" ] || read -rt 0.1 <> <(:) || true
  done
  local plc
  plc=$(sed -n 's/^plc //p' "$sim_out")
  echo "demo    a simulated relay at $url, a PDS, and a directory of DIDs at $plc"
  grep -E '^(post|  liked|  …)' "$sim_out" || true
  "$build_dir/src/cli/recordkv" --set "source.url=$url" --set source.start=oldest \
    --set "identity.plc_url=$plc" --set identity.allow_private_hosts=true up "$@" &
  main_pid=$!
  trap 'kill -TERM $main_pid 2>/dev/null' TERM HUP
  # Ctrl-C on a terminal reaches recordkv by itself. A second signal would end it at once, without draining.
  trap '[ -t 0 ] || kill -TERM $main_pid 2>/dev/null' INT
  local code=0
  while kill -0 $main_pid 2>/dev/null; do wait $main_pid || true; done
  wait $main_pid || code=$?  # its exit code, not the signal that ended the wait
  return $code
}

# A tool that is missing is a failure: setup_test has just installed them all. Recordings of the network may lie beside
# the clone (test/fixtures/README.md).
run_tests() {
  say "dev: building with sanitizers"
  build test
  TEST_TOOLS=required RECORDKV_FIXTURES=${RECORDKV_FIXTURES:-$root/../shared/fixtures} \
    RECORDKV_NATS_SERVER=$(command -v nats-server) RECORDKV_NATS_CLI=$(command -v nats) \
    python3 scripts/run_tests.py "$build_dir" "$@"
}

sources() { git ls-files --cached --others --exclude-standard -- '*.cpp' '*.hpp'; }

# lint [--changed]: everything; or, as CI does, clang-tidy on what changed and for four minutes at most.
lint() {
  local bad=0 kind=release
  lint_texts || bad=1
  [ "${1:-}" != --changed ] || kind=test
  build "$kind"  # clang-tidy reads the precompiled headers and the generated files; CI has the test build anyway
  tidy "$@" || bad=1
  [ $bad = 0 ] || die "lint found something"
  say "dev: clean"
}

lint_texts() {
  local bad=0
  say "dev: layers"
  python3 scripts/check_layers.py || bad=1
  say "dev: words"
  python3 scripts/check_words.py || bad=1
  say "dev: mutants still apply"
  for patch in test/mutants/*.patch; do git apply --check "$patch" || bad=1; done
  say "dev: formatting"
  sources | xargs clang-format-19 --dry-run -Werror || bad=1
  return $bad
}

tidy() {  # tidy [--changed]
  local options=()
  [ "${1:-}" != --changed ] || options=(--changed --seconds 240)
  say "dev: clang-tidy"
  python3 scripts/tidy.py "$build_dir" "${options[@]}"
}

# What must pass for a change to land. The tests mostly wait, so clang-tidy and the build of the bench take beside them
# what they leave of the cores. The tests' closing line is the last line.
run_ci() {
  local bad=0 said=$tools/ci-tests.log beside
  lint_texts || bad=1
  build test
  setsid nice -n 19 "$root/dev" beside-tests >"$tools/ci-beside.log" 2>&1 &
  beside=$!
  trap 'kill -- -$beside 2>/dev/null || true' EXIT
  run_tests | tee "$said" || bad=1
  wait $beside || bad=1
  trap - EXIT
  cat "$tools/ci-beside.log"
  run_bench --quick --guard test/bench/recorded.json || bad=1
  tail -n 1 "$said"
  return $bad
}

# A part of run_ci. Where the kernel shares the cores by session, the lowest priority within one is not enough.
beside_tests() {
  local bad=0
  [ ! -w /proc/self/autogroup ] || echo 19 >/proc/self/autogroup || true
  build_dir=$root/build-test
  tidy --changed || bad=1
  build_bench || bad=1
  return $bad
}

run_fuzz() {  # run_fuzz SECONDS: each target for that time, one on each core, from its committed seeds
  local name names=(test/fuzz/seeds/*)
  names=("${names[@]##*/}")
  build fuzz "${names[@]/#/test/fuzz-}"
  say "dev: fuzzing ${#names[@]} targets for $1 s each"
  export -f fuzz_one say
  export build_dir
  printf '%s\n' "${names[@]}" | xargs -P "$(nproc)" -I{} bash -c 'fuzz_one {} '"$1" ||
    die "a fuzz target found an input; it is in $build_dir"
}

fuzz_one() {  # fuzz_one NAME SECONDS
  mkdir -p "$build_dir/corpus-$1"
  "$build_dir/test/fuzz-$1" -max_total_time="$2" -print_final_stats=1 -artifact_prefix="$build_dir/$1-" \
    "$build_dir/corpus-$1" "test/fuzz/seeds/$1" 2>"$build_dir/fuzz-$1.log" || {
    tail -n 30 "$build_dir/fuzz-$1.log" >&2
    say "dev: $1 found an input"
    return 1
  }
  say "dev: $1 $(sed -n 's/^stat::number_of_executed_units: *//p' "$build_dir/fuzz-$1.log") inputs, no finding"
}

# The long forms. Several processes: kills for three minutes, and ten ingesters suspended for a minute each. Then every
# fault of twenty signed networks.
run_system() {
  build release src/cli/recordkv test/recordkv-sim
  (cd test/e2e && RECORDKV_SYSTEM_SECONDS=180 RECORDKV_SYSTEM_STOPS=10 RECORDKV_SYSTEM_PAUSE=60 \
    RECORDKV_VERIFY_SEEDS=20 RECORDKV=$build_dir/src/cli/recordkv RECORDKV_SIM=$build_dir/test/recordkv-sim \
    RECORDKV_NATS_SERVER=$(command -v nats-server) python3 -B -m unittest -v test_system test_verify)
}

run_mutants() { build test; python3 test/mutants/run.py "$build_dir"; }

# The tests of everything that has threads: signatures, the pool of workers, views in SQLite, names of hosts, and the
# whole program behind the signed network. No more is built than these need.
run_tsan() {
  local programs=(unit-atproto unit-view-store stages-kv stages-http-get stages-identity recordkv-sim)
  build tsan src/cli/recordkv "${programs[@]/#/test/}"
  TSAN_OPTIONS=halt_on_error=1 RECORDKV_NATS_SERVER=$(command -v nats-server) \
    python3 scripts/run_tests.py "$build_dir" --only unit/atproto --only unit/view_store --only stages/kv \
    --only stages/http_get --only stages/identity --only e2e/look_ups --only e2e/verify
}

build_bench() {
  local programs=(recordkv-sim bench-bare-pipe bench-bare-repos bench-view-store bench-verify-core
    bench-account-states bench-pure-parts)
  build release src/cli/recordkv "${programs[@]/#/test/}"
}

run_bench() {  # run_bench [SECTION…] [OPTIONS]: all sections if none is named
  build_bench
  export RECORDKV_NATS_SERVER=$(command -v nats-server)
  python3 -B test/bench/bench.py "$build_dir" "$@"
}

run_coverage() {
  build coverage
  python3 scripts/run_tests.py "$build_dir" --tier unit --tier stages
  ninja -C "$build_dir" coverage-text && head -n 80 "$build_dir/meson-logs/coverage.txt"
}
