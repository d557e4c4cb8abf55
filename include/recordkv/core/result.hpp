// The project's one error type and one result type.
//
// Owns: the error codes, the pairing of a code with a text for a person, result<T>.
// Does not know: where errors are shown, and any library's own codes (they are translated where their meaning is
// known).
#pragma once

#include <fmt/format.h>
#include <boost/system/result.hpp>

#include <iosfwd>
#include <string>
#include <string_view>

namespace recordkv {

/// What went wrong, as far as the program acts on it. error::text tells a person more.
enum class errc {
  closed,        ///< the input was closed and is exhausted: the regular end, never logged as an error
  timed_out,     ///< no answer within the given time
  unreachable,   ///< the other side is not there, or refuses connections
  unauthorized,  ///< the other side is there and refuses the credentials
  unsupported,   ///< the other side is too old, has no JetStream, or is a version known to be wrong
  not_found,     ///< the thing that was asked for does not exist
  conflict,      ///< compare-and-set lost: another process wrote first
  full,          ///< a stream is full; the same request succeeds once there is room
  no_space,      ///< the other side's storage is exhausted; the same request succeeds once a person has made room
  too_large,     ///< the item exceeds a limit and never succeeds as it is
  refused,       ///< the other side answered with an error that is none of the above
  mismatch,      ///< an existing object has settings that break the contract
  lease_lost,    ///< another live process holds the lease
  malformed,     ///< input from the network that breaks its format
  bad_config,    ///< configuration or usage that a person must correct
  storage,       ///< a local file or database failed, and a person must look at it
  locked,        ///< another program holds a lock on the database
  unavailable,   ///< the database is not there just now, or is out of something that comes back
  cursor_stale,  ///< the source no longer has the events that follow the cursor
  cursor_ahead,  ///< the source's numbers end before the cursor
  too_slow,      ///< the source ends the connection because this program reads too slowly
};

/// The code's name, as used in logs and metric labels ("timed_out").
std::string_view name(errc code) noexcept;

/// A code for the program and one line for a person: what was tried, what happened, what to do.
struct error {
  errc code;
  std::string text;
};

/// A missing answer decides nothing: the same request may succeed later, without a change here.
constexpr bool unanswered(const error& e) noexcept { return e.code == errc::timed_out || e.code == errc::unreachable; }
/// True for the errors that a running part waits out. Missing permissions may be granted meanwhile; at a start they
/// are a mistake.
constexpr bool passes(const error& e) noexcept { return unanswered(e) || e.code == errc::unauthorized; }

/// A database or file failed. Whether waiting helps is told by passes_by_itself().
constexpr bool of_storage(errc code) noexcept {
  return code == errc::storage || code == errc::locked || code == errc::no_space || code == errc::unavailable;
}
/// A storage error that ends without a change of the configuration.
constexpr bool passes_by_itself(errc code) noexcept { return of_storage(code) && code != errc::storage; }

/// "code: text", for test reports.
std::ostream& operator<<(std::ostream& out, const error& e);

/// Called by result<T>::value() on an error. That is a bug, because callers check first.
[[noreturn]] void throw_exception_from_error(const error& e, const boost::source_location& where);

/// A value or an error. has_value() before value(); operator* does not check.
template <class T = void>
using result = boost::system::result<T, error>;

/// An error with a formatted text: `return fail(errc::not_found, "stream {} does not exist", name);`
template <class... Args>
error fail(errc code, fmt::format_string<Args...> text, Args&&... args) {
  return error{code, fmt::format(text, std::forward<Args>(args)...)};
}

}  // namespace recordkv
