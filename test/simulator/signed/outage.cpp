#include "outage.hpp"

#include <algorithm>
#include <array>
#include <charconv>

namespace recordkv::sim {
namespace {

struct mode_name {
  std::string_view name, plc, pds;
};
constexpr std::array<mode_name, 8> modes = {{{"ok", "", ""},
                                             {"down", "plc_down", "pds_down"},
                                             {"slow", "plc_slow", "pds_slow"},
                                             {"429", "plc_429", "pds_429"},
                                             {"404", "plc_404", "pds_404"},
                                             {"410", "plc_410", "pds_410"},
                                             {"500", "plc_500", "pds_500"},
                                             {"torn", "plc_torn", "pds_torn"}}};

result<std::uint64_t> number(const query& q, std::string_view name, std::uint64_t otherwise) {
  const std::string_view text = value_of(q, name);
  if (text.empty()) return otherwise;
  std::uint64_t out = 0;
  if (std::from_chars(text.data(), text.data() + text.size(), out).ptr != text.data() + text.size())
    return fail(errc::malformed, "{} wants a number, got {}", name, text);
  return out;
}

}  // namespace

result<> outage::set(const query& q) {
  const auto at = std::ranges::find(modes, value_of(q, "mode"), &mode_name::name);
  if (at == modes.end()) return fail(errc::malformed, "mode is ok, down, slow, 429, 404, 410, 500 or torn");
  const auto ms = number(q, "ms", 1'000), count = number(q, "count", 0);
  if (ms.has_error()) return ms.error();
  if (count.has_error()) return count.error();
  slowness_ = std::chrono::milliseconds(std::min<std::uint64_t>(*ms, 600'000));
  const rule r{.mode = static_cast<outage_mode>(at - modes.begin()), .left = *count};
  if (const std::string_view did = value_of(q, "did"); !did.empty()) {
    by_did_[std::string(did)] = r;
  } else {
    all_ = r;
    if (r.mode == outage_mode::ok) by_did_.clear();
  }
  return {};
}

outage_mode outage::meet(std::string_view did) {
  const auto own = by_did_.find(did);
  rule& r = own == by_did_.end() ? all_ : own->second;
  const outage_mode out = r.mode;
  if (out == outage_mode::ok) return out;
  const mode_name& named = modes[static_cast<std::size_t>(out)];
  note_({.kind = host_ == "plc" ? named.plc : named.pds, .did = std::string(did), .expect = "equal"});
  if (r.left > 0 && --r.left == 0) r.mode = outage_mode::ok;
  return out;
}

std::optional<answer> outage::instead(outage_mode m) const {
  switch (m) {
    case outage_mode::down: return answer{.drop = true};
    case outage_mode::too_many: {
      answer out = refusal(429, "RateLimitExceeded", "too many requests");
      out.headers = "Retry-After: 1\r\n";
      return out;
    }
    case outage_mode::not_found: return answer{.status = 404, .body = R"({"message":"DID not registered"})"};
    case outage_mode::gone: return answer{.status = 410, .body = R"({"message":"DID not available"})"};
    case outage_mode::broken: return refusal(500, "InternalServerError", "an outage on command");
    default: return std::nullopt;
  }
}

std::chrono::milliseconds outage::delay(outage_mode m) const {
  return m == outage_mode::slow ? slowness_ : std::chrono::milliseconds(0);
}

}  // namespace recordkv::sim
