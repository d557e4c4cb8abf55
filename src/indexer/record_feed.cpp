// A reader of the store: its durable, its lock, its place.
//
// Owns: where it begins and goes on, and that nothing is given out twice in one life. Refuses to know: what is made of
// the records.
//
// The position is the acknowledgement floor of the durable, each message acknowledged by itself: under policy "all" the
// server takes the overwriting of a key whose message is not yet acknowledged for an acknowledgement of all before it
// (nats-server 2.15.2), and they would be skipped.
//
// A rewind may have to delete the durable. So that a kill in between loses nothing, the position also stands in the
// report of the lock's key, which a kill leaves behind.
#include "recordkv/indexer.hpp"

#include "open_records.hpp"
#include "reading.hpp"
#include "recordkv/atproto/syntax.hpp"
#include "recordkv/core/figures_text.hpp"
#include "recordkv/core/log.hpp"
#include "recordkv/core/nursery.hpp"
#include "recordkv/kv/owner.hpp"
#include "recordkv/kv/record_filter.hpp"
#include "recordkv/kv/store_meta.hpp"
#include "recordkv/nats/pull_consumer.hpp"

#include <boost/json.hpp>

#include <algorithm>

namespace recordkv {
namespace {

using namespace std::chrono_literals;
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
      : ctx_(ctx),
        spec_(std::move(spec)),
        prefix_(ctx.names().prefix()),
        stream_(ctx.names().store()),
        figures_{.stage = "indexer", .part = spec_.durable},
        shown_(spec_.durable.empty() ? nullptr : ctx.board, figures_, [this] { refresh(); }) {}

  task<result<void>> open() {
    auto done = co_await prepare();
    if (!done) ended_ = done.error();
    figures_.running = done.has_value();
    co_return done;
  }

  task<result<record_batch>> next() {
    for (;;) {
      const auto taken = consumer_->taken().messages, done = open_.done();
      auto got = co_await consumer_->next();
      if (doubted_) co_return end(*doubted_);
      if (!got) co_return end(got.error());
      if (consumer_->proven() == taken) checked_ = done;
      auto batch = sort_out(std::move(*got));
      if (auto mine = co_await still_ours(); !mine) co_return end(mine.error());
      if (batch.size() > 0) co_return batch;
      settle(open_.done());  // nothing but what nobody wants
    }
  }

  void settle(std::uint64_t seq) {
    open_.settle(seq, [this](const nats::message& receipt) { consumer_->settle(receipt); });
  }

  void close() noexcept {
    if (owner_) owner_->abandon();
    if (consumer_) consumer_->close();
    closed_ = true;
    pause_.notify();
  }

  task<> finish() {
    close();
    figures_.running = false;
    (void)co_await ctx_.nc.flush();  // the acknowledgements are there before anybody may take the durable
    if (owner_) co_await owner_->release();
    if (children_) co_await children_->join();
    children_.reset();
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
      if (auto mine = co_await take_lock(); !mine) co_return mine;
    auto begin = co_await find_position();
    if (!begin) co_return begin.error();
    open_.begin(*begin);
    if (closed_) co_return fail(errc::closed, "closed");
    consumer_.emplace(ctx_.nc, consumer(), figures_.counted, ctx_.facts.api_level,
                      [this] { return (doubted_ ? checked_ : open_.done()) + 1; });
    checked_ = *begin;
    auto attached = co_await consumer_->attach();
    if (attached) attached = co_await still_the_same();
    co_return attached;
  }

  task<result<void>> take_lock() {
    kv::claim what{.base = "tail-" + spec_.durable,
                   .share = std::nullopt,
                   .replicas = ctx_.cfg.nats.replicas,
                   .names = ctx_.names()};
    if (auto known = co_await find_what_was_left(what.key()); !known) co_return known;
    owner_.emplace(ctx_.nc, std::move(what), [this] { return report(); });
    if (auto mine = co_await owner_->acquire(); !mine) co_return mine;
    children_.emplace(co_await asio::this_coro::executor);
    owner_->start(*children_, [this] { close(); });
    co_return result<void>{};
  }

  // Asked before the key is ours, so that the very first report has it: between that and the rewind we may be killed.
  // An owner who still lives may come further; then what is known here is too low, which costs a repetition.
  task<result<void>> find_what_was_left(std::string key) {
    kv::bucket lock(ctx_.nc, ctx_.names().lock());
    auto left = co_await lock.get(std::move(key));
    if (left && !left->deleted) read_what_was_left(left->value);
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

  void read_what_was_left(const std::string& value) {
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

  // Below or at it everything has been dealt with.
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
    auto now = co_await nats::stream_info(ctx_.nc, stream_);  // while the lock was waited for both may have grown
    if (!now) co_return now.error();
    if (**floor > now->last_seq) co_return recreated(**floor, now->last_seq);
    co_return **floor;
  }

  error recreated(std::uint64_t position, std::uint64_t last) const {
    return fail(errc::mismatch,
                "bucket {} was recreated or restored: it ends at {}, {} had come to {}; what was made of it is of "
                "another store, so begin anew (nats consumer rm {} {})",
                ctx_.cfg.kv.bucket, last, spec_.durable.empty() ? "this reader" : spec_.durable, position, stream_,
                spec_.durable.empty() ? "NAME" : spec_.durable);
  }

  nats::consumer_spec consumer() {
    nats::consumer_spec c{
        .stream = stream_, .durable = spec_.durable, .filters = filter_->subjects(ctx_.cfg.kv.bucket)};
    c.policy = nats::acks::each;
    c.still_ours = [this] { return may_go_on(); };
    c.edited = [this](bool doubtful) { return edited(doubtful); };
    c.credit = 2048;
    return c;
  }

  // The durable is made anew where everything before was proven. In the middle of a life what was given out since can't
  // be told from what was passed over, so this life ends; the next one goes on from there.
  task<result<void>> edited(bool doubtful) {
    if (!doubtful) co_return result<void>{};
    if (!figures_.running) {
      // Where no report of a killed owner tells what was proven, nothing is: records come again, and none is missing.
      checked_ = std::min(left_checked_.value_or(0), open_.done());
      if (checked_ < open_.done())
        log::warn("indexer", "{}: records may have been passed over; it goes on after sequence {} instead of {}",
                  spec_.durable, checked_, open_.done());
      open_.begin(checked_);
      co_return result<void>{};
    }
    doubted_ =
        fail(errc::mismatch,
             "{}: another program has edited this durable, and records may have been passed over; started again, "
             "it goes on after sequence {}, and some records come again",
             spec_.durable, checked_);
    co_return result<void>{};
  }

  task<result<void>> may_go_on() {
    auto mine = owner_ ? co_await owner_->confirm() : result<void>{};
    if (!mine) co_return mine;
    co_return co_await still_the_same();
  }

  // A server may have lost something in its crash, or was given another store.
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

  // Whoever was stopped asks for his key before anything is made of what he has (X7).
  task<result<void>> still_ours() {
    while (owner_) {
      if (closed_ && !owner_->lost()) co_return fail(errc::closed, "closed");
      auto mine = co_await owner_->confirm();
      if (mine || mine.error().code == errc::not_owner) co_return mine;
      co_await pause_.wait_for(300ms);  // nobody answers: nothing is known
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
      if (!is_record) figures_.counted.add("left_out", "not_a_record");
      const bool wanted = is_record && filter_->wants(*key);
      if (!open_.take(m, seq, wanted)) continue;
      out.records_.push_back(record_of(m, std::move(*key), seq));
      out.messages_.push_back(std::move(m));
    }
    return out;
  }

  error end(error why) {
    if (owner_ && owner_->lost())
      why = fail(errc::not_owner, "{}: another process has taken over this durable", spec_.durable);
    ended_ = why;
    return why;
  }

  void refresh() {
    if (!consumer_) return;
    figures_.events = consumer_->taken().messages;
    figures_.bytes = consumer_->taken().bytes;
    figures_.lag_messages = consumer_->pending();
    figures_.lag_seconds = consumer_->lag_seconds();
    figures_.in_flight = open_.wanted();
  }

  std::string report() {
    refresh();
    const auto position = consumer_ ? open_.done() : left_.value_or(0);
    auto out = fmt::format(R"({{"stage":"indexer",{})", members_of(figures_));
    const auto checked = consumer_ ? checked_ : left_checked_.value_or(position);
    if (consumer_ || left_)
      out += fmt::format(R"(,"created":"{}","position":{},"checked":{})", quotable(store_.created), position, checked);
    return out + "}";
  }

  stage_context ctx_;
  feed_spec spec_;
  std::string prefix_, stream_;
  figures figures_;
  std::optional<kv::record_filter> filter_;
  nats::stream_state store_;
  std::optional<kv::store_meta> meta_;  // none: the store is not one of recordkv's
  std::uint64_t checked_ = 0;           // the position when the durable's settings were last known to be ours
  std::optional<error> doubted_;        // another program has edited the durable: this life ends
  std::optional<std::uint64_t> left_checked_;
  std::optional<std::uint64_t> left_;  // the position in the report of an owner who was killed
  std::optional<kv::owner> owner_;
  std::optional<nursery> children_;
  std::optional<nats::pull_consumer> consumer_;
  open_records open_;
  std::optional<error> ended_;
  bool closed_ = false;
  event pause_;
  figures_board::place shown_;
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
