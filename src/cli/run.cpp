// `run`: the chosen stages, from start to an orderly end.
//
// Owns: the loop, the connection, signals, the order of start and end. Does not know: what a stage does.
#include "commands.hpp"
#include "http_endpoints.hpp"
#include "notify.hpp"

#include "recordkv/core/log.hpp"
#include "recordkv/core/nursery.hpp"
#include "recordkv/nats/greeting.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/json.hpp>

#include <algorithm>
#include <csignal>
#include <cstdlib>

namespace recordkv::cli {
namespace {

using namespace std::chrono_literals;
constexpr auto shutdown_limit = 10s;

class process {
 public:
  process(const config& cfg, hangup on_hangup)
      : cfg_(cfg),
        on_hangup_(on_hangup),
        http_(io_, cfg, nc_, board_),
        signals_(io_, SIGINT, SIGTERM),
        hangups_(io_),
        deadline_(io_) {
    if (!hangup_is_ignored()) hangups_.add(SIGHUP);
  }

  int run(std::span<const stage_entry> entries, const run_hooks& hooks) {
    signals_.async_wait([this](boost::system::error_code ec, int) {
      if (!ec) close("asked to stop");
    });
    await_hangup();
    if (auto open = http_.open(); !open) return complain(open.error());
    beside_.spawn(http_.run());  // from now on, so that a long wait for NATS can be seen
    if (auto connected = reach_nats(); connected)
      beside_.spawn(main(entries, hooks));
    else
      leave(closing_ ? done : complain(connected.error()));
    while (!beside_.empty()) io_.run_one();
    return exit_code_;
  }

 private:
  // A second SIGHUP never ends the process at once, because a shell also sends one when its terminal goes.
  void await_hangup() {
    hangups_.async_wait([this](boost::system::error_code ec, int) {
      if (ec) return;
      if (on_hangup_ == hangup::ends)
        close("the terminal has gone (SIGHUP)");
      else
        log::info("run", "SIGHUP: there is nothing to reopen; a changed configuration needs a restart");
      await_hangup();
    });
  }

  // A server that is still starting, or recovering a large store, is waited for; a server that is wrong is not.
  result<void> reach_nats() {
    for (bool first = true;; first = false) {
      auto connected = connect(io_, nc_, cfg_);
      if (connected || connected.error().code != errc::unreachable || closing_ ||
          std::chrono::steady_clock::now() > start_until_)
        return connected;
      if (first)
        log::info("nats", "{}; trying for {} s", connected.error().text,
                  std::chrono::floor<std::chrono::seconds>(cfg_.nats.start_timeout).count());
      notify_waiting(connected.error().text, 30s);
      bool rested = false;
      asio::steady_timer pause(io_, 300ms);
      pause.async_wait([&](boost::system::error_code) { rested = true; });
      while (!rested) io_.run_one();
    }
  }

  // A server may greet before JetStream has recovered, and then not answer yet.
  task<result<nats::server_facts>> reach_jetstream() {
    for (;;) {
      auto facts = co_await nats::jetstream_facts(nc_);
      const bool waits = !facts && unanswered(facts.error()) && !closing_;
      if (!waits || std::chrono::steady_clock::now() > start_until_) co_return facts;
      log::info("nats", "{}; trying again", facts.error().text);
      notify_waiting("waiting for JetStream", 30s);
      asio::steady_timer pause(io_, 300ms);
      co_await pause.async_wait(use_task);
    }
  }

  task<> main(std::span<const stage_entry> entries, const run_hooks& hooks) {
    co_await run_stages(entries, hooks);
    leave(exit_code_);
    log::info("run", "stopped");
  }

  void leave(int code) {
    exit_code_ = code;
    http_.close();
  }

  // 8 MB holds a record of the lexicon's largest size, as JSON, and a frame of 5 MB. Larger messages than the server
  // takes are skipped.
  void warn_of_small_messages() const {
    if (nc_.max_payload() == 0 || nc_.max_payload() >= 8'000'000) return;
    log::warn("nats",
              "the NATS server takes messages of {} bytes at most (max_payload); larger frames and records are "
              "skipped. Write max_payload: 8MB into its configuration and reload it (nats-server --signal reload)",
              nc_.max_payload());
  }

  void log_domain(const nats::server_facts& facts) const {
    if (facts.domain.empty()) return;
    log::info("nats", "the store of bucket {} is in JetStream domain {}{}", cfg_.kv.bucket, facts.domain,
              cfg_.nats.api().empty() ? ", that of this server; nats.domain names another" : "");
  }

  // Frames are published to `ingest.{partition}`, which every connected JetStream receives. A buffer that was made in
  // the server's own JetStream, before nats.domain was set, would store and refuse what is meant for the other.
  task<result<void>> only_one_buffer(const nats::server_facts& facts) {
    const bool ingests = std::ranges::find(cfg_.stages, "ingest") != cfg_.stages.end();
    if (cfg_.nats.api().empty() || !ingests) co_return result<void>{};
    auto hello = co_await nats::greet(cfg_.nats.url);
    if (!hello || !hello->jetstream || hello->domain.empty() || hello->domain == facts.domain) co_return result<void>{};
    const auto stream = kv::store_names(cfg_.kv.bucket).buffer();
    auto asked = co_await nc_.request({.subject = fmt::format("$JS.{}.API.STREAM.INFO.{}", hello->domain, stream)}, 5s);
    boost::system::error_code ec;
    const auto info = asked ? boost::json::parse(asked->data(), ec) : boost::json::value();
    if (ec || !info.is_object() || info.get_object().contains("error")) co_return result<void>{};
    co_return fail(errc::mismatch,
                   "stream {} also exists in this server's own JetStream domain {}, and would take the frames that are "
                   "meant for domain {}; remove it (nats --js-domain {} stream rm {}), or use another kv.bucket",
                   stream, hello->domain, facts.domain, hello->domain, stream);
  }

  task<> run_stages(std::span<const stage_entry> entries, const run_hooks& hooks) {
    auto facts = co_await reach_jetstream();
    if (!facts) {
      exit_code_ = closing_ ? done : complain(facts.error());
      co_return;
    }
    log_domain(*facts);
    if (auto alone = co_await only_one_buffer(*facts); !alone) {
      exit_code_ = complain(alone.error());
      co_return;
    }
    warn_of_small_messages();
    stage_context ctx{nc_, cfg_, counters_, *facts, &board_, start_until_};
    for (const auto& e : entries) {
      auto made = e.make(ctx);
      if (!made) {
        exit_code_ = complain(made.error());
        co_return;
      }
      stages_.push_back(std::move(*made));
    }
    const auto executor = co_await asio::this_coro::executor;
    nursery running(executor), companions(executor);
    for (auto& s : stages_) running.spawn(run_one(*s));
    if (closing_)  // asked during the start
      for (auto& s : stages_) s->close();
    notify_ready();
    if (hooks.on_started) hooks.on_started();
    if (hooks.beside) companions.spawn(hooks.beside(session{nc_, cfg_, *facts}, stop_));
    co_await running.join();
    stop_.happen();
    co_await companions.join();
    (void)co_await nc_.flush();
  }

  task<> run_one(stage& s) {
    auto ended = co_await s.run();
    if (ended || ended.error().code == errc::closed) {
      log::debug("run", "stage {} has ended", s.name());
      co_return;
    }
    if (ended.error().text != reported_)
      exit_code_ = complain(ended.error());  // several stages may fail for the same reason
    reported_ = ended.error().text;
    close(fmt::format("stage {} can't go on", s.name()));
  }

  void close(std::string why) {
    if (closing_) return;
    closing_ = true;
    log::info("run", "{}: taking in nothing more, settling what is in flight", why);
    notify_stopping();
    nc_.hurry();
    stop_.happen();
    for (auto& s : stages_) s->close();
    deadline_.expires_after(shutdown_limit);
    deadline_.async_wait([](boost::system::error_code ec) {
      if (ec) return;
      // What is unsettled is read again at the next start, so a longer wait has no use.
      log::warn("run", "not everything is settled after {} s; exiting", shutdown_limit.count());
      std::_Exit(unreachable);
    });
    signals_.async_wait([](boost::system::error_code ec, int) {
      if (!ec) std::_Exit(no);
    });
  }

  const config& cfg_;
  const hangup on_hangup_;
  const std::chrono::steady_clock::time_point start_until_ = std::chrono::steady_clock::now() + cfg_.nats.start_timeout;
  asio::io_context io_{1};
  nats::connection nc_{io_};
  meters counters_;
  stats_board board_;
  http_endpoints http_;
  std::vector<std::unique_ptr<stage>> stages_;
  nursery beside_{io_.get_executor()};
  interruption stop_;  // of what runs beside the stages
  asio::signal_set signals_, hangups_;
  asio::steady_timer deadline_;
  bool closing_ = false;
  std::string reported_;
  int exit_code_ = done;
};

}  // namespace

result<std::vector<stage_entry>> chosen_stages(const config& cfg, std::span<const stage_entry> extra) {
  std::vector<stage_entry> all(builtin_stages().begin(), builtin_stages().end());
  all.insert(all.end(), extra.begin(), extra.end());
  std::vector<stage_entry> out;
  for (const auto& name : cfg.stages)
    if (std::none_of(all.begin(), all.end(), [&](const auto& e) { return e.name == name; }))
      return fail(errc::bad_config, "there is no stage \"{}\"; `recordkv --list` names them", name);
  for (const auto& e : all)
    if (std::find(cfg.stages.begin(), cfg.stages.end(), e.name) != cfg.stages.end()) out.push_back(e);
  if (out.empty()) return fail(errc::bad_config, "stages is empty; name at least one, e.g. --stages=ingest,kv,index");
  return out;
}

bool hangup_is_ignored() {
  struct sigaction now{};
  return sigaction(SIGHUP, nullptr, &now) == 0 && now.sa_handler == SIG_IGN;
}

int run_stages(const config& cfg, std::span<const stage_entry> extra, hangup on_hangup, const run_hooks& hooks) {
  auto entries = chosen_stages(cfg, extra);
  if (!entries) return complain(entries.error());
  for (const auto& w : cfg.warnings) log::warn("config", "{}", w);
  process p(cfg, on_hangup);
  return p.run(*entries, hooks);
}

}  // namespace recordkv::cli
