// Any text as a public key, and any bytes as the point of one. The rest of the input is a digest and a signature.
#include "recordkv/atproto/signature.hpp"

#include "../../src/atproto/base58.hpp"
#include "property.hpp"

#include <string>

using namespace recordkv;
using namespace recordkv::atproto;

namespace {

/// A key has one multikey. Nothing that is not signed passes for signed, and all of it comes to an end.
void demand_sound(const result<public_key>& key, std::string_view rest) {
  if (!key) {
    DEMAND(key.error().code == errc::malformed);
    return;
  }
  const auto again = public_key::from_multikey(key->multikey());
  DEMAND(again.has_value() && *again == *key);
  DEMAND(public_key::from_did_key("did:key:" + key->multikey()).has_value());
  DEMAND(!key->verifies(sha256(rest), rest));
  std::string signature(rest.substr(0, signature_size));
  signature.resize(signature_size, '\1');
  DEMAND(!key->verifies(sha256(rest), signature));
}

/// A text that is accepted is the one form of its key.
void demand_only_form(std::string_view text, std::string_view rest) {
  const auto key = public_key::from_multikey(text);
  demand_sound(key, rest);
  if (key) DEMAND(key->multikey() == text);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto all = fuzz::text(data, size);
  const auto text = all.substr(0, all.find('\n'));
  const auto rest = all.substr(std::min(all.size(), text.size() + 1));
  demand_only_form(text, rest);

  const auto start = all.substr(0, 65);
  DEMAND(from_base58(to_base58(start), start.size()) == start);
  for (const auto c : {curve::p256, curve::k256}) {
    const std::string codec = c == curve::p256 ? "\x80\x24" : "\xe7\x01";
    demand_sound(public_key::from_legacy(c, text), rest);
    for (const std::size_t n : {33u, 65u}) {
      const auto point = std::string(all.substr(0, n));
      demand_sound(public_key::from_legacy(c, "z" + to_base58(point)), rest);
      demand_only_form("z" + to_base58(codec + point), rest);
    }
  }
  return 0;
}
