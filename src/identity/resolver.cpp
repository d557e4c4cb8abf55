#include "recordkv/identity/resolver.hpp"

#include "did_web.hpp"
#include "failure_memory.hpp"
#include "reading.hpp"
#include "recordkv/core/backoff.hpp"
#include "recordkv/http/client.hpp"
#include "request_gate.hpp"

#include <boost/asio/co_spawn.hpp>

#include <algorithm>
#include <map>

namespace recordkv::identity {
namespace {

using clock = std::chrono::steady_clock;
using ms = std::chrono::milliseconds;

constexpr int max_repeats = 3;  // of one look-up, because its document changed meanwhile

bool is_plc(std::string_view did) {
  constexpr std::string_view method = "did:plc:";
  return did.size() == method.size() + 24 && did.starts_with(method) &&
         std::ranges::all_of(did.substr(method.size()),
                             [](char c) { return (c >= 'a' && c <= 'z') || (c >= '2' && c <= '7'); });
}

error closed() { return fail(errc::closed, "closed"); }

}  // namespace

class resolver::impl : public std::enable_shared_from_this<impl> {
 public:
  impl(asio::any_io_executor loop, resolver_options options, meters& counters);
  task<result<account_identity>> look_up(std::string did);
  void changed(std::string_view did);
  void close() noexcept;

  std::string last_error;
  std::size_t under_way() const noexcept { return flights_.size(); }

 private:
  /// One look-up, shared by all that wait for it.
  struct flight {
    std::string did;
    http::url where;
    bool directory;
    clock::time_point since;
    bool changed = false;
    std::optional<result<account_identity>> outcome;
    event done;
  };

  result<http::url> url_of(std::string_view did) const;
  std::shared_ptr<flight> join(std::string did, http::url where);
  static task<> fly(std::shared_ptr<impl> self, std::shared_ptr<flight> f);
  task<result<account_identity>> answer_for(flight& f);
  task<reading> request(flight& f, request_gate& gate);
  task<bool> pause(clock::duration length, clock::time_point end);
  void note(const flight& f, const reading& r);
  error give_up(const flight& f, const error& last);
  void finish(flight& f, result<account_identity> outcome);

  asio::any_io_executor loop_;
  resolver_options options_;
  meters& counters_;
  result<http::url> directory_;
  request_gate directory_gate_, web_gate_;
  http::client directory_client_, web_client_;  // two: did:web hosts cannot take the directory's look-ups of names
  failure_memory failures_;
  std::map<std::string, std::shared_ptr<flight>, std::less<>> flights_;
  event stopped_;
  bool closed_ = false;
};

resolver::impl::impl(asio::any_io_executor loop, resolver_options options, meters& counters)
    : loop_(std::move(loop)),
      options_(std::move(options)),
      counters_(counters),
      directory_(http::parse_url(options_.plc_url)),
      directory_gate_({.places = options_.per_host, .patience = options_.patience, .one_host = true}),
      web_gate_({.places = std::max(options_.at_once, options_.per_host + 1) - options_.per_host,
                 .patience = options_.patience,
                 .one_host = false}),
      directory_client_(loop_, http::host_rule::any),
      web_client_(loop_, options_.allow_private_hosts ? http::host_rule::any : http::host_rule::only_public),
      failures_(options_.remember_failure) {
  if (directory_ && directory_->target.ends_with('/')) directory_->target.pop_back();
}

// --- what is asked ---

result<http::url> resolver::impl::url_of(std::string_view did) const {
  if (did.starts_with("did:web:")) return document_url(did, options_.allow_private_hosts);
  if (!is_plc(did)) return fail(errc::malformed, "no did:plc and no did:web");
  if (!directory_) return fail(errc::bad_config, "identity.plc_url: {}", directory_.error().text);
  http::url out = *directory_;
  out.target.append("/").append(did);
  return out;
}

task<result<account_identity>> resolver::impl::look_up(std::string did) {
  if (closed_) co_return closed();
  auto where = url_of(did);
  if (!where) {
    counters_.add("identity_look_ups", "refused");
    co_return where.error();
  }
  if (const auto known = failures_.find(did, clock::now())) {
    counters_.add("identity_look_ups", "remembered");
    co_return *known;
  }
  const auto f = join(std::move(did), std::move(*where));
  while (!f->outcome && !closed_) co_await f->done.wait();
  if (!f->outcome) co_return closed();
  co_return *f->outcome;
}

std::shared_ptr<resolver::impl::flight> resolver::impl::join(std::string did, http::url where) {
  if (const auto it = flights_.find(did); it != flights_.end()) {
    counters_.add("identity_look_ups", "shared");
    return it->second;
  }
  const bool directory = is_plc(did);
  auto f = std::make_shared<flight>(std::move(did), std::move(where), directory, clock::now());
  flights_.emplace(f->did, f);
  asio::co_spawn(loop_, fly(shared_from_this(), f), [](std::exception_ptr e) {
    if (e) std::rethrow_exception(e);
  });
  return f;
}

void resolver::impl::changed(std::string_view did) {
  failures_.forget(did);
  if (const auto it = flights_.find(did); it != flights_.end()) it->second->changed = true;
}

// --- one look-up ---

task<> resolver::impl::fly(std::shared_ptr<impl> self, std::shared_ptr<flight> f) {
  auto outcome = co_await self->answer_for(*f);
  self->finish(*f, std::move(outcome));
}

task<result<account_identity>> resolver::impl::answer_for(flight& f) {
  request_gate& gate = f.directory ? directory_gate_ : web_gate_;
  backoff delay(ms(250), ms(5'000));
  error last{errc::timed_out, "the requests before it took too long"};
  int repeats = 0;
  while (co_await gate.enter(f.since)) {
    reading r = co_await request(f, gate);
    if (closed_) co_return closed();
    if (r.answer) {
      gate.leave_answered();
      if (!f.changed || ++repeats > max_repeats) co_return std::move(*r.answer);
      continue;
    }
    gate.leave_failed(r.stay_away);
    last = std::move(r.failure);
    const clock::duration at_least = r.stay_away.value_or(ms(0));
    if (!co_await pause(std::max<clock::duration>(delay.next(), at_least), gate.patience_ends(f.since))) break;
  }
  if (closed_) co_return closed();
  co_return give_up(f, last);
}

task<reading> resolver::impl::request(flight& f, request_gate& gate) {
  const auto left = std::chrono::ceil<ms>(gate.patience_ends(f.since) - clock::now());
  const http::get_limits limits{.timeout = std::clamp(left, ms(1), options_.timeout)};
  f.changed = false;
  auto& client = f.directory ? directory_client_ : web_client_;
  const auto said = co_await client.get(f.where, limits);
  auto r = read_answer(f.did, said, f.directory, options_.allow_private_hosts);
  if (!closed_) note(f, r);
  co_return r;
}

/// False: the end comes first, or close().
task<bool> resolver::impl::pause(clock::duration length, clock::time_point end) {
  const auto until = clock::now() + length;
  if (until >= end) co_return false;
  while (!closed_ && clock::now() < until) co_await stopped_.wait_for(until - clock::now());
  co_return !closed_;
}

void resolver::impl::note(const flight& f, const reading& r) {
  counters_.add("identity_requests", r.outcome);
  if (!f.directory) return;
  last_error = r.answer ? std::string() : fmt::format("the directory {}: {}", directory_->origin(), r.failure.text);
}

error resolver::impl::give_up(const flight& f, const error& last) {
  counters_.add("identity_look_ups", "gave_up");
  error why = fail(last.code, "{}: no answer within {} ms: {}", f.did, options_.patience.count(), last.text);
  failures_.remember(f.did, why, clock::now());
  return why;
}

void resolver::impl::finish(flight& f, result<account_identity> outcome) {
  f.outcome = std::move(outcome);
  flights_.erase(f.did);
  f.done.notify();
}

void resolver::impl::close() noexcept {
  closed_ = true;
  directory_gate_.close();
  web_gate_.close();
  directory_client_.close();
  web_client_.close();
  stopped_.notify();
  for (const auto& [did, f] : flights_) f->done.notify();
}

// --- the contract ---

resolver::resolver(asio::any_io_executor loop, resolver_options options, meters& counters)
    : impl_(std::make_shared<impl>(std::move(loop), std::move(options), counters)) {}
resolver::~resolver() { close(); }

task<result<account_identity>> resolver::look_up(std::string did) {
  const auto outlives_the_resolver = impl_;
  co_return co_await outlives_the_resolver->look_up(std::move(did));
}

void resolver::changed(std::string_view did) { impl_->changed(did); }
void resolver::close() noexcept { impl_->close(); }
const std::string& resolver::last_error() const noexcept { return impl_->last_error; }
std::size_t resolver::under_way() const noexcept { return impl_->under_way(); }

}  // namespace recordkv::identity
