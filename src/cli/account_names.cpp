#include "account_names.hpp"

#include "account_search.hpp"
#include "recordkv/atproto/syntax.hpp"

namespace recordkv::cli {

result<std::string> account_name(std::string written, std::string_view command) {
  auto name = written.starts_with('@') ? written.substr(1) : written;
  if (atproto::is_did(name) || atproto::is_handle(name)) return name;
  return fail(errc::bad_config, "{} wants a DID or a handle; \"{}\" is neither", command, written);
}

task<result<std::optional<std::string>>> known_account(session s, std::string handle) {
  auto known = co_await accounts_of_handle(s, std::move(handle));
  if (!known) co_return known.error();
  std::optional<std::string> out;
  if (known->size() == 1) out = std::move(known->front());
  co_return out;
}

network_names::network_names(asio::any_io_executor loop, const config& cfg)
    : documents_(loop, {.plc_url = cfg.identity.plc_url, .allow_private_hosts = cfg.identity.allow_private_hosts},
                 counters_),
      handles_(loop, {.allow_private_hosts = cfg.identity.allow_private_hosts}, documents_) {}

}  // namespace recordkv::cli
