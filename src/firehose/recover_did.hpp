// Whose frame might this have been?
//
// Owns: a best-effort search for the account in bytes that would not decode.
// Refuses to know: why they would not. The answer is a hint that costs at most one needless resync.
#pragma once

#include <string>
#include <string_view>

namespace recordkv::firehose {

/// The syntactically valid DID that follows the first key `repo` or `did` within 64 KiB, before a frame's `blocks`
/// (records in there mention other accounts); empty when there is none.
std::string recover_did(std::string_view bytes);

}  // namespace recordkv::firehose
