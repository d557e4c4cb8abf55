#include "recordkv/http/client.hpp"

#include "connection.hpp"
#include "dial.hpp"
#include "host_names.hpp"
#include "recordkv/http/address.hpp"

#include <algorithm>
#include <list>
#include <set>

namespace recordkv::http {
namespace {

constexpr std::size_t max_idle = 256;  // repairs ask some hundred hosts in turn
constexpr std::chrono::seconds max_idle_time{10};

bool is_redirect(unsigned status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

}  // namespace

class client::impl : public std::enable_shared_from_this<impl> {
 public:
  impl(asio::any_io_executor loop, host_rule rule)
      : loop_(std::move(loop)), rule_(rule), names_(loop_), idle_end_(loop_) {}

  task<result<answer>> get(url what, get_limits limits);
  void close() noexcept;

 private:
  task<result<answer>> follow(url what, const get_limits& limits, cut_off& ending);
  task<result<answer>> ask_once(const url& what, const get_limits& limits, cut_off& ending);
  task<result<answer>> ask_on(std::shared_ptr<connection> line, const url& what, const get_limits& limits,
                              cut_off& ending);
  task<result<std::shared_ptr<connection>>> open(const url& what, cut_off& ending);
  result<std::vector<asio::ip::address>> permitted(const url& what, std::vector<asio::ip::address> found) const;
  result<asio::ssl::context*> authorities();
  std::shared_ptr<connection> take_idle(const std::string& origin);
  void keep(std::shared_ptr<connection> line);
  void drop_old_idle();

  asio::any_io_executor loop_;
  host_rule rule_;
  host_names names_;
  std::optional<asio::ssl::context> authorities_;
  std::list<std::shared_ptr<connection>> idle_;  // the oldest first
  asio::steady_timer idle_end_;                  // of the oldest
  std::set<std::shared_ptr<cut_off>> under_way_;
  bool closed_ = false;
};

// --- one request ---

/// Only these addresses are connected to. A name may have others beside them.
result<std::vector<asio::ip::address>> client::impl::permitted(const url& what,
                                                               std::vector<asio::ip::address> found) const {
  if (rule_ == host_rule::only_public) std::erase_if(found, [](const auto& a) { return !is_public(a); });
  if (found.empty()) return fail(errc::malformed, "{}: its host has no public address", what.origin());
  return found;
}

/// Read once: there are more than a hundred of them.
result<asio::ssl::context*> client::impl::authorities() {
  if (!authorities_) {
    auto known = tls_authorities({});
    if (!known) return known.error();
    authorities_.emplace(std::move(*known));
  }
  return &*authorities_;
}

task<result<std::shared_ptr<connection>>> client::impl::open(const url& what, cut_off& ending) {
  auto found = co_await names_.look_up(what.host, ending);
  if (!found) co_return found.error();
  auto addresses = permitted(what, std::move(*found));
  if (!addresses) co_return addresses.error();
  auto socket = co_await dial(loop_, std::move(*addresses), what.port, ending);
  if (!socket) co_return fail(socket.error().code, "{}: {}", what.origin(), socket.error().text);
  const auto line = std::make_shared<connection>(std::move(*socket), what);
  if (ending.ended() || !what.tls) co_return line;
  const auto trusted = authorities();
  if (!trusted) co_return trusted.error();
  const cut_off::wait wait(ending, [line] { line->drop(); });
  if (auto ok = co_await line->secure(**trusted); !ok) co_return ok.error();
  co_return line;
}

task<result<answer>> client::impl::ask_on(std::shared_ptr<connection> line, const url& what, const get_limits& limits,
                                          cut_off& ending) {
  const cut_off::wait wait(ending, [line] { line->drop(); });
  if (ending.ended()) co_return fail(errc::timed_out, "{}: not asked in time", what.origin());
  ending.heard();  // a connection stands
  const std::function<void()> heard = [&ending] { ending.heard(); };
  auto said = co_await line->ask(what, limits, heard);
  if (said && line->reusable() && !ending.ended()) keep(line);
  co_return said;
}

task<result<answer>> client::impl::ask_once(const url& what, const get_limits& limits, cut_off& ending) {
  if (rule_ == host_rule::only_public && what.port != 443 && what.port != 80)
    co_return fail(errc::malformed, "{}: only ports 443 and 80 may be asked", what.origin());
  if (auto line = take_idle(what.origin())) {
    auto said = co_await ask_on(std::move(line), what, limits, ending);
    // The host may end an idle connection at any time. Then a new one is opened.
    if (said || said.error().code != errc::closed || ending.ended()) co_return said;
  }
  auto line = co_await open(what, ending);
  if (!line) co_return line.error();
  auto said = co_await ask_on(std::move(*line), what, limits, ending);
  if (!said && said.error().code == errc::closed) co_return fail(errc::unreachable, "{}", said.error().text);
  co_return said;
}

task<result<answer>> client::impl::follow(url what, const get_limits& limits, cut_off& ending) {
  for (int left = limits.redirects;; --left) {
    auto said = co_await ask_once(what, limits, ending);
    if (!said || left <= 0 || !is_redirect(said->status)) co_return said;
    auto next = redirected(what, said->location);
    if (!next) co_return fail(errc::malformed, "{}: redirects: {}", what.origin(), next.error().text);
    what = std::move(*next);
  }
}

task<result<answer>> client::impl::get(url what, get_limits limits) {
  const auto closed = [] { return fail(errc::closed, "closed"); };
  if (closed_) co_return closed();
  const auto ending = std::make_shared<cut_off>(loop_);
  under_way_.insert(ending);
  ending->begin(limits.timeout, limits.stalled);
  auto said = co_await follow(what, limits, *ending);
  ending->finish();
  under_way_.erase(ending);
  if (ending->why() == cut_off::reason::closed) co_return closed();
  if (!said && ending->why() == cut_off::reason::late)
    co_return fail(errc::timed_out, "{}: no answer within {} ms", what.origin(), limits.timeout.count());
  if (!said && ending->why() == cut_off::reason::silent)
    co_return fail(errc::timed_out, "{}: silent for {} ms", what.origin(), limits.stalled->count());
  co_return said;
}

// --- idle connections ---

std::shared_ptr<connection> client::impl::take_idle(const std::string& origin) {
  for (auto at = idle_.begin(); at != idle_.end();) {
    if ((*at)->origin() != origin) {
      ++at;
      continue;
    }
    auto line = std::move(*at);
    at = idle_.erase(at);
    if (line->reusable()) return line;
  }
  return nullptr;
}

void client::impl::keep(std::shared_ptr<connection> line) {
  line->idle_since = std::chrono::steady_clock::now();
  idle_.push_back(std::move(line));
  if (idle_.size() > max_idle) idle_.pop_front();
  if (idle_.size() == 1) drop_old_idle();
}

void client::impl::drop_old_idle() {
  const auto oldest = std::chrono::steady_clock::now() - max_idle_time;
  std::erase_if(idle_, [oldest](const auto& line) { return line->idle_since <= oldest; });
  if (idle_.empty()) return;
  idle_end_.expires_at(idle_.front()->idle_since + max_idle_time);
  idle_end_.async_wait([weak = weak_from_this()](boost::system::error_code ec) {
    if (const auto self = weak.lock(); self && !ec) self->drop_old_idle();
  });
}

void client::impl::close() noexcept {
  closed_ = true;
  idle_.clear();
  idle_end_.cancel();
  const auto ending = under_way_;
  for (const auto& one : ending) one->end(cut_off::reason::closed);
}

// --- the contract ---

client::client(asio::any_io_executor loop, host_rule rule) : impl_(std::make_shared<impl>(std::move(loop), rule)) {}
client::~client() { close(); }
void client::close() noexcept { impl_->close(); }

task<result<answer>> client::get(url what, get_limits limits) {
  const auto outlives_the_client = impl_;
  co_return co_await outlives_the_client->get(std::move(what), limits);
}

}  // namespace recordkv::http
