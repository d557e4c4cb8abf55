#include "dial.hpp"

#include "address.hpp"
#include "library.hpp"
#include "nkey.hpp"
#include "recordkv/nats/greeting.hpp"
#include "trust.hpp"

#include <nats/nats.h>

#include <algorithm>
#include <cstring>

namespace recordkv::nats {
namespace {

error translate(natsStatus s, const nats_config& c) {
  const auto url = without_secrets(c.url);
  const char* last = nats_GetLastError(nullptr);
  const std::string detail = last && *last ? last : natsStatus_GetText(s);
  if (s == NATS_CONNECTION_AUTH_FAILED || s == NATS_NOT_PERMITTED) return credentials_refused(c);
  if (s == NATS_NO_SERVER)
    return fail(errc::unreachable, "no NATS server answers at {}; start one, or set nats.url", url);
  if (s == NATS_SECURE_CONNECTION_WANTED)
    return fail(errc::unauthorized,
                "the NATS server at {} requires no TLS, and nats.url or nats.tls_… asks for it; write nats:// and no "
                "nats.tls_…, or give that server a tls block",
                url);
  if (auto tls = tls_failed(c, detail); tls.code != errc::closed) return tls;
  if (s == NATS_TIMEOUT)
    return fail(errc::unreachable, "the NATS server at {} did not answer in time; is that port a NATS server?", url);
  return fail(errc::unreachable, "connecting to NATS at {} failed: {}", url, detail);
}

// nats.c calls this on its own thread at every connect. It frees both the signature and the error text.
natsStatus sign(char** why, unsigned char** signature, int* size, const char* nonce, void* path) {
  auto seed = seed_in(*static_cast<const std::string*>(path));
  if (!seed) {
    *why = ::strdup(seed.error().text.c_str());
    return NATS_ERR;
  }
  const natsStatus s = nats_Sign(seed->c_str(), nonce, signature, size);
  wipe(*seed);
  return s;
}

natsStatus set_servers(natsOptions* o, const std::vector<std::string>& urls) {
  std::vector<const char*> raw;
  raw.reserve(urls.size());
  for (const auto& u : urls) raw.push_back(u.c_str());
  const natsStatus s = natsOptions_SetServers(o, raw.data(), static_cast<int>(raw.size()));
  return s == NATS_OK ? natsOptions_SetNoRandomize(o, true) : s;  // the server that sent its greeting comes first
}

// nats.c also checks the host in the server's certificate (as Debian builds it). It ignores the scheme "tls://".
result<void> set_trust(natsOptions* o, const nats_config& c) {
  if (auto good = check_files(c); !good) return good;
  const auto why = [] { return nats_GetLastError(nullptr); };
  if (wants_tls(c) && natsOptions_SetSecure(o, true) != NATS_OK) return fail(errc::unsupported, "no TLS: {}", why());
  if (!c.tls_ca.empty() && natsOptions_LoadCATrustedCertificates(o, c.tls_ca.c_str()) != NATS_OK)
    return unusable("nats.tls_ca", c.tls_ca, why());
  if (!c.tls_cert.empty() && natsOptions_LoadCertificatesChain(o, c.tls_cert.c_str(), c.tls_key.c_str()) != NATS_OK)
    return unusable("nats.tls_cert and nats.tls_key", c.tls_cert + " with " + c.tls_key, why());
  if (!c.creds.empty() && natsOptions_SetUserCredentialsFromFiles(o, c.creds.c_str(), nullptr) != NATS_OK)
    return unusable("nats.creds", c.creds, why());
  if (c.nkey_seed.empty()) return {};
  auto seed = seed_in(c.nkey_seed);
  if (!seed) return seed.error();
  const auto key = public_nkey(*seed);
  wipe(*seed);
  // nats.c's own reader of the file fails on "\r".
  auto* const path = const_cast<std::string*>(&c.nkey_seed);  // NOLINT: only read
  if (natsOptions_SetNKey(o, key.c_str(), &sign, path) != NATS_OK)
    return unusable("nats.nkey_seed", c.nkey_seed, why());
  return {};
}

natsStatus set_behaviour(natsOptions* o, const nats_config& c, int read_size) {
  natsStatus s = natsOptions_SetName(o, c.name.c_str());
  const auto also = [&s](natsStatus next) { s = s == NATS_OK ? next : s; };
  also(natsOptions_SetSendAsap(o, true));        // no flusher thread: a publish arms one write
  also(natsOptions_SetIOBufSize(o, read_size));  // an eighth as many reads
  also(natsOptions_SetMaxReconnect(o, -1));
  also(natsOptions_SetReconnectWait(o, 100));
  also(natsOptions_SetReconnectJitter(o, 100, 200));
  also(natsOptions_SetPingInterval(o, 10'000));
  also(natsOptions_SetTimeout(o, 2'000));
  also(natsOptions_IPResolutionOrder(o, 46));       // IPv4 first: more hosts lack an IPv6 route
  also(natsOptions_SetMaxPendingMsgs(o, 1 << 20));  // n * 1024 must fit an int; lifted for each subscription
  also(natsOptions_DisableNoResponders(o, true));   // otherwise NextMsg swallows a 503 together with its request id
  return s;
}

}  // namespace

result<options> options_for(const nats_config& config, int read_size) {
  open_library();
  natsOptions* raw = nullptr;
  if (natsOptions_Create(&raw) != NATS_OK) throw std::bad_alloc();
  options made(raw, &natsOptions_Destroy);
  if (auto trusted = set_trust(raw, config); !trusted) return trusted.error();
  if (const auto s = set_behaviour(raw, config, read_size); s != NATS_OK)
    return fail(errc::bad_config, "nats.c refuses its settings: {}", natsStatus_GetText(s));
  return made;
}

result<__natsConnection*> dial(__natsOptions* with, const nats_config& config, bool each_last) {
  auto urls = split_urls(config.url);
  const auto orders = each_last ? urls.size() : 1;
  natsConnection* made = nullptr;
  error out = fail(errc::bad_config, "nats.url names no server");
  for (std::size_t i = 0; i < orders; ++i) {
    natsStatus s = set_servers(with, urls);
    if (s == NATS_OK) s = natsConnection_Connect(&made, with);
    if (s == NATS_OK) return made;
    out = translate(s, config);
    if (out.code != errc::unreachable) break;
    std::rotate(urls.begin(), urls.begin() + 1, urls.end());
  }
  return out;
}

}  // namespace recordkv::nats
