// What the NATS server's permissions refuse this user, read from its asynchronous error.
//
// Owns: the words of a permissions violation taken apart: direction and subject.
// Refuses to know: what was published, and what follows from the refusal.
#pragma once

#include "recordkv/core/result.hpp"

#include <optional>
#include <string>
#include <string_view>

namespace recordkv::nats {

struct denial {
  enum class direction { publish, reply, subscribe };
  direction what = direction::publish;
  std::string subject;  ///< without its end where `cut`
  bool cut = false;     ///< nats.c keeps the first 255 bytes of an error
  std::string words;    ///< as the server said it

  /// Whether `s` is the subject that was refused.
  bool names(std::string_view s) const noexcept;
  /// Denials of one kind: one log line a minute. An acknowledgement has a subject of its own for each message.
  std::string family() const;
  /// For a person: direction, subject, the server's words, the remedy.
  error as_error() const;
};

/// Empty: this is no permissions violation.
std::optional<denial> parse_denial(std::string_view words);

}  // namespace recordkv::nats
