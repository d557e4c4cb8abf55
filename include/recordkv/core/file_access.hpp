// Why a place in the file system can't be used, for an error that speaks to a person.
//
// Owns: finding the part of a path that stands in the way, whose it is, and who we are.
// Refuses to know: what the place is for; the caller adds what to do.
#pragma once

#include <filesystem>
#include <string>

namespace recordkv {

enum class file_use { read, write };

/// "/srv belongs to user root, and user nobody (uid 65534) may not write there", "/data is on a read-only file system".
/// A path that does not exist yet is judged by the directory that would have to take it. Empty: nothing speaks against
/// it.
std::string why_not_usable(const std::filesystem::path& path, file_use use);

/// "alice (uid 1000)", or "uid 1000" where that user has no name.
std::string user_of_process();

}  // namespace recordkv
