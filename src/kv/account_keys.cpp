// Reads the keys of one account: by direct get, or with ephemeral consumers where direct get can't tell.
//
// Owns: which keys count, how the account's filters are divided among consumers, the end of a consumer's reading.
// Does not know: what the keys should be.
//
// Consumers read accounts of more than 1024 keys, accounts without keys, and stores with several replicas.
// Measured on nats-server 2.15.2, on a busy machine: a consumer with several filters took 6 to 40 ms for each of 100
// scattered keys, one with a single filter 1 to 10 ms. Making a consumer takes a millisecond. So a consumer with
// several filters only tells whether there is a key at all, and is then divided. The server compares every filter with
// every other one: 500 filters take 50 ms, 3000 take three seconds.
#include "recordkv/kv/account_keys.hpp"

#include "direct_keys.hpp"

#include "recordkv/atproto/syntax.hpp"
#include "recordkv/core/log.hpp"
#include "recordkv/core/nursery.hpp"
#include "recordkv/kv/record_key.hpp"
#include "recordkv/nats/pull_consumer.hpp"

#include <algorithm>
#include <span>

namespace recordkv::kv {
namespace {

using namespace std::chrono_literals;

constexpr int min_segments = 3, max_segments = 63;
constexpr std::size_t max_filters = 64;  // of one consumer
constexpr std::size_t parts = 8;         // into which the filters of a consumer are divided
constexpr auto look_at_go_on = 200ms;

using filters = std::vector<std::string>;

struct found_key {
  stored_key key;
  bool gone = false;  // a delete marker, or a value of no bytes
};

// The order of "{collection}/{rkey}", without making that text.
bool in_order(const found_key& a, const found_key& b) {
  const auto &x = a.key.collection, &y = b.key.collection;
  const auto n = std::min(x.size(), y.size());
  if (const auto c = x.compare(0, n, y, 0, n); c != 0) return c < 0;
  if (x.size() != y.size()) return x.size() < y.size() ? '/' < y[n] : x[n] < '/';
  if (const auto c = a.key.rkey.compare(b.key.rkey); c != 0) return c < 0;
  return a.key.seq > b.key.seq;
}

bool same_key(const found_key& a, const found_key& b) {
  return a.key.rkey == b.key.rkey && a.key.collection == b.key.collection;
}

// Of each key only the newest message counts.
std::vector<stored_key> newest_values(std::vector<found_key> all) {
  if (!std::ranges::is_sorted(all, in_order)) std::ranges::sort(all, in_order);
  all.erase(std::ranges::unique(all, same_key).begin(), all.end());
  std::vector<stored_key> out;
  out.reserve(all.size());
  for (auto& f : all)
    if (!f.gone) out.push_back(std::move(f.key));
  return out;
}

std::vector<filters> divided(std::span<const std::string> all, std::size_t size) {
  std::vector<filters> out;
  for (; !all.empty(); all = all.subspan(std::min(size, all.size())))
    out.emplace_back(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(std::min(size, all.size())));
  return out;
}

/// One account's reading.
class reading {
 public:
  reading(nats::connection& nc, const store_names& names, int api_level, meters& counters, std::string_view did,
          unsigned partitions, const std::function<bool()>& go_on)
      : nc_(nc),
        stream_(names.store()),
        before_(names.prefix() + partition_of(did, partitions) + "."),
        account_(encode_part(did)),
        api_level_(api_level),
        counters_(counters),
        go_on_(go_on) {}

  task<result<void>> read(filters all, bool directly) {
    if (directly && api_level_ > 0 && !all.empty()) {
      auto take = [this](std::string_view subject, std::uint64_t seq, const nats::message& m) {
        return note(subject, seq, m, m.data().empty());
      };
      auto read = co_await take_directly(nc_, stream_, all, go_on_, std::move(take));
      if (read && *read) co_return result<void>{};
      if (!read && read.error().code != errc::timed_out) co_return read.error();
      // An account that imports JetStream's API may get one answer to a request and no more.
      if (!read) log::warn("kv", "{}; consumers are asked instead", read.error().text);
      found_.clear();
    }
    co_return co_await read_with_consumers(std::move(all));
  }

  std::vector<stored_key> keys() { return newest_values(std::move(found_)); }

 private:
  task<result<void>> read_with_consumers(filters all) {
    // From the last to the first: a divided consumer's parts are read before what follows it.
    auto waiting = divided(all, all.size() <= parts ? 1 : max_filters);  // a few filters mostly have keys
    while (!waiting.empty()) {
      if (!go_on_()) co_return fail(errc::closed, "reading the keys of {}: stopped", account_);
      auto next = std::move(waiting.back());
      waiting.pop_back();
      auto there = co_await read_or_look(next);
      if (!there) co_return there.error();
      if (!*there || next.size() == 1) continue;
      for (auto& part : divided(next, (next.size() + parts - 1) / parts)) waiting.push_back(std::move(part));
    }
    co_return result<void>{};
  }

  /// Whether any key matches. With one filter, the keys are read as well.
  task<result<bool>> read_or_look(const filters& some) {
    nats::consumer_spec spec{.stream = stream_,
                             .filters = some,
                             .policy = nats::acks::none,
                             .headers_only = true,
                             .last_per_subject = true,
                             .once = true,
                             .credit = 16384};
    nats::pull_consumer from(nc_, std::move(spec), counters_, api_level_);
    if (auto attached = co_await from.attach(); !attached) co_return attached.error();
    const bool any = from.pending() > 0;
    auto done = any && some.size() == 1 ? co_await read_until_end(from) : result<void>{};
    if (nc_.up())  // otherwise the server removes it, minutes later
      (void)co_await nats::api(nc_, fmt::format("CONSUMER.DELETE.{}.{}", stream_, from.name()));
    if (!done) co_return done.error();
    co_return any;
  }

  // next() waits for a connection without end. Meanwhile another coroutine asks whether to go on.
  task<result<void>> read_until_end(nats::pull_consumer& from) {
    auto executor = co_await asio::this_coro::executor;
    nursery beside(executor);
    bool ended = false;
    event over;
    beside.spawn(close_when_stopped(from, ended, over));
    auto done = co_await take_all(from);
    ended = true;
    over.notify();
    co_await beside.join();
    co_return done;
  }

  task<> close_when_stopped(nats::pull_consumer& from, const bool& ended, event& over) {
    while (!ended && go_on_()) co_await over.wait_for(look_at_go_on);
    if (!ended) from.close();
  }

  // The first delivery of an incarnation says how many follow. If keys are overwritten meanwhile, that number is never
  // reached, or the count of pending messages never is 0. Then the server's heartbeat ends the reading: it has nothing
  // more.
  task<result<void>> take_all(nats::pull_consumer& from) {
    std::uint64_t incarnation = 0, taken = 0, expected = 0;
    while (go_on_()) {
      auto batch = co_await from.next();
      if (!batch && batch.error().code == errc::closed && go_on_()) co_return result<void>{};
      if (!batch) co_return batch.error();
      if (from.incarnation() != incarnation) {
        incarnation = from.incarnation();
        taken = 0;
        expected = nats::parse_delivery(batch->front().reply())->pending + 1;
      }
      for (const auto& m : *batch) {
        const auto d = nats::parse_delivery(m.reply());
        if (d->consumer_seq != ++taken)
          co_return fail(errc::timed_out, "reading the keys of {}: some are lost", account_);
        (void)note(m.subject(), d->stream_seq, m, m.header_value("Nats-Msg-Size") == "0");
      }
      if (taken >= expected && from.pending() == 0) co_return result<void>{};
    }
    co_return fail(errc::closed, "reading the keys of {}: stopped", account_);
  }

  // A key counts only in the form in which recordkv writes it: another form is another program's key. False: no filter
  // selects this key.
  bool note(std::string_view key, std::uint64_t seq, const nats::message& m, bool empty) {
    if (!key.starts_with(before_)) return false;
    key.remove_prefix(before_.size());
    const auto last = key.rfind('.');
    const auto first = last == key.npos || last == 0 ? key.npos : key.rfind('.', last - 1);
    if (first == key.npos || key.substr(first + 1, last - first - 1) != account_) return false;
    const auto collection = key.substr(0, first), token = key.substr(last + 1);
    auto rkey = decode_part(token);
    if (!atproto::is_nsid(collection) || !atproto::is_rkey(rkey) || encode_part(rkey) != token) return true;
    const bool gone = empty || !m.header_value("KV-Operation").empty();
    found_.push_back({{std::string(collection), std::move(rkey), std::string(m.header_value("cid")), seq}, gone});
    return true;
  }

  nats::connection& nc_;
  std::string stream_;
  std::string before_;   // "$KV.record.4."
  std::string account_;  // as in keys
  int api_level_;
  meters& counters_;
  const std::function<bool()>& go_on_;
  std::vector<found_key> found_;
};

}  // namespace

std::vector<std::string> account_subjects(const store_names& names, std::string_view did, unsigned partitions,
                                          const std::vector<std::string>& collections) {
  const auto before = names.prefix() + partition_of(did, partitions) + ".";
  const auto after = "." + encode_part(did) + ".*";
  std::vector<std::string> out;
  for (const auto& c : collections)  // only an NSID can be a part of a key
    if (atproto::is_nsid(c)) out.push_back(fmt::format("{}{}{}", before, c, after));
  std::ranges::sort(out);
  out.erase(std::ranges::unique(out).begin(), out.end());
  if (!collections.empty()) return out;
  std::string any = "*.*";
  for (int segments = min_segments; segments <= max_segments; ++segments) {
    any += ".*";
    out.push_back(fmt::format("{}{}{}", before, any, after));
  }
  return out;
}

task<result<std::vector<stored_key>>> read_account_keys(nats::connection& nc, store_names names, int api_level,
                                                        meters& counters, std::string did, unsigned partitions,
                                                        std::vector<std::string> collections,
                                                        std::function<bool()> go_on, std::size_t expected) {
  if (!atproto::is_did(did)) co_return fail(errc::malformed, "\"{}\" is not a DID", did);
  reading all(nc, names, api_level, counters, did, partitions, go_on);
  auto subjects = account_subjects(names, did, partitions, collections);
  auto done = co_await all.read(std::move(subjects), expected <= max_direct_keys);
  if (!done) co_return done.error();
  co_return all.keys();
}

}  // namespace recordkv::kv
