// `init`: a configuration and a view to start from.
//
// Owns: the two files. An existing file is never overwritten.
// Does not know: the keys (config/recordkv.toml is compiled in), and the content of a view.
#include "commands.hpp"
#include "output.hpp"

#include "recordkv/config/shipped.hpp"
#include "recordkv/core/file_access.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <map>
#include <system_error>

namespace recordkv::cli {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view heading =
    "# Written by `recordkv init`: likes and posts of the network, on one machine, with a view of your own.\n"
    "# A key behind # has its default value. The directories below are absolute, so that this file works from\n"
    "# anywhere; if you move it, change them.\n#\n";

std::string in_quotes(std::string_view s) {
  std::string out = "\"";
  for (const char c : s) (c == '"' || c == '\\' ? out += '\\' : out) += c;
  return out + '"';
}

/// The reference with every key commented out, except those that are chosen here.
std::string configuration_for(const fs::path& dir) {
  std::map<std::string, std::string, std::less<>> chosen{
      {"state.dir", in_quotes((dir / "recordkv-data").string())},
      {"source.collections", R"(["app.bsky.feed.like", "app.bsky.feed.post"])"},
      {"kv.max_keys", "5000000  # roughly 2 GB of memory in the NATS server"},
      {"index.views", fmt::format(R"([{}]  # and "builtin:NAME" for one that ships)",
                                  in_quotes((dir / "views" / "*.toml").string()))}};
  std::string out(heading), section;
  for (std::string_view rest = shipped::reference_configuration(); !rest.empty();) {
    const auto line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(line.size() + 1, rest.size()));
    if (line.starts_with('[')) section = std::string(line.substr(1, line.find(']') - 1)) + ".";
    const auto name = line.substr(0, line.find(" = "));
    const bool key = name.size() < line.size() && !line.starts_with('#') && !line.starts_with('[');
    const auto mine = key ? chosen.find(section + std::string(name)) : chosen.end();
    if (mine != chosen.end())
      out += fmt::format("{} = {}\n", name, mine->second);
    else
      out += fmt::format("{}{}\n", key ? "#" : "", line);
  }
  return out;
}

result<void> make_directory(const fs::path& dir) {
  std::error_code ec;
  fs::create_directories(dir, ec);
  const auto why = why_not_usable(dir, file_use::write);
  if (ec || !why.empty())
    return fail(errc::storage, "init: {} can't be used: {}; name a directory that this user may write to", dir.string(),
                why.empty() ? ec.message() : why);
  return {};
}

result<void> write_new(const fs::path& file, std::string_view text) {
  const int fd = open(file.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  int error = fd < 0 ? errno : 0;
  while (error == 0 && !text.empty()) {
    const auto n = write(fd, text.data(), text.size());
    if (n < 0 && errno != EINTR) error = errno;
    if (n > 0) text.remove_prefix(static_cast<std::size_t>(n));
  }
  if (fd >= 0 && close(fd) != 0 && error == 0) error = errno;
  if (error == 0) return {};
  if (fd >= 0) unlink(file.c_str());  // half a file would block the next try
  return fail(error == EEXIST ? errc::conflict : errc::storage, "init: {} can't be written: {}", file.string(),
              std::generic_category().message(error));
}

result<void> write_both(const fs::path& dir, const fs::path& settings, const fs::path& view) {
  for (const auto& file : {settings, view})
    if (std::error_code ec; fs::exists(fs::symlink_status(file, ec)))
      return fail(errc::conflict, "init: {} exists already and was not changed; name another directory, or remove it",
                  file.string());
  if (auto made = make_directory(dir); !made) return made;
  if (auto made = make_directory(view.parent_path()); !made) return made;
  if (auto written = write_new(settings, configuration_for(dir)); !written) return written;
  return write_new(view, *shipped::text_of("builtin:likes"));
}

}  // namespace

int init(const invocation& i) {
  std::error_code ec;
  auto dir = fs::absolute(i.directory, ec).lexically_normal();
  if (ec) return complain(fail(errc::storage, "init: {}: {}", i.directory, ec.message()));
  if (!dir.has_filename()) dir = dir.parent_path();
  const auto settings = dir / "recordkv.toml", view = dir / "views" / "likes.toml";
  if (auto written = write_both(dir, settings, view); !written) return complain(written.error());
  write_out(
      "{}  the configuration: every key, its default, its meaning\n"
      "{}  a view to start from\n\n"
      "Next:\n"
      "  recordkv --config {} up\n"
      "  recordkv view check {}      after each change of it\n",
      settings.string(), view.string(), settings.string(), view.string());
  return done;
}

}  // namespace recordkv::cli
