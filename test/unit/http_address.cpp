// http/address.hpp against every special range of the IANA registries: its first and last address, and both neighbours.
#include "recordkv/http/address.hpp"

#include <catch2/catch_test_macros.hpp>

#include <string>
#include <vector>

using recordkv::http::is_public;

namespace {

namespace ip = boost::asio::ip;

struct range {
  std::string first, last;
  bool before, after;  // whether its neighbours are public
};

// Where ranges touch, or an address space ends, a neighbour is not public either.
const std::vector<range> ranges{
    {"0.0.0.0", "0.255.255.255", false, true},
    {"10.0.0.0", "10.255.255.255", true, true},
    {"100.64.0.0", "100.127.255.255", true, true},
    {"127.0.0.0", "127.255.255.255", true, true},
    {"169.254.0.0", "169.254.255.255", true, true},
    {"172.16.0.0", "172.31.255.255", true, true},
    {"192.0.0.0", "192.0.0.255", true, true},
    {"192.0.2.0", "192.0.2.255", true, true},
    {"192.88.99.0", "192.88.99.255", true, true},
    {"192.168.0.0", "192.168.255.255", true, true},
    {"198.18.0.0", "198.19.255.255", true, true},
    {"198.51.100.0", "198.51.100.255", true, true},
    {"203.0.113.0", "203.0.113.255", true, true},
    {"224.0.0.0", "239.255.255.255", true, false},
    {"240.0.0.0", "255.255.255.255", false, false},
    {"::", "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", false, true},
    {"2001::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff", true, true},
    {"2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", true, true},
    {"2002::", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff", true, true},
    {"3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff", true, true},
    {"4000::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", true, false},
};

/// The address one below or above; itself at the end of the space.
template <class Bytes>
Bytes stepped(Bytes bytes, int step) {
  for (auto i = bytes.size(); i-- > 0;) {
    bytes[i] = static_cast<unsigned char>(bytes[i] + step);
    if (bytes[i] != (step > 0 ? 0 : 255)) break;
  }
  return bytes;
}

ip::address neighbour(const ip::address& a, int step) {
  if (a.is_v4()) return ip::address_v4(stepped(a.to_v4().to_bytes(), step));
  return ip::address_v6(stepped(a.to_v6().to_bytes(), step));
}

bool is_public_text(const std::string& text) { return is_public(ip::make_address(text)); }

}  // namespace

TEST_CASE("address: each special range, to its last address and not beyond") {
  for (const auto& r : ranges) {
    INFO(r.first << " to " << r.last);
    const auto first = ip::make_address(r.first), last = ip::make_address(r.last);
    CHECK_FALSE(is_public(first));
    CHECK_FALSE(is_public(last));
    CHECK(is_public(neighbour(first, -1)) == r.before);
    CHECK(is_public(neighbour(last, +1)) == r.after);
  }
}

TEST_CASE("address: the special addresses that documents are likely to name") {
  for (const std::string text : {"0.0.0.0",
                                 "127.0.0.1",
                                 "127.1.2.3",
                                 "10.1.2.3",
                                 "172.20.0.1",
                                 "192.168.1.1",
                                 "169.254.169.254",
                                 "100.100.100.200",
                                 "224.0.0.1",
                                 "255.255.255.255",
                                 "::",
                                 "::1",
                                 "fe80::1",
                                 "febf::1",
                                 "fec0::1",
                                 "fc00::1",
                                 "fd00:ec2::254",
                                 "ff02::1",
                                 "100::1",
                                 "5f00::1",
                                 "64:ff9b:1::1",
                                 "2001:0:53aa:64c::1",
                                 "2001:2::1",
                                 "2001:10::1",
                                 "2001:20::1"}) {
    INFO(text);
    CHECK_FALSE(is_public_text(text));
  }
}

TEST_CASE("address: an IPv4 address inside IPv6 is what it is, or refused") {
  for (const auto& r : ranges) {
    if (r.first.find(':') != std::string::npos) continue;
    INFO(r.first << " to " << r.last);
    for (const std::string& inside : {r.first, r.last}) {
      CHECK_FALSE(is_public_text("::ffff:" + inside));
      CHECK_FALSE(is_public_text("64:ff9b::" + inside));
      CHECK_FALSE(is_public_text("::" + inside));
    }
  }
  CHECK(is_public_text("::ffff:93.184.216.34"));
  CHECK(is_public_text("64:ff9b::93.184.216.34"));
  CHECK_FALSE(is_public_text("::93.184.216.34"));
  CHECK_FALSE(is_public_text("2002:5db8:d822::1"));
  CHECK_FALSE(is_public_text("64:ff9b:0:0:0:1:5db8:d822"));
}

TEST_CASE("address: hosts of the internet are public") {
  for (const std::string text : {"1.1.1.1", "8.8.8.8", "93.184.216.34", "192.0.1.1", "192.31.196.1", "223.255.255.255",
                                 "2001:200::1", "2001:4860:4860::8888", "2606:4700::1111", "2a00:1450::1", "3ffe::1"}) {
    INFO(text);
    CHECK(is_public_text(text));
  }
}
