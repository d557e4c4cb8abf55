// A reader of the store: its durable, its lease, its position. Over 300 lines: every step decides by the position.
//
// Owns: where reading begins and goes on, and that no record is handed out twice in one life.
// Does not know: what is made of the records.
//
// The position is the durable's acknowledgement floor, and each message is acknowledged by itself. Policy "all" would
// skip messages. If a key is overwritten before its message is acknowledged, the server counts that as an
// acknowledgement of all messages before it (nats-server 2.15.2).
//
// A rewind may have to delete the durable. So that a kill in between loses nothing, the position is also in the report
// of the lease's key, which survives a kill.
#include "recordkv/indexer.hpp"

#include "open_records.hpp"
#include "reading.hpp"
#include "recordkv/atproto/syntax.hpp"
#include "recordkv/core/log.hpp"
#include "recordkv/kv/record_filter.hpp"
#include "recordkv/kv/store_meta.hpp"
#include "recordkv/nats/pull_consumer.hpp"
#include "recordkv/stage/lifecycle.hpp"

#include <boost/json.hpp>

#include <algorithm>

namespace recordkv {
namespace {

using namespace std::chrono_literals;
using stages::part_hooks;
constexpr auto retry_pause = 300ms;  // while NATS does not answer
namespace json = boost::json;

std::uint64_t number_at(const json::value& v, std::string_view pointer) {
  boost::system::error_code ec;
  const auto* n = v.find_pointer(pointer, ec);
  return n && n->is_int64() && n->get_int64() > 0 ? static_cast<std::uint64_t>(n->get_int64()) : 0;
}

}  // namespace

class record_feed::impl {
 public:
  impl(const stage_context& ctx, feed_spec spec)
      : spec_(std::move(spec)),
        life_(ctx, "indexer", lease_of(ctx, spec_.durable), hooks()),
        prefix_(ctx.names().prefix()),
        stream_(ctx.names().store()) {
    stats_.part = spec_.durable;
  }

  task<result<void>> open() {
    auto done = co_await prepare();
    if (!done) ended_ = done.error();
    stats_.running = done.has_value();
    co_return done;
  }

  task<result<record_batch>> next() {
    for (;;) {
      const auto taken = consumer_->taken().messages, done = open_.done();
      auto got = co_await consumer_->next();
      if (suspected_) co_return end(*suspected_);
      if (!got) co_return end(got.error());
      if (consumer_->proven() == taken) checked_ = done;
      auto batch = sort_out(std::move(*got));
      if (auto mine = co_await still_ours(); !mine) co_return end(mine.error());
      if (batch.size() > 0) co_return batch;
      settle(open_.done());  // the batch held only unwanted records
    }
  }

  void settle(std::uint64_t seq) {
    open_.settle(seq, [this](const nats::message& receipt) { consumer_->settle(receipt); });
  }

  void close() noexcept {
    life_.close();
    if (consumer_) consumer_->close();
    pause_.notify();
  }

  task<> finish() {
    close();
    stats_.running = false;
    (void)co_await ctx_.nc.flush();  // the acknowledgements arrive before another process may take the durable
    co_await life_.release();
  }

  result<void> ended() const { return ended_ ? result<void>(*ended_) : result<void>{}; }
  std::size_t wanted() const noexcept { return open_.wanted(); }

 private:
  task<result<void>> prepare() {
    if (auto fits = check_name(spec_.durable); !fits) co_return fits;
    auto meta = co_await kv::read_meta(ctx_.nc, ctx_.names());
    auto filter = kv::record_filter::parse(spec_.collections, spec_.did, spec_.partitions,
                                           meta ? meta->partitions : ctx_.cfg.kv.partitions);
    if (!filter) co_return filter.error();
    filter_ = std::move(*filter);
    if (meta) meta_ = std::move(*meta);
    auto store = co_await nats::stream_info(ctx_.nc, stream_);
    if (!store && store.error().code == errc::not_found)
      co_return fail(errc::not_found, "there is no store yet: no bucket {} on this server; run recordkv first",
                     ctx_.cfg.kv.bucket);
    if (!store) co_return store.error();
    store_ = std::move(*store);
    if (!spec_.durable.empty())
      if (auto mine = co_await acquire_lease(); !mine) co_return mine;
    auto begin = co_await find_position();
    if (!begin) co_return begin.error();
    open_.begin(*begin);
    if (life_.closing()) co_return fail(errc::closed, "closed");
    consumer_.emplace(ctx_.nc, consumer(), stats_.counted, ctx_.facts.api_level,
                      [this] { return (suspected_ ? checked_ : open_.done()) + 1; });
    checked_ = *begin;
    auto attached = co_await consumer_->attach();
    if (attached) attached = co_await still_the_same();
    co_return attached;
  }

  static std::optional<kv::lease_spec> lease_of(const stage_context& ctx, const std::string& durable) {
    if (durable.empty()) return std::nullopt;
    return kv::lease_spec{
        .base = "tail-" + durable, .assigned = std::nullopt, .replicas = ctx.cfg.nats.replicas, .names = ctx.names()};
  }

  part_hooks hooks() {
    return {.refresh = [this] { refresh(); },
            .describe = [this](json::object& report) { describe(report); },
            .stop = [this] { close(); }};
  }

  task<result<void>> acquire_lease() {
    if (auto known = co_await find_earlier_position("tail-" + spec_.durable); !known) co_return known;
    if (auto mine = co_await life_.acquire(); !mine) co_return mine;
    co_await life_.start();
    co_return result<void>{};
  }

  // Called before the lease is acquired, so that its very first report holds the position. The process may be killed
  // between that report and the rewind. An earlier owner that still lives may get further. Then the position known
  // here is too low, which costs a repetition.
  task<result<void>> find_earlier_position(std::string key) {
    kv::bucket lock(ctx_.nc, ctx_.names().lock());
    auto left = co_await lock.get(std::move(key));
    if (left && !left->deleted) read_earlier_report(left->value);
    if (!left && left.error().code != errc::not_found) co_return left.error();
    auto floor = co_await acknowledged();
    if (!floor) co_return floor.error();
    if (*floor && **floor <= store_.last_seq) left_ = *floor;
    co_return result<void>{};
  }

  // The durable's acknowledgement floor; nullopt when there is no durable.
  task<result<std::optional<std::uint64_t>>> acknowledged() {
    std::optional<std::uint64_t> floor;
    auto info = co_await nats::api(ctx_.nc, fmt::format("CONSUMER.INFO.{}.{}", stream_, spec_.durable));
    if (!info && info.error().code != errc::not_found) co_return info.error();
    if (info) floor = number_at(*info, "/ack_floor/stream_seq");
    co_return floor;
  }

  void read_earlier_report(const std::string& value) {
    boost::system::error_code ec;
    const auto v = json::parse(value, ec);
    if (ec) return;
    const auto* created = v.find_pointer("/report/created", ec);
    if (!created || !created->is_string()) return;
    const std::string_view of = created->get_string();
    if (of != store_.created && !(meta_ && meta_->is_of(of))) return;
    left_ = number_at(v, "/report/position");
    if (v.find_pointer("/report/checked", ec)) left_checked_ = number_at(v, "/report/checked");
  }

  // The sequence up to which everything is settled.
  task<result<std::uint64_t>> find_position() {
    if (spec_.after) {
      if (*spec_.after <= store_.last_seq) co_return *spec_.after;
      co_return recreated(*spec_.after, store_.last_seq);
    }
    const auto fresh = spec_.only_new ? store_.last_seq : 0;
    if (spec_.durable.empty()) co_return fresh;
    auto floor = co_await acknowledged();
    if (!floor) co_return floor.error();
    if (!*floor) co_return left_.value_or(fresh);
    if (**floor <= store_.last_seq) co_return **floor;
    auto now = co_await nats::stream_info(ctx_.nc, stream_);  // both may have grown while the lease was awaited
    if (!now) co_return now.error();
    if (**floor > now->last_seq) co_return recreated(**floor, now->last_seq);
    co_return **floor;
  }

  error recreated(std::uint64_t position, std::uint64_t last) const {
    return fail(
        errc::mismatch,
        "bucket {} was recreated or restored: it ends at {}, but {} had read up to {}; results from before belong to "
        "another store, so start again (nats consumer rm {} {})",
        ctx_.cfg.kv.bucket, last, spec_.durable.empty() ? "this reader" : spec_.durable, position, stream_,
        spec_.durable.empty() ? "NAME" : spec_.durable);
  }

  nats::consumer_spec consumer() {
    nats::consumer_spec c{
        .stream = stream_, .durable = spec_.durable, .filters = filter_->subjects(ctx_.cfg.kv.bucket)};
    c.policy = nats::acks::each;
    c.still_ours = [this] { return may_go_on(); };
    c.edited = [this](bool suspect) { return edited(suspect); };
    c.credit = 2048;
    return c;
  }

  // Made again at a start, the durable begins where everything before is proven. While the feed runs, records handed
  // out since then cannot be distinguished from skipped ones. So the feed ends, and the next start goes on from the
  // proven position.
  task<result<void>> edited(bool suspect) {
    if (!suspect) co_return result<void>{};
    if (!stats_.running) {
      // Without a report of a killed owner nothing is proven. Then records are delivered again, and none is missing.
      checked_ = std::min(left_checked_.value_or(0), open_.done());
      if (checked_ < open_.done())
        log::warn("indexer", "{}: records may have been skipped; it goes on after sequence {} instead of {}",
                  spec_.durable, checked_, open_.done());
      open_.begin(checked_);
      co_return result<void>{};
    }
    suspected_ = fail(errc::mismatch,
                      "{}: another program has edited this durable, and records may have been skipped; started again, "
                      "it goes on after sequence {}, and some records are delivered again",
                      spec_.durable, checked_);
    co_return result<void>{};
  }

  task<result<void>> may_go_on() {
    if (auto mine = co_await life_.renew_if_stale(); !mine) co_return mine;
    co_return co_await still_the_same();
  }

  // A server may have lost data in a crash, or may have been given another store.
  task<result<void>> still_the_same() {
    auto now = co_await nats::stream_info(ctx_.nc, stream_);
    if (!now) co_return now.error();
    if (now->created != store_.created) {
      auto same = meta_ ? co_await kv::is_the_same(ctx_.nc, ctx_.names(), *now, *meta_)
                        : result<void>{fail(errc::mismatch, "")};
      if (!same && same.error().code != errc::mismatch) co_return same;
      if (!same) co_return recreated(open_.given(), now->last_seq);
      store_.created = now->created;
    }
    if (now->last_seq < open_.given()) co_return recreated(open_.given(), now->last_seq);
    co_return result<void>{};
  }

  // A process that was suspended checks its lease before anything is made of what it has read (X7).
  task<result<void>> still_ours() {
    while (!spec_.durable.empty()) {
      if (life_.closing() && !life_.lost()) co_return fail(errc::closed, "closed");
      auto mine = co_await life_.renew_if_stale();
      if (mine || mine.error().code == errc::lease_lost) co_return mine;
      co_await pause_.wait_for(retry_pause);
    }
    co_return result<void>{};
  }

  record_batch sort_out(std::vector<nats::message> got) {
    record_batch out;
    out.records_.reserve(got.size());
    for (auto& m : got) {
      const auto seq = nats::parse_delivery(m.reply())->stream_seq;
      auto key = kv::record_key::parse(m.subject().substr(std::min(prefix_.size(), m.subject().size())));
      const bool is_record =
          key && atproto::is_did(key->did) && atproto::is_nsid(key->collection) && atproto::is_rkey(key->rkey);
      if (!is_record) stats_.counted.add("skipped", "not_a_record");
      const bool wanted = is_record && filter_->wants(*key);
      const auto fate = open_.take(m, seq, wanted);
      if (fate == open_records::fate::acknowledge) consumer_->settle(m);
      if (fate != open_records::fate::hand_out) continue;
      out.records_.push_back(record_of(m, std::move(*key), seq));
      out.messages_.push_back(std::move(m));
    }
    return out;
  }

  error end(error why) {
    if (life_.lost()) why = fail(errc::lease_lost, "{}: another process has taken over this durable", spec_.durable);
    ended_ = why;
    return why;
  }

  void refresh() {
    if (!consumer_) return;
    stats_.events = consumer_->taken().messages;
    stats_.bytes = consumer_->taken().bytes;
    stats_.lag_messages = consumer_->pending();
    stats_.lag_seconds = consumer_->lag_seconds();
    stats_.in_flight = open_.wanted();
  }

  void describe(json::object& report) const {
    const auto position = consumer_ ? open_.done() : left_.value_or(0);
    if (!consumer_ && !left_) return;
    report["created"] = store_.created;
    report["position"] = position;
    report["checked"] = consumer_ ? checked_ : left_checked_.value_or(position);
  }

  feed_spec spec_;
  stages::lifecycle life_;
  part_stats& stats_ = life_.stats();
  const stage_context& ctx_ = life_.context();
  std::string prefix_, stream_;
  std::optional<kv::record_filter> filter_;
  nats::stream_state store_;
  std::optional<kv::store_meta> meta_;  // none: recordkv did not make the store
  std::uint64_t checked_ = 0;           // the position when the durable's settings were last known to be unedited
  std::optional<error> suspected_;      // another program has edited the durable: the feed ends
  std::optional<std::uint64_t> left_checked_;
  std::optional<std::uint64_t> left_;  // the position in the report of a killed owner
  std::optional<nats::pull_consumer> consumer_;
  open_records open_;
  std::optional<error> ended_;
  event pause_;
};

record_feed::record_feed(const stage_context& ctx, feed_spec spec)
    : impl_(std::make_unique<impl>(ctx, std::move(spec))) {}
record_feed::~record_feed() = default;
task<result<void>> record_feed::open() { return impl_->open(); }
task<result<record_batch>> record_feed::next() { return impl_->next(); }
void record_feed::settle(std::uint64_t seq) { impl_->settle(seq); }
std::size_t record_feed::unsettled() const noexcept { return impl_->wanted(); }
void record_feed::close() noexcept { impl_->close(); }
task<> record_feed::finish() { return impl_->finish(); }
result<void> record_feed::ended() const {
  auto why = impl_->ended();
  return !why && why.error().code == errc::closed ? result<void>{} : why;
}

}  // namespace recordkv
