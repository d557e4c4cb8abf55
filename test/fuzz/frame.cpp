// Any bytes as a frame; and any bytes as the one record of a commit that is good otherwise.
#include "property.hpp"
#include "recordkv/atproto/verify.hpp"

#include <string>

using namespace recordkv;
using namespace recordkv::atproto;

namespace {

/// A proof is added, and changes nothing else.
void demand_provable(std::string_view bytes, const result<repo_event>& event) {
  const auto provable = decode_provable(bytes);
  DEMAND(provable.has_value() == event.has_value());
  if (!event) return;
  const bool has_proof = event->kind == event_kind::commit || event->kind == event_kind::sync;
  DEMAND(provable->proof.has_value() == (has_proof && !bytes.starts_with('{')));
  DEMAND(!provable->proof || provable->proof->signature.size() == 64);
  DEMAND(provable->data == event->data && provable->changes.size() == event->changes.size());
}

void demand_sound(std::string_view bytes) {
  const auto seen = summarise_frame(bytes);
  const auto event = decode_event(bytes);
  if (!seen && seen.error().code == errc::malformed && !bytes.starts_with('{')) DEMAND(!event.has_value());
  demand_provable(bytes, event);
  if (event) fuzz::demand_sound(*event);
  if (!event) fuzz::demand_sound(undecoded(bytes, event.error()));
  if (!seen) return;
  DEMAND(seen->did.empty() || (is_did(seen->did) && seen->did.size() <= 512));
  for (const auto& c : seen->collections) DEMAND(is_nsid(c));
  if (!event) return;
  DEMAND(seen->kind == event->kind && seen->did == event->did && seen->seq == event->seq);
}

std::string length_prefix(std::size_t n) {
  std::string out;
  for (; n >= 0x80; n >>= 7) out += static_cast<char>(n | 0x80);
  return out + static_cast<char>(n);
}

std::string section(std::string_view block) {
  return length_prefix(36 + block.size()) + cid_of(block) + std::string(block);
}

constexpr std::string_view did = "did:plc:abcdefghijklmnopqrstuvwx", rev = "3kabcdefgh222";

/// A commit that creates one record.
std::string commit_of(std::string_view record) {
  const auto link = [](std::string_view block) { return fmt::format(R"({{"$link":"{}"}})", cid_text_of(block)); };
  const auto head = *cbor_of_json(
      fmt::format(R"({{"did":"{}","rev":"{}","sig":{{"$bytes":"{}"}},"data":{},"prev":null,"version":3}})", did, rev,
                  std::string(84, 'A') + "AA", link("tree")));
  const auto header = *cbor_of_json(fmt::format(R"({{"roots":[{}],"version":1}})", link(head)));
  const auto blocks = length_prefix(header.size()) + header + section(head) + section(record);
  auto frame = *cbor_of_json(R"({"t":"#commit","op":1})") +
               *cbor_of_json(fmt::format(
                   R"({{"seq":1,"repo":"{}","rev":"{}","since":null,"time":"","commit":{},"blocks":{{"$bytes":""}},)"
                   R"("ops":[{{"action":"create","path":"com.example.note/a","cid":{}}}]}})",
                   did, rev, link(head), link(record)));
  // The blocks take the place of the empty byte string behind their key.
  constexpr std::string_view key =
      "\x66"
      "blocks";
  std::string size{'\x5a'};
  for (int shift = 24; shift >= 0; shift -= 8) size += static_cast<char>(blocks.size() >> shift);
  if (blocks.size() <= 0xFFFF) size = "\x59" + size.substr(3);
  return frame.replace(frame.find(key) + key.size(), 1, size + blocks);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = fuzz::text(data, size);
  demand_sound(bytes);

  const auto frame = commit_of(bytes);
  demand_sound(frame);
  const auto event = decode_event(frame);
  DEMAND(event.has_value() && event->changes.size() == 1);
  const auto json = json_of(bytes);
  DEMAND(json.has_value() == (event->changes[0].flaw == record_flaw::none));
  DEMAND(!json || *json == event->changes[0].json);
  return 0;
}
