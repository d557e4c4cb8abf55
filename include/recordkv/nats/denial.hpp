// What the NATS server's permissions refuse this user, read from its asynchronous error.
//
// Owns: the direction and the subject, as parsed from the text of a permissions violation.
// Does not know: what was published, and what follows from the refusal.
#pragma once

#include "recordkv/core/result.hpp"

#include <optional>
#include <string>
#include <string_view>

namespace recordkv::nats {

struct denial {
  enum class direction { publish, reply, subscribe };
  direction what = direction::publish;
  std::string subject;  ///< without its end if `cut`
  bool cut = false;     ///< the subject's end is missing: nats.c keeps only the first 255 bytes of an error
  std::string words;    ///< the server's text

  /// True if `s` is the subject that was refused.
  bool names(std::string_view s) const noexcept;
  /// Denials of one kind share one log line a minute. (Each acknowledgement has its own subject.)
  std::string family() const;
  /// The error to show: direction, subject, the server's text, the remedy.
  error as_error() const;
};

/// Empty if the text is not a permissions violation.
std::optional<denial> parse_denial(std::string_view words);

}  // namespace recordkv::nats
