#include "recordkv/core/file_access.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

namespace recordkv {
namespace {

std::string name_of(uid_t uid) {
  const passwd* const entry = getpwuid(uid);
  return entry != nullptr ? entry->pw_name : "";
}

std::string owner_text(uid_t uid) {
  const auto name = name_of(uid);
  return name.empty() ? fmt::format("uid {}", uid) : "user " + name;
}

// Checks the effective user, whose rights decide when a file is opened. access() would check the real one.
int refusal(const std::filesystem::path& p, int mode) {
  return faccessat(AT_FDCWD, p.c_str(), mode, AT_EACCESS) == 0 ? 0 : errno;
}

std::string explain(const std::filesystem::path& p, const struct stat& what, int error, std::string_view doing) {
  if (error == EROFS) return fmt::format("{} is on a read-only file system", p.string());
  if (error == EACCES || error == EPERM)
    return fmt::format("{} belongs to {}, and user {} may not {} there", p.string(), owner_text(what.st_uid),
                       user_of_process(), doing);
  return fmt::format("{}: {}", p.string(), std::generic_category().message(error));
}

}  // namespace

std::string user_of_process() {
  const auto name = name_of(geteuid());
  return name.empty() ? fmt::format("uid {}", geteuid()) : fmt::format("{} (uid {})", name, geteuid());
}

std::string why_not_usable(const std::filesystem::path& path, file_use use) {
  std::error_code ec;
  auto p = std::filesystem::absolute(path, ec).lexically_normal();
  if (ec) return fmt::format("{}: {}", path.string(), ec.message());
  const auto whole = p;
  struct stat what{};
  while (stat(p.c_str(), &what) != 0 && p.has_relative_path()) p = p.parent_path();
  const bool whole_there = p == whole;
  const bool directory = S_ISDIR(what.st_mode);
  if (!whole_there && !directory) return fmt::format("{} is a file, not a directory", p.string());
  // If a directory may not be searched, it is the deepest part that can be seen; nothing behind it is known.
  if (directory)
    if (const int error = refusal(p, X_OK); error != 0) return explain(p, what, error, "look");
  if (use == file_use::read && !whole_there) return {};
  const int error = refusal(p, use == file_use::write ? W_OK : R_OK);
  return error == 0 ? std::string() : explain(p, what, error, use == file_use::write ? "write" : "read");
}

}  // namespace recordkv
