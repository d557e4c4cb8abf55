#include "recordkv/core/timestamp.hpp"

#include "recordkv/core/parse_number.hpp"

#include <fmt/chrono.h>

#include <chrono>
#include <cmath>

namespace recordkv {

std::string timestamp_now() {
  using namespace std::chrono;
  const auto now = system_clock::now();
  const auto ms = duration_cast<milliseconds>(now.time_since_epoch()).count() % 1000;
  return fmt::format("{:%FT%T}.{:03}Z", fmt::gmtime(system_clock::to_time_t(now)), ms);
}

std::string timestamp_of(double epoch_seconds) {
  if (!(epoch_seconds >= 0 && epoch_seconds < 253'402'300'800.0)) return {};  // the year 10000
  const auto us = std::llround(epoch_seconds * 1e6);
  return fmt::format("{:%FT%T}.{:06}Z", fmt::gmtime(static_cast<std::time_t>(us / 1'000'000)), us % 1'000'000);
}

std::optional<double> epoch_seconds(std::string_view stamp) noexcept {
  if (stamp.size() < 20 || stamp.back() != 'Z') return std::nullopt;
  static constexpr std::string_view marks = "    -  -  T  :  :  ";
  for (std::size_t i = 0; i < marks.size(); ++i)
    if (marks[i] != ' ' && stamp[i] != marks[i]) return std::nullopt;
  bool good = true;
  const auto number = [&](std::size_t at, std::size_t digits) {
    const auto n = parse_number<unsigned>(stamp.substr(at, digits));
    good = good && n;
    return static_cast<int>(n.value_or(0));
  };
  const std::chrono::year_month_day day{std::chrono::year(number(0, 4)),
                                        std::chrono::month(static_cast<unsigned>(number(5, 2))),
                                        std::chrono::day(static_cast<unsigned>(number(8, 2)))};
  const int hour = number(11, 2), minute = number(14, 2), second = number(17, 2);
  if (!good || !day.ok() || hour > 23 || minute > 59 || second > 60) return std::nullopt;
  double out = static_cast<double>(std::chrono::sys_days(day).time_since_epoch().count()) * 86400 + hour * 3600 +
               minute * 60 + second;
  const auto fraction = stamp.substr(19, stamp.size() - 20);
  if (fraction.empty()) return out;
  double scale = 0.1;
  if (fraction.front() != '.') return std::nullopt;
  for (const char c : fraction.substr(1)) {
    if (c < '0' || c > '9') return std::nullopt;
    out += (c - '0') * scale;
    scale /= 10;
  }
  return out;
}

std::optional<double> seconds_since(std::string_view stamp) {
  const auto then = epoch_seconds(stamp);
  if (!then) return std::nullopt;
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration<double>(now).count() - *then;
}

}  // namespace recordkv
