// `frames`: frames of the firehose, one line each, with the verdict of every check. For people who look for faults in a
// relay or a PDS. It uses the functions that verify the store, and needs no NATS.
//
// Owns: the loop from input to output, what ends the command, its exit code, the recording of what was read.
// Does not know: the checks (frame_checks.hpp), where frames and keys come from.
#include "commands.hpp"
#include "frame_input.hpp"
#include "frame_keys.hpp"
#include "frame_line.hpp"
#include "line_pipe.hpp"
#include "output.hpp"

#include "recordkv/core/log.hpp"
#include "recordkv/core/nursery.hpp"
#include "recordkv/core/timestamp.hpp"
#include "recordkv/firehose/recording.hpp"
#include "recordkv/identity/resolver.hpp"

#include <unistd.h>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/signal_set.hpp>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <set>

namespace recordkv::cli {
namespace {

using namespace std::chrono_literals;
using judge_clock = frame_judge::clock;
constexpr auto look_up_limit = 10s;  // then the key counts as unknown, and the next frame asks again

/// The file of --record. It must not exist yet, so that no recording is overwritten, least of all the one being read.
class recorder {
 public:
  result<void> open(const std::string& path) {
    path_ = path;
    file_.reset(std::fopen(path.c_str(), "wbx"));
    return file_ ? result<void>{} : failure(errc::bad_config);
  }
  result<void> write(std::string_view message) {
    if (!file_) return {};
    std::string bytes;
    firehose::append_recorded(bytes, message);
    return std::fwrite(bytes.data(), 1, bytes.size(), file_.get()) == bytes.size() ? result<void>{}
                                                                                   : failure(errc::storage);
  }
  result<void> close() {
    if (!file_) return {};
    return std::fclose(file_.release()) == 0 ? result<void>{} : failure(errc::storage);
  }

 private:
  struct closer {
    void operator()(std::FILE* f) const noexcept { std::fclose(f); }
  };
  error failure(errc code) const { return fail(code, "--record {}: {}", path_, std::strerror(errno)); }

  std::unique_ptr<std::FILE, closer> file_;
  std::string path_;
};

class frames_run {
 public:
  frames_run(asio::io_context& io, const frames_options& what, frame_input& input, const key_file* file,
             identity::resolver& directory)
      : what_(what),
        input_(input),
        file_(file),
        directory_(directory),
        keys_([this](std::string did) { return ask(std::move(did)); }),
        out_(io, STDOUT_FILENO),
        signals_(io, SIGINT, SIGTERM) {
    if (!hangup_is_ignored()) signals_.add(SIGHUP);
  }

  result<void> open_recording() { return what_.record.empty() ? result<void>{} : recorder_.open(what_.record); }

  task<int> run() {
    nursery children(co_await asio::this_coro::executor);
    children.spawn(await_signal());
    if (out_.has_reader()) children.spawn(watch_reader());
    auto ended = co_await read_all();
    if (auto closed = recorder_.close(); !closed && ended) ended = closed;
    stop();
    out_.close();
    signals_.cancel();
    co_await children.join();
    const int code = ended || ended.error().code == errc::closed ? done : complain(ended.error());
    write_error("recordkv: {}\n", counts_.text());
    co_return code != done ? code : counts_.any_failed() ? no : done;
  }

 private:
  task<result<void>> read_all() {
    while (!stopped_ && !enough()) {
      auto batch = co_await input_.next();
      if (!batch) co_return batch.error();
      co_await look_up_keys(*batch);
      std::string lines;
      result<void> kept;
      for (const auto& f : *batch) {
        if (stopped_ || enough()) break;
        if (kept = recorder_.write(f.bytes); !kept) break;
        add_line(lines, co_await judged(f));
      }
      if (auto written = co_await out_.write(lines); !written) co_return written;
      if (!kept) co_return kept;
    }
    co_return result<void>{};
  }

  bool enough() const { return what_.count > 0 && printed_ >= what_.count; }

  void add_line(std::string& out, const judged_frame& f) {
    ++printed_;
    counts_.add(f);
    if (what_.json)
      append_frame_json(out, f);
    else
      append_frame_line(out, f);
  }

  // One after the other, the look-ups of a batch would take longer than a relay waits.
  task<> look_up_keys(const std::vector<read_frame>& batch) {
    if (file_ || what_.no_identity) co_return;
    std::set<std::string> accounts;
    for (const auto& f : batch)
      if (f.is_signed()) accounts.insert(f.event->did);
    nursery look_ups(co_await asio::this_coro::executor);
    for (const auto& did : accounts) look_ups.spawn(look_up(did));
    co_await look_ups.join();
  }

  task<key_answer> ask(std::string did) {
    const auto found = co_await directory_.look_up(std::move(did));
    if (!found) co_return error{found.error().code, std::string(name(found.error().code))};
    co_return atproto::public_key::from_multikey(found->key);
  }

  task<> look_up(std::string did) { (void)co_await keys_.find(std::move(did)); }

  task<judged_frame> judged(const read_frame& f) {
    const auto now = what_.now.empty() ? judge_clock::now() : judge_clock::time_point(given_now());
    if (f.event && f.event->kind == atproto::event_kind::identity) keys_.forget(f.event->did);
    if (!f.is_signed() || what_.no_identity) co_return judge_.judge(f, std::nullopt, now);
    auto key = co_await key_for(*f.event);
    co_return judge_.judge(f, key, now);
  }

  task<key_answer> key_for(const atproto::repo_event& e) {
    if (file_) co_return file_->find(e.did, e.seq);
    auto key = co_await keys_.find(e.did);
    const bool bad = key && !key->verifies(e.proof->signed_digest, e.proof->signature);
    if (bad && keys_.forget_if_old(e.did)) key = co_await keys_.find(e.did);  // it may have been replaced
    co_return key;
  }

  judge_clock::duration given_now() const {
    return std::chrono::duration_cast<judge_clock::duration>(
        std::chrono::duration<double>(epoch_seconds(what_.now).value_or(0)));
  }

  // The first signal ends the reading. What was judged is still printed, unless a second one comes: the reader may not
  // take it.
  task<> await_signal() {
    for (int signals = 1;; ++signals) {
      auto [ec, signal] = co_await signals_.async_wait(use_task);
      if (ec) co_return;
      stop();
      if (signals > 1) out_.close();
    }
  }

  task<> watch_reader() {
    co_await out_.reader_gone();
    stop();
  }

  void stop() noexcept {
    stopped_ = true;
    input_.close();
    directory_.close();
  }

  const frames_options& what_;
  frame_input& input_;
  const key_file* file_;  // null: keys are looked up
  identity::resolver& directory_;
  key_cache keys_;
  frame_judge judge_;
  frame_counts counts_;
  recorder recorder_;
  line_output out_;
  asio::signal_set signals_;
  std::uint64_t printed_ = 0;
  bool stopped_ = false;
};

result<std::optional<key_file>> keys_of(const frames_options& what) {
  if (what.keys.empty()) return std::nullopt;
  auto file = key_file::open(what.keys);
  if (!file) return file.error();
  return std::optional(std::move(*file));
}

}  // namespace

int frames(const invocation& i, const config& cfg) {
  const auto& what = i.frames;
  if (!what.now.empty() && !epoch_seconds(what.now))
    return complain(
        fail(errc::bad_config, "--now wants a time such as 2026-11-23T12:00:00Z; \"{}\" is not one", what.now));
  log::set_level(log::level::error);
  asio::io_context io(1);
  const auto file = keys_of(what);
  if (!file) return complain(file.error());
  auto input = frame_input::open(io, what.input);
  if (!input) return complain(input.error());
  meters counters;
  const identity::resolver_options options{.plc_url = cfg.identity.plc_url,
                                           .allow_private_hosts = cfg.identity.allow_private_hosts,
                                           .patience = look_up_limit};
  identity::resolver directory(io.get_executor(), options, counters);
  frames_run run(io, what, **input, *file ? &**file : nullptr, directory);
  if (auto opened = run.open_recording(); !opened) return complain(opened.error());
  int code = no;
  asio::co_spawn(io, run.run(), [&](std::exception_ptr e, int ended) {
    if (e) std::rethrow_exception(e);
    code = ended;
  });
  io.run();
  return code;
}

}  // namespace recordkv::cli
