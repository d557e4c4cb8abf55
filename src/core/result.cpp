#include "recordkv/core/result.hpp"

#include <ostream>
#include <stdexcept>

namespace recordkv {

std::string_view name(errc code) noexcept {
  switch (code) {
    case errc::closed: return "closed";
    case errc::timed_out: return "timed_out";
    case errc::unreachable: return "unreachable";
    case errc::unauthorized: return "unauthorized";
    case errc::unsupported: return "unsupported";
    case errc::not_found: return "not_found";
    case errc::conflict: return "conflict";
    case errc::full: return "full";
    case errc::no_space: return "no_space";
    case errc::too_large: return "too_large";
    case errc::refused: return "refused";
    case errc::mismatch: return "mismatch";
    case errc::lease_lost: return "lease_lost";
    case errc::malformed: return "malformed";
    case errc::bad_config: return "bad_config";
    case errc::storage: return "storage";
    case errc::locked: return "locked";
    case errc::unavailable: return "unavailable";
    case errc::cursor_stale: return "cursor_stale";
    case errc::cursor_ahead: return "cursor_ahead";
    case errc::too_slow: return "too_slow";
  }
  return "unknown";
}

std::ostream& operator<<(std::ostream& out, const error& e) { return out << name(e.code) << ": " << e.text; }

void throw_exception_from_error(const error& e, const boost::source_location& where) {
  throw std::logic_error(
      fmt::format("{}:{}: unchecked error {}: {}", where.file_name(), where.line(), name(e.code), e.text));
}

}  // namespace recordkv
