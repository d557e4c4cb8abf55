// Requests and answers of the simulated hosts, as values.
//
// Owns: the words that hosts and server share.
// Does not know: sockets, routes.
#pragma once

#include <fmt/format.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace recordkv::sim {

enum class role { relay, pds, plc, web };

/// One listening port: what it plays, and which of its kind it is.
struct place {
  sim::role role = role::relay;
  std::size_t index = 0;
};

struct request {
  std::string target;
  std::string host;
};

/// How an answer ends: whole, or in the middle of the body, where the connection is cut.
enum class answer_end : std::uint8_t {
  whole,
  short_body,  ///< Content-Length promises more
  no_chunk,    ///< chunked, and the last chunk never comes
};

struct answer {
  unsigned status = 200;
  std::string body;
  std::string type = "application/json";
  std::string headers = {};              ///< further ones, each with its line end
  std::chrono::milliseconds delay{0};    ///< before the answer is sent
  std::chrono::milliseconds trickle{0};  ///< the body takes so long, a piece at a time
  answer_end end = answer_end::whole;
  bool drop = false;                             ///< the connection is cut instead
  std::shared_ptr<const std::string> kept = {};  ///< not null: the body, and `body` counts for nothing
};

inline answer refusal(unsigned status, std::string_view error, std::string_view message) {
  return {.status = status, .body = fmt::format(R"({{"error":"{}","message":"{}"}})", error, message)};
}

/// What answers. One object plays all hosts.
class hosts {
 public:
  virtual ~hosts() = default;
  virtual answer respond(const place& at, const request& r) = 0;
};

}  // namespace recordkv::sim
