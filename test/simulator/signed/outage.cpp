#include "outage.hpp"

#include <algorithm>
#include <array>
#include <charconv>

namespace recordkv::sim {
namespace {

struct mode_name {
  std::string_view name, plc, pds;
};
constexpr std::array<mode_name, 12> modes = {{{"ok", "", ""},
                                              {"down", "plc_down", "pds_down"},
                                              {"slow", "plc_slow", "pds_slow"},
                                              {"429", "plc_429", "pds_429"},
                                              {"404", "plc_404", "pds_404"},
                                              {"410", "plc_410", "pds_410"},
                                              {"500", "plc_500", "pds_500"},
                                              {"401", "plc_401", "pds_401"},
                                              {"torn", "plc_torn", "pds_torn"},
                                              {"half", "plc_half", "pds_half"},
                                              {"redirect", "plc_redirect", "pds_redirect"},
                                              {"old", "plc_old", "pds_old"}}};
static_assert(modes.size() == static_cast<std::size_t>(outage_mode::old) + 1);

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
  const auto mode = static_cast<outage_mode>(at - modes.begin());
  if (at == modes.end() || (host_ == "plc" && concerns_export(mode)))
    return fail(errc::malformed,
                "mode is ok, down, slow, 429, 404, 410, 500 or 401; of a PDS also torn, half, redirect "
                "or old");
  const auto ms = number(q, "ms", 1'000), count = number(q, "count", 0), after = number(q, "retry_after", 1);
  if (ms.has_error()) return ms.error();
  if (count.has_error()) return count.error();
  if (after.has_error()) return after.error();
  const std::chrono::milliseconds slowness(std::min<std::uint64_t>(*ms, 3'600'000));
  const rule r{.met = {.mode = mode, .slowness = slowness, .retry_after = *after}, .left = *count};
  if (const std::string_view did = value_of(q, "did"); !did.empty()) {
    by_did_[std::string(did)] = r;
  } else {
    all_ = r;
    if (mode == outage_mode::ok) by_did_.clear();
  }
  return {};
}

outage_met outage::meet(std::string_view did, const fits& fit) {
  const auto own = by_did_.find(did);
  rule& r = own == by_did_.end() ? all_ : own->second;
  const outage_met out = r.met;
  if (out.mode == outage_mode::ok || !fit(out.mode)) return {};
  const mode_name& named = modes[static_cast<std::size_t>(out.mode)];
  note_({.kind = host_ == "plc" ? named.plc : named.pds, .did = std::string(did), .expect = "equal"});
  if (r.left > 0 && --r.left == 0) r.met = {};
  return out;
}

std::optional<answer> outage::instead(const outage_met& m) {
  switch (m.mode) {
    case outage_mode::down: return answer{.drop = true};
    case outage_mode::too_many: {
      answer out = refusal(429, "RateLimitExceeded", "too many requests");
      out.headers = fmt::format("Retry-After: {}\r\n", m.retry_after);
      return out;
    }
    case outage_mode::not_found: return answer{.status = 404, .body = R"({"message":"DID not registered"})"};
    case outage_mode::gone: return answer{.status = 410, .body = R"({"message":"DID not available"})"};
    case outage_mode::broken: return refusal(500, "InternalServerError", "an outage on command");
    case outage_mode::unauthorised: return refusal(401, "AuthMissing", "an outage on command");
    default: return std::nullopt;
  }
}

}  // namespace recordkv::sim
