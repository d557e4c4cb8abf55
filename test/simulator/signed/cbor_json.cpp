#include "cbor_json.hpp"

#include "../json_text.hpp"

#include <fmt/format.h>

#include <cstdlib>
#include <cstring>
#include <iterator>

namespace recordkv::sim {
namespace {

class printer {
 public:
  printer(std::string_view cbor, std::string& json) : rest_(cbor), json_(json) {}

  void item() {
    const auto [major, info, n] = head();
    switch (major) {
      case 0: fmt::format_to(std::back_inserter(json_), "{}", n); return;
      case 1: fmt::format_to(std::back_inserter(json_), "{}", static_cast<std::int64_t>(~n)); return;
      case 2: return append_bytes_object(json_, take(n));
      case 3: return append_quoted(json_, take(n));
      case 4: return array(n);
      case 5: return map(n);
      case 6: return link();
      default: json_ += info == 20 ? "false" : info == 21 ? "true" : "null";
    }
  }

 private:
  struct lead {
    unsigned major, info;
    std::uint64_t n;
  };

  std::string_view take(std::uint64_t n) {
    if (n > rest_.size()) std::abort();
    const std::string_view out = rest_.substr(0, n);
    rest_.remove_prefix(n);
    return out;
  }

  lead head() {
    const unsigned first = static_cast<unsigned char>(take(1)[0]);
    lead out{.major = first >> 5U, .info = first & 31U, .n = first & 31U};
    if (out.info < 24 || out.major == 7) return out;
    out.n = 0;
    for (const char c : take(std::uint64_t{1} << (out.info - 24))) out.n = out.n << 8 | static_cast<unsigned char>(c);
    return out;
  }

  void array(std::uint64_t n) {
    json_ += '[';
    for (std::uint64_t i = 0; i < n; ++i) {
      if (i > 0) json_ += ',';
      item();
    }
    json_ += ']';
  }

  void map(std::uint64_t n) {
    json_ += '{';
    for (std::uint64_t i = 0; i < n; ++i) {
      if (i > 0) json_ += ',';
      item();
      json_ += ':';
      item();
    }
    json_ += '}';
  }

  void link() {
    const std::string_view binary = take(head().n);  // 0, version, codec, hash function, its size, the hash
    cid target{.codec = binary[2]};
    std::memcpy(target.hash.data(), binary.data() + 5, target.hash.size());
    append_link_object(json_, target);
  }

  std::string_view rest_;
  std::string& json_;
};

}  // namespace

std::string json_of(std::string_view cbor) {
  std::string out;
  printer(cbor, out).item();
  return out;
}

}  // namespace recordkv::sim
