// Recorded messages, played back.
//
// Owns: reading the file, and the pace.
// Does not know: the file's format (recording.hpp), and what the messages mean beyond their summary.
#include "recordkv/core/event.hpp"
#include "recordkv/core/log.hpp"
#include "recordkv/firehose/recording.hpp"
#include "recordkv/firehose/source.hpp"
#include "recordkv/firehose/source_kinds.hpp"
#include "recover_did.hpp"

#include <boost/asio/post.hpp>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>

namespace recordkv::firehose {
namespace {

constexpr std::size_t batch_frames = 512;
constexpr std::size_t batch_bytes = 4 * 1024 * 1024;

class file_source final : public frame_source {
 public:
  file_source(asio::any_io_executor ex, source_spec spec, meters& counters)
      : ex_(std::move(ex)), spec_(std::move(spec)), counters_(counters), recording_(spec_.max_frame) {
    if (spec_.url.starts_with("file://")) spec_.url.erase(0, 7);
  }

  task<result<std::vector<frame>>> next() override;
  void close() noexcept override {
    closed_ = true;
    stop_.notify();
  }
  std::string last_error() const override { return end_ && end_->code != errc::closed ? end_->text : ""; }

 private:
  using clock = std::chrono::steady_clock;
  struct closer {
    void operator()(std::FILE* f) const noexcept { std::fclose(f); }
  };

  void open();
  void end(error e);
  bool read_piece();                        // false: no more, end_ says why
  bool read_message(std::string& message);  // false: no more, end_ says why
  void take(std::string message, std::vector<frame>& out);
  std::size_t due();

  asio::any_io_executor ex_;
  source_spec spec_;
  meters& counters_;
  bool closed_ = false;
  event stop_;
  std::unique_ptr<std::FILE, closer> file_;
  recording_reader recording_;
  std::optional<error> end_;
  clock::time_point began_;
  std::uint64_t played_ = 0;
};

void file_source::open() {
  file_.reset(std::fopen(spec_.url.c_str(), "rb"));
  if (!file_) end(fail(errc::bad_config, "source file {} cannot be opened: {}", spec_.url, std::strerror(errno)));
  began_ = clock::now();
}

void file_source::end(error e) {
  if (e.code != errc::closed) log::error("file", "{}", e.text);
  end_ = std::move(e);
}

bool file_source::read_piece() {
  std::array<char, 65'536> piece;
  const auto n = std::fread(piece.data(), 1, piece.size(), file_.get());
  recording_.add({piece.data(), n});
  if (n > 0) return true;
  const auto whole = recording_.finish();
  if (std::ferror(file_.get()) != 0)
    end(fail(errc::storage, "{}: {}", spec_.url, std::strerror(errno)));
  else
    end(whole ? fail(errc::closed, "{}: end of file", spec_.url)
              : fail(errc::malformed, "{}: {}", spec_.url, whole.error().text));
  return false;
}

bool file_source::read_message(std::string& message) {
  for (;;) {
    auto next = recording_.next();
    if (!next) {
      end(fail(errc::malformed, "{}: {}", spec_.url, next.error().text));
      return false;
    }
    if (*next) {
      message = std::move(**next);
      return true;
    }
    if (!read_piece()) return false;
  }
}

void file_source::take(std::string message, std::vector<frame>& out) {
  auto seen = message.starts_with('{') ? atproto::summarise_jetstream(message) : atproto::summarise_frame(message);
  frame f;
  if (!seen && atproto::is_error_frame(seen.error().code)) {
    // It ended a connection when it was recorded. The recording goes on.
    counters_.add("source_skipped", "error_frame");
    return;
  }
  // An account's event without a number cannot be put in order. It counts as unreadable.
  if (seen && seen->kind == atproto::event_kind::unknown && !seen->did.empty())
    seen = fail(errc::malformed, "{}", seen->name);
  if (!seen) {
    counters_.add("source_skipped", "unreadable");
    f.what = frame::notice::unreadable;
    f.info.kind = atproto::event_kind::unreadable;
    f.info.did = recover_did(message);
    f.info.name = seen.error().text;
    log::warn("file", "{}: the message that ends at offset {} cannot be read: {}", spec_.url, recording_.offset(),
              seen.error().text);
    out.push_back(std::move(f));
    return;
  }
  f.info = std::move(*seen);
  if (f.info.seq != 0 && spec_.cursor && f.info.seq <= spec_.cursor->seq) return;
  if (f.info.seq != 0 && !spec_.cursor && spec_.begin_behind && f.info.seq <= *spec_.begin_behind) return;
  if (f.info.kind == atproto::event_kind::info) {
    if (f.info.name != "OutdatedCursor") return counters_.add("source_skipped", "info");
    f.what = frame::notice::outdated_cursor;
  } else {
    if (f.info.kind == atproto::event_kind::unknown) counters_.add("source_skipped", "unknown");
    counters_.add("source_frames");
    counters_.add("source_bytes", {}, message.size());
  }
  f.bytes = std::move(message);
  out.push_back(std::move(f));
}

// How many frames the pace allows by now.
std::size_t file_source::due() {
  if (spec_.pace == 0) return batch_frames;
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(clock::now() - began_).count();
  const auto by_now = static_cast<std::uint64_t>(ms) * spec_.pace / 1000 + 1;
  return by_now <= played_ ? 0 : std::min<std::uint64_t>(by_now - played_, batch_frames);
}

task<result<std::vector<frame>>> file_source::next() {
  if (!file_ && !end_) open();
  std::vector<frame> out;
  std::string message;
  while (out.empty() && !closed_ && !end_) {
    // A file is always ready. Without this step it would occupy the loop.
    co_await asio::post(ex_, use_task);
    const std::size_t allowed = due();
    if (allowed == 0)
      co_await stop_.wait_for(
          std::chrono::microseconds(std::min<std::uint64_t>(1'000'000 / spec_.pace + 1, 1'000'000)));
    for (std::size_t bytes = 0; out.size() < allowed && bytes < batch_bytes && read_message(message);) {
      const std::size_t before = out.size();
      bytes += message.size();
      take(std::move(message), out);
      played_ += out.size() - before;
    }
  }
  if (!out.empty()) co_return out;
  co_return closed_ ? fail(errc::closed, "closed") : *end_;
}

}  // namespace

std::unique_ptr<frame_source> make_file(asio::any_io_executor ex, source_spec spec, meters& counters) {
  return std::make_unique<file_source>(std::move(ex), std::move(spec), counters);
}

}  // namespace recordkv::firehose
