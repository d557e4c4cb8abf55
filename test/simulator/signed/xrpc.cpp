#include "xrpc.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>

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

std::string members_of(account_status s) {
  if (s == account_status::active) return R"("active":true)";
  return fmt::format(R"("active":false,"status":"{}")", name(s));
}

std::string_view error_of(account_status s) {
  return s == account_status::takendown   ? "RepoTakendown"
         : s == account_status::suspended ? "RepoSuspended"
                                          : "RepoDeactivated";
}

answer redirect(std::string_view pds, std::string_view did, std::string_view more) {
  answer out{.status = 302};
  out.headers = fmt::format("Location: {}/xrpc/com.atproto.sync.getRepo?did={}{}\r\n", pds, did, more);
  return out;
}

answer car(std::string bytes) { return {.body = std::move(bytes), .type = "application/vnd.ipld.car"}; }

}  // namespace

std::optional<account_status> xrpc::status_at(const place& at, const account& a) const {
  if (at.role == role::pds) return network_.accounts().status_at(at.index, a);
  if (!a.exists || a.disowned || a.status == account_status::deleted) return std::nullopt;
  return a.status;
}

// What only an export can meet waits for one, and an old copy for an account of which there is one. A guest meets
// nothing, or a redirect would lead to the next.
outage_met xrpc::meet(const call& c) {
  if (c.at.role != role::pds || c.guest) return {};
  const std::string_view did = value_of(c.parameters, "did");
  const bool exports = c.method == "com.atproto.sync.getRepo";
  return outage_.meet(did, [&](outage_mode m) {
    if (!concerns_export(m)) return true;
    const account* a = exports ? network_.accounts().find(did) : nullptr;
    if (a == nullptr || status_at(c.at, *a) != account_status::active) return false;
    return m != outage_mode::old || network_.older(*a) != nullptr;
  });
}

answer xrpc::respond(const place& at, const request& r) {
  ++requests_;
  const std::string path = r.target.substr(0, r.target.find('?'));
  call c{.at = at,
         .method = path.substr(std::string_view("/xrpc/").size()),
         .parameters = parse_query(r.target),
         .met = {},
         .guest = false};
  c.guest = value_of(c.parameters, "guest") == "1";
  c.met = meet(c);
  if (auto instead = outage::instead(c.met)) return *instead;
  answer out = route(c);
  out.trickle = delay_of(c.met);
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
  std::optional<account_status> status;
  if (a != nullptr)
    status = c.guest ? network_.accounts().status_at(network_.accounts().pds_of(*a), *a) : status_at(c.at, *a);
  if (!status) return repo_error(c.at, "RepoNotFound", did);
  if (c.method == "com.atproto.sync.getRepoStatus") {
    const std::string rev =
        *status == account_status::active ? fmt::format(R"(,"rev":"{}")", tid_text(a->repo.rev)) : "";
    return {.body = fmt::format(R"({{"did":"{}",{}{}}})", did, members_of(*status), rev)};
  }
  if (*status != account_status::active) return repo_error(c.at, error_of(*status), did);
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
  const accounts& all = network_.accounts();
  if (c.at.role == role::relay) return redirect(all.pds_url(a), a.did, "");
  if (c.met.mode == outage_mode::redirect)
    return redirect(all.rules().pds[(c.at.index + 1) % all.rules().pds.size()], a.did, "&guest=1");
  const bool reversed = is_reversed(a), whole = c.met.mode != outage_mode::torn;
  const repo& given = c.met.mode == outage_mode::old ? *network_.older(a) : a.repo;
  answer out = car({});
  out.kept = whole ? exports_.find(a, given) : nullptr;
  if (out.kept == nullptr) out.body = car_of_repo(given, reversed, !whole);
  if (c.met.mode == outage_mode::half) out.end = reversed ? answer_end::no_chunk : answer_end::short_body;
  return out;
}

answer xrpc::list_repos(const call& c) {
  const page p(c.parameters, network_.accounts().size(), 500, 1'000);
  std::string repos;
  for (std::uint32_t n = p.from; n < p.to; ++n) {
    const account& a = network_.accounts().at(n);
    const auto status = status_at(c.at, a);
    if (!status || (c.at.role == role::relay && *status != account_status::active)) continue;
    repos.append(repos.empty() ? "" : ",");
    repos += fmt::format(R"({{"did":"{}","head":"{}","rev":"{}",{}}})", a.did, text_of(a.repo.commit),
                         tid_text(a.repo.rev), members_of(*status));
  }
  return {.body = fmt::format(R"({{{}"repos":[{}]}})", p.cursor, repos)};
}

answer xrpc::list_by_collection(const call& c) {
  const page p(c.parameters, network_.accounts().size(), 500, 2'000);
  const std::string prefix = fmt::format("{}/", value_of(c.parameters, "collection"));
  std::string repos;
  for (std::uint32_t n = p.from; n < p.to; ++n) {
    const account& a = network_.accounts().at(n);
    if (status_at(c.at, a) != account_status::active) continue;
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
