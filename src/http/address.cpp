#include "recordkv/http/address.hpp"

#include <algorithm>
#include <array>
#include <cstdint>

namespace recordkv::http {
namespace {

using asio::ip::address_v4;
using asio::ip::address_v6;

struct range_v4 {
  std::uint32_t first;
  unsigned prefix;
};

constexpr std::uint32_t v4(std::uint32_t a, std::uint32_t b, std::uint32_t c = 0, std::uint32_t d = 0) {
  return a << 24 | b << 16 | c << 8 | d;
}

constexpr auto special_v4 = std::to_array<range_v4>({
    {v4(0, 0), 8},           // this network; Linux takes 0.0.0.0 as itself
    {v4(10, 0), 8},          // private
    {v4(100, 64), 10},       // shared by carriers
    {v4(127, 0), 8},         // loopback
    {v4(169, 254), 16},      // link-local, with the metadata services of clouds
    {v4(172, 16), 12},       // private
    {v4(192, 0, 0), 24},     // protocol assignments
    {v4(192, 0, 2), 24},     // documentation
    {v4(192, 88, 99), 24},   // relays of 6to4
    {v4(192, 168), 16},      // private
    {v4(198, 18), 15},       // benchmarks
    {v4(198, 51, 100), 24},  // documentation
    {v4(203, 0, 113), 24},   // documentation
    {v4(224, 0), 4},         // multicast
    {v4(240, 0), 4},         // reserved, broadcast
});

bool is_public_v4(const address_v4& address) noexcept {
  const std::uint32_t n = address.to_uint();
  return std::ranges::none_of(special_v4, [n](range_v4 r) { return (n ^ r.first) >> (32 - r.prefix) == 0; });
}

struct range_v6 {
  std::array<std::uint8_t, 6> first;  // no prefix below is longer
  unsigned prefix;
};

// Within 2000::/3. Nothing outside of that is given to hosts of the internet.
constexpr auto special_v6 = std::to_array<range_v6>({
    {{0x20, 0x01, 0x00}, 23},        // protocol assignments: Teredo, benchmarks, ORCHID
    {{0x20, 0x01, 0x0d, 0xb8}, 32},  // documentation
    {{0x20, 0x02}, 16},              // 6to4
    {{0x3f, 0xff, 0x00}, 20},        // documentation
});
constexpr range_v6 global_unicast{{0x20}, 3};
constexpr std::array<std::uint8_t, 12> nat64{0x00, 0x64, 0xff, 0x9b};

bool within(const address_v6::bytes_type& bytes, const range_v6& r) noexcept {
  const std::size_t whole = r.prefix / 8;
  if (!std::equal(r.first.begin(), r.first.begin() + whole, bytes.begin())) return false;
  const unsigned rest = r.prefix % 8;
  return rest == 0 || (bytes[whole] ^ r.first[whole]) >> (8 - rest) == 0;
}

address_v4 last_four(const address_v6::bytes_type& b) noexcept { return address_v4({b[12], b[13], b[14], b[15]}); }

bool is_public_v6(const address_v6& address) noexcept {
  const auto bytes = address.to_bytes();
  if (address.is_v4_mapped() || std::equal(nat64.begin(), nat64.end(), bytes.begin()))
    return is_public_v4(last_four(bytes));
  return within(bytes, global_unicast) &&
         std::ranges::none_of(special_v6, [&](const range_v6& r) { return within(bytes, r); });
}

}  // namespace

bool is_public(const asio::ip::address& address) noexcept {
  return address.is_v4() ? is_public_v4(address.to_v4()) : is_public_v6(address.to_v6());
}

}  // namespace recordkv::http
