// The account of a frame that cannot be decoded.
//
// Owns: a best-effort search for its DID in the bytes.
// Does not know: why they cannot be decoded. A wrong answer costs at most one needless resync.
#pragma once

#include <string>
#include <string_view>

namespace recordkv::firehose {

/// The first syntactically valid DID that follows a key `repo` or `did` within 64 KiB. Of a frame only the part before
/// `blocks` counts, because its records mention other accounts. Empty: there is none.
std::string recover_did(std::string_view bytes);

}  // namespace recordkv::firehose
