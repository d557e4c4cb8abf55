// Any text as a part and as a key; lines of it as DID, collection and record key, which come back if they are valid.
#include "recordkv/kv/record_key.hpp"

#include "property.hpp"

using namespace recordkv;
using namespace recordkv::kv;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto all = fuzz::text(data, size);
  const auto encoded = encode_part(all);
  DEMAND(encoded.size() <= 6 * size);
  for (const char c : encoded) {
    DEMAND((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
           std::string_view("_=/-").contains(c));
  }
  DEMAND(decode_part(all).size() <= size);
  if (const auto key = record_key::parse(all)) (void)key->text();
  for (const unsigned n : {16u, 1u, 7u, 64u}) {
    const auto labels = partition_labels(n);
    DEMAND(std::ranges::count(labels, partition_of(all, n)) == 1);
  }

  const auto first = all.find('\n');
  const auto second = first == all.npos ? first : all.find('\n', first + 1);
  if (second == all.npos) return 0;
  const auto did = all.substr(0, first), collection = all.substr(first + 1, second - first - 1),
             rkey = all.substr(second + 1);
  if (!atproto::is_did(did) || !atproto::is_nsid(collection) || !atproto::is_rkey(rkey)) return 0;
  const auto key = record_key::of(did, collection, rkey);
  const auto back = record_key::parse(key.text());
  DEMAND(back.has_value() && back->text() == key.text());
  DEMAND(back->did == did && back->collection == collection && back->rkey == rkey);
  DEMAND(back->partition == partition_of(did));
  return 0;
}
