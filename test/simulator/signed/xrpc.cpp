#include "xrpc.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace recordkv::sim {
namespace {

std::string text_of(const cid& c) {
  std::string out;
  c.append_text(out);
  return out;
}

std::uint32_t number_of(std::string_view text, std::uint32_t otherwise) {
  std::uint32_t out = otherwise;
  std::from_chars(text.data(), text.data() + text.size(), out);
  return out;
}

// The accounts that one page looks at. What it leaves out makes a page short; only a missing cursor is the end.
struct page {
  std::uint32_t from, to;
  std::string cursor;

  page(const query& q, std::uint32_t size, std::uint32_t usual, std::uint32_t most) {
    from = std::min(number_of(value_of(q, "cursor"), 0), size);
    to = std::min(size, from + std::clamp(number_of(value_of(q, "limit"), usual), 1U, most));
    if (to < size) cursor = fmt::format(R"("cursor":"{}",)", to);
  }
};

// The protocol's relay and PDS differ in their codes, and agree in the names.
answer repo_error(const place& at, std::string_view error, std::string_view did) {
  const bool relay = at.role == role::relay;
  return refusal(!relay ? 400 : error == "RepoNotFound" ? 404 : 403, error, fmt::format("no repo to give: {}", did));
}

std::string status_of(const account& a) {
  return a.status == account_status::active ? R"("active":true)" : R"("active":false,"status":"deactivated")";
}

answer car(std::string bytes) { return {.body = std::move(bytes), .type = "application/vnd.ipld.car"}; }

}  // namespace

bool xrpc::is_here(const place& at, const account& a) const {
  if (!a.exists || a.status == account_status::deleted) return false;
  return at.role == role::relay || network_.accounts().pds_of(a) == at.index;
}

answer xrpc::respond(const place& at, const request& r) {
  ++requests_;
  const std::string path = r.target.substr(0, r.target.find('?'));
  call c{.at = at,
         .method = path.substr(std::string_view("/xrpc/").size()),
         .parameters = parse_query(r.target),
         .torn = false};
  outage_mode met = outage_mode::ok;
  if (at.role == role::pds) {
    met = outage_.meet(value_of(c.parameters, "did"));
    if (auto instead = outage_.instead(met)) return *instead;
  }
  c.torn = met == outage_mode::torn;
  answer out = route(c);
  out.delay = outage_.delay(met);
  return out;
}

answer xrpc::route(const call& c) {
  if (c.method == "com.atproto.sync.listRepos") return list_repos(c);
  if (c.method == "com.atproto.sync.listReposByCollection") return list_by_collection(c);
  if (c.method == "com.atproto.sync.listHosts" && c.at.role == role::relay) return list_hosts();
  if (c.method == "com.atproto.identity.resolveHandle") return resolve_handle(c);
  if (c.method == "com.atproto.server.describeServer" && c.at.role == role::pds)
    return {.body = R"({"did":"did:web:localhost","availableUserDomains":[".sim.test"],"inviteCodeRequired":false})"};
  if (c.method == "_health") return {.body = R"({"version":"recordkv-sim"})"};
  return of_account(c);
}

answer xrpc::of_account(const call& c) {
  const std::string_view did = value_of(c.parameters, "did");
  account* a = network_.accounts().find(did);
  if (a == nullptr || !is_here(c.at, *a)) return repo_error(c.at, "RepoNotFound", did);
  if (c.method == "com.atproto.sync.getRepoStatus")
    return {.body = fmt::format(R"({{"did":"{}",{},"rev":"{}"}})", did, status_of(*a), tid_text(a->repo.rev))};
  if (a->status != account_status::active) return repo_error(c.at, "RepoDeactivated", did);
  return of_active(c, *a);
}

answer xrpc::of_active(const call& c, account& a) {
  if (c.method == "com.atproto.sync.getLatestCommit")
    return {.body = fmt::format(R"({{"cid":"{}","rev":"{}"}})", text_of(a.repo.commit), tid_text(a.repo.rev))};
  if (c.method == "com.atproto.sync.getRepo") return repo_car(c, a);
  if (c.method == "com.atproto.sync.getRecord") {
    const std::string path = fmt::format("{}/{}", value_of(c.parameters, "collection"), value_of(c.parameters, "rkey"));
    return car(car_of_record(a.repo, path));
  }
  return refusal(501, "MethodNotImplemented", "the simulator does not have this method");
}

answer xrpc::repo_car(const call& c, const account& a) {
  if (c.at.role == role::relay) {
    answer out{.status = 302};
    out.headers =
        fmt::format("Location: {}/xrpc/com.atproto.sync.getRepo?did={}\r\n", network_.accounts().pds_url(a), a.did);
    return out;
  }
  return car(car_of_repo(a.repo, a.number % 2 == 1, c.torn));
}

answer xrpc::list_repos(const call& c) {
  const page p(c.parameters, network_.accounts().size(), 500, 1'000);
  std::string repos;
  for (std::uint32_t n = p.from; n < p.to; ++n) {
    const account& a = network_.accounts().at(n);
    if (!is_here(c.at, a) || (c.at.role == role::relay && a.status != account_status::active)) continue;
    repos.append(repos.empty() ? "" : ",");
    repos += fmt::format(R"({{"did":"{}","head":"{}","rev":"{}",{}}})", a.did, text_of(a.repo.commit),
                         tid_text(a.repo.rev), status_of(a));
  }
  return {.body = fmt::format(R"({{{}"repos":[{}]}})", p.cursor, repos)};
}

answer xrpc::list_by_collection(const call& c) {
  const page p(c.parameters, network_.accounts().size(), 500, 2'000);
  const std::string prefix = fmt::format("{}/", value_of(c.parameters, "collection"));
  std::string repos;
  for (std::uint32_t n = p.from; n < p.to; ++n) {
    const account& a = network_.accounts().at(n);
    if (!is_here(c.at, a) || a.status != account_status::active) continue;
    const record* first = a.repo.records.after(prefix);
    if (first == nullptr || !first->path.starts_with(prefix)) continue;
    repos.append(repos.empty() ? "" : ",");
    repos += fmt::format(R"({{"did":"{}"}})", a.did);
  }
  return {.body = fmt::format(R"({{{}"repos":[{}]}})", p.cursor, repos)};
}

answer xrpc::list_hosts() const {
  std::string out;
  for (const std::string& url : network_.accounts().rules().pds) {
    out.append(out.empty() ? "" : ",");
    out += fmt::format(R"({{"hostname":"{}","seq":{},"status":"active"}})", url.substr(url.rfind('/') + 1),
                       network_.seq());
  }
  return {.body = fmt::format(R"({{"hosts":[{}]}})", out)};
}

answer xrpc::resolve_handle(const call& c) {
  const account* a = network_.accounts().with_handle(value_of(c.parameters, "handle"));
  if (a == nullptr || a->status == account_status::deleted)
    return refusal(400, "HandleNotFound", "no account has this handle");
  return {.body = fmt::format(R"({{"did":"{}"}})", a->did)};
}

}  // namespace recordkv::sim
