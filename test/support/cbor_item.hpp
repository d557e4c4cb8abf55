// Whether bytes are exactly one item of the DAG-CBOR profile, as the reader sees it.
#pragma once

#include "recordkv/atproto/cbor.hpp"

#include <string_view>

namespace recordkv::test {

inline bool is_item(std::string_view bytes) noexcept {
  atproto::cbor::reader r(bytes);
  r.next();
  return r.skip() && r.next() == atproto::cbor::kind::end;
}

}  // namespace recordkv::test
