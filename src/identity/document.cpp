// What a DID document says about an account of the AT Protocol.
#include "recordkv/atproto/signature.hpp"
#include "recordkv/atproto/syntax.hpp"
#include "recordkv/core/json_fields.hpp"
#include "recordkv/http/url.hpp"
#include "recordkv/identity/resolver.hpp"

#include <boost/json/parse.hpp>

#include <algorithm>
#include <optional>

namespace recordkv::identity {
namespace {

namespace json = boost::json;

/// The first entry of a list whose id is "#NAME" or "DID#NAME". Later ones with the same name do not count.
const json::object* entry(const json::object& document, std::string_view list, std::string_view did,
                          std::string_view name) {
  const auto* const all = array_field(document, list);
  if (all == nullptr) return nullptr;
  for (const auto& one : *all) {
    const auto* const object = one.if_object();
    if (object == nullptr) continue;
    auto id = text_field(*object, "id");
    if (id.starts_with(did)) id.remove_prefix(did.size());
    if (id.starts_with('#') && id.substr(1) == name) return object;
  }
  return nullptr;
}

std::optional<std::string> key_in(const json::object& method) {
  using atproto::curve;
  using atproto::public_key;
  const auto type = text_field(method, "type"), text = text_field(method, "publicKeyMultibase");
  auto key = type == "Multikey"                            ? public_key::from_multikey(text)
             : type == "EcdsaSecp256r1VerificationKey2019" ? public_key::from_legacy(curve::p256, text)
             : type == "EcdsaSecp256k1VerificationKey2019" ? public_key::from_legacy(curve::k256, text)
                                                           : result<public_key>(fail(errc::malformed, "type"));
  if (!key) return {};
  return key->multikey();
}

std::optional<std::string> signing_key(const json::object& document, std::string_view did) {
  const auto* const method = entry(document, "verificationMethod", did, "atproto");
  if (method == nullptr || text_field(*method, "controller") != did) return {};
  return key_in(*method);
}

/// An endpoint is an origin and nothing else: no path, no query.
std::string pds(const json::object& document, std::string_view did, bool allow_http) {
  const auto* const service = entry(document, "service", did, "atproto_pds");
  if (service == nullptr || text_field(*service, "type") != "AtprotoPersonalDataServer") return {};
  const auto where = http::parse_url(text_field(*service, "serviceEndpoint"));
  if (!where || where->target != "/" || (!where->tls && !allow_http)) return {};
  return where->origin();
}

std::string handle(const json::object& document) {
  constexpr std::string_view scheme = "at://";
  for (const std::string& name : texts_field(document, "alsoKnownAs")) {
    if (!name.starts_with(scheme) || !atproto::is_handle(std::string_view(name).substr(scheme.size()))) continue;
    std::string out = name.substr(scheme.size());
    std::ranges::transform(out, out.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? char(c - 'A' + 'a') : c; });
    return out;
  }
  return {};
}

}  // namespace

result<account_identity> read_did_document(std::string_view did, std::string_view text, bool allow_http) {
  boost::system::error_code ec;
  const json::value parsed = json::parse(text, ec);
  const auto* const document = ec ? nullptr : parsed.if_object();
  if (document == nullptr) return fail(errc::malformed, "json");
  if (text_field(*document, "id") != did) return fail(errc::malformed, "id");
  auto key = signing_key(*document, did);
  if (!key) return fail(errc::malformed, "no_key");
  return account_identity{.key = std::move(*key), .pds = pds(*document, did, allow_http), .handle = handle(*document)};
}

}  // namespace recordkv::identity
