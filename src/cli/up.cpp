// `up`: everything on this machine; starts nats-server as a child if none answers.
//
// Owns: the child and its files. Does not know: what the stages do (run.cpp), and how accounts are fetched
// (up_accounts.hpp).
#include "account_names.hpp"
#include "commands.hpp"
#include "output.hpp"
#include "up_accounts.hpp"

#include "recordkv/core/file_access.hpp"
#include "recordkv/core/log.hpp"
#include "recordkv/nats/greeting.hpp"
#include "recordkv/view/store.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

namespace recordkv::cli {
namespace {

using namespace std::chrono_literals;

result<nats::greeting> greeting_of(const std::string& url) {
  asio::io_context io(1);
  result<nats::greeting> out = fail(errc::unreachable, "not asked");
  asio::co_spawn(io, nats::greet(url, 500ms),
                 [&](std::exception_ptr, result<nats::greeting> g) { out = std::move(g); });
  io.run();
  return out;
}

struct address {
  std::string host = "127.0.0.1", port = "4222";
};

result<address> loopback_address(const std::string& url) {
  const auto shown = nats::without_secrets(url);
  std::string_view rest = shown;
  if (const auto scheme = rest.find("://"); scheme != rest.npos) rest.remove_prefix(scheme + 3);
  address a;
  const auto bracket = rest.rfind(']');  // of an IPv6 address
  const auto colon = rest.rfind(':');
  const bool has_port = colon != rest.npos && (bracket == rest.npos || colon > bracket);
  a.host = rest.substr(0, has_port ? colon : rest.npos);
  if (has_port) a.port = rest.substr(colon + 1);
  if (a.host != "127.0.0.1" && a.host != "localhost" && a.host != "[::1]")
    return fail(errc::unreachable,
                "no NATS server answers at {}, and `up` starts one on this machine only; start it there, or use "
                "nats.url = \"nats://127.0.0.1:4222\"",
                shown);
  return a;
}

struct server_files {
  std::filesystem::path config, log, data;
};

// What nats-server would refuse, or could not write, is reported here: nats-server says so only in its log.
result<server_files> prepare_files(const config& cfg) {
  const auto dir = std::filesystem::absolute(cfg.state.dir).lexically_normal() / "nats";
  server_files f{.config = dir / "nats-server.conf", .log = dir / "nats-server.log", .data = dir / "data"};
  std::error_code ec;
  std::filesystem::create_directories(dir, ec);
  for (const auto& p : {dir, f.config, f.log, f.data})
    if (const auto why = why_not_usable(p, file_use::write); !why.empty())
      return fail(errc::storage,
                  "the NATS server of `up` keeps its data in {}: {}; set state.dir to a directory that this user may "
                  "write to",
                  dir.string(), why);
  if (ec) return fail(errc::storage, "state.dir: {} can't be made: {}", dir.string(), ec.message());
  return f;
}

result<void> write_server_config(const config& cfg, const address& a, const server_files& files) {
  std::ofstream out(files.config);
  out << fmt::format(
      "# Written by `recordkv up` at each start.\nlisten: \"{}:{}\"\nmax_payload: 8MB\n"
      "jetstream {{\n  store_dir: \"{}\"\n  sync_interval: \"{}ms\"\n}}\n",
      a.host == "localhost" ? "127.0.0.1" : a.host, a.port, files.data.string(), cfg.nats.sync_interval.count());
  if (!out.flush()) return fail(errc::storage, "{} can't be written; is the disk full?", files.config.string());
  return {};
}

class nats_child {
 public:
  nats_child() = default;
  nats_child(const nats_child&) = delete;
  ~nats_child() {
    if (pid_ <= 0) return;
    kill(pid_, SIGTERM);
    waitpid(pid_, nullptr, 0);
  }

  result<void> start(const config& cfg) {
    auto a = loopback_address(cfg.nats.url);
    if (!a) return a.error();
    auto files = prepare_files(cfg);
    if (!files) return files.error();
    if (auto written = write_server_config(cfg, *a, *files); !written) return written;
    const char* named = std::getenv("RECORDKV_NATS_SERVER");
    const std::string program = named && *named ? named : "nats-server";
    pid_ = fork();
    if (pid_ < 0) return fail(errc::storage, "nats-server can't be started: fork failed");
    if (pid_ == 0) exec(program, files->config.string(), files->log.string());
    return wait_ready(cfg, program, files->log.string());
  }

 private:
  // In the child. It ends with its parent. It leaves the terminal's process group, because Ctrl-C is for the parent,
  // which drains first.
  [[noreturn]] static void exec(const std::string& program, const std::string& file, const std::string& log_file) {
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    setpgid(0, 0);
    signal(SIGPIPE, SIG_DFL);
    const int out = open(log_file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (out >= 0) {
      dup2(out, STDOUT_FILENO);
      dup2(out, STDERR_FILENO);
    }
    execlp(program.c_str(), program.c_str(), "-c", file.c_str(), nullptr);
    _exit(127);
  }

  // A large store takes its server minutes to recover, so the server is waited for as long as its process lives.
  result<void> wait_ready(const config& cfg, const std::string& program, const std::string& log_file) {
    for (;;) {
      int state = 0;
      if (waitpid(pid_, &state, WNOHANG) == pid_) {
        pid_ = 0;
        if (WIFEXITED(state) && WEXITSTATUS(state) == 127)
          return fail(
              errc::unreachable,
              "no NATS server answers at {} and \"{}\" is not installed; `./dev setup` gets it, or put it on PATH",
              nats::without_secrets(cfg.nats.url), program);
        return fail(errc::unreachable, "{} ended at once; its log is {}", program, log_file);
      }
      if (auto g = greeting_of(cfg.nats.url); g && g->jetstream) return {};
      std::this_thread::sleep_for(50ms);
    }
  }

  pid_t pid_ = 0;
};

}  // namespace

int up(const config& cfg, std::span<const stage_entry> extra, std::vector<std::string> accounts) {
  for (auto& a : accounts) {
    auto name = account_name(std::move(a), "up --repo");
    if (!name) return complain(name.error());
    a = std::move(*name);
  }
  std::ranges::sort(accounts);
  accounts.erase(std::ranges::unique(accounts).begin(), accounts.end());
  nats_child server;
  const bool running = greeting_of(cfg.nats.url).has_value();
  if (!running)
    if (auto started = server.start(cfg); !started) return complain(started.error());
  run_hooks hooks;
  hooks.on_started = [&] {
    write_out("NATS    {} ({})\nstore   bucket {} (nats kv ls {})\nviews   {}\nsource  {} {}\n",
              nats::without_secrets(cfg.nats.url),
              running ? "was running" : "started, data in " + cfg.state.dir + "/nats", cfg.kv.bucket, cfg.kv.bucket,
              view::without_password(cfg.database()), cfg.source.kind, cfg.source.url);
    flush_output();
  };
  if (!accounts.empty())
    hooks.beside = [&](session s, interruption& stop) { return follow_accounts(s, accounts, stop); };
  return run_stages(cfg, extra, hangup::ends, hooks);
}

}  // namespace recordkv::cli
