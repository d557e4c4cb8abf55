#include "recordkv/core/log.hpp"

#include <fmt/chrono.h>
#include <unistd.h>

#include <atomic>
#include <chrono>

namespace recordkv::log {
namespace {

std::atomic<level> least{level::info};
std::atomic<format> shape{format::text};
sink replaced;

constexpr std::string_view names[] = {"debug", "info", "warn", "error"};
constexpr std::string_view colours[] = {"\x1b[2m", "", "\x1b[33m", "\x1b[31m"};

std::string escaped(std::string_view s) {
  std::string out;
  for (const char c : s) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
    } else {
      out += c;
    }
  }
  return out;
}

std::string rendered(level l, std::string_view part, std::string_view text) {
  using namespace std::chrono;
  const auto now = system_clock::now();
  const auto ms = duration_cast<milliseconds>(now.time_since_epoch()).count() % 1000;
  const auto time = fmt::format("{:%FT%T}.{:03}Z", fmt::gmtime(system_clock::to_time_t(now)), ms);
  const auto name = names[static_cast<int>(l)];
  if (shape == format::json)
    return fmt::format(R"({{"time":"{}","level":"{}","part":"{}","text":"{}"}})", time, name, part, escaped(text)) +
           "\n";
  static const bool terminal = isatty(STDERR_FILENO) != 0;
  const auto colour = terminal ? colours[static_cast<int>(l)] : std::string_view{};
  return fmt::format("{}{} {:<5} {:<8} {}{}\n", colour, time, name, part, text, colour.empty() ? "" : "\x1b[0m");
}

}  // namespace

void set_level(level l) noexcept { least = l; }
void set_format(format f) noexcept { shape = f; }
bool enabled(level l) noexcept { return l >= least; }
void set_sink(sink s) { replaced = std::move(s); }

void line(level l, std::string_view part, std::string_view text) {
  if (replaced) return replaced(l, part, text);
  const std::string whole = rendered(l, part, text);
  // A full or closed standard error must not stop the work. There is no other place for a report.
  [[maybe_unused]] const auto written = write(STDERR_FILENO, whole.data(), whole.size());
}

}  // namespace recordkv::log
