// One message from NATS, and the delivery data in its reply subject.
//
// Owns: a natsMsg, exclusively. Views are valid as long as the message lives and is not moved from.
// Does not know: connections. Tests fabricate messages with message::make.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

struct __natsMsg;

namespace recordkv::nats {

struct header {
  const char* name;  ///< a literal
  std::string value;
};
using header_list = std::vector<header>;

class message {
 public:
  message() = default;
  explicit message(__natsMsg* raw) noexcept : raw_(raw) {}
  ~message();
  message(message&& other) noexcept : raw_(std::exchange(other.raw_, nullptr)), incarnation_(other.incarnation_) {}
  message& operator=(message&& other) noexcept;

  static message make(const std::string& subject, const std::string& reply, std::string_view data,
                      const header_list& headers = {});

  explicit operator bool() const noexcept { return raw_ != nullptr; }
  std::string_view subject() const noexcept;
  std::string_view reply() const noexcept;
  std::string_view data() const noexcept;
  /// The first value of a header, empty when absent. Names are case-sensitive. The first call parses all headers.
  std::string_view header_value(const char* name) const noexcept;

  /// The number of the consumer's rewind after which this message was delivered. Once the consumer is rewound again, an
  /// acknowledgement of this message is void.
  std::uint64_t incarnation() const noexcept { return incarnation_; }
  void incarnation(std::uint64_t i) noexcept { incarnation_ = i; }

 private:
  __natsMsg* raw_ = nullptr;
  std::uint64_t incarnation_ = 0;
};

/// $JS.ACK.<stream>.<consumer>.<deliveries>.<stream seq>.<consumer seq>.<time ns>.<pending>, with or without the
/// domain and account tokens in front (nats-architecture-and-design ADR-15).
struct delivery {
  std::uint64_t deliveries = 0;
  std::uint64_t stream_seq = 0;
  std::uint64_t consumer_seq = 0;
  std::int64_t time_ns = 0;
  std::uint64_t pending = 0;
};
std::optional<delivery> parse_delivery(std::string_view reply) noexcept;

}  // namespace recordkv::nats
