#include "gap_marks.hpp"

#include "recordkv/core/log.hpp"
#include "recordkv/core/timestamp.hpp"
#include "recordkv/kv/known_accounts.hpp"
#include "recordkv/kv/record_key.hpp"
#include "recordkv/kv/source_gaps.hpp"

#include <boost/json.hpp>

#include <algorithm>

namespace recordkv::stages {
namespace json = boost::json;
namespace {

constexpr std::size_t marked_at_once = 1000;  // their states are in memory until they are written

std::string note_key(std::string_view label) { return "gaps." + std::string(label); }

// Two gaps from one position differ in their end.
std::string id_of(std::string_view source, const kv::source_gaps::gap& g) {
  return fmt::format("{} {}-{} {}", source, g.from_seq, g.to_seq, g.from);
}

bool has_ended(const kv::source_gaps::gap& g) {
  const auto age = seconds_since(g.seen);
  return g.to_seq != 0 || !age || *age > static_cast<double>(gap_marks::patience.count());
}

std::set<std::string> parse_note(std::string_view text) {
  std::set<std::string> out;
  boost::system::error_code ec;
  const auto v = json::parse(text, ec);
  if (ec || !v.is_array()) return out;
  for (const auto& e : v.get_array())
    if (e.is_string()) out.emplace(e.get_string());
  return out;
}

}  // namespace

gap_marks::gap_marks(stage_context& ctx, std::vector<std::string> labels, mark_function mark,
                     std::chrono::milliseconds look_every)
    : ctx_(ctx),
      mark_(std::move(mark)),
      look_every_(look_every),
      repo_(ctx.nc, ctx.names().repo()),
      cursors_(ctx.nc, ctx.names().cursor()) {
  for (auto& label : labels) notes_.try_emplace(std::move(label));
}

void gap_marks::close() noexcept {
  closed_ = true;
  closing_.notify();
}

task<> gap_marks::run() {
  while (!closed_) {
    auto looked = ctx_.nc.up() ? co_await look() : result<void>{};
    if (closed_ || (!looked && looked.error().code == errc::closed)) co_return;
    if (!looked)
      if (const auto n = told_.count(name(looked.error().code), rate_limited::clock::now()))
        log::warn("kv", "gaps of the source: {}; tried again ({} failures since the last line)", looked.error().text,
                  n);
    co_await closing_.wait_for(look_every_);
  }
}

task<result<void>> gap_marks::look() {
  auto due = co_await gaps_due();
  if (!due) co_return due.error();
  if (due->empty()) co_return result<void>{};
  if (auto read = co_await read_notes(); !read) co_return read;
  std::set<std::string, std::less<>> labels;
  for (const auto& [label, n] : notes_)
    if (!std::ranges::includes(n.gaps, *due)) labels.insert(label);
  if (labels.empty()) co_return result<void>{};
  if (auto marked = co_await mark_all(labels); !marked) co_return marked;
  co_return co_await note(labels, std::move(*due));
}

// All that stand beside the cursors, also those of a source that is no longer configured.
task<result<std::set<std::string>>> gap_marks::gaps_due() {
  std::set<std::string> out;
  auto keys = co_await cursors_.keys();
  if (!keys && keys.error().code == errc::not_found) co_return out;  // nothing was ever read from a source
  if (!keys) co_return keys.error();
  for (const auto& key : *keys) {
    if (!key.starts_with(kv::source_gaps::prefix)) continue;
    auto found = co_await cursors_.get(key);
    if (!found && found.error().code != errc::not_found) co_return found.error();
    if (!found || found->deleted) continue;
    for (const auto& g : kv::source_gaps::parse(found->value))
      if (has_ended(g)) out.insert(id_of(std::string_view(key).substr(kv::source_gaps::prefix.size()), g));
  }
  co_return out;
}

// Once: no other process writes these keys.
task<result<void>> gap_marks::read_notes() {
  if (read_) co_return result<void>{};
  for (auto& [label, n] : notes_) {
    auto found = co_await repo_.get(note_key(label));
    if (!found && found.error().code != errc::not_found) co_return found.error();
    n = {};
    if (!found) continue;
    n.gaps = parse_note(found->value);
    n.seq = found->seq;
  }
  read_ = true;
  co_return result<void>{};
}

task<result<void>> gap_marks::mark_all(const std::set<std::string, std::less<>>& labels) {
  std::vector<std::string> dids;
  const auto prefix = repo_.subject("").size();
  auto show = [&dids, &labels, prefix](std::string_view encoded_did, const nats::message& m) {
    const auto key = m.subject().substr(prefix);
    if (labels.contains(key.substr(0, key.find('.')))) dids.push_back(kv::decode_part(encoded_did));
  };
  auto read = co_await kv::read_states(ctx_.nc, ctx_.names(), ctx_.facts.api_level, ctx_.counters,
                                       kv::state_parts::headers, std::move(show), [this] { return !closed_; });
  if (!read) co_return read;
  std::size_t sum = 0;
  for (auto from = dids.begin(); from != dids.end() && !closed_;) {
    const auto to = from + std::min<std::ptrdiff_t>(marked_at_once, dids.end() - from);
    std::vector<std::string> some(from, to);
    auto marked = co_await mark_(std::move(some));
    if (!marked) co_return marked.error();
    sum += *marked;
    from = to;
  }
  if (closed_) co_return fail(errc::closed, "kv: stopped");
  log::warn("kv", "the source had a gap: {} account{} asked at {} PDS whether events are missing", sum,
            sum == 1 ? " is" : "s are", sum == 1 ? "its" : "their");
  co_return result<void>{};
}

task<result<void>> gap_marks::note(const std::set<std::string, std::less<>>& labels, std::set<std::string> gaps) {
  const auto text = json::serialize(json::value_from(std::vector<std::string>(gaps.begin(), gaps.end())));
  std::vector<kv::write> writes;
  writes.reserve(labels.size());
  for (const auto& label : labels)
    writes.push_back(
        {.key = note_key(label), .value = text, .expected = notes_.find(label)->second.seq, .of_lease = true});
  auto answers = co_await repo_.update_many(std::move(writes));
  result<void> done;
  std::size_t i = 0;
  for (const auto& label : labels) {
    auto& answer = answers[i++];
    if (answer)
      notes_.find(label)->second = {gaps, *answer};
    else
      done = answer.error();
  }
  if (!done) read_ = false;  // the answer may have been lost: what stands there decides
  co_return done;
}

}  // namespace recordkv::stages
