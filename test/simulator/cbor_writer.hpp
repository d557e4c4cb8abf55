// DAG-CBOR, written value by value.
//
// Owns: the bytes written so far.
// Does not know: what they mean. It does not sort: the caller writes a map's keys shortest first, then bytewise.
#pragma once

#include "names.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace recordkv::sim {

class cbor_writer {
 public:
  void clear() noexcept { bytes_.clear(); }
  const std::string& bytes() const noexcept { return bytes_; }
  std::string take() noexcept { return std::exchange(bytes_, {}); }

  void map(std::uint64_t pairs) { head(5, pairs); }
  void array(std::uint64_t items) { head(4, items); }
  void text(std::string_view utf8) { head(3, utf8.size()), bytes_ += utf8; }
  void octets(std::string_view bytes) { head(2, bytes.size()), bytes_ += bytes; }
  void integer(std::int64_t n);
  void boolean(bool b) { bytes_ += static_cast<char>(b ? 0xf5 : 0xf4); }
  void null() { bytes_ += static_cast<char>(0xf6); }
  void link(const sim::cid& target);
  void link_or_null(const sim::cid* target) { target != nullptr ? link(*target) : null(); }

 private:
  void head(unsigned major, std::uint64_t n);

  std::string bytes_;
};

}  // namespace recordkv::sim
