#include "trust.hpp"

#include "address.hpp"
#include "nkey.hpp"
#include "recordkv/core/parse_number.hpp"
#include "recordkv/nats/greeting.hpp"

#include <openssl/x509_vfy.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

namespace recordkv::nats {
namespace {

bool contains(std::string_view s, std::string_view part) { return s.find(part) != s.npos; }

result<std::string> content(std::string_view key, const std::string& path) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> f(std::fopen(path.c_str(), "re"), &std::fclose);
  std::string text(1 << 20, '\0');
  if (f) {
    errno = 0;
    text.resize(std::fread(text.data(), 1, text.size(), f.get()));
    if (!std::ferror(f.get())) return text;
  }
  return fail(errc::unauthorized, "{}: {} can't be read: {}; check the path and its permissions", key, path,
              std::strerror(errno));
}

/// The text without surrounding white space.
std::string_view trimmed(std::string_view text) {
  constexpr std::string_view space = " \t\r\n";
  const auto begin = text.find_first_not_of(space);
  return begin == text.npos ? std::string_view{} : text.substr(begin, text.find_last_not_of(space) + 1 - begin);
}

/// The line behind the one that contains `title`, if dashes follow. nats.c checks no more than that.
std::string_view section(std::string_view text, std::string_view title) {
  const auto begin = text.find(title);
  const auto from = begin == text.npos ? text.npos : text.find('\n', begin);
  if (from == text.npos) return {};
  const auto rest = text.substr(from + 1);
  const auto to = rest.find('\n');
  return to == rest.npos || !contains(rest.substr(to), "---") ? std::string_view{} : rest.substr(0, to);
}

result<void> check_credentials(const std::string& path) {
  auto text = content("nats.creds", path);
  if (!text) return text.error();
  const auto jwt = section(*text, "BEGIN NATS USER JWT");
  const auto seed = section(*text, "BEGIN USER NKEY SEED");
  const bool good_jwt = jwt.starts_with("eyJ") && std::ranges::count(jwt, '.') == 2;
  const bool good_seed = !public_nkey(trimmed(seed)).empty();
  wipe(*text);
  if (good_jwt && good_seed) return {};
  return fail(
      errc::unauthorized,
      "nats.creds: {} is no credentials file (its user {} is missing or damaged); create it again, e.g. with `nsc "
      "generate creds`",
      path, good_jwt ? "key" : "JWT");
}

result<void> check_nkey_seed(const std::string& path) {
  auto seed = seed_in(path);
  if (!seed) return seed.error();
  const bool good = !public_nkey(*seed).empty();
  wipe(*seed);
  if (good) return {};
  return fail(errc::unauthorized,
              "nats.nkey_seed: {} is no file with the seed of a user NKey (\"SU…\", 58 letters), or it is damaged; "
              "create it again, e.g. with `nsc generate nkey --user`",
              path);
}

result<void> check_pem(std::string_view key, const std::string& path) {
  auto text = content(key, path);
  if (!text) return text.error();
  const bool pem = contains(*text, "-----BEGIN "), locked = contains(*text, "ENCRYPTED");
  wipe(*text);
  if (!pem) return unusable(key, path, "it is not a PEM file");
  if (locked)  // OpenSSL would ask at the terminal, and block
    return unusable(key, path,
                    "it is encrypted, and recordkv cannot ask for the passphrase; decrypt it with `openssl pkey`");
  return {};
}

bool has_user(std::string_view urls) { return contains(urls, "@"); }

/// OpenSSL's number and text, from an error such as "handshake error: 20:unable to get local issuer
/// certificate:depth=0:…".
struct verdict {
  int code = 0;
  std::string_view words;
};

verdict verdict_in(std::string_view detail) {
  static constexpr std::string_view lead = "handshake error: ";
  const auto at = detail.find(lead);
  if (at == detail.npos) return {};
  auto rest = detail.substr(at + lead.size());
  verdict v;
  const auto code = take_number<decltype(v.code)>(rest);
  if (!code || !rest.starts_with(':')) return {};
  v.code = *code;
  v.words = rest.substr(1);
  v.words = v.words.substr(0, v.words.find(':'));
  return v;
}

error server_not_trusted(const nats_config& c, const std::string& shown, const verdict& v) {
  if (v.code == X509_V_ERR_HOSTNAME_MISMATCH || v.code == X509_V_ERR_IP_ADDRESS_MISMATCH)
    return fail(errc::unauthorized,
                "the certificate of the NATS server at {} is for another host ({}); put a name from the "
                "certificate into nats.url",
                shown, v.words);
  if (c.tls_ca.empty())
    return fail(
        errc::unauthorized,
        "the certificate of the NATS server at {} is not trusted by this system ({}); set nats.tls_ca to the file "
        "of its certificate authority",
        shown, v.words);
  return fail(errc::unauthorized, "the certificate of the NATS server at {} is not trusted by nats.tls_ca {} ({})",
              shown, c.tls_ca, v.words);
}

}  // namespace

void wipe(std::string& secret) { std::fill(secret.begin(), secret.end(), '\0'); }

bool wants_tls(const nats_config& c) { return asks_for_tls(c.url) || !c.tls_ca.empty() || !c.tls_cert.empty(); }

result<void> check_files(const nats_config& c) {
  const std::pair<std::string_view, const std::string*> pems[] = {
      {"nats.tls_ca", &c.tls_ca}, {"nats.tls_cert", &c.tls_cert}, {"nats.tls_key", &c.tls_key}};
  for (const auto& [key, path] : pems)
    if (!path->empty())
      if (auto good = check_pem(key, *path); !good) return good;
  if (!c.nkey_seed.empty())
    if (auto good = check_nkey_seed(c.nkey_seed); !good) return good;
  return c.creds.empty() ? result<void>{} : check_credentials(c.creds);
}

result<std::string> seed_in(const std::string& path) {
  auto text = content("nats.nkey_seed", path);
  if (!text) return text.error();
  const auto seed = trimmed(*text);
  auto out = std::string(seed);
  wipe(*text);
  return out;
}

error unusable(std::string_view key, std::string_view file, std::string_view detail) {
  return fail(errc::unauthorized, "{}: {} is not usable: {}", key, file, detail);
}

error credentials_refused(const nats_config& c) {
  const auto shown = without_secrets(c.url);
  if (has_user(c.url))
    return fail(errc::unauthorized,
                "the NATS server at {} refuses the credentials in nats.url; check user and password there", shown);
  if (!c.creds.empty())
    return fail(
        errc::unauthorized,
        "the NATS server at {} refuses the credentials in nats.creds {}; are they of an account of this server, and "
        "neither expired nor revoked?",
        shown, c.creds);
  if (!c.nkey_seed.empty())
    return fail(errc::unauthorized,
                "the NATS server at {} refuses the NKey in nats.nkey_seed {}; is its public key that of a user of this "
                "server?",
                shown, c.nkey_seed);
  return fail(errc::unauthorized,
              "the NATS server at {} wants credentials; set nats.creds, or write user:password@ before the host in "
              "nats.url, or set nats.nkey_seed",
              shown);
}

error tls_failed(const nats_config& c, std::string_view detail) {
  const auto shown = without_secrets(c.url);
  if (const auto v = verdict_in(detail); v.code != 0) return server_not_trusted(c, shown, v);
  if (contains(detail, "alert") && c.tls_cert.empty())
    return fail(errc::unauthorized,
                "the NATS server at {} refuses the TLS connection ({}); if it asks for a client certificate, set "
                "nats.tls_cert and nats.tls_key",
                shown, detail);
  if (contains(detail, "alert"))
    return fail(errc::unauthorized, "the NATS server at {} refuses the client certificate, nats.tls_cert {} ({})",
                shown, c.tls_cert, detail);
  const bool ended = contains(detail, "SSL_") || contains(detail, "Expected 'PONG', got ''");
  // With TLS 1.3 the server judges a client after the handshake, and its text may be lost.
  if (ended && !c.tls_cert.empty())
    return fail(
        errc::unauthorized,
        "the NATS server at {} refuses the client certificate, nats.tls_cert {} (or it is shutting down: it closed the "
        "connection right after the TLS handshake)",
        shown, c.tls_cert);
  if (!contains(detail, "SSL")) return {errc::closed, ""};
  return fail(errc::unreachable, "TLS with the NATS server at {} failed ({}); is that port a NATS server?", shown,
              detail);
}

}  // namespace recordkv::nats
