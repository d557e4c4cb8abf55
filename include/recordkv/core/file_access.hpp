// Why a path in the file system cannot be used, as an error text for a person.
//
// Owns: finding the part of the path that refuses, its owner, and the user of this process.
// Does not know: what the path is for; the caller adds what to do.
#pragma once

#include <filesystem>
#include <string>

namespace recordkv {

enum class file_use { read, write };

/// "/srv belongs to user root, and user nobody (uid 65534) may not write there", "/data is on a read-only file system".
/// A path that does not exist yet is judged by the directory in which it would be created. Empty: no obstacle is
/// known.
std::string why_not_usable(const std::filesystem::path& path, file_use use);

/// "alice (uid 1000)", or "uid 1000" if that user has no name.
std::string user_of_process();

}  // namespace recordkv
