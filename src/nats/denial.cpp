#include "recordkv/nats/denial.hpp"

#include <array>
#include <utility>

namespace recordkv::nats {
namespace {

constexpr std::size_t room_in_nats_c = 255;
constexpr std::string_view inbox_remedy = ", or set nats.inbox_prefix to a permitted prefix";

std::string_view first_tokens(std::string_view subject, int n) {
  std::size_t at = 0;
  for (; n > 0 && at != subject.npos; --n) at = subject.find('.', at == 0 ? 0 : at + 1);
  return subject.substr(0, at);
}

}  // namespace

bool denial::names(std::string_view s) const noexcept { return cut ? s.starts_with(subject) : s == subject; }

std::string denial::family() const {
  int tokens = 1;
  if (subject.starts_with("$JS.ACK.")) tokens = 4;
  if (subject.starts_with("$KV.")) tokens = 2;
  const auto of =
      subject.starts_with("$JS.") && tokens == 1 ? std::string_view(subject) : first_tokens(subject, tokens);
  return fmt::format("{} {}", static_cast<int>(what), of);
}

error denial::as_error() const {
  static constexpr std::string_view verbs[] = {"publish to", "publish with a reply to", "subscribe to"};
  return fail(errc::unauthorized,
              "the NATS server does not permit this user to {} {} ({}); permit it{}, see config/nats-permissions.conf",
              verbs[static_cast<int>(what)], subject, words, what == direction::publish ? "" : inbox_remedy);
}

// nats-server (client.go) sends `Permissions Violation for Publish to "SUBJECT"`, `… Publish with Reply of "SUBJECT"`
// or `… Subscription to "SUBJECT"`. The last may end with ` using queue "Q"`. nats.c may remove the last quote.
std::optional<denial> parse_denial(std::string_view words) {
  using enum denial::direction;
  static constexpr std::array<std::pair<std::string_view, denial::direction>, 3> heads{
      {{"Publish to \"", publish}, {"Publish with Reply of \"", reply}, {"Subscription to \"", subscribe}}};
  for (const auto& [head, direction] : heads) {
    const auto at = words.find(head);
    if (at == words.npos) continue;
    denial d{.what = direction, .words = std::string(words)};
    const auto rest = words.substr(at + head.size());
    const auto quote = rest.find('"');
    d.subject = rest.substr(0, quote);
    d.cut = quote == rest.npos && words.size() + 2 >= room_in_nats_c;
    return d;
  }
  return std::nullopt;
}

}  // namespace recordkv::nats
