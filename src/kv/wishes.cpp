// The JSON form of a person's wish for an account, and writing it to bucket `repo`.
//
// Owns: what a wish needs so that it can be acted on.
// Does not know: which process reads it.
#include "recordkv/kv/wishes.hpp"

#include "recordkv/atproto/syntax.hpp"
#include "recordkv/core/json_fields.hpp"
#include "recordkv/core/timestamp.hpp"
#include "recordkv/kv/record_key.hpp"

#include <boost/json.hpp>

namespace recordkv::kv {
namespace json = boost::json;
namespace {

constexpr std::string_view key_prefix = "want.";
constexpr std::size_t max_wish_bytes = 16 << 10;  // a DID has at most 2048 characters
constexpr wish_kind kinds[] = {wish_kind::add, wish_kind::remove, wish_kind::resync};

}  // namespace

std::string_view name(wish_kind k) noexcept {
  switch (k) {
    case wish_kind::add: return "add";
    case wish_kind::remove: return "remove";
    case wish_kind::resync: return "resync";
  }
  return "";
}

std::string wish_key(std::string_view did) { return std::string(key_prefix) + encode_part(did); }

std::string_view account_of_wish_key(std::string_view key) noexcept {
  if (!key.starts_with(key_prefix)) return {};
  const auto account = key.substr(key_prefix.size());
  return account.starts_with("did/3A") && account.find('.') == account.npos ? account : std::string_view{};
}

std::string to_json(const wish& w) {
  json::object o{{"did", w.did}, {"what", name(w.what)}};
  if (!w.at.empty()) o["at"] = w.at;
  return json::serialize(o);
}

result<wish> parse_wish(std::string_view text) {
  if (text.size() > max_wish_bytes) return fail(errc::malformed, "a wish has {} bytes", text.size());
  boost::system::error_code ec;
  const auto v = json::parse(text, ec);
  if (ec || !v.is_object()) return fail(errc::malformed, "a wish is not a JSON object");
  const auto& o = v.get_object();
  wish w{.did = std::string(text_field(o, "did")), .at = std::string(text_field(o, "at"))};
  if (!atproto::is_did(w.did)) return fail(errc::malformed, "a wish has no valid did");
  if (!epoch_seconds(w.at)) w.at.clear();  // only shown to a person
  for (const auto k : kinds)
    if (text_field(o, "what") == name(k)) {
      w.what = k;
      return w;
    }
  return fail(errc::malformed, "a wish does not say what is wanted: add, remove or resync");
}

task<result<std::uint64_t>> make_wish(bucket& repo, wish w) {
  if (!atproto::is_did(w.did)) co_return fail(errc::malformed, "\"{}\" is not a DID", w.did);
  if (w.at.empty()) w.at = timestamp_now();
  co_return co_await repo.put(wish_key(w.did), to_json(w));
}

task<result<void>> remove_wish(bucket& repo, std::string did, std::uint64_t seq) {
  auto gone = co_await repo.remove(wish_key(did), seq);
  if (!gone && gone.error().code != errc::conflict) co_return gone.error();
  co_return result<void>{};
}

}  // namespace recordkv::kv
