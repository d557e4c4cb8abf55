#include "last_puts.hpp"

#include "recordkv/core/json_fields.hpp"

#include <boost/json.hpp>

namespace recordkv::stages {
namespace json = boost::json;
namespace {

std::optional<json::object> object_of(std::string_view text) {
  boost::system::error_code ec;
  auto v = json::parse(text, ec);
  if (ec || !v.is_object()) return std::nullopt;
  return std::move(v.get_object());
}

}  // namespace

void last_puts::stored(std::string_view key, std::uint64_t seq) {
  if (seq <= newest_seq_) return;
  newest_.assign(key);
  newest_seq_ = seq;
}

std::uint64_t last_puts::newest_seq() const noexcept {
  return kept_.empty() ? newest_seq_ : std::max(newest_seq_, kept_.front().seq);
}

// The newest entry is replaced by each batch. It stays only once an interval has passed since the one behind it. A
// clock that was set back counts as a passed interval.
void last_puts::take_news(std::int64_t now, std::chrono::milliseconds interval) {
  if (!has_news()) return;
  kept_put next{.key = newest_, .seq = newest_seq_, .time = now};
  const bool stays =
      kept_.size() == 1 || (kept_.size() > 1 && std::abs(kept_[0].time - kept_[1].time) >= interval.count());
  if (stays)
    kept_.insert(kept_.begin(), std::move(next));
  else if (kept_.empty())
    kept_.push_back(std::move(next));
  else
    kept_.front() = std::move(next);
  if (kept_.size() > max_older + 1) kept_.pop_back();
}

void last_puts::drop(std::size_t n) {
  kept_.erase(kept_.begin(), kept_.begin() + static_cast<std::ptrdiff_t>(std::min(n, kept_.size())));
  newest_.clear();
  newest_seq_ = 0;
}

std::vector<kept_put> last_puts::known() const {
  auto out = kept_;
  if (has_news()) out.insert(out.begin(), {.key = newest_, .seq = newest_seq_});
  return out;
}

std::string last_puts::text(std::string_view writer) const {
  json::array puts;
  for (const auto& p : kept_) puts.push_back(json::object{{"key", p.key}, {"seq", p.seq}, {"time", p.time}});
  return json::serialize(json::object{{"writer", writer}, {"puts", std::move(puts)}});
}

last_puts last_puts::parse(std::string_view text) {
  last_puts out;
  const auto o = object_of(text);
  const auto* puts = o ? array_field(*o, "puts") : nullptr;
  if (puts == nullptr) return out;
  for (const auto& e : *puts) {
    const auto* p = e.if_object();
    if (p == nullptr || text_field(*p, "key").empty() || out.kept_.size() > max_older) continue;
    out.kept_.push_back({std::string(text_field(*p, "key")), unsigned_field(*p, "seq"), integer_field(*p, "time")});
  }
  return out;
}

std::string last_puts::writer_of(std::string_view text) {
  const auto o = object_of(text);
  return o ? std::string(text_field(*o, "writer")) : std::string();
}

put_fate fate_of(const kept_put& p, std::optional<std::uint64_t> newest_of_key) noexcept {
  if (!newest_of_key || *newest_of_key < p.seq) return put_fate::lost;
  return *newest_of_key == p.seq ? put_fate::stands : put_fate::overwritten;
}

bool puts_verdict::take(const kept_put& p, put_fate f) {
  if (f == put_fate::stands) {
    standing = p.seq;
    return true;
  }
  lost = lost || f == put_fate::lost;
  ++fallen;
  return false;
}

}  // namespace recordkv::stages
