# Installs what ./dev needs: packages, compiler, nats-server. Sourced by ./dev. A second run installs nothing again.

say() { printf '%s\n' "$*" >&2; }
die() { say "dev: $*"; exit 1; }

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"
  elif command -v sudo >/dev/null; then sudo "$@"
  else die "not root and no sudo: as root, run: $*"
  fi
}

distribution() { . /etc/os-release; echo "${ID:-unknown}-${VERSION_ID:-0}"; }

# The packages of each distribution. Names that all have are in `common`.
packages() {
  local common="ninja-build meson pkg-config ccache ca-certificates curl git iproute2 openssl python3 procps
    libnats-dev libcbor-dev libfmt-dev libtomlplusplus-dev libsqlite3-dev libpq-dev libcli11-dev libssl-dev
    libjemalloc-dev libsecp256k1-dev"
  local clang="clang-19 lld-19 clang-format-19 clang-tidy-19 libclang-rt-19-dev llvm-19"
  case $(distribution) in
    debian-12) echo $common $clang libboost1.81-dev ;;
    debian-13|ubuntu-24.04) echo $common $clang libboost-dev catch2 ;;
    *) return 1 ;;
  esac
}

missing_packages() {
  local p
  for p in "$@"; do dpkg-query -W -f='${Status}' "$p" 2>/dev/null | grep -q 'install ok installed' || echo "$p"; done
}

apt_get() { as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq "$@" >>"$tools/apt.log" 2>&1; }

update_packages() {
  [ -f "$tools/apt-updated" ] && return
  apt_get update || die "apt-get update failed; see .tools/apt.log"
  touch "$tools/apt-updated"
}

install_packages() {
  local missing
  missing=$(missing_packages "$@")
  [ -z "$missing" ] && return
  say "dev: installing $(echo $missing | wc -w) packages"
  update_packages
  apt_get install -y --no-install-recommends $missing || die "could not install: $(echo $missing); see .tools/apt.log"
}

# Debian 12 has only Catch2 2. Version 3 is in its backports.
install_catch2() {
  [ "$(distribution)" = debian-12 ] || return 0
  dpkg-query -W -f='${Version}' catch2 2>/dev/null | grep -q '^3' && return
  if ! grep -rqs bookworm-backports /etc/apt/sources.list /etc/apt/sources.list.d; then
    local mirror
    mirror=$(apt-cache policy | grep -oE 'https?://[^ ]+ bookworm/main' | head -n1 | cut -d' ' -f1)
    say "dev: enabling bookworm-backports (Catch2 3)"
    echo "deb ${mirror:?no mirror of bookworm found in apt-cache policy} bookworm-backports main" |
      as_root tee /etc/apt/sources.list.d/recordkv-backports.list >/dev/null
    apt_get update || die "apt-get update failed; see .tools/apt.log"
  fi
  apt_get install -y --no-install-recommends -t bookworm-backports catch2 ||
    die "could not install catch2 from bookworm-backports"
}

# At least 2.10, and not the releases that can hide messages after a restart.
nats_server_fits() {
  local v
  v=$("$1" --version 2>/dev/null | grep -oE '[0-9]+\.[0-9]+\.[0-9]+') || return 1
  case $v in 2.12.[789]|2.14.[01]) return 1 ;; esac
  [ "$(printf '%s\n2.10.0\n' "$v" | sort -V | head -n1)" = 2.10.0 ]
}

go_version() { "$1" version 2>/dev/null | grep -oE 'go[0-9]+\.[0-9]+' | head -n1 | tr -d go; }

go_at_least() { [ "$(printf '%s\n%s\n' "$2" "$(go_version "$1")" | sort -V | head -n1)" = "$2" ]; }

# Finds a Go that can build, by itself or with the toolchain that a module names.
find_go() {
  local g
  for g in "$(command -v go || true)" /usr/local/go/bin/go /usr/lib/go-1.2*/bin/go; do
    [ -x "$g" ] && go_at_least "$g" 1.21 && { echo "$g"; return; }
  done
  return 1
}

go_install() {  # go_install MODULE@VERSION
  local go
  go=$(find_go) || return 1
  GOTOOLCHAIN=auto GOBIN=$tools/bin GOFLAGS=-buildvcs=false "$go" install "$1" >>"$tools/go.log" 2>&1
}

install_go() {
  find_go >/dev/null && return
  case $(distribution) in
    debian-12) install_catch2; apt_get install -y --no-install-recommends -t bookworm-backports golang-1.23-go ;;
    *) apt_get install -y --no-install-recommends golang-go ;;
  esac
}

fetch_nats_release() {
  local arch name sum
  case $(uname -m) in x86_64) arch=amd64 ;; aarch64) arch=arm64 ;; *) return 1 ;; esac
  name=nats-server-$nats_server_version-linux-$arch
  local from=https://github.com/nats-io/nats-server/releases/download/$nats_server_version
  curl -fsSL --connect-timeout 5 -o "$tools/nats.tar.gz" "$from/$name.tar.gz" 2>/dev/null || return 1
  sum=$(curl -fsSL --connect-timeout 5 "$from/SHA256SUMS" 2>/dev/null | awk -v f="$name.tar.gz" '$2==f {print $1}')
  echo "$sum  $tools/nats.tar.gz" | sha256sum -c --quiet - >/dev/null 2>&1 || {
    say "dev: the checksum of $name is wrong"
    return 1
  }
  tar -xzf "$tools/nats.tar.gz" -C "$tools" && mv "$tools/$name/nats-server" "$tools/bin/"
}

install_nats_server() {
  local found
  found=$(command -v nats-server || true)
  [ -n "$found" ] && nats_server_fits "$found" && return
  say "dev: getting nats-server $nats_server_version"
  go_install "github.com/nats-io/nats-server/v2@$nats_server_version" && return
  fetch_nats_release && return
  install_go && go_install "github.com/nats-io/nats-server/v2@$nats_server_version" && return
  die "no way to get nats-server >= 2.10 worked; install it and put it on PATH (see .tools/go.log)"
}

# The tests need it, and so does the tour in README.
install_nats_cli() {
  command -v nats >/dev/null && return
  say "dev: getting the nats command line $nats_cli_version"
  local module=github.com/nats-io/natscli/nats@$nats_cli_version
  go_install "$module" || { install_go && go_install "$module"; }
}

# ./dev up also works without it.
setup_tour() {
  install_nats_cli ||
    say "dev: the nats command line could not be built (see .tools/go.log); the tour's nats commands need it"
}

# Tests start PostgreSQL by themselves. Debian's package would leave a server running on a developer's machine. This
# setting prevents that. It is removed again, so that a later installation works as usual.
install_postgres() {
  [ -n "${RECORDKV_POSTGRES_BIN:-}" ] || compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null && return
  local setting=/etc/postgresql-common/createcluster.d/recordkv.conf
  as_root mkdir -p "${setting%/*}"
  echo 'create_main_cluster = false' | as_root tee "$setting" >/dev/null
  install_packages postgresql
  as_root rm -f "$setting"
}

# A test starts PgBouncer, too. Its service must start neither now nor at boot.
install_pgbouncer() {
  [ -x /usr/sbin/pgbouncer ] || command -v pgbouncer >/dev/null && return
  local policy=/usr/sbin/policy-rc.d ours=
  [ -e "$policy" ] || {
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
    as_root chmod 755 "$policy"
    ours=1
  }
  install_packages pgbouncer
  [ -z "$ours" ] || as_root rm -f "$policy"
  ! command -v systemctl >/dev/null || as_root systemctl disable pgbouncer >/dev/null 2>&1 || true
}

# clang 19 through ccache, unless CC or CXX is set.
use_compiler() {
  local ccache=
  command -v ccache >/dev/null && ccache="ccache "
  export CC="${CC:-${ccache}clang-19}" CXX="${CXX:-${ccache}clang++-19}"
}

setup() {
  mkdir -p "$tools/bin"
  local wanted
  if wanted=$(packages); then
    install_packages $wanted
    install_catch2
  else
    say "dev: $(distribution) is not one of Debian 12, Debian 13, Ubuntu 24.04;" \
      "assuming that the packages of scripts/setup.sh are here"
  fi
  install_nats_server
}

npm_packages() {  # npm_packages FOLDER: the packages of its lock file
  local lock=$1/package-lock.json stamp=$1/node_modules/.installed
  cmp -s "$lock" "$stamp" && return
  say "dev: installing the Node packages of $1"
  (cd "$1" && npm ci --no-audit --no-fund >"$tools/npm.log" 2>&1) || {
    tail -n 15 "$tools/npm.log" >&2
    die "npm ci failed in $1; see .tools/npm.log"
  }
  cp "$lock" "$stamp"
}

pip_packages() {  # pip_packages FILE: into .tools/python, beside Python's own
  local stamp=$tools/python/.installed
  cmp -s "$1" "$stamp" && return
  python3 -m pip --version >/dev/null 2>&1 || install_packages python3-pip
  say "dev: installing the Python packages of $1"
  python3 -m pip install --quiet --upgrade --target "$tools/python" -r "$1" >"$tools/pip.log" 2>&1 || {
    tail -n 15 "$tools/pip.log" >&2
    die "pip failed for $1; see .tools/pip.log"
  }
  cp "$1" "$stamp"
}

# What the tests need beside that: the nats command line, PostgreSQL, PgBouncer, what checks the deployment files. Then
# Node, Python and Go with the packages of test/e2e and docs/examples.
setup_bench() {
  install_packages valgrind
  install_postgres
}

setup_test() {
  install_nats_cli || die "the nats command line could not be built; install Go >= 1.21 (see .tools/go.log)"
  install_postgres
  install_pgbouncer
  command -v node >/dev/null || install_packages nodejs npm
  command -v npm >/dev/null || install_packages npm
  npm_packages test/e2e
  npm_packages docs/examples/typescript
  pip_packages docs/examples/python/requirements.txt
  # Its test builds the Go example. Here only its modules are fetched, and checked against its go.sum.
  find_go >/dev/null || install_go
  local fetched=$tools/go-example.sum
  if ! cmp -s docs/examples/go/go.sum "$fetched"; then
    (cd docs/examples/go && GOTOOLCHAIN=auto "$(find_go)" mod download >>"$tools/go.log" 2>&1) ||
      die "the Go modules of docs/examples/go could not be fetched; see .tools/go.log"
    cp docs/examples/go/go.sum "$fetched"
  fi
  RECORDKV_GO=$(find_go)
  export RECORDKV_GO
  setup_deploy
}
