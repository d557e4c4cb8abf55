#include "recorded.hpp"

#include "recordkv/core/json_fields.hpp"
#include "recordkv/firehose/recording.hpp"

#include <boost/json.hpp>

#include <cstdio>
#include <cstdlib>
#include <fstream>

namespace recordkv::bench {
namespace {

constexpr std::size_t max_message = std::size_t{8} << 20, bytes_at_once = std::size_t{1} << 20;

result<std::pair<std::string, atproto::public_key>> account_of(const std::string& line) {
  boost::system::error_code ec;
  const auto value = boost::json::parse(line, ec);
  if (ec || !value.is_object()) return fail(errc::malformed, "no account: {}", line);
  const auto& account = value.get_object();
  const auto* keys = account.if_contains("keys");
  if (keys == nullptr || !keys->is_array() || keys->get_array().empty() || !keys->get_array()[0].is_object())
    return fail(errc::malformed, "an account without a key: {}", line);
  auto key = atproto::public_key::from_multikey(text_field(keys->get_array()[0].get_object(), "key"));
  if (!key) return key.error();
  return std::pair(std::string(text_field(account, "did")), *key);
}

}  // namespace

void give_up(const error& e) {
  fmt::print(stderr, "bench: {}\n", e.text);
  std::exit(1);
}

result<void> read_messages(const std::string& path, const std::function<bool(std::string_view)>& show) {
  std::ifstream in(path, std::ios::binary);
  firehose::recording_reader messages(max_message);
  std::string piece;
  for (;;) {
    auto message = messages.next();
    if (!message) return message.error();
    if (*message) {
      if (!show(**message)) return {};
      continue;
    }
    piece.resize(bytes_at_once);
    in.read(piece.data(), static_cast<std::streamsize>(piece.size()));
    piece.resize(static_cast<std::size_t>(in.gcount()));
    if (piece.empty()) return messages.finish();
    messages.add(piece);
  }
}

result<account_keys> read_keys(const std::string& path) {
  std::ifstream in(path + ".accounts");
  if (!in) return fail(errc::not_found, "{}.accounts can't be read", path);
  account_keys keys;
  for (std::string line; std::getline(in, line);) {
    auto account = account_of(line);
    if (!account) return account.error();
    keys.insert(std::move(*account));
  }
  return keys;
}

}  // namespace recordkv::bench
