#include "recordkv/xrpc/pds_client.hpp"

#include "pds_answer.hpp"
#include "recordkv/core/foreign_text.hpp"

#include <boost/assert/source_location.hpp>

#include <algorithm>
#include <stdexcept>
#include <utility>

namespace recordkv::xrpc {
namespace {

constexpr std::size_t max_status_body = 64 << 10;
constexpr int max_redirects = 3;

pds_client::failure closed() { return {errc::closed, "closed", "closed"}; }

}  // namespace

class pds_client::impl {
 public:
  impl(asio::any_io_executor loop, pds_options options, byte_budget& budget, meters& counters)
      : options_(options),
        budget_(&budget),
        counters_(counters),
        client_(std::move(loop), options.allow_private_hosts ? http::host_rule::any : http::host_rule::only_public) {}

  task<answer<fetched_repo>> get_repo(std::string pds, std::string did);
  task<answer<repo_status>> get_repo_status(std::string pds, std::string did);
  task<answer<latest_commit>> get_latest_commit(std::string pds, std::string did);
  void close() noexcept;

 private:
  /// The bytes of one answer under way. After close() the budget may be gone.
  class taken_bytes {
   public:
    explicit taken_bytes(impl& owner) : owner_(owner) {}
    ~taken_bytes() { give(bytes_); }
    taken_bytes(const taken_bytes&) = delete;
    taken_bytes& operator=(const taken_bytes&) = delete;

    bool take(std::size_t more) {
      if (owner_.budget_ == nullptr || !owner_.budget_->take(more)) return false;
      owner_.taken_ += more;
      bytes_ += more;
      return true;
    }
    /// `kept` bytes remain taken from now on, and no longer belong to this object.
    void leave(std::size_t kept) {
      give(bytes_ - kept);
      owner_.taken_ -= kept;
      bytes_ = 0;
    }

   private:
    void give(std::size_t bytes) {
      if (owner_.budget_ == nullptr) return;
      owner_.budget_->give(bytes);
      owner_.taken_ -= bytes;
    }

    impl& owner_;
    std::size_t bytes_ = 0;
  };

  struct question {
    std::string_view method;
    std::string asked;  // for texts: the host and the method
    http::url where;
  };
  answer<question> ask(std::string_view method, std::string_view pds, std::string_view did);
  failure failed(std::string_view method, judgement j);

  const pds_options options_;
  byte_budget* budget_;
  meters& counters_;
  http::client client_;
  std::size_t taken_ = 0;  // of all answers under way
};

/// The question and its URL. Plain http needs allow_private_hosts, as do hosts that are not public.
auto pds_client::impl::ask(std::string_view method, std::string_view pds, std::string_view did) -> answer<question> {
  auto where = http::parse_url(pds);
  const std::string host = where ? where->origin() : printable(pds, 100);
  question q{method, fmt::format("{}: {}", host, method), {}};
  if (!where) return failed(method, forbidden(q.asked, where.error().text));
  if (where->target != "/") return failed(method, forbidden(q.asked, "the URL has more than a host"));
  if (!where->tls && !options_.allow_private_hosts) return failed(method, forbidden(q.asked, "the URL is not https"));
  q.where = std::move(*where);
  q.where.target = fmt::format("/xrpc/com.atproto.sync.{}?did={}", method, query_text(did));
  return q;
}

pds_client::failure pds_client::impl::failed(std::string_view method, judgement j) {
  counters_.add("repo_requests", fmt::format("{}_{}", method, j.outcome));
  return std::move(j.why);
}

auto pds_client::impl::get_repo(std::string pds, std::string did) -> task<answer<fetched_repo>> {
  if (budget_ == nullptr) co_return closed();
  auto q = ask("getRepo", pds, did);
  if (!q) co_return q.error();
  taken_bytes taken(*this);
  http::get_limits limits{.timeout = options_.repo_time,
                          .body = std::min(options_.max_repo, budget_->total()),  // more than all never fits
                          .redirects = max_redirects,
                          .admit = [&taken](std::size_t more) { return taken.take(more); },
                          .stalled = options_.stalled};
  auto said = co_await client_.get(q->where, std::move(limits));
  if (budget_ == nullptr) co_return closed();
  if (auto why = failure_in(q->asked, said)) co_return failed(q->method, std::move(*why));
  counters_.add("repo_requests", "getRepo_found");
  taken.leave(said->body.size());
  co_return fetched_repo(std::move(said->body), *budget_);
}

auto pds_client::impl::get_repo_status(std::string pds, std::string did) -> task<answer<repo_status>> {
  if (budget_ == nullptr) co_return closed();
  auto q = ask("getRepoStatus", pds, did);
  if (!q) co_return q.error();
  const http::get_limits limits{.timeout = options_.status_time, .body = max_status_body, .redirects = max_redirects};
  const auto said = co_await client_.get(q->where, limits);
  if (budget_ == nullptr) co_return closed();
  if (auto why = failure_in(q->asked, said)) co_return failed(q->method, std::move(*why));
  auto status = read_repo_status(said->body);
  if (!status)
    co_return failed(q->method, {"garbage", {errc::malformed, "garbage", q->asked + ": answered no status of a repo"}});
  counters_.add("repo_requests", "getRepoStatus_found");
  co_return std::move(*status);
}

auto pds_client::impl::get_latest_commit(std::string pds, std::string did) -> task<answer<latest_commit>> {
  if (budget_ == nullptr) co_return closed();
  auto q = ask("getLatestCommit", pds, did);
  if (!q) co_return q.error();
  const http::get_limits limits{.timeout = options_.status_time, .body = max_status_body, .redirects = max_redirects};
  const auto said = co_await client_.get(q->where, limits);
  if (budget_ == nullptr) co_return closed();
  if (auto why = failure_in(q->asked, said)) co_return failed(q->method, std::move(*why));
  auto latest = read_latest_commit(said->body);
  if (!latest)
    co_return failed(q->method, {"garbage", {errc::malformed, "garbage", q->asked + ": answered no commit"}});
  counters_.add("repo_requests", "getLatestCommit_found");
  co_return std::move(*latest);
}

void pds_client::impl::close() noexcept {
  if (budget_ != nullptr) budget_->give(std::exchange(taken_, 0));
  budget_ = nullptr;
  client_.close();
}

// --- the contract ---

pds_client::pds_client(asio::any_io_executor loop, pds_options options, byte_budget& budget, meters& counters)
    : impl_(std::make_shared<impl>(std::move(loop), options, budget, counters)) {}
pds_client::~pds_client() { close(); }
void pds_client::close() noexcept { impl_->close(); }

auto pds_client::get_repo(std::string pds, std::string did) -> task<answer<fetched_repo>> {
  const auto outlives_the_client = impl_;
  co_return co_await outlives_the_client->get_repo(std::move(pds), std::move(did));
}

auto pds_client::get_repo_status(std::string pds, std::string did) -> task<answer<repo_status>> {
  const auto outlives_the_client = impl_;
  co_return co_await outlives_the_client->get_repo_status(std::move(pds), std::move(did));
}

auto pds_client::get_latest_commit(std::string pds, std::string did) -> task<answer<latest_commit>> {
  const auto outlives_the_client = impl_;
  co_return co_await outlives_the_client->get_latest_commit(std::move(pds), std::move(did));
}

void throw_exception_from_error(const pds_client::failure& e, const boost::source_location& where) {
  throw std::logic_error(
      fmt::format("{}:{}: unchecked failure {}: {}", where.file_name(), where.line(), e.word, e.text));
}

}  // namespace recordkv::xrpc
