// Repos as getRepo gives them, made and signed by the test.
//
// Owns: keys of curve k256 from small numbers, the CAR of an account's records.
// Does not know: the code that is tested, but for SHA-256, base58 and the CBOR of JSON.
#pragma once

#include "../unit/tree_model.hpp"
#include "recordkv/atproto/signature.hpp"

#include <secp256k1.h>

#include <memory>

namespace recordkv::test {

class signing_number {
 public:
  explicit signing_number(unsigned char n) : context_(secp256k1_context_create(SECP256K1_CONTEXT_NONE)) {
    secret_.fill(0);
    secret_.back() = n;
  }
  ~signing_number() { secp256k1_context_destroy(context_); }
  signing_number(const signing_number&) = delete;
  signing_number& operator=(const signing_number&) = delete;

  std::string multikey() const {
    secp256k1_pubkey key;
    REQUIRE(secp256k1_ec_pubkey_create(context_, &key, secret_.data()) == 1);
    std::array<unsigned char, 33> point{};
    std::size_t size = point.size();
    secp256k1_ec_pubkey_serialize(context_, point.data(), &size, &key, SECP256K1_EC_COMPRESSED);
    return "z" + base58("\xe7\x01" + std::string(point.begin(), point.end()));
  }

  std::string sign(std::string_view bytes) const {
    const auto digest = atproto::sha256(bytes);
    secp256k1_ecdsa_signature signature;
    REQUIRE(secp256k1_ecdsa_sign(context_, &signature, reinterpret_cast<const unsigned char*>(digest.data()),
                                 secret_.data(), nullptr, nullptr) == 1);
    std::array<unsigned char, 64> out{};
    secp256k1_ecdsa_signature_serialize_compact(context_, out.data(), &signature);
    return {out.begin(), out.end()};
  }

 private:
  static std::string base58(const std::string& bytes) {
    static constexpr std::string_view digits = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
    std::vector<unsigned> number;  // the least significant digit first
    for (const char byte : bytes) {
      unsigned carry = static_cast<unsigned char>(byte);
      for (auto& digit : number) {
        carry += digit * 256;
        digit = carry % 58;
        carry /= 58;
      }
      for (; carry > 0; carry /= 58) number.push_back(carry % 58);
    }
    std::string out;
    for (auto d = number.rbegin(); d != number.rend(); ++d) out += digits[*d];
    return out;
  }

  secp256k1_context* context_;
  std::array<unsigned char, 32> secret_{};
};

/// An account's repo: records by path, as JSON.
struct made_export {
  std::string did, rev;
  std::map<std::string, std::string> records;
  unsigned char signer = 1;
  std::string lost;    ///< the path of a record that is not in the CAR
  std::string flawed;  ///< the path of a record that is no canonical CBOR

  std::string block_of(const std::string& path) const { return path == flawed ? "\xbf\xff" : cbor(records.at(path)); }
  model_tree tree() const {
    leaf_map leaves;
    for (const auto& [path, json] : records) leaves[path] = atproto::cid_of(block_of(path));
    return model_of(leaves);
  }
  /// The CID of the tree's root, as text.
  std::string data() const { return atproto::cid_text(tree().root); }
  std::string cid(const std::string& path) const { return atproto::cid_text_of(block_of(path)); }

  std::string car() const {
    const auto made = tree();
    const auto fields = [&](std::string_view sig) {
      return fmt::format(R"({{"did":"{}","rev":"{}",{}"data":{},"prev":null,"version":3}})", did, rev, sig,
                         link_json(atproto::cid_text(made.root)));
    };
    const auto signature = signing_number(signer).sign(cbor(fields("")));
    const auto commit = cbor(fields(fmt::format(R"("sig":{},)", bytes_json(signature))));
    std::vector<std::string> blocks{commit};
    for (const auto& [cid, block] : made.blocks) blocks.push_back(block);
    for (const auto& [path, json] : records)
      if (path != lost) blocks.push_back(block_of(path));
    return car_of(blocks);
  }
};

}  // namespace recordkv::test
