#include "cursor.hpp"

#include "recordkv/kv/owner.hpp"

#include <charconv>

namespace recordkv::stages {
namespace {

std::optional<std::uint64_t> decimal(std::string_view s) {
  std::uint64_t n = 0;
  const auto [end, ec] = std::from_chars(s.data(), s.data() + s.size(), n);
  if (ec != std::errc{} || end != s.data() + s.size()) return {};
  return n;
}

}  // namespace

task<result<nats::ensured>> cursor::open(int replicas) {
  auto opened = co_await bucket_.open("file", replicas);
  if (!opened) co_return opened;
  if (auto known = co_await read(); !known) co_return known.error();
  co_return opened;
}

task<result<void>> cursor::read() {
  auto found = co_await bucket_.get(source_);
  value_.reset();
  if (!found && found.error().code != errc::not_found) co_return found.error();
  seq_ = found ? found->seq : 0;
  if (!found || found->deleted) co_return result<void>{};
  value_ = decimal(found->value);
  if (!value_)
    co_return fail(errc::mismatch, "key {} of bucket {} holds no decimal number; delete it (nats kv del {} {})",
                   source_, bucket_.name(), bucket_.name(), source_);
  epoch_ = decimal(found->header_value("epoch")).value_or(0);
  server_id_ = found->header_value("server_id");
  co_return result<void>{};
}

task<result<void>> cursor::write(std::uint64_t value, std::string server_id) {
  const auto& me = kv::process_identity::self().id;
  for (;;) {
    kv::write w{.key = source_, .value = std::to_string(value), .expected = seq_};
    w.headers.push_back({"writer", me});
    w.headers.push_back({"epoch", std::to_string(epoch_)});
    w.headers.push_back({"server_id", server_id});
    auto written = co_await bucket_.update(std::move(w));
    if (written) {
      seq_ = *written;
      value_ = value;
      server_id_ = std::move(server_id);
      co_return result<void>{};
    }
    if (written.error().code != errc::conflict) co_return written.error();
    auto now = co_await bucket_.get(source_);
    if (!now) co_return now.error();
    // Ours, and only its answer was lost: go on from there. Another's: step down (X5).
    if (now->header_value("writer") != me)
      co_return fail(errc::not_owner, "the cursor of {} was written by another process", source_);
    seq_ = now->seq;
  }
}

task<result<void>> cursor::take_over(std::function<bool()> still_ours) {
  for (;;) {
    auto done = co_await read();
    if (!done || !value_) co_return done;
    done = co_await write(*value_, server_id_);
    if (done || done.error().code != errc::not_owner || !still_ours()) co_return done;
  }
}

void cursor::begin_epoch() noexcept {
  ++epoch_;
  value_.reset();
}

std::optional<std::uint64_t> cursor::resume_at(const std::optional<buffered>& last,
                                               const std::string& server_id) const {
  const bool same_server = value_ && server_id_ == server_id;
  if (same_server && last && last->source == source_ && last->epoch == epoch_) return last->seq;
  return value_;
}

task<result<std::optional<cursor::buffered>>> last_buffered(nats::connection& nc, kv::store_names names) {
  auto m = co_await nats::last_message(nc, names.buffer(), names.buffer_subject(">"));
  if (!m && m.error().code == errc::not_found) co_return std::optional<cursor::buffered>{};
  if (!m) co_return m.error();
  cursor::buffered b;
  b.source = m->header_value("source");
  b.seq = decimal(m->header_value("seq")).value_or(0);
  b.epoch = decimal(m->header_value("epoch")).value_or(0);
  co_return b;
}

}  // namespace recordkv::stages
