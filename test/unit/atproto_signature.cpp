// Keys and signatures: the vectors of the protocol's authors, made-up corners, and one old repository.
#include "atproto_support.hpp"
#include "base58.hpp"
#include "recordkv/atproto/car.hpp"
#include "recordkv/atproto/signature.hpp"

#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <secp256k1.h>

#include <algorithm>
#include <array>
#include <memory>
#include <thread>

using namespace recordkv;
using namespace recordkv::atproto;

namespace {

namespace json = boost::json;

constexpr auto corners = "_derived/signature/corners.json";

std::string text(const json::value& row, std::string_view key) {
  return std::string(std::string_view(row.at(key).as_string()));
}

curve curve_of(std::string_view word) {
  return word == name(curve::p256) || word == "ES256" ? curve::p256 : curve::k256;
}

digest digest_of(std::string_view bytes) {
  digest out{};
  REQUIRE(bytes.size() == out.size());
  std::ranges::copy(bytes, out.begin());
  return out;
}

std::string from_base64(std::string_view encoded) {
  std::string out;
  REQUIRE(append_from_base64(out, encoded));
  return out;
}

/// What is wrong, when it is no key.
std::string multikey_of(const result<public_key>& key) { return key ? key->multikey() : key.error().text; }

std::string legacy_text(std::string_view bytes) { return "z" + to_base58(bytes); }

result<public_key> key_of(const json::value& row) {
  const auto form = text(row, "form");
  return form == "legacy" ? public_key::from_legacy(curve_of(text(row, "curve")), text(row, "text"))
                          : public_key::from_multikey(text(row, "text"));
}

/// The valid rows of the corners for one curve: 64 bytes each.
struct signed_digest {
  public_key key;
  digest hashed;
  std::string signature;
};
std::vector<signed_digest> valid_signatures() {
  std::vector<signed_digest> out;
  const auto table = test::fixture_json(corners);
  for (const auto& row : table.at("signatures").as_array()) {
    if (!row.at("valid").as_bool()) continue;
    out.push_back({*public_key::from_multikey(text(row, "key")), digest_of(test::from_hex(text(row, "digest"))),
                   test::from_hex(text(row, "signature"))});
  }
  return out;
}

}  // namespace

TEST_CASE("signatures: the vectors of the protocol") {
  const auto rows = test::fixture_json("bluesky-social__atproto-interop-tests/crypto/signature-fixtures.json");
  REQUIRE(rows.as_array().size() == 6);
  for (const auto& row : rows.as_array()) {
    INFO(text(row, "comment"));
    const auto key = public_key::from_did_key(text(row, "publicKeyDid"));
    REQUIRE(key.has_value());
    const auto on = curve_of(text(row, "algorithm"));
    CHECK(key->on() == on);
    CHECK("did:key:" + key->multikey() == text(row, "publicKeyDid"));
    CHECK(multikey_of(public_key::from_legacy(on, text(row, "publicKeyMultibase"))) == key->multikey());
    const auto hashed = sha256(from_base64(text(row, "messageBase64")));
    CHECK(key->verifies(hashed, from_base64(text(row, "signatureBase64"))) == row.at("validSignature").as_bool());
  }
}

namespace {

std::string k256_point(std::string_view secret) {
  secp256k1_pubkey key;
  auto* const context = secp256k1_context_create(SECP256K1_CONTEXT_NONE);
  const int made = secp256k1_ec_pubkey_create(context, &key, reinterpret_cast<const unsigned char*>(secret.data()));
  secp256k1_context_destroy(context);
  REQUIRE(made == 1);
  std::array<unsigned char, 65> out{};
  std::size_t size = out.size();
  secp256k1_ec_pubkey_serialize(secp256k1_context_static, out.data(), &size, &key, SECP256K1_EC_UNCOMPRESSED);
  return {out.begin(), out.end()};
}

std::string p256_point(std::string_view secret) {
  const std::unique_ptr<EC_GROUP, void (*)(EC_GROUP*)> group(EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1),
                                                             EC_GROUP_free);
  const std::unique_ptr<EC_POINT, void (*)(EC_POINT*)> product(EC_POINT_new(group.get()), EC_POINT_free);
  const std::unique_ptr<BIGNUM, void (*)(BIGNUM*)> factor(
      BN_bin2bn(reinterpret_cast<const unsigned char*>(secret.data()), static_cast<int>(secret.size()), nullptr),
      BN_free);
  REQUIRE(EC_POINT_mul(group.get(), product.get(), factor.get(), nullptr, nullptr, nullptr) == 1);
  std::array<unsigned char, 65> out{};
  EC_POINT_point2oct(group.get(), product.get(), POINT_CONVERSION_UNCOMPRESSED, out.data(), out.size(), nullptr);
  return {out.begin(), out.end()};
}

void check_did_key(curve c, const std::string& point, const std::string& did_key) {
  INFO(did_key);
  const auto key = public_key::from_did_key(did_key);
  REQUIRE(key.has_value());
  CHECK(key->on() == c);
  CHECK("did:key:" + key->multikey() == did_key);
  CHECK(multikey_of(public_key::from_legacy(c, legacy_text(point))) == key->multikey());
}

}  // namespace

TEST_CASE("keys: the did:key texts of known private keys") {
  const std::string folder = "bluesky-social__atproto-interop-tests/crypto/";
  const auto k256 = test::fixture_json(folder + "w3c_didkey_K256.json");
  const auto p256 = test::fixture_json(folder + "w3c_didkey_P256.json");
  REQUIRE(k256.as_array().size() == 5);
  REQUIRE(p256.as_array().size() == 1);
  for (const auto& row : k256.as_array()) {
    check_did_key(curve::k256, k256_point(test::from_hex(text(row, "privateKeyBytesHex"))), text(row, "publicDidKey"));
  }
  for (const auto& row : p256.as_array()) {
    const auto secret = from_base58(text(row, "privateKeyBytesBase58"), 32);
    REQUIRE(secret.has_value());
    check_did_key(curve::p256, p256_point(*secret), text(row, "publicDidKey"));
  }
}

TEST_CASE("keys: forms and faults") {
  const auto table = test::fixture_json(corners);
  const auto& rows = table.at("keys").as_array();
  REQUIRE(rows.size() == 52);
  for (const auto& row : rows) {
    INFO(text(row, "curve") << ", " << text(row, "what"));
    const auto key = key_of(row);
    const auto word = text(row, "word");
    REQUIRE(key.has_value() == word.empty());
    if (key) {
      CHECK(name(key->on()) == text(row, "curve"));
      CHECK(key->multikey() == text(row, "multikey"));
    } else {
      CHECK(key.error().code == errc::malformed);
      CHECK(key.error().text == word);
    }
  }
  CHECK(ERR_peek_error() == 0);  // a refused key leaves no error in OpenSSL's queue, where TLS would find it
}

TEST_CASE("keys: texts that are no multibase") {
  const std::string good = valid_signatures().at(0).key.multikey();
  const auto word = [](const std::string& key) { return public_key::from_multikey(key).error().text; };
  CHECK(word("") == "multibase");
  CHECK(word("z") == "codec");
  CHECK(word("u" + good.substr(1)) == "multibase");
  CHECK(word("Z" + good.substr(1)) == "multibase");
  for (const char c : std::string_view("0OIl+/ \n\0\x80\xff", 11)) {
    auto spoilt = good;
    spoilt[spoilt.size() / 2] = c;
    CHECK(word(spoilt) == "multibase");
    CHECK(word(good + c) == "multibase");
  }
  CHECK(word("z" + std::string(67, '1')) == "codec");
  CHECK(word("z" + std::string(68, '1')) == "multibase");
  CHECK(word("z" + std::string(50'000'000, '1')) == "multibase");  // would take hours if it were read
  CHECK(word("z" + std::string(50'000'000, 'a')) == "multibase");
  CHECK(public_key::from_legacy(curve::k256, std::string(1'000'000, 'z')).error().text == "multibase");
}

TEST_CASE("keys: did:key wants its prefix") {
  const std::string good = valid_signatures().at(0).key.multikey();
  const auto word = [](const std::string& key) { return public_key::from_did_key(key).error().text; };
  for (const auto* prefix : {"", "did:key", "DID:KEY:", "did:key:did:key:", " did:key:", "did:plc:"}) {
    INFO(prefix);
    CHECK(word(prefix + good) == (std::string_view(prefix) == "did:key:did:key:" ? "multibase" : "did_key"));
  }
  CHECK(word("did:key:") == "multibase");
  CHECK(word("did:key:" + good + "#" + good) == "multibase");
}

TEST_CASE("base58: both directions") {
  const std::string zeros("\0\0\1", 3);
  CHECK(to_base58("") == "");
  CHECK(to_base58("Hello World!") == "2NEpo7TZRRrLZSi2U");
  CHECK(to_base58(zeros) == "112");
  CHECK(from_base58("112", 3) == zeros);
  CHECK_FALSE(from_base58("112", 2));
  CHECK(from_base58("", 0) == "");
  std::string bytes;
  for (int i = 0; i < 67; ++i) {
    CHECK(from_base58(to_base58(bytes), bytes.size()) == bytes);
    bytes += static_cast<char>(i * 37 - 3);
  }
  const std::string ones(67, '\xff');  // the longest text of that length
  CHECK(from_base58(to_base58(ones), 67) == ones);
  CHECK_FALSE(from_base58(to_base58(ones), 66));
}

TEST_CASE("signatures: values at the edges of their ranges") {
  const auto table = test::fixture_json(corners);
  const auto& rows = table.at("signatures").as_array();
  REQUIRE(rows.size() == 36);
  for (const auto& row : rows) {
    INFO(text(row, "curve") << ", " << text(row, "what"));
    const auto key = public_key::from_multikey(text(row, "key"));
    REQUIRE(key.has_value());
    CHECK(name(key->on()) == text(row, "curve"));
    const auto hashed = digest_of(test::from_hex(text(row, "digest")));
    CHECK(key->verifies(hashed, test::from_hex(text(row, "signature"))) == row.at("valid").as_bool());
  }
  CHECK(ERR_peek_error() == 0);
}

TEST_CASE("signatures: each other length, each flipped byte") {
  for (const auto& [key, hashed, signature] : valid_signatures()) {
    INFO(key.multikey());
    REQUIRE(key.verifies(hashed, signature));
    for (std::size_t size = 0; size < signature.size(); ++size) {
      CHECK_FALSE(key.verifies(hashed, std::string_view(signature).substr(0, size)));
      auto flipped = signature;
      flipped[size] = static_cast<char>(flipped[size] ^ 1);
      CHECK_FALSE(key.verifies(hashed, flipped));
    }
    CHECK_FALSE(key.verifies(hashed, signature + '\0'));
    CHECK_FALSE(key.verifies(hashed, '\0' + signature));
    CHECK_FALSE(key.verifies(hashed, signature + signature));
    CHECK_FALSE(key.verifies(hashed, {}));
  }
}

TEST_CASE("signatures: each is of its own key only, and a refused key is not remembered") {
  const auto all = valid_signatures();
  for (const auto& one : all) {
    for (const auto& other : all) {
      CHECK(other.key.verifies(one.hashed, one.signature) == (one.key == other.key));
      CHECK_FALSE(public_key::from_legacy(curve::p256, legacy_text("\4" + std::string(64, '\x07'))).has_value());
    }
    CHECK(one.key.verifies(one.hashed, one.signature));
  }
}

TEST_CASE("signatures: several threads at once") {
  const auto all = valid_signatures();
  std::array<std::size_t, 4> right{};
  {
    std::vector<std::jthread> threads;
    for (auto& count : right) {
      threads.emplace_back([&count, &all] {
        for (int round = 0; round < 20; ++round) {
          for (const auto& one : all) count += one.key.verifies(one.hashed, one.signature) ? 1 : 0;
        }
      });
    }
  }
  for (const auto count : right) CHECK(count == 20 * all.size());
}

namespace {

/// The bytes that the commit's signature signs: the block without the field `sig`. Empty: not a signed commit.
std::string signed_bytes(std::string_view block, std::string& signature) {
  const auto as_json = json_of(block);
  if (!as_json) return {};
  auto fields = json::parse(*as_json).as_object();
  const auto* const sig = fields.if_contains("sig");
  if (sig == nullptr || !fields.contains("data")) return {};
  signature = from_base64(sig->as_object().at("$bytes").as_string());
  fields.erase("sig");
  const auto out = cbor_of(fields);
  REQUIRE(out.has_value());
  return *out;
}

}  // namespace

TEST_CASE("fixtures: every signed commit of an old repository, half of them with high S") {
  const auto document = test::fixture_json("bluesky-social__indigo/car/fakermaker.didDoc.json");
  const auto key =
      public_key::from_legacy(curve::p256, text(document.at("verificationMethod").at(0), "publicKeyMultibase"));
  REQUIRE(key.has_value());
  const auto bytes = test::read_fixture("bluesky-social__indigo/car/fakermaker.repo.car");
  const auto blocks = car::read(bytes);
  REQUIRE(blocks.has_value());
  int verified = 0, refused = 0;
  for (const auto& block : blocks->blocks()) {
    std::string signature;
    const auto message = signed_bytes(block.data, signature);
    if (message.empty()) continue;
    const bool low = static_cast<unsigned char>(signature.at(32)) < 0x80;  // no S here begins like half of the order
    const bool valid = key->verifies(sha256(message), signature);
    CHECK(valid == low);
    ++(valid ? verified : refused);
  }
  CHECK(verified == 73);
  CHECK(refused == 70);
}
