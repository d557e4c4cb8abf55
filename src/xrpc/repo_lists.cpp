#include "recordkv/xrpc/repo_lists.hpp"

#include "pds_answer.hpp"
#include "recordkv/atproto/syntax.hpp"
#include "recordkv/core/foreign_text.hpp"
#include "recordkv/core/json_fields.hpp"

#include <boost/json/parse.hpp>

#include <utility>

namespace recordkv::xrpc {
namespace {

namespace json = boost::json;
using kind = list_request::kind;

constexpr int max_redirects = 3;
constexpr std::size_t max_cursor = 2048;
constexpr std::uint64_t max_accounts = 1'000'000'000;  // that one host may say it has

struct list_method {
  std::string_view name, items;
  std::size_t limit;
};

list_method method_of(kind what) {
  switch (what) {
    case kind::repos: return {"listRepos", "repos", 1000};
    case kind::repos_by_collection: return {"listReposByCollection", "repos", 2000};
    case kind::hosts: break;
  }
  return {"listHosts", "hosts", 1000};
}

bool is_this_machine(const http::url& u) {
  return u.host == "localhost" || u.host.starts_with("127.") || u.host == "::1";
}

// The URL of a host name with an optional port. Empty: the text is no such name.
std::string url_of_host(std::string_view name, bool private_hosts) {
  auto where = http::parse_url(fmt::format("https://{}", name));
  if (!where || where->target != "/") return {};
  if (private_hosts && is_this_machine(*where)) where = http::parse_url(fmt::format("http://{}", name));
  return where->origin();
}

void take_repo(const json::object& row, list_page& into) {
  const auto did = text_field(row, "did");
  if (!atproto::is_did(did)) return;
  const auto* active = row.if_contains("active");  // absent: it is active
  if (active != nullptr && active->is_bool() && !active->get_bool())
    ++into.inactive;
  else
    into.items.emplace_back(did);
}

void take_host(const json::object& row, list_page& into, bool private_hosts) {
  if (text_field(row, "status") == "banned") return;
  auto where = url_of_host(text_field(row, "hostname"), private_hosts);
  if (where.empty()) return;
  into.accounts += std::min(unsigned_field(row, "accountCount"), max_accounts);
  into.items.push_back(std::move(where));
}

}  // namespace

std::optional<list_page> read_list_page(kind what, std::string_view body, bool private_hosts) {
  boost::system::error_code ec;
  const auto value = json::parse(body, ec);
  const auto* object = ec ? nullptr : value.if_object();
  const auto method = method_of(what);
  const auto* rows = object != nullptr ? object->if_contains(method.items) : nullptr;
  if (rows == nullptr || !rows->is_array()) return {};
  list_page out;
  for (const auto& row : rows->get_array()) {
    if (!row.is_object() || out.items.size() >= method.limit) continue;
    if (what == kind::hosts)
      take_host(row.get_object(), out, private_hosts);
    else
      take_repo(row.get_object(), out);
  }
  out.cursor = text_field(*object, "cursor");
  if (out.cursor.size() > max_cursor) return {};
  return out;
}

repo_lists::repo_lists(asio::any_io_executor loop, list_options options, meters& counters)
    : options_(options),
      counters_(counters),
      anyone_(loop, http::host_rule::any),
      public_hosts_(loop, options.allow_private_hosts ? http::host_rule::any : http::host_rule::only_public) {}

void repo_lists::close() noexcept {
  anyone_.close();
  public_hosts_.close();
}

task<pds_client::answer<list_page>> repo_lists::page(list_request q) {
  const auto method = method_of(q.what);
  const auto failed = [&](judgement j) {
    counters_.add("repo_requests", fmt::format("{}_{}", method.name, j.outcome));
    return std::move(j.why);
  };
  auto where = http::parse_url(q.host);
  const std::string asked = fmt::format("{}: {}", where ? where->origin() : printable(q.host, 100), method.name);
  if (!where) co_return failed(forbidden(asked, where.error().text));
  if (where->target != "/") co_return failed(forbidden(asked, "the URL has more than a host"));
  if (!where->tls && !q.configured && !options_.allow_private_hosts)
    co_return failed(forbidden(asked, "the URL is not https"));
  where->target = fmt::format("/xrpc/com.atproto.sync.{}?limit={}", method.name, method.limit);
  if (q.what == kind::repos_by_collection) where->target += "&collection=" + query_text(q.collection);
  if (!q.cursor.empty()) where->target += "&cursor=" + query_text(q.cursor);
  // A configured host may be private, but must not lead to another private one.
  const int redirects = q.configured ? 0 : max_redirects;
  const http::get_limits limits{.timeout = options_.time, .body = options_.max_body, .redirects = redirects};
  auto& client = q.configured ? anyone_ : public_hosts_;
  const auto said = co_await client.get(*where, limits);
  if (auto why = failure_in(asked, said)) co_return failed(std::move(*why));
  auto page = read_list_page(q.what, said->body, options_.allow_private_hosts);
  if (!page || (!page->cursor.empty() && page->cursor == q.cursor))
    co_return failed({"garbage", {errc::malformed, "garbage", asked + ": answered no page of a list"}});
  counters_.add("repo_requests", fmt::format("{}_found", method.name));
  co_return std::move(*page);
}

}  // namespace recordkv::xrpc
