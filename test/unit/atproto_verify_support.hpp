// What the tests of verification share: keys from DID documents, and signed messages taken apart and put together anew.
//
// Owns: reading the fixtures' documents, changing one part of a real message.
// Does not know: what is expected of them.
#pragma once

#include "atproto_support.hpp"
#include "recordkv/atproto/car.hpp"
#include "recordkv/atproto/frame.hpp"
#include "recordkv/atproto/signature.hpp"
#include "recordkv/atproto/verify.hpp"

#include <optional>

namespace recordkv::test {

namespace json = boost::json;

inline std::string text_at(const json::object& o, std::string_view key) {
  const auto* v = o.if_contains(key);
  return v != nullptr && v->is_string() ? std::string(v->get_string()) : std::string{};
}

/// The signing key of a document that is known to be good.
inline atproto::public_key key_of(const json::value& document) {
  std::optional<atproto::public_key> key;
  for (const auto& item : document.at("verificationMethod").as_array()) {
    const auto& method = item.as_object();
    if (!text_at(method, "id").ends_with("#atproto")) continue;
    const auto type = text_at(method, "type"), multibase = text_at(method, "publicKeyMultibase");
    const auto curve = type.find("256k1") != type.npos ? atproto::curve::k256 : atproto::curve::p256;
    auto read = type == "Multikey" ? atproto::public_key::from_multikey(multibase)
                                   : atproto::public_key::from_legacy(curve, multibase);
    if (read) key = *read;
  }
  REQUIRE(key.has_value());
  return *key;
}

/// The key that an account has at `seq`; its documents are listed by the number from which they hold.
inline atproto::public_key key_at(const json::value& documents, std::string_view did, std::uint64_t seq) {
  const json::value* newest = nullptr;
  for (const auto& version : documents.at(did).as_array())
    if (version.at("fromSeq").to_number<std::uint64_t>() <= seq) newest = &version.at("doc");
  REQUIRE(newest != nullptr);
  return key_of(*newest);
}

/// A frame of a header and a payload in the JSON form of the data model.
inline std::string frame_of(const json::value& header, const json::value& payload) {
  return cbor(json::serialize(header)) + cbor(json::serialize(payload));
}

/// A frame with its payload as JSON, to be changed.
struct opened_frame {
  explicit opened_frame(std::string_view bytes) {
    const auto parts = atproto::split_frame(bytes);
    REQUIRE(parts.has_value());
    type = parts->type;
    auto text = atproto::json_of(parts->payload);
    REQUIRE(text.has_value());
    payload = json::parse(*text).as_object();
    car_bytes = atproto::read_commit(parts->payload)->blocks;
  }

  /// Takes a copy of the value, which may be part of the payload.
  void set(std::string_view field, json::value value) { payload[field] = std::move(value); }

  json::object& op(std::size_t i) { return payload.at("ops").as_array().at(i).as_object(); }

  /// Puts other blocks into the CAR, behind the same root.
  void replace_blocks(const std::vector<std::string>& blocks) {
    const auto root = atproto::cid_text(atproto::car::read(car_bytes)->root());
    const auto header = cbor(fmt::format(R"({{"roots":[{}],"version":1}})", link_json(root)));
    payload["blocks"] = json::parse(bytes_json(car_with_header(header, blocks)));
  }

  /// The blocks of the CAR without the one of this CID.
  std::vector<std::string> blocks_without(std::string_view cid_text) const {
    std::vector<std::string> out;
    for (const auto& b : atproto::car::read(car_bytes)->blocks())
      if (atproto::cid_text(b.cid) != cid_text) out.emplace_back(b.data);
    return out;
  }

  std::string bytes() const { return frame_of({{"t", type}, {"op", 1}}, payload); }

  std::string type;
  json::object payload;
  std::string car_bytes;
};

}  // namespace recordkv::test
