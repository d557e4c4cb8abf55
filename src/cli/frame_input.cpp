#include "frame_input.hpp"

#include "recordkv/firehose/source_kinds.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <boost/asio/post.hpp>

#include <cerrno>
#include <cstring>

namespace recordkv::cli {
namespace {

constexpr std::size_t max_message = 5'000'000;  // bytes, the protocol's limit of a frame

bool is_address(std::string_view where) { return where.starts_with("ws://") || where.starts_with("wss://"); }

read_frame as_frame(firehose::ws_message&& m) {
  using type = firehose::ws_message::type;
  if (m.what == type::binary) return read_frame(std::move(m.bytes));
  return {std::move(m.bytes), m.what == type::text ? "text_message" : "oversize"};
}

}  // namespace

frame_input::frame_input(asio::io_context& io, std::string name)
    : io_(io), name_(std::move(name)), recording_(max_message) {}

result<std::unique_ptr<frame_input>> frame_input::open(asio::io_context& io, const std::string& where) {
  std::unique_ptr<frame_input> in(new frame_input(io, where == "-" ? "standard input" : where));
  if (is_address(where)) {
    auto url = firehose::parse_ws_url(where);
    if (!url) return url.error();
    if (url->path.empty() || url->path == "/") url->path = firehose::source_kind_named("firehose").path;
    in->websocket_.emplace(io.get_executor(), firehose::websocket_spec{.url = *url, .max_message = max_message});
    return in;
  }
  if (where != "-") in->fd_ = ::open(where.c_str(), O_RDONLY | O_CLOEXEC);
  if (where != "-" && in->fd_ < 0) return fail(errc::bad_config, "{}: {}", where, std::strerror(errno));
  in->bytes_.emplace(io, where == "-" ? STDIN_FILENO : in->fd_);
  return in;
}

frame_input::~frame_input() {
  if (fd_ >= 0) ::close(fd_);
}

task<result<std::vector<read_frame>>> frame_input::next() { return websocket_ ? next_live() : next_recorded(); }

task<result<std::vector<read_frame>>> frame_input::next_recorded() {
  std::vector<read_frame> out;
  while (out.empty() && !closed_ && !broken_) {
    // A file is always ready. Without this step it would occupy the loop.
    co_await asio::post(io_, use_task);
    const auto piece = co_await bytes_->read();
    if (closed_) break;
    if (!piece)
      broken_ = piece.error();
    else if (!piece->empty())
      recording_.add(*piece);
    else
      broken_ = recording_.finish() ? fail(errc::closed, "the end") : recording_.finish().error();
    for (;;) {
      auto message = recording_.next();
      if (!message) broken_ = message.error();
      if (!message || !*message) break;
      out.emplace_back(std::move(**message));
    }
  }
  if (!out.empty()) co_return out;
  co_return closed_ ? fail(errc::closed, "closed") : named(*broken_);
}

// A host that can't be read any more is unreachable, whatever it said.
error frame_input::lost(const error& e) const {
  if (e.code == errc::bad_config || e.code == errc::malformed) return named(e);
  return named({closed_ ? errc::closed : errc::unreachable, e.text});
}

task<result<std::vector<read_frame>>> frame_input::next_live() {
  if (!std::exchange(connected_, true))
    if (auto up = co_await websocket_->connect(); !up) co_return lost(up.error());
  std::vector<firehose::ws_message> messages;
  auto got = co_await websocket_->read(messages);
  if (!got && got.error().code == errc::too_large) {
    websocket_->skip_message();
    got = co_await websocket_->read(messages);
  }
  if (!got) co_return lost(got.error());
  std::vector<read_frame> out;
  out.reserve(messages.size());
  for (auto& m : messages) out.push_back(as_frame(std::move(m)));
  co_return out;
}

void frame_input::close() noexcept {
  closed_ = true;
  if (bytes_) bytes_->close();
  if (websocket_) websocket_->close();
}

}  // namespace recordkv::cli
