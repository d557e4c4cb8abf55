// Any text as a DID document, as the list of names in a good one, and as a did:web name.
#include "../../src/identity/did_web.hpp"
#include "property.hpp"
#include "recordkv/atproto/signature.hpp"
#include "recordkv/identity/resolver.hpp"

using namespace recordkv;

namespace {

constexpr std::string_view did = "did:plc:ewvi7nxzyoun6zhxrhs64oiz";

void demand_sound(const identity::account_identity& who, bool http) {
  const auto key = atproto::public_key::from_multikey(who.key);
  DEMAND(key.has_value() && key->multikey() == who.key);
  DEMAND(who.handle.empty() || atproto::is_handle(who.handle));
  if (who.pds.empty()) return;
  const auto url = http::parse_url(who.pds);
  DEMAND(url.has_value() && url->origin() == who.pds && url->target == "/");
  DEMAND(url->tls || http);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto text = fuzz::text(data, size);
  for (const bool http : {false, true})
    if (const auto who = identity::read_did_document(did, text, http)) demand_sound(*who, http);
  if (const auto url = identity::document_url(text, false)) {
    DEMAND(url->tls && url->port == 443 && url->host.find('.') != std::string::npos);
    DEMAND("did:web:" + url->host == text);
  }
  if (const auto url = identity::document_url(text, true)) DEMAND(url->tls || url->host == "localhost");
  return 0;
}
