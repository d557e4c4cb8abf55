#include "recordkv/config.hpp"

#include "keys.hpp"
#include "recordkv/config/shipped.hpp"
#include "recordkv/firehose/source_kinds.hpp"
#include "value.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>

#include <unistd.h>

namespace recordkv {
namespace {

using namespace settings;

/// Variables with our prefix that are not keys: scripts and tests use them.
constexpr auto other_variables = std::to_array<std::string_view>(
    {"RECORDKV_FIXTURES", "RECORDKV_NATS_SERVER", "RECORDKV_NATS_CLI", "RECORDKV_POSTGRES_BIN", "RECORDKV_SIM",
     "RECORDKV_SEEDS", "RECORDKV_LAYOUTS", "RECORDKV_SLOW"});
constexpr std::string_view test_variables = "RECORDKV_TEST_";

/// Kubernetes and Docker links set these for a service named `recordkv`. They must not stop the start. No section is
/// called `service` or `port`.
bool describes_a_service(std::string_view name) {
  return name.starts_with("RECORDKV_SERVICE_") || name == "RECORDKV_PORT" || name.starts_with("RECORDKV_PORT_");
}

/// Values so far, and for each row of the table the origin of its value.
struct merged {
  config values;
  std::vector<std::string> origins = std::vector<std::string>(all_keys().size(), "default");

  std::string& origin(const key_row& key) { return origins[static_cast<std::size_t>(&key - all_keys().data())]; }
};

std::string unknown(std::string_view what, const std::string& near) {
  return near.empty() ? fmt::format("unknown {}; config/recordkv.toml lists them all", what)
                      : fmt::format("unknown {}; did you mean {}?", what, near);
}

/// The tables of one file. TOML tables are not in the order of the file, so of several mistakes the first by line is
/// reported.
class file_reader {
 public:
  file_reader(const std::string& path, merged& into) : path_(path), into_(into) {}

  result<void> read() {
    auto text = contents();
    if (!text) return text.error();
    try {
      sections(toml::parse(*text, path_));
    } catch (const toml::parse_error& e) {
      return fail(errc::bad_config, "{}:{}: {}", path_, e.source().begin.line, e.description());
    }
    if (!mistake_.empty()) return fail(errc::bad_config, "{}", mistake_);
    return {};
  }

 private:
  result<std::string> contents() const {
    if (path_ == shipped::quickstart) return std::string(*shipped::text_of(path_));
    std::error_code ec;
    std::ifstream in(path_, std::ios::binary);
    if (std::filesystem::is_directory(path_, ec) || !in)
      return fail(errc::bad_config, "cannot read configuration file {}: {}", path_, std::strerror(in ? EISDIR : errno));
    return std::string(std::istreambuf_iterator<char>(in), {});
  }

  void wrong(const toml::key& at, std::string_view name, std::string_view what) {
    const auto line = at.source().begin.line;
    if (!mistake_.empty() && mistake_line_ <= line) return;
    mistake_line_ = line;
    mistake_ = fmt::format("{}:{}: {}: {}", path_, line, name, what);
  }

  void sections(const toml::table& file) {
    for (auto&& [name, value] : file) {
      if (find_key(name.str()) != nullptr)
        take(name, std::string(name.str()), value);
      else if (name.str() == "view")
        wrong(name, "[[view]]", "views have their own files; name them in index.views");
      else if (is_section(name.str()) && value.is_table())
        keys(std::string(name.str()), *value.as_table());
      else if (is_section(name.str()))
        wrong(name, name.str(), fmt::format("is a section; write [{}] and its keys below it", name.str()));
      else if (value.is_table())
        wrong(name, fmt::format("[{}]", name.str()), unknown("section", bracketed(nearest_section(name.str()))));
      else
        wrong(name, name.str(), unknown("key", nearest_key(name.str())));
    }
  }

  void keys(const std::string& section, const toml::table& values) {
    for (auto&& [name, value] : values) take(name, fmt::format("{}.{}", section, name.str()), value);
  }

  void take(const toml::key& at, const std::string& name, const toml::node& value) {
    const auto* const key = find_key(name);
    if (key == nullptr) return wrong(at, name, unknown("key", nearest_key(name)));
    if (const auto complaint = assign(*key, into_.values, value); !complaint.empty()) return wrong(at, name, complaint);
    into_.origin(*key) = fmt::format("{}:{}", path_, at.source().begin.line);
  }

  static std::string bracketed(const std::string& s) { return s.empty() ? s : fmt::format("[{}]", s); }

  const std::string& path_;
  merged& into_;
  std::string mistake_;
  toml::source_index mistake_line_ = 0;
};

result<void> take_text(const key_row& key, const std::string& text, const std::string& origin, merged& into) {
  const auto holder = bare_value(key, text);
  const auto complaint = assign(key, into.values, *holder.get("value"));
  if (!complaint.empty()) return fail(errc::bad_config, "{}: {}: {}", origin, key.name, complaint);
  into.origin(key) = origin;
  return {};
}

result<void> take_variable(const std::string& name, const std::string& value, merged& into) {
  if (std::ranges::find(other_variables, name) != other_variables.end() || name.starts_with(test_variables)) return {};
  if (describes_a_service(name)) return {};
  for (const auto& key : all_keys())
    if (variable_of(key.name) == name) return take_text(key, value, name, into);
  // Turn the underscore after the section back into a dot, so that the nearest key can be found.
  std::string guess = name.substr(std::min(name.size(), std::string_view("RECORDKV_").size()));
  std::ranges::transform(guess, guess.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  if (const auto bar = guess.find('_'); bar != guess.npos) guess[bar] = '.';
  const auto near = nearest_key(guess);
  return fail(errc::bad_config, "{}: {}", name, unknown("variable", near.empty() ? near : variable_of(near)));
}

result<void> take_set(const std::string& set, merged& into) {
  const auto equals = set.find('=');
  if (equals == set.npos || equals == 0) return fail(errc::bad_config, "--set {}: write --set section.key=value", set);
  const auto name = set.substr(0, equals);
  const auto* const key = find_key(name);
  if (key == nullptr) return fail(errc::bad_config, "--set: {}: {}", name, unknown("key", nearest_key(name)));
  return take_text(*key, set.substr(equals + 1), "--set", into);
}

/// Checks the whole: values that depend on others, and features that do not exist yet.
result<void> judge(merged& m) {
  const config defaults;
  for (const auto& key : all_keys()) {
    const auto where = fmt::format("{}: {}", m.origin(key), key.name);
    if (key.wrong != nullptr)
      if (const auto complaint = key.wrong(m.values); !complaint.empty())
        return fail(errc::bad_config, "{}: {}", where, complaint);
    const bool asked_for = m.origin(key) != "default";
    if (key.name == "http.listen") m.values.http.asked_for = asked_for;
    if (key.name == "index.database") m.values.index.database_asked_for = asked_for;
    if (key.name == "index.views") m.values.index.views_asked_for = asked_for;
    const auto value = written(key, m.values);
    if (!key.only.empty() && value != key.only) return fail(errc::bad_config, "{}: {}", where, key.remedy);
    if (key.is == support::to_come && value != written(key, defaults))
      m.values.warnings.push_back(
          fmt::format("{}: accepted, but has no effect yet: its feature is still to come", where));
  }
  return {};
}

result<merged> merge(const config_sources& from) {
  merged m;
  for (const auto& path : from.files)
    if (auto done = file_reader(path, m).read(); !done) return done.error();
  for (const auto& [name, value] : from.environment)
    if (auto done = take_variable(name, value, m); !done) return done.error();
  for (const auto& set : from.sets)
    if (auto done = take_set(set, m); !done) return done.error();
  if (!from.stages.empty())
    if (auto done = take_text(*find_key("stages"), from.stages, "--stages", m); !done) return done.error();
  if (auto done = judge(m); !done) return done.error();
  return m;
}

}  // namespace

std::vector<std::string> config::needed_collections() const {
  auto out = source.collections;
  if (repos.mode == "signal" && !wants_collection(out, repos.signal_collection)) out.push_back(repos.signal_collection);
  return out;
}

std::string config::database() const {
  const auto path = sqlite_path();
  return path.empty() ? index.database : "sqlite:" + path;
}

std::string config::sqlite_path() const {
  std::string_view path = index.database;
  if (!path.starts_with("sqlite:")) return {};
  path.remove_prefix(7);
  return (std::filesystem::path(state.dir) / path).string();  // an absolute right side replaces the left
}

result<config> load_config(const config_sources& from) {
  auto m = merge(from);
  if (!m) return m.error();
  return std::move(m->values);
}

result<std::vector<setting>> show_config(const config_sources& from) {
  auto m = merge(from);
  if (!m) return m.error();
  std::vector<setting> out;
  for (const auto& key : all_keys()) out.push_back({std::string(key.name), shown(key, m->values), m->origin(key)});
  return out;
}

std::vector<std::pair<std::string, std::string>> config_environment() {
  std::vector<std::pair<std::string, std::string>> out;
  for (char** v = environ; *v != nullptr; ++v) {
    const std::string_view both = *v;
    const auto equals = both.find('=');
    if (both.starts_with("RECORDKV_") && equals != both.npos)
      out.emplace_back(both.substr(0, equals), both.substr(equals + 1));
  }
  std::ranges::sort(out);
  return out;
}

bool wants_collection(const std::vector<std::string>& patterns, std::string_view nsid) noexcept {
  return std::ranges::any_of(patterns, [&](std::string_view p) {
    if (p == "*") return true;
    if (!p.ends_with(".*")) return p == nsid;
    p.remove_suffix(1);  // the dot stays: "app.bsky.*" wants nothing of "app.bskyx"
    return nsid.size() > p.size() && nsid.starts_with(p);
  });
}

}  // namespace recordkv
