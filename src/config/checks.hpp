// Checks of values that a type, a list of choices or a range cannot express.
//
// Owns: the form of addresses, names and patterns, and keys that depend on each other.
// Does not know: where a value was written; the caller adds file, line and key.
#pragma once

#include "recordkv/config.hpp"

#include <string>
#include <string_view>

namespace recordkv::settings {

// Each returns what is wrong and what to write; empty: nothing is wrong. Values that may hold a password are masked.
std::string check_stages(const config& c);
std::string check_nats_url(const config& c);
std::string check_replicas(const config& c);
std::string check_state_dir(const config& c);
std::string check_source_url(const config& c);
std::string check_start(const config& c);
std::string check_collections(const config& c);
std::string check_bucket(const config& c);
std::string check_plc_url(const config& c);
std::string check_mode(const config& c);
std::string check_dids(const config& c);
std::string check_signal(const config& c);
std::string check_list_host(const config& c);
std::string check_each_host(const config& c);
std::string check_database(const config& c);
std::string check_listen(const config& c);
std::string check_tls(const config& c);
std::string check_nkey_seed(const config& c);
std::string check_domain(const config& c);
std::string check_api_prefix(const config& c);
std::string check_inbox_prefix(const config& c);
std::string check_kv_assign(const config& c);
std::string check_index_assign(const config& c);

/// Passwords and tokens inside a list of URLs replaced by "***".
std::string masked_urls(std::string_view urls);

}  // namespace recordkv::settings
