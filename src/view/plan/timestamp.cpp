#include "plan/timestamp.hpp"

#include <algorithm>
#include <chrono>

namespace recordkv::view {
namespace {

constexpr bool digit(char c) { return c >= '0' && c <= '9'; }

/// Digits [at, at+n) as a number; -1 when one is no digit.
int number(std::string_view s, std::size_t at, std::size_t n) {
  int out = 0;
  for (const char c : s.substr(at, n)) {
    if (!digit(c)) return -1;
    out = out * 10 + (c - '0');
  }
  return out;
}

/// Minutes east of UTC.
std::optional<int> zone_minutes(std::string_view z) {
  if (z == "Z") return 0;
  if (z.size() != 6 || (z[0] != '+' && z[0] != '-') || z[3] != ':') return std::nullopt;
  const int h = number(z, 1, 2);
  const int m = number(z, 4, 2);
  if (h < 0 || h > 23 || m < 0 || m > 59) return std::nullopt;
  return (z[0] == '-' ? -1 : 1) * (h * 60 + m);
}

void put(std::string& out, std::size_t at, std::size_t digits, unsigned n) {
  while (digits-- != 0) {
    out[at + digits] = static_cast<char>('0' + n % 10);
    n /= 10;
  }
}

}  // namespace

std::optional<std::string> utc_microseconds(std::string_view s) {
  using namespace std::chrono;
  if (s.size() < 20 || s[4] != '-' || s[7] != '-' || s[10] != 'T' || s[13] != ':' || s[16] != ':') return std::nullopt;
  const int y = number(s, 0, 4), mo = number(s, 5, 2), d = number(s, 8, 2);
  const int h = number(s, 11, 2), mi = number(s, 14, 2), sec = number(s, 17, 2);
  if (y < 0 || mo < 1 || d < 1 || h < 0 || h > 23 || mi < 0 || mi > 59 || sec < 0 || sec > 60) return std::nullopt;
  const year_month_day date{year(y), month(static_cast<unsigned>(mo)), day(static_cast<unsigned>(d))};
  if (!date.ok()) return std::nullopt;

  std::string out = "0000-00-00T00:00:00.000000Z";
  auto rest = s.substr(19);
  if (rest.starts_with('.')) {
    const auto end = rest.find_first_not_of("0123456789", 1);
    if (end == rest.npos || end == 1) return std::nullopt;
    std::ranges::copy(rest.substr(1, std::min<std::size_t>(end - 1, 6)), out.begin() + 20);
    rest.remove_prefix(end);
  }
  const auto east = zone_minutes(rest);
  if (!east) return std::nullopt;

  const auto when = sys_days(date) + hours(h) + minutes(mi - *east) + seconds(sec);
  const auto whole = floor<days>(when);
  const year_month_day utc(whole);
  const int utc_year = static_cast<int>(utc.year());
  if (utc_year < 1 || utc_year > 9999) return std::nullopt;
  const auto second = static_cast<unsigned>((when - whole).count());
  put(out, 0, 4, static_cast<unsigned>(utc_year));
  put(out, 5, 2, static_cast<unsigned>(utc.month()));
  put(out, 8, 2, static_cast<unsigned>(utc.day()));
  put(out, 11, 2, second / 3600);
  put(out, 14, 2, second / 60 % 60);
  put(out, 17, 2, second % 60);
  return out;
}

}  // namespace recordkv::view
