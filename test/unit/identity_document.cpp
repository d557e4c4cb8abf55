// read_did_document() on documents of real accounts and on spoiled ones; did:web names.
#include "../../src/identity/did_web.hpp"
#include "atproto_support.hpp"
#include "recordkv/atproto/signature.hpp"
#include "recordkv/identity/resolver.hpp"

using namespace recordkv;
using namespace recordkv::test;
using identity::account_identity;
using identity::read_did_document;

namespace {

namespace json = boost::json;

constexpr std::string_view did = "did:plc:ewvi7nxzyoun6zhxrhs64oiz";
constexpr std::string_view key = "zQ3shXjHeiBuRCKmM36cuYnm7YEMzhGnCmCyW92sRJ9pribSF";

json::object good() { return fixture_json("bluesky-social__indigo/identity/did_plc_doc.json").as_object(); }
json::object& method_of(json::object& d) { return d["verificationMethod"].as_array()[0].as_object(); }
json::object& service_of(json::object& d) { return d["service"].as_array()[0].as_object(); }

result<account_identity> read(const json::object& document, bool allow_http = false) {
  return read_did_document(did, json::serialize(document), allow_http);
}
std::string why_not(const json::object& document) {
  const auto out = read(document);
  return out ? "read" : out.error().text;
}
std::string pds_of(const json::object& document, bool allow_http = false) {
  const auto out = read(document, allow_http);
  REQUIRE(out.has_value());
  return out->pds;
}
std::string pds_at(json::value endpoint, bool allow_http = false) {
  auto d = good();
  service_of(d)["serviceEndpoint"] = std::move(endpoint);
  return pds_of(d, allow_http);
}
std::string handle_of(json::value names) {
  auto d = good();
  d["alsoKnownAs"] = std::move(names);
  const auto out = read(d);
  REQUIRE(out.has_value());
  return out->handle;
}

}  // namespace

TEST_CASE("DID document: what it says") {
  const auto out = read(good());
  REQUIRE(out.has_value());
  CHECK((*out == account_identity{std::string(key), "https://bsky.social", "atproto.com"}));
}

TEST_CASE("DID document: an old one says the same") {
  const auto out = read_did_document(did, read_fixture("bluesky-social__indigo/identity/did_plc_doc_legacy.json"));
  REQUIRE(out.has_value());
  CHECK((*out == account_identity{std::string(key), "https://bsky.social", "atproto.com"}));
}

TEST_CASE("DID document: one without a key is unusable") {
  const auto text = read_fixture("bluesky-social__indigo/identity/did_web_doc.json");
  const auto out = read_did_document("did:web:discover.bsky.social", text);
  REQUIRE_FALSE(out.has_value());
  CHECK(out.error().code == errc::malformed);
  CHECK(out.error().text == "no_key");
}

TEST_CASE("recorded: 100 documents of the directory") {
  const auto documents = fixture_json("bluesky-social__jetstream/firehose/did_docs.json").as_object();
  CHECK(documents.size() == 100);
  for (const auto& [account, document] : documents) {
    const auto out = read_did_document(account, json::serialize(document));
    REQUIRE(out.has_value());
    const auto& first = document.at("verificationMethod").at(0).at("publicKeyMultibase").as_string();
    CHECK(out->key == std::string_view(first));
    CHECK(out->pds == std::string_view(document.at("service").at(0).at("serviceEndpoint").as_string()));
    CHECK("at://" + out->handle == std::string_view(document.at("alsoKnownAs").at(0).as_string()));
  }
}

TEST_CASE("DID document: what is no document of this DID") {
  for (const std::string text : {"", "null", "[]", "\"x\"", "{", "{}}", "<html></html>"}) {
    INFO(text);
    CHECK(read_did_document(did, text).error().text == "json");
  }
  CHECK(read_did_document(did, std::string(100'000, '[')).error().text == "json");
  auto d = good();
  d["id"] = "did:plc:ewvi7nxzyoun6zhxrhs64oia";
  CHECK(why_not(d) == "id");
  d["id"] = "DID:plc:ewvi7nxzyoun6zhxrhs64oiz";
  CHECK(why_not(d) == "id");
  d["id"] = 5;
  CHECK(why_not(d) == "id");
  d.erase("id");
  CHECK(why_not(d) == "id");
}

TEST_CASE("DID document: which key counts") {
  auto d = good();
  method_of(d)["id"] = "#atproto";
  CHECK(why_not(d) == "read");
  for (const std::string_view id : {"atproto", "#atproto2", "#atproto_label", "did:plc:other#atproto", ""}) {
    INFO(id);
    method_of(d)["id"] = id;
    CHECK(why_not(d) == "no_key");
  }
  const auto spoiled = [](std::string_view field, json::value value) {
    auto out = good();
    method_of(out)[field] = std::move(value);
    return why_not(out);
  };
  CHECK(spoiled("controller", "did:plc:other") == "no_key");
  CHECK(spoiled("type", "JsonWebKey2020") == "no_key");
  CHECK(spoiled("type", "EcdsaSecp256k1VerificationKey2019") == "no_key");  // the text has a codec prefix
  CHECK(spoiled("publicKeyMultibase", nullptr) == "no_key");
  CHECK(spoiled("publicKeyMultibase", "zQ3shXjHeiBuRCKmM36cuYnm7YEMzhGnCmCyW92sRJ9pribSG") == "no_key");
  CHECK(spoiled("publicKeyMultibase", json::string(100'000, 'z')) == "no_key");
  CHECK(spoiled("id", json::array{}) == "no_key");
}

TEST_CASE("DID document: a second entry of the same name does not count") {
  auto d = good();
  auto& methods = d["verificationMethod"].as_array();
  methods.push_back(methods[0]);
  methods[0].as_object()["type"] = "JsonWebKey2020";
  CHECK(why_not(d) == "no_key");
  d = good();
  auto& services = d["service"].as_array();
  services.push_back(services[0]);
  services[0].as_object()["serviceEndpoint"] = "ftp://a.b";
  CHECK(pds_of(d).empty());
}

TEST_CASE("DID document: which PDS counts") {
  CHECK(pds_at("https://PDS.example.com") == "https://pds.example.com");
  CHECK(pds_at("https://pds.example.com:8443/") == "https://pds.example.com:8443");
  CHECK(pds_at("http://pds.example.com", true) == "http://pds.example.com");
  for (const std::string_view none :
       {"http://pds.example.com", "https://pds.example.com/x", "https://pds.example.com?x", "https://pds.example.com#x",
        "https://u:p@pds.example.com", "wss://pds.example.com", "pds.example.com", "", "https://127.1"}) {
    INFO(none);
    CHECK(pds_at(json::string(none)).empty());
  }
  CHECK(pds_at(json::array{"https://pds.example.com"}).empty());
  auto d = good();
  service_of(d)["type"] = "AtprotoLabeler";
  CHECK(pds_of(d).empty());
  d.erase("service");
  CHECK(pds_of(d).empty());
}

TEST_CASE("DID document: the first name that is a handle") {
  CHECK(handle_of(json::array{"https://a.b", "at://no", 7, "at://Alice.Example.com", "at://b.c"}) ==
        "alice.example.com");
  CHECK(handle_of(json::array{"at://a.b/c", "at://"}).empty());
  CHECK(handle_of("at://a.b").empty());
}

TEST_CASE("did:web: a public host name") {
  CHECK(identity::document_url("did:web:a.b-c.dev", false)->text() == "https://a.b-c.dev/.well-known/did.json");
  for (const std::string_view name :
       {"did:web:",           "did:web:localhost",      "did:web:host",       "did:web:a.b:c",
        "did:web:a.b%3A443",  "did:web:a.b%2Fc",        "did:web:A.b",        "did:web:127.0.0.1",
        "did:web:2130706433", "did:web:%5B%3A%3A1%5D",  "did:web:::1",        "did:web:a.alt",
        "did:web:a.arpa",     "did:web:a.example",      "did:web:a.internal", "did:web:a.invalid",
        "did:web:a.local",    "did:web:a.localhost",    "did:web:a.onion",    "did:web:a.b.",
        "did:web:a..b",       "did:web:b\xc3\xbc.de",   "did:web:a_b.de",     "did:web:u@a.b",
        "did:web:a.b#c",      "did:web:localhost%3A80", "did:key:a.b"}) {
    INFO(name);
    const auto url = identity::document_url(name, false);
    REQUIRE_FALSE(url.has_value());
    CHECK(url.error().code == errc::malformed);
  }
}

TEST_CASE("did:web: localhost in development") {
  CHECK(identity::document_url("did:web:localhost", true)->text() == "http://localhost/.well-known/did.json");
  CHECK(identity::document_url("did:web:localhost%3A3000", true)->text() ==
        "http://localhost:3000/.well-known/did.json");
  for (const std::string_view name : {"did:web:localhost%3A", "did:web:localhost:3000", "did:web:localhost.a",
                                      "did:web:localhost%3A3000:x", "did:web:localhost%3A70000", "did:web:127.0.0.1"}) {
    INFO(name);
    CHECK_FALSE(identity::document_url(name, true).has_value());
  }
}
