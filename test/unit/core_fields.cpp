#include "recordkv/core/base64.hpp"
#include "recordkv/core/json_fields.hpp"
#include "recordkv/core/parse_number.hpp"

#include <boost/json/parse.hpp>
#include <catch2/catch_test_macros.hpp>

#include <cstdint>

using namespace recordkv;

TEST_CASE("a number is the whole text, or nothing") {
  CHECK(parse_number<std::uint64_t>("18446744073709551615") == UINT64_MAX);
  CHECK(parse_number<int>("-7") == -7);
  for (const char* const text : {"", " 1", "1 ", "+1", "-1", "1x", "0x1", "1.0", "18446744073709551616"}) {
    INFO(text);
    CHECK_FALSE(parse_number<std::uint64_t>(text));
  }
}

TEST_CASE("a number that leads a text is taken from it") {
  std::string_view text = "12.34";
  CHECK(take_number<unsigned>(text) == 12u);
  CHECK(text == ".34");
  CHECK_FALSE(take_number<unsigned>(text));
  CHECK(text == ".34");
  std::string_view too_large = "300";
  CHECK_FALSE(take_number<std::uint8_t>(too_large));
  CHECK(too_large == "300");
}

TEST_CASE("a JSON field of another type counts as absent") {
  const auto v = boost::json::parse(R"({"text":"a","int":-3,"big":18446744073709551615,"real":1.5,"yes":true,)"
                                    R"("object":{"a":1},"array":["x",1,"y"],"null":null})");
  const auto& o = v.get_object();
  CHECK(text_field(o, "text") == "a");
  CHECK(integer_field(o, "int") == -3);
  CHECK(unsigned_field(o, "big") == UINT64_MAX);
  CHECK(number_field(o, "real") == 1.5);
  CHECK(number_field(o, "int") == -3);
  CHECK(flag_field(o, "yes"));
  REQUIRE(object_field(o, "object") != nullptr);
  CHECK(object_field(o, "object")->size() == 1);
  REQUIRE(array_field(o, "array") != nullptr);
  CHECK(texts_field(o, "array") == std::vector<std::string>{"x", "y"});

  CHECK(unsigned_field(o, "int") == 0);
  CHECK(integer_field(o, "big", 5) == 5);
  CHECK(integer_field(o, "real", 5) == 5);
  for (const char* const key : {"absent", "null", "object"}) {
    INFO(key);
    CHECK(text_field(o, key).empty());
    CHECK(integer_field(o, key, -1) == -1);
    CHECK(unsigned_field(o, key) == 0);
    CHECK(number_field(o, key) == 0);
    CHECK_FALSE(flag_field(o, key));
    CHECK(array_field(o, key) == nullptr);
    CHECK(texts_field(o, key).empty());
  }
  CHECK(object_field(o, "array") == nullptr);
}

TEST_CASE("base64 is written in both forms and read from either") {
  constexpr std::string_view bytes[] = {"", "f", "fo", "foo", "foob", std::string_view("\0\xff\x10", 3)};
  constexpr std::string_view padded[] = {"", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "AP8Q"};
  for (std::size_t i = 0; i < std::size(bytes); ++i) {
    INFO(padded[i]);
    CHECK(padded_base64(bytes[i]) == padded[i]);
    std::string bare;
    append_base64(bare, bytes[i]);
    CHECK(bare == padded[i].substr(0, padded[i].find('=')));
    std::string from_padded, from_bare;
    CHECK(append_from_base64(from_padded, padded[i]));
    CHECK(append_from_base64(from_bare, bare));
    CHECK(from_padded == bytes[i]);
    CHECK(from_bare == bytes[i]);
  }
}

TEST_CASE("what is no base64 is refused") {
  for (const char* const text : {"Z", "Zg=", "Z===", "Zh==", "Zm9", "Zm-v", "Zm9v\n", "=", "Zg==Zg=="}) {
    INFO(text);
    std::string out;
    CHECK_FALSE(append_from_base64(out, text));
  }
}
