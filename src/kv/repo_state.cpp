#include "recordkv/kv/repo_state.hpp"

#include "recordkv/core/json_fields.hpp"
#include "recordkv/kv/record_key.hpp"

#include <boost/json.hpp>

#include <algorithm>

namespace recordkv::kv {
namespace json = boost::json;

namespace {

// {"source": ["epoch", number]}
json::object numbers_to_json(const std::vector<account_number>& numbers) {
  json::object o;
  for (const auto& n : numbers) o[n.source] = json::array{n.epoch, n.seq};
  return o;
}

std::vector<account_number> numbers_from_json(const json::object& o) {
  std::vector<account_number> out;
  for (const auto& [source, value] : o) {
    const auto* pair = value.if_array();
    if (pair == nullptr || pair->size() != 2 || !(*pair)[0].is_string()) continue;
    const auto& number = (*pair)[1];
    const auto seq = number.is_uint64() ? number.get_uint64()
                                        : static_cast<std::uint64_t>(number.is_int64() ? number.get_int64() : 0);
    out.push_back({std::string(source), std::string((*pair)[0].get_string()), seq});
  }
  return out;
}

std::int64_t seconds_field(const json::object& o, std::string_view key) {
  return static_cast<std::int64_t>(unsigned_field(o, key));
}

}  // namespace

std::string repo_key(std::string_view did, unsigned partitions) {
  return partition_of(did, partitions) + "." + encode_part(did);
}

std::string_view account_of_repo_key(std::string_view key) noexcept {
  const auto dot = key.find('.');
  const auto label = key.substr(0, dot);
  if (dot == key.npos || label.empty() || label.find_first_not_of("0123456789abcdef") != label.npos) return {};
  const auto account = key.substr(dot + 1);
  return account.starts_with("did/3A") && account.find('.') == account.npos ? account : std::string_view{};
}

void repo_state::desynchronise(std::string_view reason, std::string why) {
  constexpr std::size_t max_reasons = 8;
  status = "desynchronised";
  error = std::move(why);
  if (reasons.size() < max_reasons && std::ranges::find(reasons, reason) == reasons.end()) reasons.emplace_back(reason);
}

std::string to_json(const repo_state& s) {
  unsigned char buffer[2048];
  json::monotonic_resource memory(buffer);
  json::object o(&memory);
  o["did"] = s.did;
  o["rev"] = s.rev;
  if (!s.data.empty()) o["data"] = s.data;
  o["status"] = s.status;
  if (!s.upstream_status.empty()) o["upstream_status"] = s.upstream_status;
  o["verified"] = s.verified;
  o["complete"] = s.complete;
  o["filter"] = s.filter;
  o["at"] = s.at;
  o["collections"] = json::value_from(s.collections, &memory);
  if (!s.begun.empty()) o["begun"] = s.begun;
  if (!s.seen.empty()) o["seen"] = s.seen;
  if (!s.key.empty()) o["key"] = s.key;
  if (s.key_checked != 0) o["key_checked"] = s.key_checked;
  if (!s.pds.empty()) o["pds"] = s.pds;
  if (!s.handle.empty()) o["handle"] = s.handle;
  if (!s.error.empty()) o["error"] = s.error;
  if (!s.reasons.empty()) o["reasons"] = json::value_from(s.reasons, &memory);
  if (!s.account_seq.empty()) o["account_seq"] = numbers_to_json(s.account_seq);
  if (s.followed) o["followed"] = true;
  if (s.tries != 0) o["tries"] = s.tries;
  if (s.next_try != 0) o["next_try"] = s.next_try;
  if (s.resynced != 0) o["resynced"] = s.resynced;
  if (s.removing_since != 0) o["removing_since"] = s.removing_since;
  return json::serialize(o);
}

result<repo_state> parse_repo_state(std::string_view text) {
  unsigned char buffer[2048];
  json::monotonic_resource memory(buffer);
  boost::system::error_code ec;
  const auto v = json::parse(text, ec, &memory);
  if (ec || !v.is_object()) return fail(errc::malformed, "an account's state is not a JSON object");
  const auto& o = v.get_object();
  const auto field = [&](std::string_view key) { return std::string(text_field(o, key)); };
  repo_state s{.did = field("did"),
               .rev = field("rev"),
               .data = field("data"),
               .status = field("status"),
               .upstream_status = field("upstream_status"),
               .verified = flag_field(o, "verified"),
               .complete = flag_field(o, "complete"),
               .filter = field("filter"),
               .seen = field("seen"),
               .key = field("key"),
               .pds = field("pds"),
               .handle = field("handle"),
               .begun = field("begun"),
               .error = field("error")};
  s.at = unsigned_field(o, "at");
  s.key_checked = seconds_field(o, "key_checked");
  if (const auto* numbers = object_field(o, "account_seq")) s.account_seq = numbers_from_json(*numbers);
  s.followed = flag_field(o, "followed");
  s.tries = static_cast<unsigned>(unsigned_field(o, "tries"));
  s.next_try = seconds_field(o, "next_try");
  s.resynced = seconds_field(o, "resynced");
  s.removing_since = seconds_field(o, "removing_since");
  s.collections = texts_field(o, "collections");
  s.reasons = texts_field(o, "reasons");
  if (s.did.empty()) return fail(errc::malformed, "an account's state has no did");
  return s;
}

}  // namespace recordkv::kv
