// Any bytes: the reader stays inside them, and whatever is a record survives the way to JSON and back bit for bit,
// because the profile leaves one way to write it.
#include "recordkv/atproto/cbor.hpp"
#include "../support/cbor_item.hpp"
#include "property.hpp"

using namespace recordkv;
using namespace recordkv::atproto;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = fuzz::text(data, size);
  cbor::reader r(bytes);
  std::size_t at = 0, items = 0;
  for (auto k = r.next(); k != cbor::kind::end && k != cbor::kind::bad; k = r.next()) {
    DEMAND(r.position() > at && r.position() <= size);
    DEMAND(r.view().empty() || (r.view().data() > bytes.data() + at - 1 && r.view().end() <= bytes.end()));
    DEMAND(r.depth() <= cbor::max_depth);
    DEMAND(k != cbor::kind::text || cbor::is_utf8(r.view()));
    at = r.position();
    items += r.depth() == 0;
  }
  DEMAND((r.what() == cbor::kind::bad) != r.flaw().empty());
  DEMAND(test::is_item(bytes) == (r.what() == cbor::kind::end && items == 1));

  const auto json = json_of(bytes);
  if (!json) return 0;
  DEMAND(test::is_item(bytes));
  const auto back = cbor_of_json(*json);
  DEMAND(back.has_value() && *back == bytes);
  DEMAND(*cid_of_json(*json) == cid_text_of(bytes));
  return 0;
}
