// The accounts that a command's arguments name.
//
// Owns: the order in which a handle is looked up: known accounts first, then the network.
// Does not know: what is done with the accounts.
#pragma once

#include "commands.hpp"
#include "recordkv/core/meter.hpp"
#include "recordkv/identity/handle.hpp"
#include "recordkv/identity/resolver.hpp"

#include <optional>
#include <string>

namespace recordkv::cli {

struct named_account {
  std::string did;
  std::string handle;  ///< as written; empty: a DID was written
};

/// Removes a leading "@". errc::bad_config: neither a DID nor a handle. `command`: for the message.
result<std::string> account_name(std::string written, std::string_view command);

/// The one known account whose DID document names the handle. Handles of states are unchecked: if several name it,
/// there is none.
task<result<std::optional<std::string>>> known_account(session s, std::string handle);

/// The look-up of handles in the network.
class network_names {
 public:
  network_names(asio::any_io_executor loop, const config& cfg);
  task<result<std::string>> did_of(std::string handle) { return handles_.look_up(std::move(handle)); }

 private:
  meters counters_;
  identity::resolver documents_;
  identity::handle_resolver handles_;
};

}  // namespace recordkv::cli
