// What the tests of the atproto layer share: bytes from hex, messages made up on the spot, and the fixture files.
//
// Owns: where fixtures are looked for, and saying so when they are not there.
// Does not know: what is tested with them.
#pragma once

#include "recordkv/atproto/cid.hpp"
#include "recordkv/atproto/json.hpp"
#include "recordkv/core/base64.hpp"

#include <boost/json.hpp>
#include <catch2/catch_test_macros.hpp>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace recordkv::test {

inline std::string from_hex(std::string_view hex) {
  std::string out;
  int high = -1;
  for (const char c : hex) {
    const int v = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
    if (v < 0) continue;
    if (high < 0) {
      high = v;
    } else {
      out += static_cast<char>(high << 4 | v);
      high = -1;
    }
  }
  return out;
}

/// Canonical CBOR of made-up JSON, which must be good.
inline std::string cbor(std::string_view json) {
  auto out = atproto::cbor_of_json(json);
  INFO(json.substr(0, 200));
  REQUIRE(out.has_value());
  return *out;
}

/// {"$bytes":…} and {"$link":…} for use inside made-up JSON.
inline std::string bytes_json(std::string_view bytes) {
  std::string out = R"({"$bytes":")";
  append_base64(out, bytes);
  return out + "\"}";
}
inline std::string link_json(std::string_view cid_text) { return fmt::format(R"({{"$link":"{}"}})", cid_text); }

inline std::string length_prefix(std::size_t n) {
  std::string out;
  for (; n >= 0x80; n >>= 7) out += static_cast<char>(n | 0x80);
  return out + static_cast<char>(n);
}

inline std::string car_section(std::string_view cid, std::string_view block) {
  return length_prefix(cid.size() + block.size()) + std::string(cid) + std::string(block);
}

inline std::string car_with_header(std::string_view header, const std::vector<std::string>& blocks) {
  auto out = length_prefix(header.size()) + std::string(header);
  for (const auto& b : blocks) out += car_section(atproto::cid_of(b), b);
  return out;
}

/// A CAR whose root is the first block.
inline std::string car_of(const std::vector<std::string>& blocks) {
  const auto root = link_json(atproto::cid_text_of(blocks.at(0)));
  return car_with_header(cbor(fmt::format(R"({{"roots":[{}],"version":1}})", root)), blocks);
}

inline std::string frame(std::string_view type, std::string_view payload_json) {
  return cbor(fmt::format(R"({{"t":"{}","op":1}})", type)) + cbor(payload_json);
}

/// A small commit of two records and one delete, with the parts that tests like to spoil.
struct made_commit {
  std::string did = "did:plc:abcdefghijklmnopqrstuvwx";
  std::string rev = "3kabcdefgh222";
  std::string since = "\"3kabcdefgg222\"";
  std::string time = "2026-01-02T03:04:05.678Z";
  std::string first = cbor(R"({"$type":"com.example.note","n":1})");
  std::string second = cbor(R"({"$type":"com.example.note","n":2})");
  std::string first_path = "com.example.note/a", second_path = "com.example.note/b";
  std::string ops;                  // JSON; empty: create first, update second, delete third
  std::string commit_block;         // empty: as the message says
  std::vector<std::string> blocks;  // behind the commit block; empty: both records

  std::string old_cid = atproto::cid_text_of("old");
  std::string data = atproto::cid_text_of("tree");

  std::string head() const {
    if (!commit_block.empty()) return commit_block;
    return cbor(fmt::format(R"({{"did":"{}","rev":"{}","sig":{},"data":{},"prev":null,"version":3}})", did, rev,
                            bytes_json(std::string(64, 's')), link_json(data)));
  }
  std::string ops_json() const {
    if (!ops.empty()) return ops;
    return fmt::format(
        R"([{{"action":"create","path":"{}","cid":{}}},{{"action":"update","path":"{}","cid":{},"prev":{}}},)"
        R"({{"action":"delete","path":"com.example.note/c","cid":null,"prev":{}}}])",
        first_path, link_json(atproto::cid_text_of(first)), second_path, link_json(atproto::cid_text_of(second)),
        link_json(old_cid), link_json(old_cid));
  }
  std::string car() const {
    std::vector<std::string> all{head()};
    if (blocks.empty()) {
      all.insert(all.end(), {first, second});
    } else {
      all.insert(all.end(), blocks.begin(), blocks.end());
    }
    return car_of(all);
  }
  std::string payload_json(std::string_view blocks_json) const {
    return fmt::format(
        R"({{"ops":{},"rev":"{}","seq":7,"repo":"{}","time":"{}","blobs":[],"since":{},"blocks":{},"commit":{},)"
        R"("rebase":false,"tooBig":false,"prevData":{}}})",
        ops_json(), rev, did, time, since, blocks_json, link_json(atproto::cid_text_of(head())), link_json(old_cid));
  }
  std::string payload_json() const { return payload_json(bytes_json(car())); }

  /// The CAR is put in afterwards: it may be larger than the record that cbor() makes.
  std::string bytes() const {
    auto out = frame("#commit", payload_json(bytes_json("BLOCKS")));
    const auto blocks_bytes = car();
    std::string head_bytes = "\x59";
    int shift = 8;
    if (blocks_bytes.size() > 0xFFFF) {
      head_bytes = "\x5a";
      shift = 24;
    }
    for (; shift >= 0; shift -= 8) head_bytes += static_cast<char>(blocks_bytes.size() >> shift);
    return out.replace(out.find("\x46"
                                "BLOCKS"),
                       7, head_bytes + blocks_bytes);
  }
};

// Fixtures: files below test/fixtures. Recordings of real people are not part of the project; RECORDKV_FIXTURES names
// the directory that holds them. A test case of a recording has no other fixture, so that it is run or skipped as a
// whole.

inline std::filesystem::path fixture(std::string_view name) {
  const auto own = std::filesystem::path(RECORDKV_FIXTURES_DEFAULT) / name;
  if (std::filesystem::exists(own)) return own;
  const char* const root = std::getenv("RECORDKV_FIXTURES");
  auto path = std::filesystem::path(root != nullptr ? root : "") / name;
  if (root == nullptr || !std::filesystem::exists(path))
    SKIP("recording " << name << " is absent; RECORDKV_FIXTURES may name its directory");
  return path;
}

inline std::string read_fixture(std::string_view name) {
  std::ifstream in(fixture(name), std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

inline boost::json::value fixture_json(std::string_view name) { return boost::json::parse(read_fixture(name)); }

inline std::vector<std::string> fixture_lines(std::string_view name) {
  std::vector<std::string> out;
  std::ifstream in(fixture(name));
  for (std::string line; std::getline(in, line);) out.push_back(line);
  return out;
}

/// Messages, each behind its length in 32 bits, little endian.
inline std::vector<std::string> fixture_frames(std::string_view name) {
  const auto all = read_fixture(name);
  std::vector<std::string> out;
  for (std::size_t at = 0; at + 4 <= all.size();) {
    std::uint32_t n = 0;
    for (int i = 3; i >= 0; --i) n = n << 8 | static_cast<unsigned char>(all[at + i]);
    out.push_back(all.substr(at + 4, n));
    at += 4 + n;
  }
  return out;
}

}  // namespace recordkv::test
