# Tests what deploys recordkv: ./dev units (seconds) and ./dev image (minutes). Sourced by ./dev.

# Takes only promtool from Debian's package. The whole package would run Prometheus on a developer's machine.
install_promtool() {
  command -v promtool >/dev/null && return
  say "dev: getting promtool"
  local dir=$tools/prometheus
  rm -rf "$dir" && mkdir -p "$dir"
  update_packages
  (cd "$dir" && apt-get -qq download prometheus && dpkg-deb -x prometheus_*.deb .) >>"$tools/apt.log" 2>&1 ||
    die "promtool could not be had from Debian's package prometheus; see .tools/apt.log"
  mv "$dir/usr/bin/promtool" "$tools/bin/" && rm -rf "$dir"
}

# What only e2e/deploy needs; ./dev's setup_test calls it.
setup_deploy() {
  python3 -c 'import yaml' 2>/dev/null || install_packages python3-yaml
  python3 -c 'import jsonschema' 2>/dev/null || install_packages python3-jsonschema
  command -v systemd-analyze >/dev/null || install_packages systemd
  install_promtool
}

# Checks units, compose file, NATS configuration and alarms with the tools that will read them.
run_units() {
  setup_deploy
  build release src/cli/recordkv
  RECORDKV=$build_dir/src/cli/recordkv RECORDKV_NATS_SERVER=$(command -v nats-server) \
    python3 -B -m unittest discover -v -s test/deploy
}

# Builds the image without Docker and uses it; see test/deploy/image.sh.
run_image() {
  install_packages buildah debootstrap binutils util-linux
  build release test/recordkv-sim
  as_root env "RECORDKV_SIM=$build_dir/test/recordkv-sim" "RECORDKV_NATS_SERVER=$(command -v nats-server)" \
    ${RECORDKV_IMAGE_STORAGE:+RECORDKV_IMAGE_STORAGE="$RECORDKV_IMAGE_STORAGE"} test/deploy/image.sh
}
