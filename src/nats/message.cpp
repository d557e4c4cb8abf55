#include "recordkv/nats/message.hpp"

#include "library.hpp"
#include "recordkv/core/parse_number.hpp"

#include <nats/nats.h>

#include <array>
#include <stdexcept>

namespace recordkv::nats {

message::~message() {
  if (raw_) natsMsg_Destroy(raw_);
}

message& message::operator=(message&& other) noexcept {
  std::swap(raw_, other.raw_);
  std::swap(incarnation_, other.incarnation_);
  return *this;
}

message message::make(const std::string& subject, const std::string& reply, std::string_view data,
                      const header_list& headers) {
  open_library();  // nats.c's collector frees messages, also where there was no connection
  natsMsg* raw = nullptr;
  if (natsMsg_Create(&raw, subject.c_str(), reply.empty() ? nullptr : reply.c_str(), data.data(),
                     static_cast<int>(data.size())) != NATS_OK)
    throw std::bad_alloc();
  message made(raw);
  for (const auto& h : headers)
    if (natsMsgHeader_Set(raw, h.name, h.value.c_str()) != NATS_OK) throw std::bad_alloc();
  return made;
}

std::string_view message::subject() const noexcept { return raw_ ? natsMsg_GetSubject(raw_) : std::string_view{}; }

std::string_view message::reply() const noexcept {
  const char* r = raw_ ? natsMsg_GetReply(raw_) : nullptr;
  return r ? r : std::string_view{};
}

std::string_view message::data() const noexcept {
  if (!raw_) return {};
  return {natsMsg_GetData(raw_), static_cast<std::size_t>(natsMsg_GetDataLength(raw_))};
}

std::string_view message::header_value(const char* name) const noexcept {
  const char* value = nullptr;
  if (!raw_ || natsMsgHeader_Get(raw_, name, &value) != NATS_OK || !value) return {};
  return value;
}

std::optional<delivery> parse_delivery(std::string_view reply) noexcept {
  std::array<std::string_view, 12> tokens;
  std::size_t count = 0;
  while (count < tokens.size()) {
    const auto dot = reply.find('.');
    tokens[count++] = reply.substr(0, dot);
    if (dot == std::string_view::npos) break;
    reply.remove_prefix(dot + 1);
  }
  if (count < 9 || tokens[0] != "$JS" || tokens[1] != "ACK") return {};
  const std::size_t first = count == 9 ? 4 : 6;  // the index of <deliveries>
  if (count < first + 5) return {};
  const auto number = [&](std::size_t i, auto& into) {
    const auto n = parse_number<std::remove_reference_t<decltype(into)>>(tokens[i]);
    into = n.value_or(0);
    return n.has_value();
  };
  delivery d;
  if (!number(first, d.deliveries) || !number(first + 1, d.stream_seq) || !number(first + 2, d.consumer_seq) ||
      !number(first + 3, d.time_ns) || !number(first + 4, d.pending))
    return {};
  return d;
}

}  // namespace recordkv::nats
