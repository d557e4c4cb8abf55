#include "recordkv/kv/source_gaps.hpp"

#include "recordkv/core/json_fields.hpp"
#include "recordkv/core/timestamp.hpp"

#include <boost/json.hpp>

#include <algorithm>

namespace recordkv::kv {
namespace json = boost::json;
namespace {

json::value time_or_null(const std::string& s) { return s.empty() ? json::value(nullptr) : json::value(s); }

std::string stamp(double time) { return time > 0 ? timestamp_of(time) : ""; }

}  // namespace

double source_gaps::gap::seconds() const {
  const auto begin = epoch_seconds(from), end = epoch_seconds(to);
  return begin && end ? std::max(0.0, *end - *begin) : 0;
}

double source_gaps::seconds() const {
  double sum = 0;
  for (const auto& g : gaps_) sum += g.seconds();
  return sum;
}

std::vector<source_gaps::gap> source_gaps::parse(std::string_view value) {
  std::vector<gap> out;
  boost::system::error_code ec;
  const auto v = json::parse(value, ec);
  if (ec || !v.is_array()) return out;
  for (const auto& row : v.get_array()) {
    if (!row.is_object() || out.size() >= max_kept) continue;
    const auto& o = row.get_object();
    out.push_back({.cause = std::string(text_field(o, "cause")),
                   .from = std::string(text_field(o, "from")),
                   .to = std::string(text_field(o, "to")),
                   .seen = std::string(text_field(o, "seen")),
                   .from_seq = unsigned_field(o, "from_seq"),
                   .to_seq = unsigned_field(o, "to_seq")});
  }
  return out;
}

std::string source_gaps::text_of(const std::vector<gap>& gaps) {
  json::array out;
  for (const auto& g : gaps)
    out.push_back(json::object{{"from", time_or_null(g.from)},
                               {"to", time_or_null(g.to)},
                               {"cause", g.cause},
                               {"from_seq", g.from_seq},
                               {"to_seq", g.to_seq},
                               {"seen", g.seen}});
  return json::serialize(out);
}

task<result<void>> source_gaps::read() {
  auto found = co_await bucket_.get(key_);
  if (!found && found.error().code != errc::not_found) co_return found.error();
  seq_ = found ? found->seq : 0;
  gaps_ = found && !found->deleted ? parse(found->value) : std::vector<gap>{};
  co_return result<void>{};
}

void source_gaps::apply(const source_gap& found) {
  const auto from = stamp(found.from.time);
  std::erase_if(gaps_, [&](const gap& g) { return g.from == from && g.from_seq == found.from.seq; });
  if (found.none) return;
  gaps_.push_back({.cause = std::string(name(found.cause)),
                   .from = from,
                   .to = stamp(found.to.time),
                   .seen = timestamp_now(),
                   .from_seq = found.from.seq,
                   .to_seq = found.to.seq});
  if (gaps_.size() <= max_kept) return;
  gaps_[1].from = gaps_[0].from;
  gaps_[1].from_seq = gaps_[0].from_seq;
  gaps_.erase(gaps_.begin());
}

task<result<void>> source_gaps::note(const source_gap& found) {
  for (;;) {
    if (auto known = co_await read(); !known) co_return known;
    const auto before = text_of(gaps_);
    apply(found);
    if (text_of(gaps_) == before) co_return result<void>{};
    kv::write w{.key = key_, .value = text_of(gaps_), .expected = seq_};
    if (gaps_.empty()) {
      w.value.clear();
      w.headers.push_back({"KV-Operation", "DEL"});
    }
    auto written = co_await bucket_.update(std::move(w));
    if (written) seq_ = *written;
    if (written) co_return result<void>{};
    if (written.error().code != errc::conflict) co_return written.error();  // a conflict: the key was deleted just now
  }
}

}  // namespace recordkv::kv
