// Any text as Jetstream JSON or a marker; and any text as the record inside an event that is good otherwise.
#include "property.hpp"

#include <string>

using namespace recordkv;
using namespace recordkv::atproto;

namespace {

void demand_sound(std::string_view text) {
  const auto seen = summarise_jetstream(text);
  const auto event = decode_event(text);
  if (event && text.starts_with('{')) fuzz::demand_sound(*event);
  if (!event) fuzz::demand_sound(undecoded(text, event.error()));
  if (!seen) return;
  DEMAND(seen->did.empty() || (is_did(seen->did) && seen->did.size() <= 512));
  for (const auto& c : seen->collections) DEMAND(is_nsid(c));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto text = fuzz::text(data, size);
  demand_sound(text);

  const auto bytes = cbor_of_json(text);
  if (bytes) {
    const auto json = json_of(*bytes);
    DEMAND(json.has_value());
    DEMAND(*cbor_of_json(*json) == *bytes);
  }
  const auto event = decode_event(fmt::format(
      R"({{"did":"did:plc:abcdefghijklmnopqrstuvwx","time_us":1,"kind":"commit","commit":{{"rev":"3kabcdefgh222",)"
      R"("operation":"create","collection":"com.example.note","rkey":"a","record":{},"cid":"{}"}}}})",
      text, cid_text_of(bytes ? *bytes : "no data")));
  if (event) fuzz::demand_sound(*event);
  if (bytes) {
    DEMAND(event.has_value() && event->changes.size() == 1);
    DEMAND(event->changes[0].json == *json_of(*bytes) && event->changes[0].cid == cid_text_of(*bytes));
  }
  return 0;
}
