// One record, written as JSON and as DAG-CBOR in the same strokes, so that its CID is the true one.
//
// Owns: both texts of the record being written.
// Does not know: what records mean. It does not sort: the caller writes a map's keys shortest first, then bytewise,
// as DAG-CBOR wants them (test/oracle checks that it did, with an encoder of its own).
#pragma once

#include "cbor_writer.hpp"

#include <cstdint>
#include <string>
#include <string_view>

namespace recordkv::sim {

class record_writer {
 public:
  void clear() noexcept { json_.clear(), cbor_.clear(); }
  const std::string& json() const noexcept { return json_; }
  const std::string& cbor() const noexcept { return cbor_.bytes(); }
  sim::cid cid() const { return sim::cid::of(cbor()); }

  void open_map(std::uint64_t pairs);
  void close_map() { json_ += '}'; }
  void open_array(std::uint64_t items);
  void close_array() { json_ += ']'; }
  void key(std::string_view name);

  void text(std::string_view utf8);
  void integer(std::int64_t n);
  void boolean(bool b);
  void null();
  void link(const sim::cid& target);
  void bytes(std::string_view octets);

  void pair(std::string_view name, std::string_view value) { key(name), text(value); }
  void pair(std::string_view name, std::int64_t value) { key(name), integer(value); }

 private:
  void separate();  // a comma where JSON wants one

  std::string json_;
  cbor_writer cbor_;
};

}  // namespace recordkv::sim
