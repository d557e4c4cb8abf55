// From a did:web name to the URL of its document.
//
// Owns: which hosts such a name may have. Does not know: connections; their addresses are checked later. Pure.
// Source: the did:web method; atproto.com specification "did".
#pragma once

#include "recordkv/core/result.hpp"
#include "recordkv/http/url.hpp"

#include <string_view>

namespace recordkv::identity {

/// "https://HOST/.well-known/did.json". errc::malformed: a path, a port, an address, a name without a dot, a name in
/// upper case (it would be a second DID of one host), a top-level domain that no public host has.
/// `development`: also "localhost" and "localhost%3APORT", over http.
result<http::url> document_url(std::string_view did_web, bool development);

}  // namespace recordkv::identity
