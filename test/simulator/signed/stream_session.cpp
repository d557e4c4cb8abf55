#include "stream_session.hpp"

#include <algorithm>

namespace recordkv::sim {
namespace {

constexpr std::size_t write_size = 256 * 1024;  // bytes a write; more is no faster

}  // namespace

result<> stream_session::open(std::string_view cursor, const signed_feed& f) {
  position = f.emitted();
  if (cursor.empty()) return {};
  std::uint64_t seq = 0;
  const auto [end, ec] = std::from_chars(cursor.data(), cursor.data() + cursor.size(), seq);
  if (ec != std::errc() || end != cursor.data() + cursor.size())
    return fail(errc::malformed, "cursor wants a number, got {}", cursor);
  if (seq > f.last_seq()) return refuse("FutureCursor"), result<>();
  position = f.past().find(seq + 1);
  if (f.past().oldest() > 0 && position == f.past().oldest())
    control += data_frame(opcode::binary, info_message("OutdatedCursor"));
  return {};
}

void stream_session::take(const client_message& m) {
  if (m.op == opcode::ping) control += control_frame(opcode::pong, m.payload);
  if (m.op != opcode::close) return;  // anything else from a client means nothing
  control += control_frame(opcode::close, m.payload);
  ended = true;
  gone.notify();
}

void stream_session::refuse(std::string_view error) {
  control += data_frame(opcode::binary, error_message(error));
  control += close_frame(1008, error);
  ended = true;
}

std::string_view stream_session::next(const signed_feed& f, std::shared_ptr<const block>& hold, std::uint64_t most) {
  if (position >= f.emitted()) return {};
  hold = f.past().at(position);
  const std::size_t from = position - hold->first;
  const std::size_t to = std::min<std::uint64_t>(hold->count(), most < hold->count() ? from + most : hold->count());
  std::size_t i = from;
  while (i < to && (i == from || hold->ends[i] - hold->begin_of(from) <= write_size)) ++i;
  position += i - from;
  sent += i - from;
  return {hold->bytes.get() + hold->begin_of(from), hold->ends[i - 1] - hold->begin_of(from)};
}

}  // namespace recordkv::sim
