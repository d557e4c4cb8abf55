#include "recordkv/kv/repo_state.hpp"

#include "recordkv/kv/record_key.hpp"

#include <boost/json.hpp>

#include <algorithm>

namespace recordkv::kv {
namespace json = boost::json;

std::string repo_key(std::string_view did, unsigned partitions) {
  return partition_of(did, partitions) + "." + encode_part(did);
}

void repo_state::desynchronise(std::string_view reason, std::string why) {
  constexpr std::size_t max_reasons = 8;
  status = "desynchronised";
  error = std::move(why);
  if (reasons.size() < max_reasons && std::ranges::find(reasons, reason) == reasons.end()) reasons.emplace_back(reason);
}

std::string to_json(const repo_state& s) {
  json::object o;
  o["did"] = s.did;
  o["rev"] = s.rev;
  if (!s.data.empty()) o["data"] = s.data;
  o["status"] = s.status;
  if (!s.upstream_status.empty()) o["upstream_status"] = s.upstream_status;
  o["verified"] = s.verified;
  o["complete"] = s.complete;
  o["filter"] = s.filter;
  o["at"] = s.at;
  o["collections"] = json::value_from(s.collections);
  if (!s.begun.empty()) o["begun"] = s.begun;
  if (!s.error.empty()) o["error"] = s.error;
  if (!s.reasons.empty()) o["reasons"] = json::value_from(s.reasons);
  return json::serialize(o);
}

result<repo_state> parse_repo_state(std::string_view text) {
  boost::system::error_code ec;
  const auto v = json::parse(text, ec);
  if (ec || !v.is_object()) return fail(errc::malformed, "an account's state is not a JSON object");
  const auto& o = v.get_object();
  const auto string_at = [&](std::string_view k) {
    const auto* f = o.if_contains(k);
    return f && f->is_string() ? std::string(f->get_string()) : std::string();
  };
  const auto bool_at = [&](std::string_view k) {
    const auto* f = o.if_contains(k);
    return f && f->is_bool() && f->get_bool();
  };
  repo_state s{.did = string_at("did"),
               .rev = string_at("rev"),
               .data = string_at("data"),
               .status = string_at("status"),
               .upstream_status = string_at("upstream_status"),
               .verified = bool_at("verified"),
               .complete = bool_at("complete"),
               .filter = string_at("filter"),
               .begun = string_at("begun"),
               .error = string_at("error")};
  if (const auto* at = o.if_contains("at"); at && at->is_int64()) s.at = static_cast<std::uint64_t>(at->get_int64());
  const auto strings_at = [&](std::string_view k, std::vector<std::string>& into) {
    if (const auto* list = o.if_contains(k); list && list->is_array())
      for (const auto& e : list->get_array())
        if (e.is_string()) into.emplace_back(e.get_string());
  };
  strings_at("collections", s.collections);
  strings_at("reasons", s.reasons);
  if (s.did.empty()) return fail(errc::malformed, "an account's state has no did");
  return s;
}

}  // namespace recordkv::kv
